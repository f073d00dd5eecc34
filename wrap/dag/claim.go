package dag

import (
	"context"
	"sync"
	"time"

	"limit/backend"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// claim is the life of a step's claim in the store. It posts to the loop what happens to it.
type claim struct {
	wrap.Life
	l    *loop
	step int

	mu    sync.Mutex
	waits *waits
}

// enterClaim begins to enter a step's claim. Claims of a run arrive in the plan's order.
func (l *loop) enterClaim(ctx context.Context, step int) {
	s := l.record.Steps[step]
	c := &claim{l: l, step: step, waits: newWaits(l.now())}
	c.Life = wrap.Life{
		Backend: l.r.Backend, Options: backend.EnterOptions{WatchBlocks: true}, After: l.lastInside, Wait: l.r.Wait,
		Hear: c.hear,
		Claim: backend.Claim{
			ID: backend.NewID(), RunID: l.r.Claim.RunID, Pools: s.Pools, Ancestors: l.r.ancestors(),
			Priority: addPriority(l.r.Claim.Priority, l.plan.Priority(step)),
			Name:     l.record.Name + "/" + s.ID, Command: []string{l.mask.String(firstLine(s.Run))},
			Host: l.r.Claim.Host, PID: l.r.Claim.PID, User: l.r.Claim.User, QueuedAt: time.Now(),
		},
	}
	l.claims[step] = c
	l.open++
	c.Begin(ctx)
	l.lastInside = c.Entered()
}

// addPriority is the priority of a step's claim among those of all runs: the run's and the step's, within bounds.
func addPriority(a, b int32) int32 {
	sum := int64(a) + int64(b)
	return int32(min(max(sum, -1<<31), 1<<31-1))
}

// hear posts what happens to the claim.
func (c *claim) hear(n wrap.News) {
	c.l.r.outage.hear(c, n)
	m := message{step: c.step, claim: c, blocks: n.Blocks, reason: n.Reason, ok: n.OK}
	switch n.Kind {
	case wrap.Granted:
		m.kind = poolGranted
	case wrap.Reacquired:
		m.kind = stoodUp
	case wrap.Blocked:
		c.blocked(n.Blocks)
		m.kind = poolBlocked
	case wrap.Denied:
		m.kind, m.exit = poolRefused, plan.Exit{Code: wrap.DeniedCode(n.Err), Reason: c.l.mask.String(n.Err.Error()),
			Final: true}
	case wrap.Cancelled:
		m.kind = claimCancelled
	case wrap.Lost:
		m.kind = claimLost
	case wrap.Over:
		if n.Err != nil {
			c.l.r.Messages.Error("releasing the claim of step %s: %v; it frees itself", c.l.record.Steps[c.step].ID,
				n.Err)
		}
		m.kind = claimOver
	default:
		return
	}
	c.l.post(m)
}

// yield gives the slots back; the claim waits for nothing then.
func (c *claim) yield() {
	c.blocked(nil)
	c.Yield()
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
