package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/wrap"
)

func (p *program) cancelCommand() *cli.Command {
	return &cli.Command{
		Name:      "cancel",
		Usage:     "ask a waiting claim to leave, or a holder to stop its command and release",
		ArgsUsage: "ID",
		Description: "A waiting 'limit run' exits with 75. A holder stops its command (TERM, grace, KILL), then releases.\n" +
			"Where the holder's limit was killed, nobody is there to do so: the processes that hold the claim are\n" +
			"ended here (TERM, after 10s KILL), or those that cannot be are named.\n" +
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
				return errors.Join(s.Cancel(c.Context, id, reason), p.endOrphan(c.Context, p.messages(c), s, id))
			}
			if err := s.Drop(c.Context, id); err != nil {
				return err
			}
			p.messages(c).Info("dropped %s: if its command still runs, it now runs beside the next holder", short(id))
			return nil
		}),
	}
}

// orphanGrace is the time between TERM and KILL for processes whose limit is gone.
const orphanGrace = 10 * time.Second

// endOrphan ends what holds a claim whose limit is gone: nobody else would. It asks the store each time who that is, so that no
// stranger with a number that was theirs is hit.
func (p *program) endOrphan(ctx context.Context, messages *wrap.Messages, s *store, id string) error {
	signal, killAt := syscall.SIGTERM, time.Now().Add(orphanGrace)
	told := map[int]syscall.Signal{}
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for giveUp := killAt.Add(orphanGrace); ; {
		snapshot, err := s.Snapshot(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(snapshot.Held, func(h backend.HeldClaim) bool { return h.ID == id && h.Orphaned })
		if i < 0 {
			return nil
		}
		pids := snapshot.Held[i].PIDs
		names := strings.Trim(fmt.Sprint(pids), "[]")
		if len(pids) == 0 || time.Now().After(giveUp) {
			return fmt.Errorf("%s is held by what its limit has left behind (pids: %s), which cannot be ended from here; kill that", short(id), names)
		}
		if len(told) == 0 {
			messages.Info("the limit of %s is gone: ending what it has left behind (pids: %s)", short(id), names)
		}
		for _, pid := range pids {
			if told[pid] == signal {
				continue
			}
			told[pid] = signal
			if err := syscall.Kill(pid, signal); errors.Is(err, syscall.EPERM) {
				return fmt.Errorf("%s is held by what its limit has left behind, which is not yours to end; as root: kill %s", short(id), names)
			}
			syscall.Kill(pid, syscall.SIGCONT)
		}
		if time.Now().After(killAt) {
			signal = syscall.SIGKILL
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
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
