package keeper

import (
	"context"
	"os"
	"sync"
	"time"

	"limit/backend"
	"limit/backend/etcd/boot"
)

// entry is a claim that the keeper has entered for this process.
type entry struct {
	c      *Client
	number int64
	mail   *Mailbox

	mu       sync.Mutex
	claim    backend.Claim
	entered  bool
	pid      int    // of the command
	token    int64  // of the last grant that was told
	asked    string // why it was asked to go last
	again    bool   // its agent was another since
	troubled bool   // told that the store fails
	lost     bool
	outcome  backend.Outcome
	unsure   *backend.Event // a grant that was read too late to be acted on before a renewal is told
	released sync.Once

	survey backend.Survey // set before Enter returns
}

var _ backend.Entry = (*entry)(nil)
var _ backend.Surveyed = (*entry)(nil)

// Claim returns the claim as it stands, as far as the keeper has told.
func (e *entry) Claim() backend.Claim {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.claim
}

// Events tells what happens to the claim.
func (e *entry) Events() <-chan backend.Event { return e.mail.Events() }

// Obstacles asks the keeper what stands in the way of the claim.
func (e *entry) Obstacles(ctx context.Context) (backend.Obstacles, error) {
	m, err := e.c.call(ctx, Request{Op: OpObstacles, Entry: e.number})
	if err != nil || m.Obstacles.V == nil {
		return backend.Obstacles{}, err
	}
	return *m.Obstacles.V, nil
}

// Inherit is nil: the keeper keeps the claim.
func (e *entry) Inherit() *os.File { return nil }

// Survey implements backend.Surveyed.
func (e *entry) Survey() backend.Survey { return e.survey }

// answered takes the answer to Enter; the claim has been taken from it already.
func (e *entry) answered(m *Message, err error) error {
	if err == nil {
		e.survey = m.Survey
		e.mu.Lock()
		e.entered = true
		e.mu.Unlock()
	}
	return err
}

func (e *entry) update(c *backend.Claim) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.claim = *c
}

// take hands an event of the keeper on. One loss is told once, whoever noticed first. Where the last renewal that was
// told is not fresh, this process was stopped: a grant that it finds among what it was told meanwhile may be of a lease
// that has ended, and is kept until a renewal tells that it is not.
func (e *entry) take(m *Message, fresh bool) {
	event := backend.Event{Kind: m.Event.Kind, Obstacles: m.Event.Obstacles, Reason: m.Event.Reason,
		Err: m.Event.Err.V.Err()}
	if m.Event.KillBy != 0 {
		event.KillBy = boot.At(m.Event.KillBy)
	}
	if event.Kind == backend.Lost {
		e.lose(event.Reason, event.KillBy)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if m.Claim != nil {
		e.claim = *m.Claim
	}
	if e.knows(event) {
		return
	}
	if event.Kind == backend.Granted && !fresh {
		e.unsure = &event
		return
	}
	e.mail.Post(event)
}

// knows notes an event, and reports whether another agent has told it before. e.mu is held.
func (e *entry) knows(event backend.Event) bool {
	switch event.Kind {
	case backend.Granted:
		token := e.token
		if g := e.claim.Grant; g != nil {
			e.token = g.Token
		}
		if e.again && token == e.token {
			return true
		}
		e.lost = false
	case backend.Cancelled:
		known := e.again && e.asked != "" && e.asked == event.Reason
		e.asked = event.Reason
		return known
	case backend.Unreachable, backend.Reachable:
		known := e.troubled == (event.Kind == backend.Unreachable)
		e.troubled = event.Kind == backend.Unreachable
		return known
	}
	return false
}

// troubles tells that the agent does not answer, or with "" that it does again. killBy is when a command has to be
// gone.
func (e *entry) troubles(reason string, killBy time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	event := backend.Event{Kind: backend.Reachable}
	if reason != "" {
		event = backend.Event{Kind: backend.Unreachable, Reason: reason}
		if e.claim.Grant != nil {
			event.KillBy = killBy
		}
	}
	if !e.lost && !e.knows(event) {
		e.mail.Post(event)
	}
}

// resumed takes what another agent knows of the claim.
func (e *entry) resumed(err error) {
	e.mu.Lock()
	lost := e.lost
	e.lost = lost || err != nil
	e.mu.Unlock()
	if err != nil && !lost {
		e.mail.Post(backend.Event{Kind: backend.Lost, Reason: "the agent does not know it any more: " + err.Error(),
			KillBy: time.Now()})
		return
	}
	e.troubles("", time.Time{})
}

// resume asks another agent for the claim; ok is false where it has not entered yet.
func (e *entry) resume() (r Request, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.again = e.entered
	return Request{Op: OpResume, Entry: e.number, ID: e.claim.ID, PID: e.pid}, e.entered
}

// confirm hands on a grant that was kept, once a renewal is told that is fresh.
func (e *entry) confirm(fresh bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if fresh && e.unsure != nil {
		e.mail.Post(*e.unsure)
		e.unsure = nil
	}
}

// lose tells that a held claim is lost.
func (e *entry) lose(reason string, killBy time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lost {
		return
	}
	select {
	case <-e.c.done: // a waiting claim is lost, too, with its keeper
	default:
		if e.claim.Grant == nil {
			return
		}
	}
	e.lost, e.unsure = true, nil
	if e.claim.Grant == nil || killBy.Before(time.Now()) {
		killBy = time.Now()
	}
	e.mail.Post(backend.Event{Kind: backend.Lost, Reason: reason, KillBy: killBy})
}

// Started tells the keeper which process runs under the claim, so that it can end it when this process cannot.
func (e *entry) Started(pids ...int) {
	e.mu.Lock()
	e.pid = pids[0]
	e.mu.Unlock()
	// a keeper that is gone has lost the claim
	e.c.post(context.Background(), Request{Op: OpStarted, Entry: e.number, PID: pids[0]}, nil)
}

// Yield and Reacquire ask the keeper for that.
func (e *entry) Yield(ctx context.Context) error { return e.move(ctx, OpAside) }

// Reacquire puts the claim back.
func (e *entry) Reacquire(ctx context.Context) error { return e.move(ctx, OpUp) }

func (e *entry) move(ctx context.Context, op Op) error {
	m, err := e.c.call(ctx, Request{Op: op, Entry: e.number})
	if err == nil && m.Claim != nil && op == OpAside {
		e.update(m.Claim)
	}
	return err
}

// Conclude keeps the outcome for Release.
func (e *entry) Conclude(o backend.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outcome = o
}

// Release lets the keeper give the claim back.
func (e *entry) Release(ctx context.Context) error {
	var err error
	e.released.Do(func() {
		r := e.release()
		if e.c.isSilent() {
			_, _, err = e.c.post(ctx, r, nil) // for when it goes on
			e.c.giveUp(e.claim.ID)
		} else if _, err = e.c.call(ctx, r); err != nil {
			e.c.giveUp(e.claim.ID)
		}
		e.c.forget(e.number)
		e.mail.Close()
	})
	return err
}

func (e *entry) release() Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	outcome := e.outcome
	return Request{Op: OpRelease, Entry: e.number, Outcome: Rare[backend.Outcome]{V: &outcome}}
}
