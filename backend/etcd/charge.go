package etcd

import (
	"context"
	"sync"
	"time"

	"limit/backend"
	"limit/backend/etcd/boot"
	"limit/backend/etcd/fence"
	"limit/backend/etcd/keeper"
)

// killAhead is how long before the last moment the keeper begins to kill: finding and killing a tree takes
// milliseconds, and more on a machine that is busy.
const killAhead = 300 * time.Millisecond

// charge is a claim that is kept for a wrapper, with the command that runs under it.
type charge struct {
	kept    *kept
	options Options // of the wrapper
	entry   *entry
	wrapper *fence.Witness // where an earlier agent has kept it
	away    bool           // an earlier agent has kept it, and its wrapper has not come back yet; under kept.mu

	stopping context.CancelFunc
	stopped  context.Context
	working  sync.WaitGroup

	mu      sync.Mutex
	note    claimNote
	command *fence.Witness // nil: not known to have started

	sending sync.Mutex
	to      *server // nil: nobody
	number  int64   // of the request that entered it
	unsent  []keeper.Message
}

func newCharge(k *kept, s *Store, note claimNote) *charge {
	c := &charge{kept: k, options: s.options, entry: newEntry(s, note.Claim, note.Enter), note: note}
	c.stopped, c.stopping = context.WithCancel(context.Background())
	return c
}

// enter enters the claim, unless an earlier agent has.
func (c *charge) enter(ctx context.Context) error {
	if c.note.Entered {
		return nil
	}
	err := c.change(func(*claimNote) {})
	if err == nil {
		err = c.entry.enter(ctx)
	}
	if c.kept.agent.ending() {
		return context.Cause(ctx) // the wrapper asks the next agent again
	}
	if err != nil {
		c.entry.abandon(ctx)
		c.finish()
		return err
	}
	claim := c.entry.Claim()
	c.change(func(n *claimNote) {
		n.Entered, n.Held, n.Unsure, n.Claim.Seq = true, claim.Grant != nil, c.entry.unsure, claim.Seq
	})
	select {
	case event := <-c.entry.Events():
		c.forward(event)
	default:
	}
	c.start()
	return nil
}

// change changes what the next agent is to know.
func (c *charge) change(how func(*claimNote)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	how(&c.note)
	return c.kept.agent.notes.claim(&c.note)
}

// attach lets a wrapper have the events, those included that it has missed.
func (c *charge) attach(v *server, number int64) {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.to, c.number = v, number
	for _, m := range c.unsent {
		m.Number = number
		v.send(m)
	}
	c.unsent = nil
}

// start forwards events until stop.
func (c *charge) start() {
	c.working.Go(func() {
		for {
			select {
			case <-c.stopped.Done():
				return
			case event := <-c.entry.Events():
				c.forward(event)
			}
		}
	})
}

func (c *charge) stop() {
	c.stopping()
	c.working.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.command != nil {
		c.command.Close()
		c.command = nil
		c.kept.fenceIn(fence.Command{Mark: c.mark()})
	}
}

// park ends everything but the claim and its command.
func (c *charge) park() {
	c.stopping()
	c.working.Wait()
	c.entry.park()
	c.wrapper.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.command.Close()
}

// finish forgets a claim that has left. What could not be removed is, when etcd answers again.
func (c *charge) finish() {
	a := c.kept.agent
	if (c.entry.left || c.entry.unsure) && a.config != nil {
		c.change(func(n *claimNote) { n.Over, n.Unsure = true, c.entry.unsure })
		a.working.Go(func() { c.sweep(a.ctx) })
		return
	}
	c.forget()
}

// sweep has the lease revoked as soon as no other claim needs it: what is left goes with it.
func (c *charge) sweep(ctx context.Context) {
	c.entry.session.leaveIdle(ctx)
	if c.entry.sweep(ctx); ctx.Err() == nil {
		c.forget()
	}
}

func (c *charge) forget() {
	c.wrapper.Close()
	c.kept.agent.notes.forgetClaim(&c.note)
	c.kept.agent.part(c.kept, func() { delete(c.kept.charges, c.note.Claim.ID) })
}

