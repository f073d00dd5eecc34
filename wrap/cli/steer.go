package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/wrap"
)

func (p *program) whyCommand() *cli.Command {
	return &cli.Command{
		Name:      "why",
		Usage:     "why a claim waits",
		ArgsUsage: "ID",
		Description: "Its position, the limits in its way, who holds them and since when. ID may be shortened to any\n" +
			"unique prefix.\n\nEXIT STATUS: 0; 125 limit itself failed, or there is no such claim.",
		Action: p.onClaim(func(c *cli.Context, s *store, id string) error {
			snapshot, err := s.Snapshot(c.Context)
			if err != nil {
				return err
			}
			return writeWhy(p.Out, snapshot, id, time.Now())
		}),
	}
}

// writeWhy explains one claim.
func writeWhy(w io.Writer, s *backend.Snapshot, id string, now time.Time) error {
	for _, h := range s.Held {
		if h.ID == id {
			_, err := fmt.Fprintf(w, "%s %s does not wait: it holds %s for %s, as %s\n", short(id),
				wrap.Printable(shownName(h.Claim, s.Settings)), needsText(h.Claim), wrap.Age(now.Sub(h.Grant.GrantedAt)), wrap.Printable(who(h)))
			return err
		}
	}
	for _, c := range s.Waiting {
		if c.ID != id {
			continue
		}
		fmt.Fprintf(w, "%s %s waits for %s, position %d, priority %d, asks %s\n", short(id),
			wrap.Printable(shownName(c.Claim, s.Settings)), wrap.Age(now.Sub(c.QueuedAt)), c.Position, c.Priority, needsText(c.Claim))
		if c.Aside {
			fmt.Fprintln(w, "  it stands aside: its dag has no executor slot for it")
		}
		if len(c.Blocks) == 0 && !c.Aside {
			fmt.Fprintln(w, "  nothing blocks it: it is about to be granted")
		}
		for _, b := range c.Blocks {
			writeBlock(w, s, b, now)
		}
		return nil
	}
	return &backend.NotFoundError{ID: id}
}

func writeBlock(w io.Writer, s *backend.Snapshot, b backend.Block, now time.Time) {
	reasons := map[string]string{
		backend.WhyFull:     "full",
		backend.WhyRate:     "that many have started within the period",
		backend.WhyPaused:   "paused: its limit is 0",
		backend.WhyBehind:   "an earlier claim needs more than is free",
		backend.WhyReserved: "the rest is kept for a claim that waited long",
	}
	fmt.Fprintf(w, "  %s: %d of %d used, %s\n", wrap.Printable(b.Limit), b.Used, b.Capacity, reasons[b.Why])
	t := &table{}
	for _, id := range b.By {
		t.rows = append(t.rows, []string{"   ", short(id), wrap.Printable(describeClaim(s, id, now))})
	}
	t.write(w, 0)
}

func describeClaim(s *backend.Snapshot, id string, now time.Time) string {
	for _, h := range s.Held {
		if h.ID == id {
			return fmt.Sprintf("%s holds %s for %s, %s", shownName(h.Claim, s.Settings), needsText(h.Claim), wrap.Age(now.Sub(h.Grant.GrantedAt)), who(h))
		}
	}
	for _, w := range s.Waiting {
		if w.ID == id {
			return fmt.Sprintf("%s waits for %s for %s", shownName(w.Claim, s.Settings), needsText(w.Claim), wrap.Age(now.Sub(w.QueuedAt)))
		}
	}
	return "gone meanwhile"
}

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
		s, err := p.open(c)
		if err != nil {
			return err
		}
		defer s.Close()
		snapshot, err := s.Snapshot(c.Context)
		if err != nil {
			return err
		}
		id, err := findClaim(snapshot, c.Args().First())
		if err != nil {
			return err
		}
		return do(c, s, id)
	}
}
