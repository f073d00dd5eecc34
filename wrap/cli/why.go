package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/report"
)

func (p *program) whyCommand() *cli.Command {
	return &cli.Command{
		Name:      "why",
		Usage:     "why a claim, or a step of a dag, waits",
		ArgsUsage: "ID|RUN/STEP|STEP",
		Description: `Of a claim: its position, the limits in its way, who holds them and since when. ID may be
shortened to any unique prefix.

Of a step of a dag: what it needs and where that stands; which limits of the executor are in its way, and which
steps hold them since when; what its claim waits for in the store; or how it has ended, and why. RUN is the
beginning of a run's id; it may be left out where one run alone that lives has the step, whose whole name goes
before an ID of fewer than eight characters.

EXIT STATUS: 0; 125 limit itself failed, or there is no such claim or step.`,
		Flags:  []cli.Flag{logDirFlag()},
		Action: p.why,
	}
}

func (p *program) why(c *cli.Context) error {
	if c.NArg() != 1 || c.Args().First() == "" {
		return usageError(c, "an ID, RUN/STEP or STEP is needed")
	}
	snapshot, storeErr := p.snapshot(c)
	if storeErr != nil {
		snapshot = &backend.Snapshot{}
	}
	root, err := p.runsDir(c)
	if err != nil {
		return err
	}
	found, err := p.subjects(root, snapshot, c.Args().First())
	if len(found) == 0 && storeErr != nil {
		return storeErr
	}
	if err != nil {
		return err
	}
	now := time.Now()
	if found[0].step == nil {
		return writeWhy(p.Out, snapshot, found[0].claim, now)
	}
	if storeErr != nil {
		p.messages(c).Info("the store cannot be read, so this is what the journal of the run tells alone: %v", storeErr)
	}
	return p.whyStep(snapshot, found[0], now)
}

// snapshot opens the store for one look at it.
func (p *program) snapshot(c *cli.Context) (snapshot *backend.Snapshot, err error) {
	err = p.onlyLooking(c, func(s *store) error {
		snapshot, err = s.Snapshot(c.Context)
		return err
	})
	return snapshot, err
}

// subject is what a user asks about: a claim, or a step of a run.
type subject struct {
	claim string
	entry *journal.Entry
	step  *journal.Step
}

func (s subject) String() string {
	if s.step == nil {
		return "the claim " + s.claim
	}
	return fmt.Sprintf("the step %s/%s", short(s.entry.ID), s.step.ID)
}

// subjects finds the one thing that a word names; an error says why it is none.
func (p *program) subjects(root string, s *backend.Snapshot, word string) ([]subject, error) {
	var found []subject
	for _, id := range claimsOf(s, word) {
		found = append(found, subject{claim: id})
	}
	steps, err := stepsNamed(root, word)
	if err != nil {
		return nil, err
	}
	if len(steps) > 0 && len(word) < shortID {
		found = nil // a whole name goes before the first letters of an id
	}
	found = append(found, steps...)
	run, step, isPath := strings.Cut(word, "/")
	var missing error
	if isPath && run != "" {
		one, err := stepOf(root, s, run, step)
		if missing = err; err == nil {
			found = append(found, one)
		}
	}
	switch {
	case len(found) == 1:
		return found, nil
	case len(found) > 1:
		var names []string
		for _, f := range found {
			names = append(names, f.String())
		}
		return nil, fmt.Errorf("%q names %d: %s; give more of the id, or RUN/STEP", word, len(found),
			strings.Join(names, ", "))
	case missing != nil:
		return nil, missing
	}
	return nil, fmt.Errorf("there is no claim %q, waiting or held, and no run that lives has such a step; 'limit "+
		"status' and 'limit dag list' show those there are", word)
}

// stepsNamed finds the steps with an id in runs that live.
func stepsNamed(root, id string) ([]subject, error) {
	runs, err := journal.List(root)
	if err != nil {
		return nil, err
	}
	var found []subject
	for _, r := range runs {
		if !r.Running {
			continue
		}
		e, err := journal.Load(r.Dir)
		if err != nil {
			continue // it has been removed meanwhile
		}
		if s := e.Step(id); s != nil {
			found = append(found, subject{entry: e, step: s})
		}
	}
	return found, nil
}

// stepOf finds a step of a run by the beginning of the run's id. Of a run of another machine, or of another user, whose
// journal is not here, the store has the claims of steps that ask for pools.
func stepOf(root string, s *backend.Snapshot, run, id string) (subject, error) {
	e, err := journal.Find(root, run)
	if err != nil {
		found := claimsWhere(s, func(c backend.Claim) bool {
			return strings.HasPrefix(c.RunID, run) && strings.HasSuffix(c.Name, "/"+id)
		})
		if len(found) == 1 {
			return subject{claim: found[0]}, nil
		}
		return subject{}, err
	}
	step := e.Step(id)
	if step == nil {
		return subject{}, fmt.Errorf("run %s has no step %q; 'limit dag show %s' shows those it has", short(e.ID), id,
			short(e.ID))
	}
	return subject{entry: e, step: step}, nil
}

// claimsOf are the ids of the claims, held or waiting, that begin so.
func claimsOf(s *backend.Snapshot, prefix string) []string {
	return claimsWhere(s, func(c backend.Claim) bool { return strings.HasPrefix(c.ID, prefix) })
}

func claimsWhere(s *backend.Snapshot, which func(c backend.Claim) bool) []string {
	var found []string
	for _, h := range s.Held {
		if which(h.Claim) {
			found = append(found, h.ID)
		}
	}
	for _, w := range s.Waiting {
		if which(w.Claim) {
			found = append(found, w.ID)
		}
	}
	return found
}

// whyStep explains a step: by the run's journal, and by the store where it, or its run, has a claim there.
func (p *program) whyStep(s *backend.Snapshot, asked subject, now time.Time) error {
	e := asked.entry
	claims := dagClaims{s, e}
	if err := report.NewRunView(e, now, claims.deserted()).Why(p.Out, asked.step); err != nil || !e.Running {
		return err
	}
	if e.Granted == 0 {
		return p.whyClaims(s, claims.of(""), now)
	}
	own := claims.of(asked.step.ID)
	if b := asked.step.Blocked; len(own) == 0 && b != nil && b.InStore {
		fmt.Fprintf(p.Out, "its claim enters the store when one like it has left, such as that of %s\n",
			wrap.Printable(b.Behind))
		own = claims.of(b.Behind)
	}
	return p.whyClaims(s, own, now)
}

func (p *program) whyClaims(s *backend.Snapshot, ids []string, now time.Time) error {
	var all error
	for _, id := range ids {
		all = errors.Join(all, writeWhy(p.Out, s, id, now))
	}
	return all
}

// dagClaims are the claims that a run of a dag has in the store.
type dagClaims struct {
	s *backend.Snapshot
	e *journal.Entry
}

// of are the claims of a step; "" is the run itself.
func (d dagClaims) of(step string) []string {
	name := d.e.Name
	if step != "" {
		name += "/" + step
	}
	return claimsWhere(d.s, func(c backend.Claim) bool { return d.has(c) && c.Name == name })
}

func (d dagClaims) has(c backend.Claim) bool { return c.Host == d.e.Host && c.PID == d.e.PID }

// deserted reports whether the run's limit is gone, though its claim is held by what it has left behind.
func (d dagClaims) deserted() bool {
	return slices.ContainsFunc(d.s.Held, func(h backend.HeldClaim) bool {
		return h.Orphaned && d.has(h.Claim) && h.Name == d.e.Name
	})
}
