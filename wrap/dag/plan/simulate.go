package plan

import (
	"container/heap"
	"time"

	"limit/backend"
	"limit/wrap/dag/stepfile"
)

// World is what a simulation runs against in place of processes and a store.
type World struct {
	Durations []time.Duration              // of each step, by index
	Exit      func(step, attempt int) Exit // nil: success
	Condition func(step int) Exit          // nil: all are met
	Pools     *backend.Settings            // of the store; nil: pools do not limit
	// from one step's end to the start of the next: what starting a process costs
	Between time.Duration
}

// Span is when an attempt of a step waited and ran, from the start of the run.
type Span struct {
	Step, Attempt     int
	Ready, Start, End time.Duration
	Exit              Exit
}

// Simulate carries out a plan by a clock of its own and returns the attempts in the order of their starts. It is how
// long the policy takes, were the durations as given.
func Simulate(f *stepfile.File, opt Options, w World) ([]Span, *Plan, error) {
	opt.ClaimPools = w.Pools != nil
	p, err := New(f, opt)
	if err != nil {
		return nil, nil, err
	}
	s := &simulation{plan: p, world: w, ready: make([]time.Duration, len(f.Steps)), running: map[int]int{}}
	if w.Pools != nil {
		s.store = backend.NewState(*w.Pools, backend.StoreNames())
	}
	s.do(p.Begin(0))
	for len(s.agenda) > 0 || !p.Done() {
		if !s.turn() {
			break // what is left waits for pools that are paused
		}
	}
	return s.spans, p, nil
}

// simulation is a runner whose commands are entries of an agenda.
type simulation struct {
	plan    *Plan
	world   World
	store   *backend.State
	now     time.Duration
	agenda  agenda
	seq     int
	ready   []time.Duration
	running map[int]int // index into spans
	spans   []Span
}

// turn lets the clock tick to the next thing that happens.
func (s *simulation) turn() bool {
	delay, delayed := s.plan.Next()
	if len(s.agenda) == 0 && !delayed {
		return s.rates()
	}
	if delayed && (len(s.agenda) == 0 || delay < s.agenda[0].at) {
		s.now = max(s.now, delay)
		s.do(s.plan.Tick(s.now))
		return true
	}
	e := heap.Pop(&s.agenda).(occurrence)
	s.now = e.at
	if e.check {
		s.do(s.plan.Checked(e.step, e.exit, s.now))
		return true
	}
	s.spans[s.running[e.step]].End = s.now
	s.spans[s.running[e.step]].Exit = e.exit
	s.do(s.plan.Finished(e.step, e.exit, s.now))
	return true
}

// rates waits for the store to let go of a start.
func (s *simulation) rates() bool {
	if s.store == nil {
		return false
	}
	at, ok := s.store.Next()
	if !ok || at <= s.now {
		return false
	}
	s.now = at
	s.grant()
	return true
}

func (s *simulation) do(actions []Action) {
	for _, a := range actions {
		id := s.plan.steps[a.Step].ID
		switch a.Kind {
		case Queued:
			s.ready[a.Step] = s.now
		case Check:
			exit := Exit{}
			if s.world.Condition != nil {
				exit = s.world.Condition(a.Step)
			}
			s.add(occurrence{at: s.now + s.world.Between, step: a.Step, exit: exit, check: true})
		case Start:
			exit := Exit{}
			if s.world.Exit != nil {
				exit = s.world.Exit(a.Step, a.Attempt)
			}
			s.running[a.Step] = len(s.spans)
			s.spans = append(s.spans, Span{Step: a.Step, Attempt: a.Attempt, Ready: s.ready[a.Step], Start: s.now})
			s.add(occurrence{at: s.now + s.world.Durations[a.Step] + s.world.Between, step: a.Step, exit: exit})
		case Terminate:
			s.terminate(a.Step)
		case Enter:
			c := &backend.Claim{ID: id, Pools: s.plan.steps[a.Step].Pools, Priority: s.plan.nodes[a.Step].priority,
				Seq: int64(s.seq)}
			s.seq++
			if err := s.store.Check(c); err != nil {
				s.do(s.plan.Refused(a.Step, Exit{Code: 125, Reason: err.Error(), Final: true}, s.now))
				continue
			}
			s.store.Wait(c, s.now)
		case Yield:
			s.store.Aside(id, true)
		case Reacquire:
			s.store.Aside(id, false)
			s.grant()
			c := s.store.Claim(id)
			s.do(s.plan.Reacquired(a.Step, c != nil && c.Grant != nil, s.now))
		case Release:
			s.store.Remove(id)
		}
	}
	s.grant()
}

// grant tells the plan of what the store admits.
func (s *simulation) grant() {
	if s.store == nil {
		return
	}
	for _, c := range s.store.Advance(s.now) {
		s.do(s.plan.Granted(s.plan.index[c.ID], s.now))
	}
}

// terminate lets a command end now.
func (s *simulation) terminate(step int) {
	for i := range s.agenda {
		if s.agenda[i].step == step {
			s.agenda[i].at = s.now
			s.agenda[i].exit = Exit{Code: 143, Signal: 15, Reason: "stopped", Final: true}
			heap.Fix(&s.agenda, i)
			return
		}
	}
}

func (s *simulation) add(o occurrence) {
	s.seq++
	o.seq = s.seq
	heap.Push(&s.agenda, o)
}

// occurrence is the end of a command or condition.
type occurrence struct {
	at    time.Duration
	seq   int
	step  int
	check bool
	exit  Exit
}

type agenda []occurrence

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(occurrence)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	o := (*a)[last]
	*a = (*a)[:last]
	return o
}
