package etcd

import (
	"context"
	"errors"
	"time"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/backend/etcd/boot"
)

// What fits into one transaction: etcd takes 128 comparisons or operations by default, and 1.5 MiB.
const (
	maxOps   = 120
	maxBytes = 1 << 20
)

// stallAfter is how long the gatekeeper waits for the event that made a grant fail before it reads everything again.
const stallAfter = 500 * time.Millisecond

// gatekeeper decides for everybody: it has the state of the namespace in memory, brings it forward by one watch, asks
// the rule after every change and writes what the rule admits.
type gatekeeper struct {
	s        *Store
	gate     *gate
	lease    clientv3.LeaseID
	revision int64 // of the gate, written by us: every decision compares it
	l        *ledger
	bases    map[string]int64  // dimensions in which a grant of ours has found nothing added, and when
	refuse   bool              // the limits may have changed: look for claims that became impossible
	stalled  bool              // a grant failed; what made it fail is still to come
	epochs   map[string]*epoch // that the grant under way writes
	records  []string          // that it writes
}

// run keeps the gate until ctx ends, the gate is another's, or none of our claims waits.
func (k *gatekeeper) run(ctx context.Context) {
	for ctx.Err() == nil && k.gate.needed() {
		l, err := k.s.readState(ctx)
		var lacking *backend.LackingError
		if errors.As(err, &lacking) {
			k.gate.refuse(lacking)
			return
		}
		if err != nil {
			k.gate.fails(ctx, err)
			continue
		}
		if !k.owns(l) {
			return
		}
		k.l, k.bases, k.refuse, k.stalled = l, map[string]int64{}, true, false
		watching, stop := context.WithCancel(ctx)
		again := k.decideOn(ctx, k.s.watchState(watching, l.revision+1))
		stop()
		if !again {
			return
		}
	}
}

// refuse ends the waiting of all claims of this process: it must not decide by the settings that are in force now.
// Their owners release them, and another process takes the gate.
func (g *gate) refuse(err error) {
	for _, e := range g.waiting() {
		e.leaveOrder(backend.Event{Kind: backend.Refused, Err: err})
	}
}

func (k *gatekeeper) owns(l *ledger) bool { return l.gate != nil && l.gate.ModRevision == k.revision }

// known is the revision that the keeper has last seen.
func (k *gatekeeper) known() int64 {
	if k.l == nil {
		return k.revision
	}
	return k.l.revision
}

// decideOn decides after every event. It returns true when the state has to be read again, false when the gate is to be
// left.
func (k *gatekeeper) decideOn(ctx context.Context, watch clientv3.WatchChan) bool {
	recheck := time.NewTimer(recheckAfter())
	defer recheck.Stop()
	for {
		if again, ok := k.decide(ctx); !ok {
			return again
		}
		select {
		case <-ctx.Done():
			return false
		case <-k.gate.changed:
			if !k.gate.needed() {
				return false
			}
		case <-recheck.C:
			return true
		case <-k.next():
			if k.stalled {
				return true
			}
		case resp, ok := <-watch:
			if !ok || resp.Err() != nil {
				return pause(ctx, retryAfter())
			}
			if err := k.follow(resp); err != nil {
				return k.gate.fails(ctx, err) // unreadable: whoever wrote it may write better
			}
			if !k.owns(k.l) {
				return false
			}
		}
	}
}

// next fires when the rule may admit somebody by the passing of time alone.
func (k *gatekeeper) next() <-chan time.Time {
	if k.stalled {
		return time.After(stallAfter)
	}
	at, ok := k.l.state.Next()
	if !ok {
		return nil
	}
	return time.After(max(0, at-boot.Now()))
}

// follow brings the state forward.
func (k *gatekeeper) follow(resp clientv3.WatchResponse) error {
	for _, event := range resp.Events {
		if err := k.l.apply(event); err != nil {
			return err
		}
		k.refuse = k.refuse || k.mayRefuse(event)
		k.l.revision, k.stalled = event.Kv.ModRevision, false
	}
	return nil
}

