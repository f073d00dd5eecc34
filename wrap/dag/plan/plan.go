// Package plan decides which steps of a dag start when. It is pure: it runs nothing, knows no
// clock but the times passed in, and no store but what its owner tells it. A runner carries out its
// Actions and reports back.
//
// A step becomes ready when all its needs are final. A step that needs no pool then stands before the limits of the
// executor, a backend.State: max_concurrent and the tag limits. A step that needs pools is entered
// into the store first and takes no slot of the executor while it waits there; once the store has granted it, it starts
// if the executor admits it at once, or else stands aside in the store, and stands up again
// when the executor has room for it. A step with a condition first runs the condition, in one slot of the executor.
//
// The order is priority (a step has at least that of whatever needs it), then the longest path to the end, weighted
// with durations of earlier runs, then the file. Claims with equal needs stand in one line of the State, so a
// transition costs O(log n) whatever waits; of the steps with equal pools only as many are entered into the store as
// the executor could run at once.
package plan

import (
	"fmt"
	"time"

	"limit/backend"
	"limit/wrap/dag/stepfile"
)

// Options are how a Plan is to treat its steps.
type Options struct {
	MaxConcurrent int                // slots; at least 1
	TagLimits     []backend.TagLimit // of steps
	Weights       []time.Duration    // expected duration of each step, by index; nil: all alike
	Selected      []bool             // by index; nil: all. What is not selected counts as done
	Done          map[int]Outcome    // by index: what an earlier run has settled
	FailMode      FailMode
	MaxFailures   int  // so many failed steps count as one that fails with Stop; 0: one does, and none with Continue
	ClaimPools    bool // steps claim their pools; false where the run holds them, or none are known
}

// FailMode says what the failure of a step does to steps that do not depend on it.
type FailMode int

const (
	Continue FailMode = iota // nothing
	Stop                     // no further steps start, but those that are there for failures
	Kill                     // those that run are stopped too
)

// ConsoleLimit is the name of the executor's limit that gives the terminal to one step at a time.
const ConsoleLimit = "console"

// consoleTag cannot be a tag of a step file: those have no control characters.
const consoleTag = "\x00console"

// Plan is the state of one run of a dag.
type Plan struct {
	steps      []*stepfile.Step
	dependants [][]int
	opt        Options
	nodes      []node
	state      *backend.State
	lines      map[string]*poolLine
	delayed    delays
	index      map[string]int // of the step with an id
	actions    []Action
	open       int    // steps that are not final
	failures   int    // of steps
	cancelled  string // why no step starts any more but those that are there for failures, or for any end
	closed     bool   // none of those either
}

// node is the state of one step.
type node struct {
	phase    phase
	missing  int // needs that are not final
	bad      int // direct needs that failed or were not run
	attempt  int // 1 for the first
	priority int32
	rank     int64
	line     *poolLine
	passed   bool // the condition has been met
	last     Exit // of the attempt before, while delaying
	outcome  Outcome
}

// phase is where a step stands.
type phase uint8

const (
	blocked  phase = iota // needs are open
	listed                // ready, in the backlog of its line of pools
	entered               // its claim waits in the store
	aside                 // its claim stands aside in the store, it waits in the executor
	standing              // holds a slot of the executor, its claim is being put back
	queued                // waits in the executor
	checking              // its condition runs
	running               // its command runs
	delaying              // waits for its next attempt
	final
)

// New returns the plan of a run. It fails with *backend.ImpossibleError for a step that the executor can never run.
func New(f *stepfile.File, opt Options) (*Plan, error) {
	p := &Plan{
		steps: f.Steps, dependants: f.Dependants(), opt: opt,
		nodes: make([]node, len(f.Steps)), lines: map[string]*poolLine{}, index: make(map[string]int, len(f.Steps)),
		open: len(f.Steps),
	}
	limits := append([]backend.TagLimit{{Key: consoleTag, Limit: 1}}, opt.TagLimits...)
	p.state = backend.NewState(backend.Settings{
		MaxRuns: opt.MaxConcurrent, TagLimits: limits, ReserveAfter: backend.NeverReserve,
	}, backend.ExecutorNames())
	for i, s := range f.Steps {
		p.index[s.ID] = i
		p.nodes[i].missing = len(s.Needs)
		if p.selected(i) {
			if err := p.admissible(f, i); err != nil {
				return nil, err
			}
		}
	}
	p.order()
	return p, nil
}

// admissible refuses a step that no slot will ever be free for.
func (p *Plan) admissible(f *stepfile.File, i int) error {
	if limit, never := f.NeverAdmitted(f.Steps[i]); never {
		return fmt.Errorf("step %s has the tag %s, whose limit is 0: it can never start; raise the limit or leave "+
			"the step out", f.Steps[i].ID, limit)
	}
	c := p.claim(i)
	c.Runs = f.Steps[i].Slots
	if err := p.state.Check(c); err != nil {
		return fmt.Errorf("step %s: %w", f.Steps[i].ID, err)
	}
	return nil
}

// Begin makes the steps ready that need nothing. It is called once, first.
func (p *Plan) Begin(now time.Duration) []Action {
	for i := range p.steps {
		if outcome, ok := p.opt.Done[i]; ok {
			p.settle(i, outcome)
		} else if !p.selected(i) {
			p.settle(i, Outcome{State: Unselected})
		}
	}
	for i := range p.nodes {
		if p.nodes[i].phase == blocked && p.nodes[i].missing == 0 {
			p.unblock(i)
		}
	}
	return p.advance(now)
}

