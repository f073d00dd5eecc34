package dag

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"limit/backend"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/process"
)

// claim is a step's claim in the store, and the goroutine that owns its Entry. The loop asks it for changes, it
// posts to the loop what came of them.
type claim struct {
	l       *loop
	step    int
	asked   backend.Claim
	orders  chan order
	entry   backend.Entry
	granted backend.Claim // with its Grant; set before Granted is posted
	waits   *waits
	giveUp  <-chan time.Time
	before  <-chan struct{} // closed when the claim that was asked for before this one is in the store
	inside  chan struct{}   // closed when this one is, or has failed

	mu      sync.Mutex
	process *process.Process       // that runs under it
	fate    func(*process.Process) // what the store has last done to the claim
}

// order is what the loop asks of a claim.
type order int

const (
	orderAside order = iota
	orderUp
	orderRelease
)

// patience is how long a claim that was put back may keep its slot of the executor without an answer of the store.
const patience = 250 * time.Millisecond

// enterClaim begins to enter a step's claim.
func (l *loop) enterClaim(ctx context.Context, step int) {
	s := l.record.Steps[step]
	c := &claim{l: l, step: step, orders: make(chan order, 4), before: l.lastInside, inside: make(chan struct{}), waits: newWaits(l.now())}
	l.lastInside = c.inside
	c.asked = backend.Claim{
		ID: backend.NewID(), RunID: l.r.Claim.RunID, Pools: s.Pools, Ancestors: l.r.ancestors(),
		Priority: addPriority(l.r.Claim.Priority, l.plan.Priority(step)),
		Name:     l.record.Name + "/" + s.ID, Command: []string{l.mask.String(firstLine(s.Run))},
		Host: l.r.Claim.Host, PID: l.r.Claim.PID, User: l.r.Claim.User, QueuedAt: time.Now(),
	}
	l.claims[step] = c
	l.open++
	go c.own(ctx)
}

// addPriority is the priority of a step's claim among those of all runs: the run's and the step's, within bounds.
func addPriority(a, b int32) int32 {
	sum := int64(a) + int64(b)
	return int32(min(max(sum, -1<<31), 1<<31-1))
}

// own enters the claim, and serves it until it is released.
func (c *claim) own(ctx context.Context) {
	defer c.l.post(message{kind: claimOver, step: c.step, claim: c})
	entering, cancel := context.WithCancel(ctx)
	entered := make(chan error, 1)
	go func() {
		defer close(c.inside)
		var err error
		if c.before != nil {
			<-c.before // claims of a run arrive in the plan's order
		}
		c.entry, err = c.l.r.Backend.Enter(entering, c.asked, backend.EnterOptions{WatchBlocks: true})
		entered <- err
	}()
	var err error
	select {
	case err = <-entered:
	case <-c.orders: // only release can come so early
		cancel()
		if err = <-entered; err == nil {
			c.release(ctx)
		}
		return
	}
	defer cancel()
	if err != nil {
		c.refuse(wrap.CodeFailed, err.Error())
		c.awaitRelease()
		return
	}
	c.serve(ctx)
}

// awaitRelease waits for the loop to let go of a claim that is gone.
func (c *claim) awaitRelease() {
	for o := range c.orders {
		if o == orderRelease {
			return
		}
	}
}

func (c *claim) serve(ctx context.Context) {
	c.expire()
	held := false
	for {
		select {
		case o := <-c.orders:
			if o == orderRelease {
				c.release(ctx)
				return
			}
			c.obey(ctx, o, &held)
		case e := <-c.entry.Events():
			c.take(e, &held)
		case <-c.giveUp:
			if !held {
				c.refuse(wrap.CodeBusy, fmt.Sprintf("gave up: no slot within %s", c.l.r.Wait))
			}
		}
	}
}

// expire starts the time after which the claim gives up waiting. Standing aside is not waiting for a pool.
func (c *claim) expire() {
	if c.l.r.Wait > 0 {
		c.giveUp = time.After(c.l.r.Wait)
	}
}

