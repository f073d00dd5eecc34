package plan

import (
	"time"

	"limit/backend"
	"limit/wrap/dag/stepfile"
)

// Standing is where a step stands in a run that somebody else carries out, as far as that can be known from outside.
type Standing struct {
	Outcome  Outcome // how it has ended; its State is Pending where it has not
	Attempt  int     // the current or last one, 0 before the first
	Passed   bool    // its condition has been met
	Checking bool    // its condition runs
	Running  bool    // its command runs
	Delayed  bool    // waits for its next attempt,
	Until    time.Duration
	Aside    bool // its claim stands aside in the store: it waits for the executor
}

// Restore returns the plan of a run that somebody else carries out, for a look at it: Waiting and Blocked say of it what they
// say there, as what blocks a step follows from which steps run and which are ready. It is not to be carried on.
func Restore(f *stepfile.File, opt Options, at []Standing) (*Plan, error) {
	p, err := New(f, opt)
	if err != nil {
		return nil, err
	}
	for i, s := range at {
		n := &p.nodes[i]
		n.attempt, n.passed = s.Attempt, s.Passed || s.Running || s.Attempt > 0
		if s.Outcome.State == Pending {
			continue
		}
		n.phase, n.outcome = final, s.Outcome
		p.open--
		for _, d := range p.dependants[i] {
			p.nodes[d].missing--
			if !s.Outcome.satisfies() {
				p.nodes[d].bad++
			}
		}
	}
	for i, s := range at {
		if p.nodes[i].phase != final {
			p.put(i, s)
		}
	}
	return p, nil
}

// put places a step that is not final.
func (p *Plan) put(i int, s Standing) {
	n := &p.nodes[i]
	switch {
	case s.Checking || s.Running:
		n.phase = running
		if s.Checking {
			n.phase = checking
		}
		c := p.claim(i)
		c.Grant = &backend.Grant{Token: int64(i)}
		p.state.Hold(c, 0)
	case s.Delayed:
		n.phase = delaying
		p.delayed.add(i, s.Until)
	case n.missing > 0:
	case p.claims(i) && !s.Aside:
		n.phase = entered
	default:
		n.phase = queued
		p.state.Wait(p.claim(i), 0)
	}
}

// claims tells whether the next thing that a ready step waits for are its pools.
func (p *Plan) claims(i int) bool {
	s := p.steps[i]
	return (s.If == "" || p.nodes[i].passed) && len(s.Pools) > 0 && p.opt.ClaimPools
}

// Alike tells whether the claims of two steps stand in one line, so that some of them are entered into the store only after
// others have left it.
func (p *Plan) Alike(a, b int) bool { return p.lineOf(a) == p.lineOf(b) }
