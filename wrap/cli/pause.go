package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
)

func (p *program) queueCommand() *cli.Command {
	whole := func(c *cli.Context) (string, error) {
		if c.NArg() > 0 {
			return "", usageError(c, "no operand is taken; did you mean 'limit pool %s %s'?", c.Command.Name,
				backend.ShellWord(c.Args().First()))
		}
		return backend.StoreNames().Runs, nil
	}
	return &cli.Command{
		Name:        "queue",
		Usage:       "pause the run queue, and let it go on",
		Subcommands: []*cli.Command{p.pauseCommand("", whole), p.resumeCommand("", whole)},
	}
}

// poolOperand is the limit of the pool that the only operand names.
func poolOperand(c *cli.Context) (string, error) {
	if c.NArg() != 1 {
		return "", usageError(c, "NAME is needed")
	}
	name := c.Args().First()
	if err := checkPoolName(name); err != nil {
		return "", usageError(c, "%v", err)
	}
	return poolLimit(name), nil
}

// pauseCommand lets nobody into the limit that the operands name.
func (p *program) pauseCommand(operands string, limitOf func(*cli.Context) (string, error)) *cli.Command {
	return &cli.Command{
		Name:      "pause",
		Usage:     "let nobody in, and keep the limit",
		ArgsUsage: operands,
		Description: `Holders go on and waiters wait. Each waiter is told who has paused it, when and why. A
claim for more than the limit that is kept fails as ever. 'limit apply' leaves it paused. Pausing it again
replaces the reason.

EXIT STATUS: 0; 125 limit itself failed.`,
		Flags: []cli.Flag{&cli.StringFlag{Name: "reason", Usage: "`TEXT` to tell those who wait"}},
		Action: func(c *cli.Context) error {
			limit, err := limitOf(c)
			if err != nil {
				return err
			}
			return p.changeSettings(c, func(s *backend.Settings) error {
				return pause(s, limit, userAtHost(), c.String("reason"))
			})
		},
	}
}

// pause pauses a limit. A pool that strict settings do not know is refused.
func pause(s *backend.Settings, limit, by, reason string) error {
	if pool, ok := strings.CutPrefix(limit, backend.StoreNames().Pool); ok {
		if err := s.Undeclared(map[string]int{pool: 1}); err != nil {
			return orMeant(err, *s)
		}
	}
	s.SetPause(limit, backend.Pause{By: by, At: time.Now().UTC().Truncate(time.Second), Reason: reason})
	return nil
}

// resumeCommand undoes pauseCommand.
func (p *program) resumeCommand(operands string, limitOf func(*cli.Context) (string, error)) *cli.Command {
	return &cli.Command{
		Name:        "resume",
		Usage:       "let those who wait in again, after pause",
		ArgsUsage:   operands,
		Description: "EXIT STATUS: 0; 125 limit itself failed, or it is not paused.",
		Action: func(c *cli.Context) error {
			limit, err := limitOf(c)
			if err != nil {
				return err
			}
			return p.changeSettings(c, func(s *backend.Settings) error {
				if s.PauseOf(limit) == nil {
					return fmt.Errorf("%s is not paused; 'limit status' shows what is", limit)
				}
				delete(s.Paused, limit)
				return nil
			})
		},
	}
}
