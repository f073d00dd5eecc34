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
	"limit/config/grammar"
	"limit/wrap"
)

func (p *program) cancelCommand() *cli.Command {
	return &cli.Command{
		Name:      "cancel",
		Usage:     "ask waiting claims to leave, or holders to stop their command and release",
		ArgsUsage: "ID...",
		Description: "A waiting 'limit run' exits with 75. A holder stops its command (TERM, grace, KILL), then " +
			"releases.\n" +
			"Where the holder's limit was killed, nobody is there to do so: the processes that hold the claim are\n" +
			"ended here (TERM, after 10s KILL), or those that cannot be are named.\n\n" +
			selectionText + " 'limit history' says who has cancelled a claim.\n\n" +
			"With --force the claims that are named are dropped without asking: for a machine that does not answer.\n" +
			"If their commands still run there, they run beside whoever is granted the slots next.\n\n" +
			selectionExit + "\n\n" +
			"EXAMPLES:\n   limit cancel 3f2a --reason 'wrong day'\n   limit cancel --pool database --waiting --dry-run",
		Flags: append(selectionFlags(),
			&cli.StringFlag{Name: "reason", Usage: "`TEXT` to tell the owner"},
			&cli.BoolFlag{Name: "force", Usage: "drop the claims without asking their owners"},
		),
		Action: func(c *cli.Context) error {
			if c.Bool("force") && filtered(c) {
				return usageError(c, "--force drops claims that are named by their IDs alone")
			}
			return p.onClaims(c, c.Args().Slice(), "cancel", p.cancel(c))
		},
	}
}

// cancel cancels a claim as the flags say, and names who has.
func (p *program) cancel(c *cli.Context) func(s *store, t target) (string, error) {
	reason := "limit cancel by " + userAtHost()
	if text := c.String("reason"); text != "" {
		reason = text + ", by " + userAtHost()
	}
	return func(s *store, t target) (string, error) {
		if c.Bool("force") {
			return "dropped %s; if its command still runs, it runs beside the next holder", s.Drop(c.Context, t.ID)
		}
		err := s.Cancel(c.Context, t.ID, reason)
		if err == nil && t.orphaned {
			err = p.endOrphan(c.Context, p.messages(c), s, t.ID)
		}
		return "cancelled %s", err
	}
}

// orphanGrace is the time between TERM and KILL for processes whose wrapper has died.
const orphanGrace = 10 * time.Second

// endOrphan ends what holds a claim whose wrapper has died: nobody else would. It asks the store each time who that is,
// so that no stranger with a number that was theirs is hit.
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
			return fmt.Errorf("%s is held by processes that its limit process left (pids: %s), which cannot be "+
				"ended from here; kill them", short(id), names)
		}
		if len(told) == 0 {
			messages.Info("the limit process of %s was killed: ending the processes that it left (pids: %s)", short(id),
				names)
		}
		for _, pid := range pids {
			if told[pid] == signal {
				continue
			}
			told[pid] = signal
			if err := syscall.Kill(pid, signal); errors.Is(err, syscall.EPERM) {
				return fmt.Errorf("%s is held by what its limit has left behind, which is not yours to end; as "+
					"root: kill %s", short(id), names)
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
		Name:      "bump",
		Usage:     "give waiting claims a new priority",
		ArgsUsage: "ID... N",
		Description: "Higher first; the place among equals is by arrival, as before.\n\n" +
			selectionText + "\n\n" + selectionExit + "\n\n" +
			"EXAMPLES:\n   limit bump 3f2a 10\n   limit bump --tag tenant=acme -- -5",
		Flags: selectionFlags(),
		Action: func(c *cli.Context) error {
			last := c.NArg() - 1
			if last < 0 {
				return usageError(c, "a priority is needed, the last operand")
			}
			priority, err := grammar.Number(c.Args().Get(last))
			if err != nil || int(int32(priority)) != priority {
				return usageError(c, "priority %q is not a 32-bit number", c.Args().Get(last))
			}
			return p.onClaims(c, c.Args().Slice()[:last], "bump", func(s *store, t target) (string, error) {
				err := s.Bump(c.Context, t.ID, int32(priority))
				if errors.Is(err, backend.ErrHeld) {
					err = fmt.Errorf("%s does not wait any more: it is held; a priority changes nothing", short(t.ID))
				}
				return "%s has the priority " + strconv.Itoa(priority), err
			})
		},
	}
}
