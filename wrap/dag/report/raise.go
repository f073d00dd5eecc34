package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"limit/backend"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

// Raised is what twice as much of a limit would give a run, by a simulation with what its steps took.
type Raised struct {
	Limit         string
	From, To      int
	Before, After time.Duration // of the run, both simulated
}

func (r Raised) String() string {
	text := fmt.Sprintf("%s %d → %d", clean(r.Limit), r.From, r.To)
	if r.Before-r.After < worthTelling || r.Before-r.After < r.Before/50 {
		return text + ": no gain"
	}
	return fmt.Sprintf("%s: %s → %s", text, short(r.Before), short(r.After))
}

// mostRaised is how many limits are tried.
const mostRaised = 4

// Raise simulates the run with twice as much of each limit that steps waited for, those that they waited for longest.
// What other runs hold of a pool is not simulated.
func Raise(r *journal.Run, waited []LimitWait) []Raised {
	var raised []Raised
	before := again(r, "")
	for _, w := range waited {
		from, ok := capacityOf(r, w.Limit)
		if !ok || from < 1 || w.Steps == 0 || w.Waited < worthTelling || len(raised) == mostRaised {
			continue
		}
		raised = append(raised, Raised{Limit: w.Limit, From: from, To: 2 * from, Before: before,
			After: again(r, w.Limit)})
	}
	return raised
}

// LimitOf reports whether a limit of a name, such as step-tag:k=v, comes from a tag limit of the file.
func LimitOf(t backend.TagLimit, name string) bool {
	key, ok := strings.CutPrefix(name, backend.ExecutorNames().Tag+t.Key)
	switch {
	case !ok:
		return false
	case t.PerValue:
		return strings.HasPrefix(key, "=")
	case t.Value != nil:
		return key == "="+*t.Value
	}
	return key == ""
}

// capacityOf is how much there is of a limit.
func capacityOf(r *journal.Run, name string) (int, bool) {
	if pool, ok := strings.CutPrefix(name, backend.StoreNames().Pool); ok {
		n, known := r.PoolLimits[pool]
		return n, known
	}
	for _, t := range r.TagLimits {
		if LimitOf(t, name) {
			return t.Limit, true
		}
	}
	return r.Max, name == backend.ExecutorNames().Runs
}

// again is how long the run would take with twice as much of a limit, "" for none, were its steps to take what they
// took.
func again(r *journal.Run, raised string) time.Duration {
	f, world := stepsThatRan(r)
	opt := plan.Options{MaxConcurrent: r.Max, TagLimits: slices.Clone(r.TagLimits), Weights: world.Durations,
		Done: map[int]plan.Outcome{}}
	for i, s := range r.Steps {
		if len(s.Attempts) == 0 {
			opt.Done[i] = plan.Outcome{State: plan.Unselected}
		}
	}
	if raised == backend.ExecutorNames().Runs {
		opt.MaxConcurrent *= 2
	}
	for i := range opt.TagLimits {
		if LimitOf(opt.TagLimits[i], raised) {
			opt.TagLimits[i].Limit *= 2
		}
	}
	world.Pools = poolsOf(r, raised)
	spans, _, err := plan.Simulate(f, opt, world)
	if err != nil {
		return 0
	}
	return endOf(spans)
}

func endOf(spans []plan.Span) time.Duration {
	var end time.Duration
	for _, s := range spans {
		end = max(end, s.End)
	}
	return end
}

// poolsOf are the limits of the pools that the steps of a run claim, with twice as much of the one that is raised, ""
// for none; nil where they claim none.
func poolsOf(r *journal.Run, raised string) *backend.Settings {
	if len(r.PoolLimits) == 0 || r.Pools {
		return nil
	}
	settings := backend.NewSettings()
	settings.Pools = map[string]backend.Pool{}
	for _, s := range r.Steps {
		for name := range s.Pools {
			settings.Pools[name] = backend.Pool{Limit: backend.Unlimited}
		}
	}
	for name, limit := range r.PoolLimits {
		if raised == backend.StoreNames().Pool+name {
			limit *= 2
		}
		settings.Pools[name] = backend.Pool{Limit: limit}
	}
	return &settings
}

