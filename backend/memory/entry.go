package memory

import (
	"context"
	"os"
	"reflect"

	"limit/backend"
)

// entry is a claim as its owner sees it. The Space's mu guards it.
type entry struct {
	space  *Space
	claim  backend.Claim // as it entered
	opts   backend.EnterOptions
	events chan backend.Event
	asked  string
	told   bool
	aside  bool
	blocks []backend.Block
	stay   backend.Stay
	ended  bool
}

// Claim implements backend.Entry.
func (e *entry) Claim() backend.Claim {
	e.space.mu.Lock()
	defer e.space.mu.Unlock()
	return e.current()
}

// current is the claim as it stands.
func (e *entry) current() backend.Claim {
	if c := e.space.state.Claim(e.claim.ID); c != nil {
		return *c
	}
	return e.claim
}

// Events implements backend.Entry.
func (e *entry) Events() <-chan backend.Event { return e.events }

// Inherit implements backend.Entry.
func (e *entry) Inherit() *os.File { return nil }

// Started implements backend.Entry.
func (e *entry) Started(pids ...int) {
	e.space.mu.Lock()
	defer e.space.mu.Unlock()
	e.space.started[e.claim.ID] = append(e.space.started[e.claim.ID], pids...)
}

// Yield implements backend.Entry.
func (e *entry) Yield(context.Context) error {
	e.space.mu.Lock()
	defer e.space.mu.Unlock()
	e.aside = true
	e.stay.Aside()
	e.space.state.Aside(e.claim.ID, true)
	for range len(e.events) { // a grant that the owner has not seen is void
		if ev := <-e.events; ev.Kind != backend.Granted {
			e.events <- ev
		}
	}
	e.space.settle()
	return nil
}

// Reacquire implements backend.Entry.
func (e *entry) Reacquire(context.Context) error {
	e.space.mu.Lock()
	defer e.space.mu.Unlock()
	e.aside = false
	e.space.state.Aside(e.claim.ID, false)
	e.space.refuse()
	return nil
}

// Conclude implements backend.Entry.
func (e *entry) Conclude(o backend.Outcome) {
	e.space.mu.Lock()
	defer e.space.mu.Unlock()
	e.stay.Conclude(o)
}

// Release implements backend.Entry.
func (e *entry) Release(context.Context) error {
	e.space.mu.Lock()
	defer e.space.mu.Unlock()
	if !e.ended {
		e.ended = true
		claim := e.current()
		past := e.stay.End(&claim)
		past.Met(e.space.state.Settings().Capacities(past.Pools, past.Runs))
		e.space.remember(past)
	}
	if e.space.entries[e.claim.ID] == e {
		e.remove()
	}
	return nil
}

// remove takes the claim out of the Space.
func (e *entry) remove() {
	delete(e.space.entries, e.claim.ID)
	e.space.state.Remove(e.claim.ID)
	e.space.settle()
}

// ask asks a holder to stop, or takes a waiting claim away.
func (e *entry) ask(reason string) {
	if e.told {
		return
	}
	e.told, e.asked = true, reason
	if e.space.state.Claim(e.claim.ID).Grant == nil {
		e.remove()
	}
	e.send(backend.Event{Kind: backend.Cancelled, Reason: reason})
}

// noteObstacles tells the owner what stands in the way of the claim if that has changed.
func (e *entry) noteObstacles(o backend.Obstacles) {
	if !reflect.DeepEqual(o.Blocks, e.blocks) {
		e.blocks = o.Blocks
		e.send(backend.Event{Kind: backend.Blocked, Obstacles: o})
	}
}

// Obstacles implements backend.Entry.
func (e *entry) Obstacles(context.Context) (backend.Obstacles, error) {
	e.space.mu.Lock()
	defer e.space.mu.Unlock()
	return e.space.snapshot().Obstacles(e.claim.ID), nil
}

// send never blocks: an owner who does not read loses what blocks him, the rest has room.
func (e *entry) send(ev backend.Event) {
	if ev.Kind == backend.Blocked && len(e.events) > cap(e.events)/2 {
		return
	}
	select {
	case e.events <- ev:
	default:
	}
}
