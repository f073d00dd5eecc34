package plan

import (
	"fmt"
	"time"

	"limit/wrap/dag/stepfile"
)

// settle makes a step final, and its dependants that thereby have all their needs final ready or final too.
func (p *Plan) settle(i int, o Outcome) {
	work := []settlement{{i, o}}
	for len(work) > 0 {
		w := work[len(work)-1]
		work = work[:len(work)-1]
		n := &p.nodes[w.step]
		if n.phase == final {
			continue
		}
		n.phase, n.outcome = final, w.outcome
		p.open--
		p.emit(Action{Kind: Settled, Step: w.step, Attempt: n.attempt})
		if o := w.outcome; o.State == Failed && !o.Tolerated && !o.Earlier {
			p.failure()
		}
		for _, d := range p.dependants[w.step] {
			dn := &p.nodes[d]
			dn.missing--
			if !w.outcome.satisfies() {
				dn.bad++
			}
			if dn.missing == 0 && dn.phase == blocked && !p.presettled(d) {
				if o, done := p.verdict(d); done {
					work = append(work, settlement{d, o})
				} else {
					p.ready(d)
				}
			}
		}
	}
}

type settlement struct {
	step    int
	outcome Outcome
}

// presettled reports whether Begin settles the step whatever its needs.
func (p *Plan) presettled(i int) bool {
	_, done := p.opt.Done[i]
	return done || !p.selected(i)
}

// unblock makes a step without open needs ready, or final.
func (p *Plan) unblock(i int) {
	if o, done := p.verdict(i); done {
		p.settle(i, o)
		return
	}
	p.ready(i)
}

// verdict reports whether a step whose needs are all final is final itself, and how.
func (p *Plan) verdict(i int) (Outcome, bool) {
	s, n := p.steps[i], &p.nodes[i]
	switch {
	case p.cancelled != "" && !p.late(i):
		return Outcome{State: NotRun, Reason: p.cancelled}, true
	case s.When == stepfile.OnSuccess && n.bad > 0:
		return Outcome{State: NotRun, Reason: p.blame(i)}, true
	case s.When == stepfile.OnSuccess && p.stopping():
		return Outcome{State: NotRun, Reason: p.stopReason()}, true
	case s.When == stepfile.OnFailure && n.bad == 0:
		return Outcome{State: Skipped, Reason: "nothing failed"}, true
	}
	return Outcome{}, false
}

func (p *Plan) stopReason() string {
	if n := p.mostFailures(); n > 1 {
		return fmt.Sprintf("%d steps failed and the run stops", n)
	}
	return "a step failed and the run stops"
}

// blame names the first need that keeps a step from being run.
func (p *Plan) blame(i int) string {
	for _, d := range p.steps[i].Needs {
		switch o := p.nodes[d].outcome; {
		case o.State == Failed && !o.Tolerated:
			return "needs " + p.steps[d].ID + ", which failed"
		case o.State == NotRun:
			return "needs " + p.steps[d].ID + ", which was not run"
		}
	}
	return "a step that it needs did not succeed"
}

// mostFailures is with which failed step the run stops; 0: with none.
func (p *Plan) mostFailures() int {
	if p.opt.FailMode == Continue {
		return p.opt.MaxFailures
	}
	return max(1, p.opt.MaxFailures)
}

func (p *Plan) stopping() bool { return p.mostFailures() > 0 && p.failures >= p.mostFailures() }

// failure applies the fail mode.
func (p *Plan) failure() {
	p.failures++
	if p.failures != p.mostFailures() {
		return
	}
	p.abandon(func(i int) bool { return p.steps[i].When == stepfile.OnSuccess && p.nodes[i].phase != blocked },
		p.stopReason())
	if p.opt.FailMode != Kill {
		return
	}
	for i := range p.nodes {
		if ph := p.nodes[i].phase; ph == running || ph == checking {
			p.emit(Action{Kind: Terminate, Step: i, Attempt: p.nodes[i].attempt})
		}
	}
}

// ready lets a step wait for what it needs: its condition first, then its pools, then its slots.
func (p *Plan) ready(i int) {
	n := &p.nodes[i]
	if n.phase == blocked || n.phase == delaying {
		p.emit(Action{Kind: Queued, Step: i, Attempt: n.attempt + 1})
	}
	if p.claims(i) {
		p.list(i)
		return
	}
	n.phase = queued
	p.state.Wait(p.claim(i), 0)
}

// advance carries out what the executor admits and returns all there is to do.
func (p *Plan) advance(now time.Duration) []Action {
	for _, c := range p.state.Advance(now) {
		i := p.index[c.ID]
		switch n := &p.nodes[i]; {
		case n.phase == aside:
			n.phase = standing
			p.emit(Action{Kind: Reacquire, Step: i, Attempt: n.attempt + 1})
		case p.steps[i].If != "" && !n.passed:
			n.phase = checking
			p.emit(Action{Kind: Check, Step: i, Attempt: n.attempt + 1})
		default:
			p.start(i)
		}
	}
	out := p.actions
	p.actions = nil
	return out
}

func (p *Plan) start(i int) {
	n := &p.nodes[i]
	n.phase = running
	n.attempt++
	p.emit(Action{Kind: Start, Step: i, Attempt: n.attempt})
}

func (p *Plan) emit(a Action) { p.actions = append(p.actions, a) }

// claims reports whether the next thing that a ready step waits for are its pools.
func (p *Plan) claims(i int) bool {
	s := p.steps[i]
	return (s.If == "" || p.nodes[i].passed) && len(s.Pools) > 0 && p.opt.ClaimPools
}
