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
	v       *server
	options Options // of the wrapper
	number  int64
	entry   backend.Entry

	stopping context.CancelFunc
	stopped  context.Context
	working  sync.WaitGroup

	mu      sync.Mutex
	command *fence.Witness // nil: not known to have started
}

func newCharge(v *server, number int64, e backend.Entry) *charge {
	c := &charge{v: v, options: v.store.options, number: number, entry: e}
	c.stopped, c.stopping = context.WithCancel(context.Background())
	return c
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
		c.v.kept.fenceIn(fence.Command{Mark: c.mark()})
	}
}

// forward sends an event to the wrapper. A loss is enforced here besides.
func (c *charge) forward(event backend.Event) {
	if event.Kind == backend.Lost && c.guarded() {
		c.working.Go(func() { c.enforce(boot.Now() + time.Until(event.KillBy)) })
	}
	claim := c.entry.Claim()
	c.v.send(keeper.Message{Number: c.number, Event: wire(event), Claim: &claim})
}

// guarded reports whether a command may not outlive its claim.
func (c *charge) guarded() bool {
	return !c.options.WarnOnLost && !c.v.store.unfenced
}

// started notes the command of the claim.
func (c *charge) started(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.command != nil {
		c.command.Close()
	}
	c.command = fence.Watch(pid)
	c.working.Go(func() {
		if pause(c.stopped, fenceAfter) && c.guarded() {
			c.v.kept.fenceIn(fence.Command{Mark: c.mark(), PID: pid, Wrapper: c.v.peer.PID, Grace: c.options.Grace, UID: c.v.peer.UID})
		}
	})
}

// fenceAfter is how long a command runs before the third guard learns of it.
const fenceAfter = 100 * time.Millisecond

// mark is in the environment of the command and of what it starts.
func (c *charge) mark() string { return claimVariable + c.entry.Claim().ID }

func (c *charge) running() *fence.Witness {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.command
}

// enforce sees to it that nothing of the command lives after the deadline, unless the claim is released before. The
// wrapper was told and ends the command in its own way; where it is stopped, TERM comes from here.
func (c *charge) enforce(deadline time.Duration) {
	if w := c.running(); w != nil && fence.Stopped(c.v.peer.PID) {
		fence.As(c.v.peer.UID, w.Terminate)
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
	c.killAll(c.stopped)
}

// killAll kills the command, what descends from it and what bears its claim's mark.
func (c *charge) killAll(ctx context.Context) {
	root := c.running().Root()
	fence.As(c.v.peer.UID, func() { c.v.agent.kill(ctx, root, c.mark()) })
}

// orphaned ends the command of a wrapper that died, TERM first, and gives the claim back when nothing of it is left.
// With WarnOnLost it waits for the command to end by itself.
func (c *charge) orphaned(ctx context.Context) {
	held := c.entry.Claim().Grant != nil
	w := c.running()
	switch {
	case held && c.options.WarnOnLost:
		for w != nil && w.Alive() && pause(ctx, orphanPoll) {
		}
	case held:
		if w != nil && w.Alive() {
			fence.As(c.v.peer.UID, w.Terminate)
			grace := time.Now().Add(c.options.Grace)
			for w.Alive() && time.Now().Before(grace) && pause(ctx, orphanPoll) {
			}
		}
		killing, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.options.TTL)
		c.killAll(killing)
		cancel()
	}
	c.stop()
	c.entry.Conclude(backend.Outcome{How: backend.Abandoned})
	releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.options.ConnectTimeout)
	defer cancel()
	c.entry.Release(releasing) // failing, the lease ends by itself
}

// orphanPoll is how often the end of an orphaned command is looked for.
const orphanPoll = 20 * time.Millisecond
