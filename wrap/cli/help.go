package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"limit/wrap"
)

const (
	helpWidth  = 80  // where no terminal says otherwise
	helpWidest = 100 // lines that are longer are hard to read
	flagColumn = 20  // where the texts of flags begin
)

// helpAsked finds --help, or -h, among the words of a call, and returns the words of the command it is about. The
// library's own help is set for wide terminals alone.
func helpAsked(app *cli.App, args []string) (words []string, asked bool) {
	if len(args) == 0 {
		return nil, false
	}
	q := newCompletion(app, append(args[1:len(args):len(args)], ""))
	for _, name := range []string{"help", "h"} {
		if value, given := q.given[name]; given && value != "false" {
			return strings.Fields(q.path), true
		}
	}
	return strings.Fields(q.path), false
}

// showHelp writes the help of the command that the words name.
func (p *program) showHelp(app *cli.App, words []string) error {
	name, commands := "limit", app.Commands
	var command *cli.Command
	for _, word := range words {
		next := find(commands, word)
		if next == nil {
			return fmt.Errorf("%s; see 'limit help'", noCommandNamed(word, commands))
		}
		command, commands = next, next.Subcommands
		name += " " + next.Name
	}
	return p.writeHelp(p.Out, app, command, name)
}

// writeHelp writes the help of a command; c is nil for that of limit itself.
func (p *program) writeHelp(w io.Writer, app *cli.App, c *cli.Command, name string) error {
	h := &helpText{width: p.helpWidth()}
	usage, calls, description := app.Usage, app.UsageText, app.Description
	commands, own := app.Commands, []cli.Flag(nil)
	if c != nil {
		usage, calls, description = c.Usage, usageLine(c, name), c.Description
		commands, own = c.Subcommands, ownFlags(c)
	}
	h.paragraph("", name+" - "+usage)
	h.line("\nUSAGE:")
	for _, call := range strings.Split(calls, "\n") {
		h.line("   " + call)
	}
	h.line("")
	h.description(description)
	h.commands(commands)
	h.flags("OPTIONS", own)
	if len(commands) == 0 {
		h.flags("OPTIONS OF ALL COMMANDS", commonFlags())
	} else {
		h.line("'%s COMMAND --help' tells more of each.", name)
	}
	_, err := io.WriteString(w, strings.TrimRight(h.out.String(), "\n")+"\n")
	return err
}

// helpWidth is the width that help is set to.
func (p *program) helpWidth() int {
	if width := p.width(); width > 0 {
		return max(40, min(width, helpWidest))
	}
	return helpWidth
}

// helpText is help in the making, set to a width.
type helpText struct {
	out   strings.Builder
	width int
}

func (h *helpText) line(format string, args ...any) { fmt.Fprintf(&h.out, format+"\n", args...) }

func (h *helpText) paragraph(indent, text string) {
	for _, line := range fill(text, h.width-len(indent)) {
		h.line("%s%s", indent, line)
	}
}

func (h *helpText) description(text string) {
	blocks := blocksOf(text)
	for i, b := range blocks {
		switch {
		case b.heading != "" && (len(b.lines) == 0 || b.verbatim):
			h.line("%s:", b.heading)
		case b.heading != "":
			h.paragraph("", b.heading+": "+strings.Join(b.lines, " "))
		case !b.verbatim:
			h.paragraph("", strings.Join(b.lines, " "))
		}
		if b.verbatim {
			for _, line := range b.lines {
				h.line("   %s", line)
			}
		}
		if i+1 == len(blocks) || b.heading == "" || !blocks[i+1].verbatim {
			h.line("")
		}
	}
}

func (h *helpText) commands(commands []*cli.Command) {
	if len(commands) == 0 {
		return
	}
	h.line("COMMANDS:")
	for _, c := range commands {
		if !c.Hidden {
			h.entry(c.Name, c.Usage, len("completion")+5)
		}
	}
	h.line("")
}

func (h *helpText) flags(heading string, flags []cli.Flag) {
	if len(flags) == 0 {
		return
	}
	h.line("%s:", heading)
	for _, f := range flags {
		if t, ok := textOf(f); ok {
			h.entry(strings.TrimSpace(t.name+" "+t.value), t.usage, flagColumn)
		}
	}
	h.line("")
}

// entry is a name and its text beside it, or below it where the name is long.
func (h *helpText) entry(name, text string, column int) {
	lines := fill(text, h.width-column)
	if wrap.Cells(name)+5 > column {
		h.line("   %s", name)
	} else {
		h.line("   %-*s%s", column-3, name, lines[0])
		lines = lines[1:]
	}
	for _, line := range lines {
		h.line("%*s%s", column, "", line)
	}
}