// mayRefuse reports whether an event may have made a claim impossible: other limits, or a nested claim that has come to
// wait, which may close a circle with others. Who came with it has seen too little to know; who stands up, as it has
// waited before, has not looked.
func (k *gatekeeper) mayRefuse(event *clientv3.Event) bool {
	switch kind, id, _ := k.s.keys.parse(string(event.Kv.Key)); kind {
	case keySettings:
		return true
	case keyClaim:
		s, ok := k.l.seats[id]
		return ok && s.Grant == nil && (s.Within != nil || len(s.Ancestors) > 0 || s.Waited > 0)
	}
	return false
}

// decide writes what the rule admits. ok is false when the state has to be read again, or (again false) the gate is
// lost.
func (k *gatekeeper) decide(ctx context.Context) (again, ok bool) {
	if k.stalled {
		return true, true
	}
	if k.refuse {
		refused, err := k.refuseImpossible(ctx)
		if err != nil {
			return k.gate.fails(ctx, err), false
		}
		if !refused {
			return pause(ctx, retryAfter()), false
		}
	}
	granted := k.l.state.Advance(boot.Now())
	for len(granted) > 0 {
		n, resp, err := k.grant(ctx, granted)
		if err != nil {
			return k.gate.fails(ctx, err), false
		}
		if !resp.Succeeded {
			gate := resp.Responses[0].GetResponseRange().Kvs
			if len(gate) == 0 || gate[0].ModRevision != k.revision {
				return false, false
			}
			k.undo(granted)
			k.stalled = true
			return true, true
		}
		k.done(granted[:n], resp.Header.Revision)
		k.tell(granted[:n], resp.Header.Revision)
		granted = granted[n:]
	}
	k.gate.works()
	return true, true
}

// base is the revision up to which the keeper knows a dimension: that of its state, or of its own last grant from it,
// which has found everything else unchanged.
func (k *gatekeeper) base(dim string) int64 { return max(k.l.revision, k.bases[dim]) }

// grant is the transaction "admit": as many of the claims, in order, as fit. It returns how many it was about.
func (k *gatekeeper) grant(ctx context.Context, claims []*backend.Claim) (int, *clientv3.TxnResponse, error) {
	claims = claims[:min(len(claims), maxBatch)]
	cools, err := k.s.leaseStarts(ctx, k.l, claims...)
	if err != nil {
		return 0, nil, err
	}
	g := guards{}
	g.unchanged(k.s.keys.gate(), k.revision)
	var then []clientv3.Op
	dims := map[string]bool{}
	bytes, n := 0, 0
	k.records = nil
	for _, c := range claims {
		c.Grant.GrantedAt = time.Now()
		seat := k.l.seats[c.ID]
		r := seat.record
		r.settle(c)
		r.Waited, r.Grant = 0, &grant{Slots: c.Grant.Slots, At: c.Grant.GrantedAt, Index: int64(n)}
		next := rewrite(seat.value, r)
		ops := append(k.l.puts(c, next, clientv3.LeaseID(seat.lease), cools),
			clientv3.OpDelete(k.s.keys.wait(c.ID)))
		size := 0
		for _, op := range ops {
			size += len(op.KeyBytes()) + len(op.ValueBytes())
		}
		if n > 0 && (len(then)+len(ops)+len(dims)+len(c.Pools)+1 > maxOps || len(g)+2*len(ops) > maxOps ||
			bytes+size > maxBytes) {
			break
		}
		for _, dim := range k.l.guarded(c) {
			dims[dim] = true
		}
		g.unchanged(k.s.keys.claim(c.ID), seat.revision)
		k.l.guard(g, c, k.base)
		k.l.guardNesting(g, seat.Within, c.ID)
		then, bytes, n = append(then, ops...), bytes+size, n+1
		k.records = append(k.records, next)
	}
	k.epochs = k.l.nextEpochs(claims[:n])
	then = append(then, k.l.epochPuts(k.epochs)...)
	resp, _, err := k.s.commit(ctx, "admit",
		txn{compare: g.list(), then: then, otherwise: []clientv3.Op{clientv3.OpGet(k.s.keys.gate())}})
	return n, resp, err
}

