package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"limit/wrap"
)

// The texts of commands are written once, in their Description, and set twice: by --help for a terminal and by help
// --man for roff.

// block is a piece of a Description: a paragraph to be filled, or lines that stay as they are. A heading is a line's
// beginning in capitals with a colon: EXIT STATUS:.
type block struct {
	heading  string
	verbatim bool
	lines    []string
}

// blocksOf takes a Description apart: paragraphs are apart by empty lines, what is indented is verbatim.
func blocksOf(description string) []block {
	var blocks []block
	fresh := true
	for _, line := range strings.Split(description, "\n") {
		if line == "" {
			fresh = true
			continue
		}
		heading, rest := "", line
		if before, after, found := strings.Cut(line, ":"); found && isHeading(before) {
			heading, rest = before, strings.TrimSpace(after)
		}
		verbatim := strings.HasPrefix(line, "  ")
		if last := len(blocks) - 1; fresh || heading != "" || blocks[last].verbatim != verbatim {
			blocks = append(blocks, block{heading: heading, verbatim: verbatim})
		}
		last := &blocks[len(blocks)-1]
		if verbatim {
			rest = strings.TrimPrefix(line, "   ")
		}
		if rest != "" {
			last.lines = append(last.lines, rest)
		}
		fresh = false
	}
	return blocks
}

func isHeading(s string) bool {
	return len(s) > 4 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ ") == "" && strings.TrimSpace(s) == s
}

// fill sets words in lines of a width.
func fill(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case wrap.Cells(line)+1+wrap.Cells(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// flagText is a flag as help shows it.
type flagText struct {
	name     string // --pool
	value    string // NAME[=SLOTS]; "": it takes none
	usage    string
	category string
}

func textOf(f cli.Flag) (flagText, bool) {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return flagText{}, false
	}
	before, rest, _ := strings.Cut(d.GetUsage(), "`")
	value, after, _ := strings.Cut(rest, "`")
	t := flagText{name: dashes(f.Names()[0]), value: value, usage: before + value + after}
	if before == "" { // `DURATION`: how long
		t.usage = strings.TrimPrefix(t.usage, value+": ")
	}
	if c, ok := f.(cli.CategorizableFlag); ok {
		t.category = c.GetCategory()
	}
	if text := defaultText(d); text != "" && !strings.Contains(t.usage, "(default") {
		t.usage += " (default: " + text + ")"
	}
	return t, true
}

// defaultText is the value that a flag has where it is not given, "" where that goes without saying.
func defaultText(d cli.DocGenerationFlag) string {
	text := strings.Trim(d.GetDefaultText(), `"`)
	if !d.TakesValue() || text == "0" {
		return ""
	}
	return text
}

// ownFlags are those of a command that not every command has.
func ownFlags(c *cli.Command) []cli.Flag {
	var own []cli.Flag
	common := commonFlags()
	for _, f := range c.Flags {
		if lookup(dashes(f.Names()[0]), common) == nil {
			own = append(own, f)
		}
	}
	return own
}

// usageLine is how a command is called.
func usageLine(c *cli.Command, name string) string {
	switch {
	case c.UsageText != "":
		return c.UsageText
	case len(c.Subcommands) > 0:
		return name + " COMMAND ..."
	case len(ownFlags(c)) > 0:
		name += " [flags]"
	}
	return strings.TrimSpace(name + " " + c.ArgsUsage)
}
