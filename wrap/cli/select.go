package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/urfave/cli/v2"

	"limit/backend"
)

const (
	selectionText = "Instead of IDs, flags say which: a claim that meets all of them, and of one that is given " +
		"several times any.\n" +
		"Given both, those of the IDs. A line is printed for each claim."
	selectionExit = "EXIT STATUS: 0; 1 no claim is as the flags say; 125 limit itself failed, or there is no claim " +
		"with one of the IDs."
)

// selectionFlags say which claims a verb is to act on.
func selectionFlags() []cli.Flag {
	return append(whoseFlags(),
		&cli.BoolFlag{Name: "waiting", Usage: "those that wait"},
		&cli.BoolFlag{Name: "dry-run", Usage: "say which, and do nothing"})
}

// whoseFlags say which claims are meant, held or waiting.
func whoseFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "pool", Usage: "those that ask for slots of the pool `NAME`"},
		&cli.StringSliceFlag{Name: "tag", Usage: "those with the tag `KEY[=VALUE]`"},
		&cli.StringSliceFlag{Name: "name", Usage: "those with this `LABEL`, or this first word of the command"},
		&cli.StringSliceFlag{Name: "user", Usage: "those of `USER`, a name or a number"},
	}
}

// filtered reports whether flags say which claims are meant.
func filtered(c *cli.Context) bool {
	return c.Bool("waiting") || slices.ContainsFunc([]string{"pool", "tag", "name", "user"}, c.IsSet)
}

// target is a claim that a verb acts on.
type target struct {
	backend.Claim
	orphaned bool
}

// onClaims does something to each claim that the IDs and the flags mean, and prints a line for each: what do returns,
// with %s for the claim.
func (p *program) onClaims(c *cli.Context, ids []string, verb string,
	do func(s *store, t target) (string, error)) error {
	if len(ids) == 0 && !filtered(c) {
		return usageError(c, "an ID is needed, or --pool, --tag, --name, --user or --waiting")
	}
	return p.withStore(c, func(s *store) error {
		snapshot, err := s.Snapshot(c.Context)
		if err != nil {
			return err
		}
		targets, failed := targetsOf(snapshot, ids)
		targets = slices.DeleteFunc(targets,
			func(t target) bool { return !selected(c, t) || verb == "bump" && len(ids) == 0 && t.Grant != nil })
		if len(targets) == 0 && failed == nil {
			return failWith(1, errors.New("no claim is as the flags say; 'limit status' shows those there are"))
		}
		for _, t := range targets {
			line := "would " + verb + " %s"
			if !c.Bool("dry-run") {
				line, err = do(s, t)
			}
			var gone *backend.NotFoundError
			switch {
			case errors.As(err, &gone):
				line = "%s has ended meanwhile"
			case err != nil:
				failed = multierror.Append(failed, err)
				continue
			}
			if err := writeLine(p.Out, line, describeTarget(t, snapshot.Settings)); err != nil {
				return err
			}
		}
		return failed
	})
}

// targetsOf are the claims that ids name, each once, or all where none are given.
func targetsOf(s *backend.Snapshot, ids []string) (targets []target, err error) {
	for _, h := range s.Held {
		targets = append(targets, target{h.Claim, h.Orphaned})
	}
	for _, w := range s.Waiting {
		targets = append(targets, target{w.Claim, false})
	}
	if len(ids) == 0 {
		return targets, nil
	}
	named := map[string]bool{}
	for _, prefix := range ids {
		id, missing := findClaim(s, prefix)
		if missing != nil {
			err = multierror.Append(err, missing)
		}
		named[id] = true
	}
	return slices.DeleteFunc(targets, func(t target) bool { return !named[t.ID] }), err
}

// selected reports whether a claim is as the flags say.
func selected(c *cli.Context, t target) bool {
	any := func(flag string, fits func(string) bool) bool {
		return !c.IsSet(flag) || slices.ContainsFunc(c.StringSlice(flag), fits)
	}
	return !(c.Bool("waiting") && t.Grant != nil) &&
		any("pool", func(pool string) bool { return t.Pools[pool] > 0 }) &&
		any("tag", func(text string) bool {
			key, value, exact := strings.Cut(text, "=")
			has, tagged := t.Tags[key]
			return tagged && (!exact || has == value)
		}) &&
		any("name", func(name string) bool { return t.Name == name || len(t.Command) > 0 && t.Command[0] == name }) &&
		any("user", func(user string) bool { return t.User == users{}.name(user) })
}

// describeTarget is 3f2a9c01 load.sh, holds database (ann@vm, pid 4711).
func describeTarget(t target, settings backend.Settings) string {
	does := "waits for "
	if t.Grant != nil {
		does = "holds "
	}
	return fmt.Sprintf("%s %s, %s%s (%s@%s, pid %d)", short(t.ID), shownName(t.Claim, settings), does,
		needsText(t.Claim), t.User, t.Host, t.PID)
}