// Remaining is how long the rest of a run will take, by a simulation from where it stands: the steps that run now
// first, each for what is left of what it is expected to take. What other runs hold of a pool is not simulated. 0: not
// known.
func Remaining(r *journal.Run, expected []time.Duration, now time.Duration) time.Duration {
	if expected == nil {
		return 0
	}
	f := &stepfile.File{Steps: make([]*stepfile.Step, len(r.Steps))}
	world := plan.World{Durations: slices.Clone(expected), Pools: poolsOf(r, "")}
	opt := plan.Options{MaxConcurrent: r.Max, TagLimits: r.TagLimits, Weights: expected, Done: map[int]plan.Outcome{}}
	for i, s := range r.Steps {
		f.Steps[i] = s.Step
		if s.Outcome.State != plan.Pending {
			opt.Done[i] = s.Outcome
		}
		if s.Runs() {
			first := *s.Step
			first.Priority, first.If = math.MaxInt32, ""
			f.Steps[i] = &first
			world.Durations[i] = max(0, expected[i]-(now-s.Last().Start))
		}
	}
	spans, p, err := plan.Simulate(f, opt, world)
	if err != nil || !p.Done() {
		return 0
	}
	return endOf(spans)
}

// stepsThatRan is the run as a simulation plays it again: each step runs once, as long as all its attempts, and ends as
// it did.
func stepsThatRan(r *journal.Run) (*stepfile.File, plan.World) {
	f := &stepfile.File{Steps: make([]*stepfile.Step, len(r.Steps))}
	world := plan.World{Durations: make([]time.Duration, len(r.Steps))}
	for i, s := range r.Steps {
		once := *s.Step
		once.Retry, once.If = stepfile.Retry{}, ""
		f.Steps[i] = &once
		for _, a := range s.Attempts {
			world.Durations[i] += max(a.End-a.Start, 0)
		}
	}
	world.Exit = func(step, _ int) plan.Exit {
		a := r.Steps[step].Last()
		return plan.Exit{Code: a.Code, Signal: a.Signal, Reason: a.Reason}
	}
	return f, world
}

func writeRaised(w io.Writer, raised []Raised) {
	texts := make([]string, len(raised))
	for i, r := range raised {
		texts[i] = r.String()
	}
	if len(texts) > 0 {
		fmt.Fprintf(w, "raising it would give (simulated): %s\n", strings.Join(texts, "; "))
	}
}

// WhatIf says in one sentence what other limits do to a run; both are simulated.
func WhatIf(changes []string, before, after *journal.Run) string {
	text := clean(strings.Join(changes, ", "))
	was, is := waitedInAll(before), waitedInAll(after)
	switch {
	case is-was > worthTelling:
		text += fmt.Sprintf(" adds %s to %s of waiting", short(is-was), short(was))
	case was-is <= worthTelling || was-is < was/50:
		text += " changes nothing of the waiting"
	case is <= worthTelling:
		text += " ends all of the waiting"
	default:
		text += fmt.Sprintf(" ends %.0f%% of the waiting", 100*(1-is.Seconds()/was.Seconds()))
	}
	text += fmt.Sprintf(": the run takes %s, was %s", short(after.Ended), short(before.Ended))
	if left := Waited(after, AttributeWaits(after)); len(left) > 0 && left[0].Waited > worthTelling {
		text += fmt.Sprintf("; then %s binds", clean(left[0].Limit))
	}
	return text
}

// waitedInAll is how long the steps of a run waited for limits, all together.
func waitedInAll(r *journal.Run) time.Duration {
	var all time.Duration
	for _, w := range Waited(r, AttributeWaits(r)) {
		all += w.Waited
	}
	return all
}
