package report

import (
	"fmt"
	"strings"
	"time"

	"limit/backend"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// Look is a look at a run that may be carried out by another process: where its steps stand.
type Look struct {
	*journal.Entry
	Deserted bool // processes of the run live, but nobody carries it out any more

	now     time.Duration // since the run started
	plan    *plan.Plan    // nil: nothing of it waits any more, or its step file cannot be planned here
	waiting map[int]plan.Waiting
	queue   []int // the steps that wait for the executor, in order
}

// NewLook looks at a run. aside tells of a step by its id whether its claim stands aside in the store; nil: of none. deserted says
// that its limit is gone, though processes of it live.
func NewLook(e *journal.Entry, now time.Time, aside func(id string) bool, deserted bool) *Look {
	l := &Look{Entry: e, Deserted: deserted, now: now.Sub(e.Started), waiting: map[int]plan.Waiting{}}
	if !e.Running || e.Finished || deserted {
		return l
	}
	p, err := e.Restore(l.now, aside)
	if err != nil {
		return l
	}
	l.plan = p
	for _, w := range p.Waiting(l.now) {
		l.waiting[w.Step] = w
	}
	for _, w := range p.Blocked(l.now) {
		l.queue = append(l.queue, w.Step)
	}
	return l
}

// InStore tells whether a step waits for its pools: the store knows the rest.
func (l *Look) InStore(s *journal.Step) bool { return l.Granted > 0 && l.waiting[s.Index].InStore }

// Alike tells whether one step's claim is entered into the store only where there is room beside those of the other.
func (l *Look) Alike(a, b *journal.Step) bool { return l.plan != nil && l.plan.Alike(a.Index, b.Index) }

// open are the needs of a step that are not final.
func (l *Look) open(s *journal.Step) []*journal.Step {
	var open []*journal.Step
	for _, n := range s.Needs {
		if l.Steps[n].Outcome.State == plan.Pending {
			open = append(open, l.Steps[n])
		}
	}
	return open
}

// runs tells whether a step's command runs.
func (l *Look) runs(s *journal.Step) bool {
	a := s.Last()
	return s.Outcome.State == plan.Pending && a != nil && !a.Ended
}

// readySince is when a step that waits became ready.
func (l *Look) readySince(s *journal.Step) time.Duration {
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
func (l *Look) Standing(s *journal.Step) string {
	w, waits := l.waiting[s.Index]
	switch {
	case s.Outcome.State != plan.Pending:
		return l.ended(s)
	case l.plan == nil:
		return l.leftBehind(s)
	case l.Granted == 0:
		return "waits, as the run waits in the run queue"
	case l.runs(s):
		text := "runs for " + short(l.now-s.Last().Start)
		if n := s.Last().Number; n > 1 {
			text += fmt.Sprintf(", attempt %d", n)
		}
		return text
	case s.Checks():
		return "its condition runs for " + short(l.now-s.Checked)
	case waits && w.Delayed:
		return fmt.Sprintf("waits for its attempt %d, in %s: %s in attempt %d", s.Last().Number+1, short(s.Again()-l.now), clean(how(s.Last())), s.Last().Number)
	case waits && w.InStore:
		return fmt.Sprintf("waits for %s for %s", clean(poolNames(s)), short(l.now-l.readySince(s)))
	case waits && len(w.Blocks) == 0:
		return "is about to start"
	case waits:
		return fmt.Sprintf("waits for %s for %s", clean(limitNames(w.Blocks)), short(l.now-l.readySince(s)))
	default:
		return "is not ready: it needs " + clean(strings.Join(shorten(stepIDs(l.open(s)), 4), ", "))
	}
}

// ended says how a step has ended.
func (l *Look) ended(s *journal.Step) string {
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
func (l *Look) leftBehind(s *journal.Step) string {
	switch {
	case l.Running && !l.Finished && !l.Deserted:
		return "is not final; what it waits for cannot be told: its step file cannot be planned here"
	case l.Finished:
		return "was not started: " + clean(l.runReason())
	case l.runs(s):
		return "ran when its run was killed; how it ended is not known"
	default:
		return "was not started: its run was killed"
	}
}

func (l *Look) runReason() string {
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

func poolNames(s *journal.Step) string {
	var names []string
	for _, name := range sortedKeys(s.Pools) {
		names = append(names, "pool:"+name)
	}
	return strings.Join(names, ", ")
}

func limitNames(blocks []backend.Block) string {
	var names []string
	for _, b := range blocks {
		names = append(names, b.String())
	}
	return strings.Join(names, ", ")
}
