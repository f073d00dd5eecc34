package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"limit/wrap"
)

// completeVerb is what the shells' functions call: "limit __complete -- WORD..." prints what the last word may become,
// a line each, value and description separated by a tab. A line that begins with a colon leaves the rest to the shell.
const (
	completeVerb = "__complete"

	leaveFiles   = ":files"
	leaveCommand = ":command" // followed by the number of words before the command
)

// completeTimeout is how long a store may take: whoever presses a key waits.
const completeTimeout = time.Second

func (p *program) completeCommand() *cli.Command {
	return &cli.Command{
		Name: completeVerb, Hidden: true,
		Action: func(c *cli.Context) error { // silent whatever goes wrong: the line being typed is on the screen
			q := newCompletion(c.App, c.Args().Slice())
			for _, candidate := range p.complete(c.Context, q) {
				if candidate.value == wrap.Printable(candidate.value) { // it would be typed into the line otherwise
					fmt.Fprintln(p.Out, candidate.line())
				}
			}
			return nil
		},
	}
}

// candidate is one thing that a word may become.
type candidate struct{ value, description string }

func (k candidate) line() string {
	if k.description == "" {
		return k.value
	}
	return k.value + "\t" + wrap.Printable(k.description)
}

// completion is what a command line asks for.
type completion struct {
	word     string // the last, begun
	flag     string // whose value the word is; "": it is a flag or an operand
	path     string // of the command: pool set
	commands []*cli.Command
	flags    []cli.Flag
	closed   bool     // no flag may follow: after --, or in the command of run
	operands []string // before the word
	command  int      // of run: so many words are before those of its command
	given    map[string]string
}

// newCompletion reads the words before the last as permute does.
func newCompletion(app *cli.App, words []string) *completion {
	q := &completion{commands: app.Commands, flags: app.Flags, given: map[string]string{}}
	if len(words) == 0 {
		return q
	}
	last := len(words) - 1
	q.word, q.command = words[last], last
	for i := 0; i < last; i++ {
		word := words[i]
		command := find(q.commands, word)
		switch {
		case word == "--" && !q.closed:
			q.closed, q.command = true, i+1
		case !q.closed && isFlag(word, q.flags):
			name, value, joined := strings.Cut(strings.TrimLeft(word, "-"), "=")
			if !joined && width(word, q.flags) == 2 {
				if i++; i == last {
					q.flag = name
					return q
				}
				value = words[i]
			}
			q.given[name] = value
		case command != nil && !command.Hidden && len(q.operands) == 0:
			q.path = strings.TrimSpace(q.path + " " + command.Name)
			q.flags, q.commands = command.Flags, command.Subcommands
		default:
			if q.path == "run" && !q.closed {
				q.closed, q.command = true, i
			}
			q.operands = append(q.operands, word)
		}
	}
	return q
}

// complete returns the candidates that begin as the word does.
func (p *program) complete(ctx context.Context, q *completion) []candidate {
	var found []candidate
	prefix := ""
	switch name, _, joined := strings.Cut(q.word, "="); {
	case q.flag != "":
		found = p.valuesOf(ctx, q, q.flag)
	case !q.closed && strings.HasPrefix(q.word, "-") && joined:
		prefix = name + "="
		found = p.valuesOf(ctx, q, strings.TrimLeft(name, "-"))
	case !q.closed && strings.HasPrefix(q.word, "-"):
		found = flagCandidates(q.flags)
	default:
		found = p.operandsOf(ctx, q)
	}
	kept := found[:0]
	for _, k := range found {
		if strings.HasPrefix(k.value, ":") {
			return []candidate{k}
		}
		if k.value = prefix + k.value; strings.HasPrefix(k.value, q.word) {
			kept = append(kept, k)
		}
	}
	return kept
}