func (p *Plan) selected(i int) bool { return p.opt.Selected == nil || p.opt.Selected[i] }

// Done reports whether every step is final.
func (p *Plan) Done() bool { return p.open == 0 }

// Outcome returns how a step has ended; its State is Pending where it has not.
func (p *Plan) Outcome(i int) Outcome { return p.nodes[i].outcome }

// Priority is that of a step: at least that of whatever needs it.
func (p *Plan) Priority(i int) int32 { return p.nodes[i].priority }

// Checked says how a step's condition has ended.
func (p *Plan) Checked(i int, exit Exit, now time.Duration) []Action {
	n := &p.nodes[i]
	p.state.Remove(p.steps[i].ID)
	switch {
	case p.cancelled != "" && (exit.Final || !p.late(i)):
		p.settle(i, Outcome{State: NotRun, Reason: p.cancelled})
	case exit.Reason == "" && exit.Code == 0:
		n.passed = true
		p.ready(i)
	case exit.Reason == "" && exit.Code <= 125:
		p.settle(i, Outcome{State: Skipped, Reason: "its condition is false"})
	default:
		exit.Reason = "its condition failed"
		p.fail(i, exit)
	}
	return p.advance(now)
}

// Finished says how the attempt that Start began has ended.
func (p *Plan) Finished(i int, exit Exit, now time.Duration) []Action {
	p.state.Remove(p.steps[i].ID)
	p.release(i)
	p.ended(i, exit, now)
	return p.advance(now)
}

// ended decides between success, another attempt and failure.
func (p *Plan) ended(i int, exit Exit, now time.Duration) {
	s, n := p.steps[i], &p.nodes[i]
	switch {
	case exit.Code == 0 && exit.Reason == "":
		p.settle(i, Outcome{State: Succeeded, Exit: exit})
	case p.cancelled == "" && !exit.Final && s.Retry.Wanted(n.attempt, exit.Code):
		delay := s.Retry.After(n.attempt)
		n.phase, n.last = delaying, exit
		p.delayed.add(i, now+delay)
		p.emit(Action{Kind: Retrying, Step: i, Attempt: n.attempt, Exit: exit, Delay: delay})
	default:
		p.fail(i, exit)
	}
}

// fail settles a step that will not be tried again.
func (p *Plan) fail(i int, exit Exit) {
	tolerated := !exit.Final && p.steps[i].ContinueOnError.Allows(exit.Code)
	p.settle(i, Outcome{State: Failed, Exit: exit, Tolerated: tolerated, Reason: exit.Reason})
}

// Tick lets time pass: steps whose delay is over become ready.
func (p *Plan) Tick(now time.Duration) []Action {
	for {
		i, ok := p.delayed.due(now)
		if !ok {
			return p.advance(now)
		}
		if p.nodes[i].phase == delaying {
			p.ready(i)
		}
	}
}

// Next is when Tick has something to do.
func (p *Plan) Next() (time.Duration, bool) { return p.delayed.next() }

// Cancel makes every step final that has not started, but those that are to run after a failure, or always: they run
// when what they need is final. Steps that run are left to the runner, and are not tried again.
func (p *Plan) Cancel(reason string, now time.Duration) []Action {
	if p.cancelled == "" {
		p.cancelled = reason
		p.abandon(func(i int) bool { return !p.late(i) }, reason)
	}
	return p.advance(now)
}

// Close makes the others final that have not started, too.
func (p *Plan) Close(reason string, now time.Duration) []Action {
	if p.cancelled == "" {
		p.cancelled = reason
	}
	p.closed = true
	p.abandon(func(int) bool { return true }, p.cancelled)
	return p.advance(now)
}

// late reports whether a step runs though the run was cancelled.
func (p *Plan) late(i int) bool { return !p.closed && p.steps[i].When != stepfile.OnSuccess }

// abandon settles those steps that have not started.
func (p *Plan) abandon(which func(i int) bool, reason string) {
	for i := range p.nodes {
		if ph := p.nodes[i].phase; ph == checking || ph == running || ph == final || !which(i) {
			continue
		}
		if p.nodes[i].phase == delaying {
			p.settle(i, Outcome{State: Failed, Exit: p.nodes[i].last, Reason: reason})
			continue
		}
		p.withdraw(i)
		p.settle(i, Outcome{State: NotRun, Reason: reason})
	}
}

// withdraw takes a step out of wherever it waits.
func (p *Plan) withdraw(i int) {
	n := &p.nodes[i]
	switch n.phase {
	case queued:
		p.state.Remove(p.steps[i].ID)
	case aside, standing:
		p.state.Remove(p.steps[i].ID)
		p.release(i)
	case entered:
		p.release(i)
	case listed:
		n.line.unlist(i)
	}
}

// claim is what a step asks of the executor.
func (p *Plan) claim(i int) *backend.Claim {
	s, n := p.steps[i], &p.nodes[i]
	c := &backend.Claim{ID: s.ID, Runs: s.Slots, Priority: n.priority, Rank: n.rank, Tags: s.Tags}
	if s.If != "" && !n.passed {
		c.Runs, c.Tags = 1, nil
		return c
	}
	if s.Console {
		c.Tags = map[string]string{consoleTag: ""}
		for k, v := range s.Tags {
			c.Tags[k] = v
		}
	}
	return c
}