// obey puts the claim aside, or back.
func (c *claim) obey(ctx context.Context, o order, held *bool) {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	if o == orderAside {
		*held, c.giveUp = false, nil
		if err := c.entry.StandAside(ctx); err != nil {
			c.refuse(wrap.CodeFailed, "standing aside: "+err.Error())
		}
		c.blocked(nil)
		return
	}
	c.expire()
	if err := c.entry.StandUp(ctx); err != nil {
		c.refuse(wrap.CodeFailed, "standing up: "+err.Error())
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for answered := false; !answered; {
		select {
		case e := <-c.entry.Events():
			answered = e.Kind == backend.Granted || e.Kind == backend.Blocked
			if e.Kind == backend.Granted {
				*held = true
				c.granted = c.entry.Claim()
				break
			}
			c.take(e, held)
		case <-timer.C:
			answered = true
		}
	}
	c.l.post(message{kind: stoodUp, step: c.step, claim: c, ok: *held})
}

// take deals with one event of the store.
func (c *claim) take(e backend.Event, held *bool) {
	switch e.Kind {
	case backend.Granted:
		*held = true
		c.granted = c.entry.Claim()
		c.l.post(message{kind: poolGranted, step: c.step, claim: c})
	case backend.Blocked:
		c.blocked(e.Blocks)
		c.l.post(message{kind: poolBlocked, step: c.step, claim: c, blocks: e.Blocks})
	case backend.Cancelled:
		if c.fated(func(p *process.Process) { p.Stop(process.Stopped) }) {
			c.l.post(message{kind: claimCancelled, step: c.step, claim: c, reason: e.Reason})
			return
		}
		c.refuse(wrap.CodeBusy, "cancelled: "+e.Reason)
	case backend.Refused:
		c.refuse(wrap.CodeFailed, e.Err.Error())
	case backend.Unreachable:
		c.fated(func(p *process.Process) { p.StopBy(e.KillBy) })
	case backend.Reachable:
		c.fated(func(p *process.Process) { p.Relent() })
	case backend.Lost:
		if c.fated(func(p *process.Process) { p.StopBy(e.KillBy) }) {
			c.l.post(message{kind: claimLost, step: c.step, claim: c, reason: e.Reason})
			return
		}
		c.refuse(wrap.CodeLost, "lost its place in the store: "+e.Reason)
	}
}

// refuse says that the claim has come to nothing.
func (c *claim) refuse(code int, reason string) {
	c.l.post(message{kind: poolRefused, step: c.step, claim: c,
		exit: plan.Exit{Code: code, Reason: c.l.mask.String(reason), Final: true}})
}

// release gives the claim back; a store that does not answer in time frees it by itself.
func (c *claim) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer cancel()
	if err := c.entry.Release(ctx); err != nil && !errors.Is(err, context.Canceled) {
		c.l.r.Messages.Error("releasing the claim of step %s: %v; it frees itself", c.l.record.Steps[c.step].ID, err)
	}
}

// attach tells the claim which process runs under it, so that its loss kills that without asking the loop. What has
// befallen the claim since it was granted befalls the process now.
func (c *claim) attach(p *process.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.process = p
	if c.fate != nil {
		c.fate(p)
	}
	if s, ok := c.entry.(wrap.Starter); ok {
		s.Started(p.PID())
	}
}

// fated lets what befalls the claim befall its process, and tells whether there is one.
func (c *claim) fated(fate func(*process.Process)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fate = fate
	if c.process == nil {
		return false
	}
	fate(c.process)
	return true
}

// blocked notes what the claim waits for from now on.
func (c *claim) blocked(blocks []backend.Block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits.blocked(c.l.now(), blocks)
}

// waited returns what it has waited for.
func (c *claim) waited(now time.Duration) []journal.Wait {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waits.end(now)
}