// done notes grants that are written.
func (k *gatekeeper) done(claims []*backend.Claim, revision int64) {
	k.l.keepEpochs(k.epochs, revision)
	for i, c := range claims {
		seat := k.l.seats[c.ID]
		seat.settle(c)
		seat.revision, seat.Grant = revision, &grant{Slots: c.Grant.Slots, At: c.Grant.GrantedAt, Index: int64(i)}
		c.Grant.Token = seat.Grant.token(revision)
		for _, dim := range k.l.guarded(c) {
			k.bases[dim] = revision
		}
		for pool, slots := range c.Pools {
			if p, _ := k.l.settings.Pool(pool); p.Rate != nil {
				at := boot.Now() // the rule has noted it when it decided
				k.l.cools[coolKey{pool, c.ID}] = coolStart{slots, at}
				k.l.state.ForgetStart(pool, c.ID)
				k.l.state.HoldStart(pool, c.ID, slots, at)
			}
		}
	}
}

// tell tells the claims of this process that they are granted, before their watches do.
func (k *gatekeeper) tell(claims []*backend.Claim, revision int64) {
	for i, c := range claims {
		k.gate.granted(c.ID, &mvccpb.KeyValue{Key: []byte(k.s.keys.claim(c.ID)), Value: []byte(k.records[i]),
			ModRevision: revision, Lease: k.l.seats[c.ID].lease})
	}
}

// undo puts claims back whose grant was not written.
func (k *gatekeeper) undo(claims []*backend.Claim) {
	for _, c := range claims {
		for pool := range c.Pools {
			if _, written := k.l.cools[coolKey{pool, c.ID}]; !written {
				k.l.state.ForgetStart(pool, c.ID)
			}
		}
		k.l.sit(k.l.seats[c.ID])
	}
}

// refuseImpossible is the transaction "refuse", for each waiting claim that the limits have made impossible. It tells
// whether all were written: false where something has changed meanwhile.
func (k *gatekeeper) refuseImpossible(ctx context.Context) (bool, error) {
	for _, refusal := range k.l.state.Refuse() {
		seat := k.l.seats[refusal.Claim.ID]
		r := seat.record
		r.Refused = refusal.Err
		g := guards{}
		g.unchanged(k.s.keys.gate(), k.revision)
		g.unchanged(k.s.keys.settings(), k.l.settingsRevision)
		g.unchanged(k.s.keys.claim(seat.id), seat.revision)
		then := []clientv3.Op{
			clientv3.OpPut(k.s.keys.claim(seat.id), rewrite(seat.value, r),
				clientv3.WithLease(clientv3.LeaseID(seat.lease))),
			clientv3.OpDelete(k.s.keys.wait(seat.id)),
		}
		resp, _, err := k.s.commit(ctx, "refuse", txn{compare: g.list(), then: then})
		if err != nil || !resp.Succeeded {
			return false, err
		}
	}
	k.refuse = false
	return true, nil
}

// leave is the transaction "hand over" to the last in order, the one that will wait longest; "shut" where nobody waits.
func (k *gatekeeper) leave(ctx context.Context) {
	for l := k.l; ctx.Err() == nil; {
		if l == nil {
			var err error
			if l, err = k.s.readState(ctx); err != nil {
				return
			}
			if !k.owns(l) {
				return
			}
		}
		name, t := k.leaving(l)
		resp, _, err := k.s.commit(ctx, name, t)
		if err != nil || resp.Succeeded {
			return
		}
		l = nil // read again: somebody has come or gone
	}
}

func (k *gatekeeper) leaving(l *ledger) (name string, t txn) {
	keys, g := k.s.keys, guards{}
	g.unchanged(keys.gate(), k.revision)
	// ours have left, though we may not see it yet
	next := l.lastWaiting(func(s *seat) bool { return k.s.ours(s.lease) })
	if next == nil {
		g.nothingAdded(keys.waits(), l.revision)
		return "shut", txn{compare: g.list(), then: []clientv3.Op{clientv3.OpDelete(keys.gate())}}
	}
	g.unchanged(keys.claim(next.id), next.revision)
	return "hand over", txn{compare: g.list(), then: []clientv3.Op{
		clientv3.OpPut(keys.gate(), gateSign(), clientv3.WithLease(k.lease)),
		clientv3.OpPut(keys.turn(next.id), "", clientv3.WithLease(clientv3.LeaseID(next.lease))),
	}}
}
