package cli

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/urfave/cli/v2"

	"limit/wrap/cli/manual"
)

const helpCommandText = `Without a word, the commands and the topics of the manual. With --man, the manual page:
limit help --man | man -l -

A topic is shown through $PAGER, or less, on a terminal.

EXIT STATUS: 0; 125 there is no such command or topic.

EXAMPLES:
   limit help step-file
   limit help pool set`

func (p *program) helpCommand() *cli.Command {
	return &cli.Command{
		Name:        "help",
		Usage:       "show the manual: a topic, or the help of a command",
		ArgsUsage:   "[TOPIC | COMMAND...]",
		Description: helpCommandText,
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "man", Usage: "the page limit(1), as roff"}},
		Action: func(c *cli.Context) error {
			if c.Bool("man") {
				return writeMan(p.Out, c.App)
			}
			return p.help(c.App, c.Args().Slice())
		},
	}
}

// help shows the topic, or the help of the command, that the words name; the list of both where there are none.
func (p *program) help(app *cli.App, words []string) error {
	if len(words) == 1 {
		if topic, ok := manual.Find(words[0]); ok {
			return p.page(topic.Text)
		}
		if near := closest(words[0], topicNames()); near != "" && find(app.Commands, words[0]) == nil {
			return fmt.Errorf("there is no command or topic %q; did you mean 'limit help %s'?", words[0], near)
		}
	}
	if err := p.showHelp(app, words); err != nil || len(words) > 0 {
		return err
	}
	h := &helpText{width: p.helpWidth()}
	h.line("\nTOPICS ('limit help TOPIC'):")
	for _, t := range manual.Topics() {
		h.entry(t.Name, t.Title, len("troubleshooting")+5)
	}
	_, err := io.WriteString(p.Out, h.out.String())
	return err
}

func topicNames() (names []string) {
	for _, t := range manual.Topics() {
		names = append(names, t.Name)
	}
	return names
}

// page writes text through a pager where standard output is a terminal and a pager is there.
func (p *program) page(text string) error {
	pager := []string{"less", "-FRX"}
	if wish, _ := lookupEnv(p.env, "PAGER"); strings.TrimSpace(wish) != "" {
		pager = strings.Fields(wish)
	}
	path, err := exec.LookPath(pager[0])
	if out, ok := p.Out.(*os.File); ok && err == nil && p.width() > 0 {
		cmd := exec.Command(path, pager[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), out, p.Err
		return cmd.Run()
	}
	_, err = io.WriteString(p.Out, text)
	return err
}
