package cli

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
	"github.com/urfave/cli/v2"
)

// everyCommand calls visit with each command that is for people, and its full name.
func everyCommand(commands []*cli.Command, parent string, visit func(name string, c *cli.Command)) {
	for _, c := range commands {
		if !c.Hidden {
			visit(parent+" "+c.Name, c)
			everyCommand(c.Subcommands, parent+" "+c.Name, visit)
		}
	}
}

func TestTheHelpOfEveryCommandFitsATerminalAndTellsTheExitStatus(t *testing.T) {
	p := &program{}
	app := p.app("")
	everyCommand(app.Commands, "limit", func(name string, c *cli.Command) {
		var b strings.Builder
		if err := p.writeHelp(&b, app, c, name); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if width := uniseg.StringWidth(strings.TrimSuffix(line, "\n")); width > helpWidth {
				t.Errorf("%s: a line of %d columns: %s", name, width, line)
			}
		}
		if len(c.Subcommands) == 0 && !strings.Contains(b.String(), "EXIT STATUS:") {
			t.Errorf("%s does not tell its exit status", name)
		}
	})
}

func TestHelpIsShownForWhateverCommandItIsAskedOf(t *testing.T) {
	for _, c := range []struct{ words, first string }{
		{"--help", "limit - "}, {"-h", "limit - "}, {"help", "limit - "}, {"help pool set", "limit pool set - "},
		{"run --help", "limit run - "}, {"run -h", "limit run - "}, {"run --pool x --help true", "limit run - "},
		{"pool --help", "limit pool - "}, {"pool set a 1 --help", "limit pool set - "}, {"dag run -h x.yaml", "limit dag run - "},
		{"--config x status --help", "limit status - "},
	} {
		var out, errs bytes.Buffer
		code := Main(append([]string{"limit"}, strings.Fields(c.words)...), Streams{Out: &out, Err: &errs})
		if code != 0 || errs.Len() > 0 || !strings.HasPrefix(out.String(), c.first) {
			t.Errorf("%s: exit %d, %q, begins %.40q", c.words, code, errs.String(), out.String())
		}
	}
}

func TestTheManualPageIsFreeOfComplaints(t *testing.T) {
	var page bytes.Buffer
	if err := writeMan(&page, (&program{}).app("")); err != nil {
		t.Fatal(err)
	}
	for _, linter := range [][]string{{"mandoc", "-Tlint", "-W", "warning"}, {"man", "--warnings", "-E", "UTF-8", "-l", "-"}} {
		path, err := exec.LookPath(linter[0])
		if err != nil {
			t.Skipf("SKIPPED: no %s here; apt-get install mandoc man-db", linter[0])
		}
		var complaints bytes.Buffer
		cmd := exec.Command(path, linter[1:]...)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(page.Bytes()), &complaints
		if linter[0] == "mandoc" {
			cmd.Stdout = &complaints
		}
		if err := cmd.Run(); err != nil || complaints.Len() > 0 {
			t.Errorf("%v: %v\n%s", linter, err, complaints.String())
		}
	}
}

func TestTheManualPageHasEveryCommandAndFlag(t *testing.T) {
	app := (&program{}).app("")
	var page bytes.Buffer
	if err := writeMan(&page, app); err != nil {
		t.Fatal(err)
	}
	everyCommand(app.Commands, "limit", func(name string, c *cli.Command) {
		if !strings.Contains(page.String(), ".SS "+roff(name)+"\n") {
			t.Errorf("%s is not in the manual", name)
		}
		for _, f := range ownFlags(c) {
			if !strings.Contains(page.String(), `\fB`+roff(dashes(f.Names()[0]))+`\fR`) {
				t.Errorf("flag %s of %s is not in the manual", f.Names()[0], name)
			}
		}
	})
}

// One that is missing in names.go would be slow, and shown by the library's own rules.
func TestEveryFlagKnowsItsNames(t *testing.T) {
	app := (&program{}).app("")
	check := func(name string, flags []cli.Flag) {
		for _, f := range flags {
			switch f.(type) {
			case boolFlag, stringFlag, listFlag, otherFlag:
			default:
				t.Errorf("%s: flag %v is a %T", name, f.Names(), f)
			}
		}
	}
	check("limit", app.Flags)
	everyCommand(app.Commands, "limit", func(name string, c *cli.Command) { check(name, c.Flags) })
}
