package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"limit/backend"
)

func (p *program) cancelCommand() *cli.Command {
	return &cli.Command{
		Name:      "cancel",
		Usage:     "ask a waiting claim to leave, or a holder to stop its command and release",
		ArgsUsage: "ID",
		Description: "A waiting 'limit run' exits with 75. A holder stops its command (TERM, grace, KILL), then releases.\n" +
			"With --force the claim is dropped without asking: for a machine that does not answer. If its\n" +
			"command still runs there, it runs beside whoever is granted the slot next.\n\n" +
			"EXIT STATUS: 0 the request is stored; 125 limit itself failed, or there is no such claim.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "reason", Usage: "`TEXT` to tell the owner"},
			&cli.BoolFlag{Name: "force", Usage: "drop the claim without asking its owner"},
		},
		Action: p.onClaim(func(c *cli.Context, s *store, id string) error {
			if !c.Bool("force") {
				reason := c.String("reason")
				if reason == "" {
					reason = "limit cancel"
				}
				return s.Cancel(c.Context, id, reason)
			}
			if err := s.Drop(c.Context, id); err != nil {
				return err
			}
			p.messages(c).Info("dropped %s: if its command still runs, it now runs beside the next holder", short(id))
			return nil
		}),
	}
}

func (p *program) bumpCommand() *cli.Command {
	return &cli.Command{
		Name:        "bump",
		Usage:       "give a waiting claim a new priority",
		ArgsUsage:   "ID N",
		Description: "Higher first; the place among equals is by arrival, as before.\n\nEXIT STATUS: 0; 125 limit itself failed, there is no such claim, or it is held already.",
		Action: p.onClaim(func(c *cli.Context, s *store, id string) error {
			priority, err := strconv.ParseInt(c.Args().Get(1), 10, 32)
			if err != nil {
				return usageError(c, "priority %q is not a 32-bit number", c.Args().Get(1))
			}
			if err := s.Bump(c.Context, id, int32(priority)); errors.Is(err, backend.ErrHeld) {
				return fmt.Errorf("%s does not wait any more: it is held; a priority changes nothing", short(id))
			} else if err != nil {
				return err
			}
			return nil
		}, "N"),
	}
}

// onClaim is the action of a command whose first operand names a claim, followed by exactly the given others.
func (p *program) onClaim(do func(c *cli.Context, s *store, id string) error, others ...string) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.NArg() != 1+len(others) {
			return usageError(c, "%s is needed", strings.Join(append([]string{"ID"}, others...), " "))
		}
		return p.withStore(c, func(s *store) error {
			snapshot, err := s.Snapshot(c.Context)
			if err != nil {
				return err
			}
			id, err := findClaim(snapshot, c.Args().First())
			if err != nil {
				return err
			}
			return do(c, s, id)
		})
	}
}
