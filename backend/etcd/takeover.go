package etcd

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend/etcd/boot"
	"limit/backend/etcd/fence"
)

// takeOver takes over what the agent before this one has left. Wrappers that connect wait for that of their namespace.
func (a *agent) takeOver() error {
	all, err := a.notes.read()
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for namespace, l := range all {
		if len(l.claims) == 0 {
			a.notes.forgetLease(namespace) // it ends by itself
			continue
		}
		o := a.options()
		o.Namespace = namespace
		k := a.keep(newStore(o, a.base.files, a.base.client))
		charges := k.restore(l.claims)
		a.log.Info("taking over the claims of the agent before this one", "namespace", namespace, "claims",
			len(charges))
		a.working.Go(func() {
			defer close(k.ready)
			k.takeOver(a.ctx, l.lease, charges)
		})
	}
	return nil
}

// restore makes the charges of what was noted.
func (k *kept) restore(claims []claimNote) []*charge {
	var charges []*charge
	for _, note := range claims {
		o := k.store.options
		o.Grace, o.WarnOnLost, o.ConnectTimeout = note.Options.Grace, note.Options.WarnOnLost,
			note.Options.ConnectTimeout
		c := newCharge(k, k.store.with(o), note)
		c.wrapper, c.away = fence.WatchSame(note.Wrapper), true
		c.entry.claim.Seq, c.entry.entered, c.entry.unsure, c.entry.again = note.Claim.Seq, boot.At(note.Since), true,
			true
		if note.Command.PID != 0 {
			c.command = fence.WatchSame(note.Command)
		}
		k.charges[note.Claim.ID] = c
		charges = append(charges, c)
	}
	return charges
}

// takeOver first ends the commands that are overdue, then renews the lease, and then looks for what has become of each
// claim. Commands are ended, too, before anybody is served, where the lease has ended.
func (k *kept) takeOver(ctx context.Context, l leaseNote, charges []*charge) {
	n := k.store.found(l, len(charges))
	k.mu.Lock()
	k.deadline = n.deadline()
	k.mu.Unlock()
	for _, c := range charges {
		c.entry.session = n
		if c.command != nil && !n.isGone() {
			c.guardThird()
		}
	}
	late := n.takeOver(ctx, func() { endAll(ctx, charges) })
	if ctx.Err() != nil {
		return
	}
	alarm, err := boot.NewAlarm()
	if err != nil || n.isGone() {
		n.end("its lease has ended")
		late = true
		endAll(ctx, charges)
	} else {
		n.start(ctx, alarm)
	}
	var placing sync.WaitGroup
	for _, c := range charges {
		placing.Go(func() { c.place(ctx, late) })
	}
	placing.Wait()
	for _, c := range charges {
		if !c.note.Over {
			k.agent.working.Go(func() { c.awaitWrapper(ctx) })
		}
	}
}

// endAll kills the commands of all claims that are held.
func endAll(ctx context.Context, charges []*charge) {
	var ending sync.WaitGroup
	for _, c := range charges {
		if c.held() && c.guarded() {
			ending.Go(func() { c.killAll(ctx, "no agent has renewed its lease in time") })
		}
	}
	ending.Wait()
}

// found is the session of a lease that another process has left.
func (s *Store) found(l leaseNote, users int) *session {
	o := s.shared.options
	if l.TTL != 0 {
		o.TTL = l.TTL
	}
	n := &session{store: s.with(o), lease: l.Lease, users: users, gone: make(chan struct{}), sent: l.Sent,
		cancel:      func() {},
		subscribers: map[*entry]struct{}{}, changed: make(chan struct{}, 1)}
	if l.Lease == clientv3.NoLease {
		close(n.gone)
	}
	return n
}

// takeOver renews the lease until that is answered, it has ended or ctx has. overdue is called when the last moment
// comes meanwhile, and late says that it was.
func (n *session) takeOver(ctx context.Context, overdue func()) (late bool) {
	r := n.store.newRenewer(n.lease)
	defer r.close()
	due := n.deadline() - killAhead
	for retry := (backoff{}); !n.isGone(); {
		left := due - boot.Now()
		if left <= 0 && !late {
			late = true
			overdue()
		}
		patience := n.patience()
		if !late {
			patience = min(patience, left)
		}
		sent, err := r.renew(ctx, patience)
		switch {
		case err == nil:
			n.sent = sent
			return late
		case errors.Is(err, errLeaseGone):
			close(n.gone)
		case !pause(ctx, min(retry.next(), max(due-boot.Now(), firstPause))):
			return late
		}
	}
	return late
}

// place finds out how a claim stands, and goes on with it from there. late says that its command was ended.
func (c *charge) place(ctx context.Context, late bool) {
	e := c.entry
	if c.note.Over {
		e.left, e.unsure = true, c.note.Unsure
		e.session.leave(ctx)
		c.finish()
		return
	}
	var v *view
	var err error
	for retry := (backoff{}); v == nil; {
		if v, err = e.look(ctx); err != nil && !pause(ctx, retry.next()) {
			return
		}
	}
	found := v.own != nil && clientv3.LeaseID(v.own.Lease) == e.session.lease
	switch {
	case found:
		err = e.settle(ctx, v)
	case c.note.Held:
		e.held = true
		e.lose("it was lost while no agent was there", time.Time{})
	}
	if err != nil || !found && !c.note.Entered {
		return // its wrapper asks for it again
	}
	e.unsure = !c.note.Entered || c.note.Unsure
	if !c.note.Entered {
		c.change(func(n *claimNote) { n.Entered, n.Held, n.Unsure, n.Claim.Seq = true, e.held, true, e.Claim().Seq })
	}
	if late && c.note.Held {
		e.lose("the agent that kept it came back too late", time.Time{})
	}
	e.start(ctx)
	c.start()
}

// awaitWrapper waits for the wrapper to come back. One that has died is seen to; one that is stopped may take its time.
func (c *charge) awaitWrapper(ctx context.Context) {
	unseen := time.Now().Add(c.options.Fence()) // a wrapper in another container is not seen, and comes back at once
	for pause(ctx, awayPoll) {
		c.kept.mu.Lock()
		away := c.away
		died := away && !c.wrapper.Alive() && (c.note.Wrapper.PID != 0 || time.Now().After(unseen))
		if died {
			c.away = false
		}
		c.kept.mu.Unlock()
		if died {
			c.orphaned(ctx)
		}
		if died || !away {
			return
		}
	}
}

// awayPoll is the pause between two looks for the death of a wrapper that has not come back yet.
const awayPoll = 100 * time.Millisecond
