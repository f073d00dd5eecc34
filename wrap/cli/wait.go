package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/wrap"
)

func (p *program) waitCommand() *cli.Command {
	return &cli.Command{
		Name:  "wait",
		Usage: "wait until pools are idle",
		Description: `Returns when no claim is held or waited for that is as the flags say: one that meets all
of them, and of one that is given several times any. The run that it is called in does not count.

EXAMPLES:
   limit wait --pool backup && systemctl poweroff
   limit wait --tag batch=42 --wait 1h

EXIT STATUS: 0; 75 --wait is over; 125 limit itself failed, or there is no such pool.`,
		Flags: append(whoseFlags(), durationFlag("wait", 0, "give up after this and exit 75", "")),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageError(c, "no operand is taken; did you mean --pool %s?",
					backend.ShellWord(c.Args().First()))
			}
			if !filtered(c) {
				return usageError(c, "--pool, --tag, --name or --user is needed")
			}
			return p.onlyLooking(c, func(s *store) error { return p.awaitIdle(c, s) })
		},
	}
}

// awaitIdle looks at every change, until there is no claim any more as the flags say.
func (p *program) awaitIdle(c *cli.Context, s *store) error {
	for _, pool := range c.StringSlice("pool") {
		if err := s.mustKnow(c.Context, pool); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	changes, err := s.Changes(ctx)
	if err != nil {
		return err
	}
	var over <-chan time.Time
	wait, bounded := durationOf(c, "wait")
	if bounded {
		over = time.After(wait)
	}
	late := time.After(time.Second)
	text := ""
	for {
		select {
		case _, ok := <-changes:
			if !ok {
				return fmt.Errorf("%s tells of no changes any more", s)
			}
			if text, err = p.stillBusy(c, s); err != nil || text == "" {
				return err
			}
		case <-late:
			if text != "" {
				p.messages(c).Info("waiting for %s", text)
			}
		case <-over: // --wait 0 has not looked yet
			if text, err = p.stillBusy(c, s); err != nil || text == "" {
				return err
			}
			return failWith(wrap.CodeBusy, fmt.Errorf("gave up: not idle within %s: %s", wait, text))
		}
	}
}

// stillBusy names the first of the claims that are as the flags say, "" where there is none.
func (p *program) stillBusy(c *cli.Context, s *store) (string, error) {
	snapshot, err := s.Snapshot(c.Context)
	if err != nil {
		return "", err
	}
	run := wrap.Getenv(p.env, wrap.EnvRunID)
	found, text := 0, ""
	targets, _ := targetsOf(snapshot, nil)
	for _, t := range targets {
		if t.RunID == run || !selected(c, t) {
			continue
		}
		if found++; found == 1 {
			text = describeTarget(t, snapshot.Settings)
		}
	}
	if found > 1 {
		text += fmt.Sprintf(" and %d more", found-1)
	}
	return text, nil
}