// forward sends an event to the wrapper. A loss is enforced here besides.
func (c *charge) forward(event backend.Event) {
	switch {
	case event.Kind == backend.Lost && c.guarded():
		c.working.Go(func() { c.enforce(boot.Now() + time.Until(event.KillBy)) })
	case event.Kind == backend.Granted && !c.held():
		c.change(func(n *claimNote) { n.Held = true })
	}
	claim := c.entry.Claim()
	m := keeper.Message{Event: wire(event), Claim: &claim}
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.to == nil {
		c.unsent = append(c.unsent, m)
		return
	}
	m.Number = c.number
	c.to.send(m)
}

// held reports whether the wrapper was told, or is about to be, that the claim is held: there may be a command.
func (c *charge) held() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.note.Held
}

// guarded reports whether a command may not outlive its claim.
func (c *charge) guarded() bool {
	return !c.options.WarnOnLost && !c.entry.s.unfenced
}

// started notes the command of the claim.
func (c *charge) started(pid int) {
	c.change(func(n *claimNote) {
		n.Command = c.kept.agent.identify(pid)
		c.command.Close()
		c.command = fence.Watch(pid)
	})
	c.working.Go(func() {
		if pause(c.stopped, fenceAfter) {
			c.guardThird()
		}
	})
}

// guardThird tells the third guard of the command.
func (c *charge) guardThird() {
	c.mu.Lock()
	n := c.note
	c.mu.Unlock()
	if c.guarded() {
		c.kept.fenceIn(fence.Command{Mark: c.mark(), PID: n.Command.PID,
			Wrapper: n.Wrapper.PID, Grace: c.options.Grace, UID: n.UID})
	}
}

// fenceAfter is how long a command runs before the third guard learns of it.
const fenceAfter = 100 * time.Millisecond

// mark is in the environment of the command and of what it starts.
func (c *charge) mark() string { return claimVariable + c.entry.id }

func (c *charge) running() *fence.Witness {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.command
}

// enforce sees to it that nothing of the command lives after the deadline, unless the claim is released before. The
// wrapper was told and ends the command in its own way; where it is stopped, TERM comes from here.
func (c *charge) enforce(deadline time.Duration) {
	if w := c.running(); w != nil && fence.Stopped(c.note.Wrapper.PID) {
		fence.As(c.note.UID, w.Terminate)
	}
	alarm, err := boot.NewAlarm()
	if err == nil {
		defer alarm.Stop()
		err = alarm.Set(deadline - killAhead)
	}
	if err == nil {
		select {
		case <-c.stopped.Done():
			return
		case <-alarm.C:
		}
	}
	c.killAll(c.stopped, "its claim is lost")
}

// killAll kills the command, what descends from it and what bears its claim's mark.
func (c *charge) killAll(ctx context.Context, why string) {
	c.entry.s.log.Warn("ending a command", "claim", c.entry.id, "uid", c.note.UID, "why", why)
	root := c.running().Root()
	fence.As(c.note.UID, func() { c.kept.agent.kill(ctx, root, c.mark()) })
}

// orphaned ends the command of a wrapper that died, TERM first, and gives the claim back when nothing of it is left.
// With WarnOnLost it waits for the command to end by itself. An agent that ends meanwhile leaves it to the next.
func (c *charge) orphaned(ctx context.Context) {
	w := c.running()
	switch {
	case !c.held():
	case c.options.WarnOnLost:
		for w != nil && w.Alive() && pause(ctx, orphanPoll) {
		}
	default:
		if w != nil && w.Alive() {
			fence.As(c.note.UID, w.Terminate)
			grace := time.Now().Add(c.options.Grace)
			for w.Alive() && time.Now().Before(grace) && pause(ctx, orphanPoll) {
			}
		}
		if c.kept.agent.ending() {
			break
		}
		killing, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.options.TTL)
		c.killAll(killing, "its wrapper has died")
		cancel()
	}
	if c.kept.agent.ending() {
		return
	}
	c.stop()
	c.entry.Conclude(backend.Outcome{How: backend.Abandoned})
	releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.options.ConnectTimeout)
	defer cancel()
	if c.note.Entered {
		c.entry.Release(releasing) // failing, it is swept up, or the lease ends by itself
	} else {
		c.entry.abandon(releasing)
	}
	c.finish()
}

// orphanPoll is how often the end of an orphaned command is looked for.
const orphanPoll = 20 * time.Millisecond
