package cli

import (
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// permute puts flags before operands, so that limit pool set api 4 --rate 10/1m works as typed: the library stops
// parsing at the first operand, which is right for limit run alone.
func permute(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	i, flags := 1, app.Flags
	commands := app.Commands
	var command *cli.Command
	for i < len(args) && len(commands) > 0 {
		if isFlag(args[i], flags) {
			i += width(args[i], flags)
			continue
		}
		if command = find(commands, args[i]); command == nil {
			return args
		}
		i++
		flags, commands = command.Flags, command.Subcommands
	}
	if command == nil || len(commands) > 0 || i > len(args) || command == find(app.Commands, "run") {
		return args
	}
	given, operands, whole := split(detachJobs(args[i:], flags), flags)
	result := append(append([]string{}, args[:i]...), given...)
	if !whole {
		return result // the library says which flag needs a value, and does not take -- for it
	}
	return append(append(result, "--"), operands...)
}

// split tells flags, with their values, from operands. whole is false where the last flag has no value: what is given
// ends with that flag.
func split(args []string, flags []cli.Flag) (given, operands []string, whole bool) {
	for i := 0; i < len(args); {
		switch {
		case args[i] == "--":
			return given, append(operands, args[i+1:]...), true
		case isFlag(args[i], flags):
			end := i + width(args[i], flags)
			if end > len(args) {
				return append(given, args[i:]...), nil, false
			}
			given = append(given, args[i:end]...)
			i = end
		default:
			operands = append(operands, args[i])
			i++
		}
	}
	return given, operands, true
}

// isFlag reports whether a word is a flag; a negative number is none.
func isFlag(word string, flags []cli.Flag) bool {
	if len(word) < 2 || word[0] != '-' {
		return false
	}
	if lookup(word, flags) != nil {
		return true
	}
	_, err := strconv.ParseFloat(word, 64)
	return err != nil
}

// width is how many words a flag takes: two where its value is a word of its own.
func width(word string, flags []cli.Flag) int {
	if strings.Contains(word, "=") {
		return 1
	}
	f := lookup(word, flags)
	if f == nil {
		return 1
	}
	if documented, ok := f.(cli.DocGenerationFlag); ok && !documented.TakesValue() {
		return 1
	}
	return 2
}

func lookup(word string, flags []cli.Flag) cli.Flag {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}
