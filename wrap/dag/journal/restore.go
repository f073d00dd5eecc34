package journal

import (
	"path/filepath"
	"time"

	"limit/wrap/dag/plan"
)

// Restore returns the plan of a run, for a look at who waits for what: the journal has who runs and who has ended, and all
// else follows from the step file. aside tells of a step by its id whether its claim stands aside in the store, which the store knows.
// The order among equals goes by what is known of durations now, which another run of the file may have changed.
func (e *Entry) Restore(now time.Duration, aside func(id string) bool) (*plan.Plan, error) {
	opt := plan.Options{MaxConcurrent: e.Max, TagLimits: e.TagLimits, ClaimPools: !e.Pools}
	for _, s := range e.file.Steps {
		s.Slots = min(s.Slots, e.Max) // as the run has it where the number of CPUs bounds it
	}
	opt.Selected = make([]bool, len(e.Steps))
	for i, s := range e.Steps {
		opt.Selected[i] = s.Outcome.State != plan.Unselected
	}
	opt.Weights, _ = Weights(filepath.Dir(e.Dir), e.File, e.file)
	at := make([]plan.Standing, len(e.Steps))
	for i, s := range e.Steps {
		at[i] = s.standing(now)
		at[i].Aside = aside != nil && aside(s.ID)
	}
	return plan.Restore(e.file, opt, at)
}

// standing is where a step stands at a time of its run.
func (s *Step) standing(now time.Duration) plan.Standing {
	at := plan.Standing{Outcome: s.Outcome, Passed: s.Passed > 0, Checking: s.Checks()}
	a := s.Last()
	switch {
	case a == nil || s.Outcome.State != plan.Pending:
	case !a.Ended:
		at.Attempt, at.Running = a.Number, true
	case a.Code == 0 && a.Reason == "":
		at.Outcome.State = plan.Succeeded // between the two records of it
	default:
		at.Attempt, at.Until = a.Number, s.Again()
		at.Delayed = at.Until > now
	}
	return at
}

// Checks tells whether the step's condition runs.
func (s *Step) Checks() bool {
	return s.Checked > 0 && s.Passed == 0 && s.Outcome.State == plan.Pending && len(s.Attempts) == 0
}

// Again is when the step's next attempt is due, after one that has failed.
func (s *Step) Again() time.Duration {
	a := s.Last()
	return a.End + s.Retry.After(a.Number)
}
