package plan

import (
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"limit/backend"
)

// poolLine is where ready steps with equal needs stand before their claims are entered into the store. Only as many are
// entered as the executor could run at once: more would not start sooner, and each costs the store a waiter.
type poolLine struct {
	backlog ranked
	entered int
	room    int // claims to be in the store at once
}

// list lets a step wait for its pools.
func (p *Plan) list(i int) {
	n := &p.nodes[i]
	if n.line == nil {
		n.line = p.lineOf(i)
	}
	n.phase = listed
	n.line.backlog.nodes = p.nodes
	heap.Push(&n.line.backlog, i)
	p.fill(n.line)
}

// fill enters claims as far as the line has room.
func (p *Plan) fill(l *poolLine) {
	for l.entered < l.room && l.backlog.Len() > 0 {
		i := heap.Pop(&l.backlog).(int)
		p.nodes[i].phase = entered
		l.entered++
		p.emit(Action{Kind: Enter, Step: i, Attempt: p.nodes[i].attempt + 1})
	}
}

// release gives a step's claim back, if it has one, and makes room for the next in line.
func (p *Plan) release(i int) {
	n := &p.nodes[i]
	if n.line == nil || n.phase == listed || n.phase == checking {
		return
	}
	p.emit(Action{Kind: Release, Step: i, Attempt: n.attempt})
	n.line.entered--
	n.phase = listed // in no state that could release again; whoever calls sets the next
	p.fill(n.line)
}

// lineOf finds the line of a step's needs: its pools, slots and those of its tags that a limit of the executor matches.
func (p *Plan) lineOf(i int) *poolLine {
	s := p.steps[i]
	var key strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.Pools)) {
		fmt.Fprintf(&key, "%q=%d,", name, s.Pools[name])
	}
	fmt.Fprintf(&key, "%d", s.Slots)
	room := max(1, p.opt.MaxConcurrent/max(1, s.Slots))
	for t, l := range p.opt.TagLimits {
		if value, ok := s.Tags[l.Key]; ok && l.Matches(l.Key, value) {
			room = min(room, max(1, l.Limit))
			fmt.Fprintf(&key, ",%d", t)
			if l.PerValue {
				fmt.Fprintf(&key, "=%q", value)
			}
		}
	}
	if s.Console {
		key.WriteString(",console")
		room = 1
	}
	l, ok := p.lines[key.String()]
	if !ok {
		l = &poolLine{room: room}
		p.lines[key.String()] = l
	}
	return l
}

// Granted says that the store has granted a step's claim. A claim that the runner has been told to release is ignored.
func (p *Plan) Granted(i int, now time.Duration) []Action {
	if p.nodes[i].phase != entered {
		return nil
	}
	p.nodes[i].phase = queued
	p.state.Wait(p.claim(i), 0)
	out := p.advance(now)
	if p.nodes[i].phase == queued {
		p.nodes[i].phase = aside
		out = append(out, Action{Kind: Yield, Step: i, Attempt: p.nodes[i].attempt + 1})
	}
	return out
}

// Reacquired is told whether a claim that was put back was granted at once. If not, its slot of the executor goes to
// others, and Granted may follow later.
func (p *Plan) Reacquired(i int, granted bool, now time.Duration) []Action {
	if p.nodes[i].phase != standing {
		return nil
	}
	if granted {
		p.start(i)
		return p.advance(now)
	}
	p.state.Remove(p.steps[i].ID)
	p.nodes[i].phase = entered
	return p.advance(now)
}

// Refused says that a step's claim has left the store without having been started: it is impossible, it was cancelled,
// or it waited too long.
func (p *Plan) Refused(i int, exit Exit, now time.Duration) []Action {
	n := &p.nodes[i]
	switch n.phase {
	case aside, standing:
		p.state.Remove(p.steps[i].ID)
	case entered:
	default:
		return nil
	}
	p.release(i)
	p.fail(i, exit)
	return p.advance(now)
}

// ranked is a heap of steps in the order in which they are to start.
type ranked struct {
	steps []int
	nodes []node
}

func (r *ranked) Len() int { return len(r.steps) }
func (r *ranked) Less(a, b int) bool {
	x, y := &r.nodes[r.steps[a]], &r.nodes[r.steps[b]]
	if x.priority != y.priority {
		return x.priority > y.priority
	}
	return x.rank > y.rank
}
func (r *ranked) Swap(a, b int) { r.steps[a], r.steps[b] = r.steps[b], r.steps[a] }
func (r *ranked) Push(x any)    { r.steps = append(r.steps, x.(int)) }
func (r *ranked) Pop() any {
	last := len(r.steps) - 1
	i := r.steps[last]
	r.steps = r.steps[:last]
	return i
}

// unlist takes a step out of the backlog.
func (l *poolLine) unlist(i int) {
	if at := slices.Index(l.backlog.steps, i); at >= 0 {
		heap.Remove(&l.backlog, at)
	}
}

// Waiting is a step that is ready and does not run, with the limits of the executor that block it. Its Blocks are nil
// where it waits for its pools, or for its next attempt.
type Waiting struct {
	Step    int
	InStore bool // it waits for its pools: the store knows which of them block
	// a step whose claim is in the store in place of this one's; its own index where its own claim is there
	Behind  int
	Delayed bool // it waits for its next attempt
	Blocks  []backend.Block
}

// Waiting returns the steps that wait for limits, in no order: a look at all of them.
func (p *Plan) Waiting(now time.Duration) []Waiting {
	var out []Waiting
	var backlog []int
	inStore := map[*poolLine]int{}
	for i := range p.nodes {
		switch n := &p.nodes[i]; n.phase {
		case listed:
			backlog = append(backlog, i)
		case entered, standing:
			out = append(out, Waiting{Step: i, InStore: true, Behind: i})
			if _, ok := inStore[n.line]; !ok {
				inStore[n.line] = i
			}
		case delaying:
			out = append(out, Waiting{Step: i, Delayed: true})
		}
	}
	out = append(out, p.explain(now)...)
	return append(out, p.backlogged(backlog, inStore, now)...)
}

// backlogged explains steps whose claims are not in the store: limits of the executor keep them out, or, where it would
// admit them, the claims of others with equal needs that wait for the pools.
func (p *Plan) backlogged(steps []int, inStore map[*poolLine]int, now time.Duration) []Waiting {
	if len(steps) == 0 {
		return nil
	}
	mine := make(map[int]bool, len(steps))
	for _, i := range steps {
		mine[i] = true
		p.state.Wait(p.claim(i), 0)
	}
	var out []Waiting
	for _, w := range p.explain(now) {
		if !mine[w.Step] {
			continue
		}
		if len(w.Blocks) == 0 {
			w.Behind, w.InStore = inStore[p.nodes[w.Step].line]
		}
		out = append(out, w)
	}
	for _, i := range steps {
		p.state.Remove(p.steps[i].ID)
	}
	return out
}

// explain returns the steps that stand before the executor, in order.
func (p *Plan) explain(now time.Duration) []Waiting {
	var out []Waiting
	for _, w := range p.state.Explain(now) {
		for b := range w.Blocks {
			if w.Blocks[b].Limit == backend.ExecutorNames().Tag+consoleTag {
				w.Blocks[b].Limit = ConsoleLimit
			}
		}
		out = append(out, Waiting{Step: p.index[w.ID], Blocks: w.Blocks})
	}
	return out
}
