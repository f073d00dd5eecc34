package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"limit/backend"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// RunView is a look at a run that may be carried out by another process: where its steps stand, by its journal.
type RunView struct {
	*journal.Entry
	Deserted bool // processes of the run live, but nobody carries it out any more

	now    time.Duration // since the run started
	limits map[string]*executorLimit
}

// NewRunView looks at a run. deserted says that its limit is gone, though processes of it live.
func NewRunView(e *journal.Entry, now time.Time, deserted bool) *RunView {
	l := &RunView{Entry: e, Deserted: deserted, now: now.Sub(e.Started), limits: map[string]*executorLimit{}}
	for _, limit := range executorLimits(e.Run) {
		l.limits[limit.name] = limit
	}
	return l
}

// live reports whether somebody carries the run out.
func (l *RunView) live() bool { return l.Running && !l.Finished && !l.Deserted }

// Waits reports whether a step is ready and waits, for a limit or for its next attempt.
func (l *RunView) Waits(s *journal.Step) bool {
	return l.live() && l.Granted > 0 && s.Outcome.State == plan.Pending && !s.Runs() && !s.Checks() &&
		len(l.open(s)) == 0
}

// delayed reports whether a step waits for its next attempt.
func (l *RunView) delayed(s *journal.Step) bool { return s.Again() > l.now }

// blocks are the limits in a step's way. Who holds those of the executor follows from who runs now.
func (l *RunView) blocks(s *journal.Step) []backend.Block {
	if s.Blocked == nil {
		return nil
	}
	blocks := slices.Clone(s.Blocked.Blocks)
	for i, b := range blocks {
		if limit := l.limits[b.Limit]; limit != nil && b.Why == backend.WhyFull {
			blocks[i].Used, blocks[i].By = l.use(limit)
		}
	}
	return blocks
}

// use is how much of a limit of the executor is in use, and by which steps, the first to start first.
func (l *RunView) use(limit *executorLimit) (used int, by []string) {
	var holders []*journal.Step
	for _, s := range l.Steps {
		ask := limit.ask(s)
		if s.Checks() {
			ask = limit.check
		}
		if ask > 0 && (s.Runs() || s.Checks()) {
			used += ask
			holders = append(holders, s)
		}
	}
	slices.SortStableFunc(holders, func(a, b *journal.Step) int { return cmp.Compare(since(a), since(b)) })
	return used, stepIDs(holders)
}

// since is when a step's condition or command was started.
func since(s *journal.Step) time.Duration {
	if a := s.Last(); a != nil {
		return a.Start
	}
	return s.Checked
}

// open are the needs of a step that are not final.
func (l *RunView) open(s *journal.Step) []*journal.Step {
	var open []*journal.Step
	for _, n := range s.Needs {
		if l.Steps[n].Outcome.State == plan.Pending {
			open = append(open, l.Steps[n])
		}
	}
	return open
}

// readySince is when a step that waits became ready.
func (l *RunView) readySince(s *journal.Step) time.Duration {
	if s.Last() != nil {
		return s.Again()
	}
	since := max(l.Granted, s.Passed)
	for _, n := range s.Needs {
		since = max(since, l.Steps[n].Settled)
	}
	return since
}

// Standing says where a step stands: "runs for 12s", "waits for max_concurrent (4 of 4 used) for 3s".
func (l *RunView) Standing(s *journal.Step) string {
	switch {
	case s.Outcome.State != plan.Pending:
		return l.ended(s)
	case !l.live():
		return l.leftBehind(s)
	case l.Granted == 0:
		return "waits, as the run waits in the run queue"
	case s.Runs():
		text := "runs for " + short(l.now-s.Last().Start)
		if n := s.Last().Number; n > 1 {
			text += fmt.Sprintf(", attempt %d", n)
		}
		return text
	case s.Checks():
		return "its condition runs for " + short(l.now-s.Checked)
	case l.delayed(s):
		return fmt.Sprintf("waits for its attempt %d, in %s: %s in attempt %d", s.Last().Number+1,
			short(s.Again()-l.now), clean(how(s.Last())), s.Last().Number)
	case !l.Waits(s):
		return "is not ready: it needs " + clean(strings.Join(shorten(stepIDs(l.open(s)), 4), ", "))
	case len(l.blocks(s)) == 0:
		return "is about to start"
	default:
		return fmt.Sprintf("waits for %s for %s", clean(l.limitNames(s)), short(l.now-l.readySince(s)))
	}
}

// ended says how a step has ended.
func (l *RunView) ended(s *journal.Step) string {
	o := s.Outcome
	reason := ""
	if o.Reason != "" {
		reason = ": " + clean(o.Reason)
	}
	ago := ""
	if l.now > s.Settled {
		ago = ", " + short(l.now-s.Settled) + " ago"
	}
	switch {
	case o.State == plan.Unselected:
		return "is not part of the run: it was not selected"
	case o.Earlier:
		return fmt.Sprintf("was done before, in run %s that this one goes on with: %s", shortRun(l.Retries), o.State)
	case o.State == plan.Skipped:
		return "was skipped" + ago + reason
	case o.State == plan.NotRun:
		return "was not run" + reason
	case o.State == plan.Succeeded:
		return "succeeded after " + short(s.Took()) + ago
	}
	if a := s.Last(); a != nil && o.Reason == "" {
		reason = ": " + clean(how(a))
	}
	word := "failed"
	if o.Tolerated {
		word = "failed, which is tolerated,"
	}
	return word + " after " + short(s.Took()) + ago + reason
}

// leftBehind says what became of a step that its run left open.
func (l *RunView) leftBehind(s *journal.Step) string {
	switch {
	case l.Finished:
		return "was not started: " + clean(l.runReason())
	case s.Runs():
		return "ran when its run was killed; how it ended is not known"
	default:
		return "was not started: its run was killed"
	}
}

func (l *RunView) runReason() string {
	if l.Reason != "" {
		return l.Reason
	}
	return "the run has ended: " + l.State()
}

func shortRun(id string) string { return id[:min(8, len(id))] }

func stepIDs(steps []*journal.Step) []string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.ID
	}
	return names
}

// limitNames are the limits in a step's way: those of the executor with their use. The use of pools is known to the
// store.
func (l *RunView) limitNames(s *journal.Step) string {
	var names []string
	for _, b := range l.blocks(s) {
		if s.Blocked.InStore {
			names = append(names, b.Limit)
		} else {
			names = append(names, b.String())
		}
	}
	return strings.Join(names, ", ")
}
