package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// The manual page is made of the texts of --help: there is no other source. roff is what man(7) of every system reads:
// the macros TH, SH, SS, PP, TP, RS and the like.

// manDate is when the texts last changed.
const manDate = "2026-11-24"

// writeMan writes limit(1).
func writeMan(w io.Writer, app *cli.App) error {
	m := &manPage{}
	m.line(`.TH LIMIT 1 "%s" "limit %s" "User commands"`, manDate, roff(version()))
	m.section("NAME")
	m.line(`limit \- %s`, roff(app.Usage))
	m.section("SYNOPSIS")
	for _, usage := range strings.Split(app.UsageText, "\n") {
		m.synopsis(usage)
	}
	m.section("DESCRIPTION")
	m.text(app.Description)
	m.section("COMMANDS")
	m.commands(app.Commands, "limit")
	m.section("OPTIONS OF ALL COMMANDS")
	m.flags(commonFlags())
	m.section("FILES")
	m.text(manFiles)
	m.section("ENVIRONMENT")
	m.text(manEnvironment)
	m.section("SEE ALSO")
	m.line(`.BR flock (1), .BR timeout (1), .BR crontab (5), .BR etcd (1)`)
	_, err := io.WriteString(w, strings.ReplaceAll(m.out.String(), ", .BR ", ",\n.BR "))
	return err
}

const manFiles = `The configuration is the first of: --config, $LIMIT_CONFIG, limit.yaml in this folder or the
nearest parent,
$XDG_CONFIG_HOME/limit/limit.yaml, /etc/limit/limit.yaml. The embedded store is /var/lib/limit for root, else
$XDG_STATE_HOME/limit, which is ~/.local/state/limit as a rule.`

const manEnvironment = `LIMIT_CONFIG, LIMIT_BACKEND, LIMIT_NAMESPACE and LIMIT_AGENT stand for the flags of
those names. A command that limit runs
finds LIMIT_RUN_ID, LIMIT_CLAIM_ID, LIMIT_TOKEN, LIMIT_NAMESPACE, LIMIT_POOLS and LIMIT_SLOT_<POOL>, see limit run.`

// manPage collects the lines of a page.
type manPage struct{ out strings.Builder }

func (m *manPage) line(format string, args ...any) { fmt.Fprintf(&m.out, format+"\n", args...) }

func (m *manPage) section(name string) { m.line(".SH %s", name) }

// synopsis is one way of a call, on a line of its own.
func (m *manPage) synopsis(usage string) {
	m.line(".nf\n%s\n.fi", roff(usage))
}

// commands writes those that are for people, and what is below them.
func (m *manPage) commands(commands []*cli.Command, parent string) {
	for _, c := range commands {
		if c.Hidden {
			continue
		}
		name := parent + " " + c.Name
		m.line(".SS %s", roff(name))
		m.fill(strings.ToUpper(c.Usage[:1]) + c.Usage[1:] + ".")
		m.line(".PP")
		m.synopsis(usageLine(c, name))
		if c.Description != "" {
			m.line(".PP")
			m.text(c.Description)
		}
		m.flags(ownFlags(c))
		m.commands(c.Subcommands, name)
	}
}

func (m *manPage) flags(flags []cli.Flag) {
	for _, f := range flags {
		t, ok := textOf(f)
		if !ok {
			continue
		}
		head := `\fB` + roff(t.name) + `\fR`
		if t.value != "" {
			head += ` \fI` + roff(t.value) + `\fR`
		}
		m.line(".TP\n%s", head)
		m.fill(t.usage)
	}
}

// fill writes a paragraph, in short lines as man pages have them.
func (m *manPage) fill(text string) {
	for _, line := range fill(text, 70) {
		m.line("%s", roff(line))
	}
}

// text writes a Description.
func (m *manPage) text(description string) {
	for i, b := range blocksOf(description) {
		if i > 0 && !b.verbatim {
			m.line(".PP")
		}
		if b.heading != "" {
			m.line(`\fB%s:\fR`, roff(b.heading))
		}
		if !b.verbatim {
			m.fill(strings.Join(b.lines, " "))
			continue
		}
		m.line(".RS 4\n.nf")
		for _, line := range b.lines {
			m.line("%s", roff(line))
		}
		m.line(".fi\n.RE")
	}
}

// roff escapes what it would take for itself.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
