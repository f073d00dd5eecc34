package etcd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/backend/etcd/boot"
)

// maxSelfGrants is how often a newcomer tries to grant itself while others do the same, before it lets the gatekeeper decide.
const maxSelfGrants = 3

// cleaning bounds what is done to withdraw a claim whose context has ended.
const cleaning = 3 * time.Second

// Enter puts the claim before the limits. A newcomer that nobody waits ahead of grants itself, in the transaction "grant"; otherwise it
// becomes a waiter with "wait", and the gatekeeper grants it.
func (s *Store) Enter(ctx context.Context, c backend.Claim, o backend.EnterOptions) (backend.Entry, error) {
	if n := len(c.Pools); n > maxDimensions {
		return nil, fmt.Errorf("a claim asks for %d pools, etcd takes %d at most in one grant; ask for fewer", n, maxDimensions)
	}
	c.Seq, c.Grant = 0, nil
	e := newEntry(s, c, o)
	v, err := e.arrive(ctx)
	if err == nil {
		err = e.settle(ctx, v)
	}
	if err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaning)
		defer cancel()
		e.abandon(cleanup)
		return nil, err
	}
	e.start(ctx)
	return e, nil
}

// view is what a newcomer has read: of the limits that concern it, who holds them, and whether anybody waits.
type view struct {
	*ledger
	waiters bool
	gate    bool
	own     *mvccpb.KeyValue // its own record: a transaction that seemed to fail has succeeded
}

// arrive gets the lease and reads, at the same time.
func (e *entry) arrive(ctx context.Context) (*view, error) {
	type leased struct {
		n   *session
		err error
	}
	joined := make(chan leased, 1)
	go func() {
		n, err := e.s.join(ctx)
		joined <- leased{n, err}
	}()
	var resp *clientv3.TxnResponse
	_, err := e.s.call(ctx, "reading the limits", func(ctx context.Context) error {
		r, err := e.s.client.Txn(ctx).Then(e.reads()...).Commit()
		resp = r
		return err
	})
	j := <-joined
	if j.err != nil {
		return nil, j.err
	}
	e.session = j.n
	if err != nil {
		return nil, err
	}
	return e.view(resp)
}

// reads are the reads of a newcomer, the same at arrival and where its grant fails.
func (e *entry) reads() []clientv3.Op {
	k := e.s.keys
	ops := []clientv3.Op{
		clientv3.OpGet(k.settings()),
		clientv3.OpGet(k.waits(), clientv3.WithPrefix(), clientv3.WithLimit(1), clientv3.WithKeysOnly()),
		clientv3.OpGet(k.gate(), clientv3.WithKeysOnly()),
		clientv3.OpGet(k.claim(e.id)),
	}
	for _, pool := range slices.Sorted(maps.Keys(e.claim.Pools)) {
		ops = append(ops, clientv3.OpGet(k.slots(dimPool(pool)), clientv3.WithPrefix()),
			clientv3.OpGet(k.cools(pool), clientv3.WithPrefix()))
	}
	if e.claim.Runs > 0 {
		limited := clientv3.Compare(clientv3.CreateRevision(k.queue()), ">", 0)
		ops = append(ops, clientv3.OpTxn([]clientv3.Cmp{limited}, []clientv3.Op{clientv3.OpGet(k.slots(dimRuns), clientv3.WithPrefix())}, nil))
	}
	return ops
}

// view takes the answers to reads apart.
func (e *entry) view(resp *clientv3.TxnResponse) (*view, error) {
	ranges := flatten(resp.Responses)
	l, err := newLedger(e.s.keys, ranges[0].Kvs, resp.Header.Revision)
	if err != nil {
		return nil, err
	}
	v := &view{ledger: l, waiters: len(ranges[1].Kvs) > 0, gate: len(ranges[2].Kvs) > 0}
	if len(ranges[3].Kvs) > 0 {
		v.own = ranges[3].Kvs[0]
	}
	for _, r := range ranges[4:] {
		for _, kv := range r.Kvs {
			if err := v.noteSlot(kv); err != nil {
				return nil, err
			}
		}
	}
	l.rebuild()
	return v, nil
}

// noteSlot takes a slot for the claim that holds it: the record is the same.
func (v *view) noteSlot(kv *mvccpb.KeyValue) error {
	if id, ok := v.keys.holder(string(kv.Key)); ok {
		return v.noteClaim(id, kv)
	}
	return v.note(kv)
}

// flatten lists the answers to reads, those of nested transactions too.
func flatten(responses []*pb.ResponseOp) []*pb.RangeResponse {
	var ranges []*pb.RangeResponse
	for _, r := range responses {
		if t := r.GetResponseTxn(); t != nil {
			ranges = append(ranges, flatten(t.Responses)...)
		} else if g := r.GetResponseRange(); g != nil {
			ranges = append(ranges, g)
		}
	}
	return ranges
}

// settle brings the claim into the store, held or waiting.
func (e *entry) settle(ctx context.Context, v *view) error {
	for try := 0; ; try++ {
		e.remembered, e.unset = v.settings.Remembered(), v.settings.Unset(e.claim.Pools)
		e.told = v.settings.Conceal(e.claim)
		if v.own != nil {
			return e.adopt(v)
		}
		if err := v.state.Check(&e.claim); err != nil {
			return err
		}
		l := v.ledger
		if v.waiters && e.options.NoWait {
			var err error
			if l, err = e.s.readState(ctx); err != nil {
				return err
			}
		}
		if e.options.NoWait || (!v.waiters && try < maxSelfGrants) {
			c, blocks := e.judge(l)
			switch {
			case c != nil:
				next, err := e.grantSelf(ctx, l, c)
				if err != nil || next == nil {
					return err
				}
				v = next
				continue
			case e.options.NoWait:
				return &backend.BusyError{Obstacles: e.s.nameParties(ctx, l, blocks)}
			}
		}
		if e.options.Replace {
			if err := e.replace(ctx, v); err != nil {
				return err
			}
		}
		next, err := e.wait(ctx, v)
		if err != nil || next == nil {
			return err
		}
		v = next
	}
}

// judge asks the rule: the claim with its Grant if it is admitted now, else what blocks it.
func (e *entry) judge(l *ledger) (*backend.Claim, []backend.Block) {
	c := e.claim
	c.Seq = l.revision + 1 // behind everybody who is there
	now := boot.Now()
	l.state.Wait(&c, now)
	if granted := l.state.Advance(now); slices.Contains(granted, &c) {
		return &c, nil
	}
	return nil, l.state.BlocksOf(c.ID, now)
}

// nameParties reads who the claims are that stand in the way: what is not to be read is not told.
func (s *Store) nameParties(ctx context.Context, l *ledger, blocks []backend.Block) backend.Obstacles {
	ids := backend.PartyIDs(blocks)
	ids = ids[:min(len(ids), maxDimensions)]
	reads := make([]clientv3.Op, len(ids))
	for i, id := range ids {
		reads[i] = clientv3.OpGet(s.keys.about(id))
	}
	var resp *clientv3.TxnResponse
	_, err := s.call(ctx, "reading who holds", func(ctx context.Context) (err error) {
		resp, err = s.client.Txn(ctx).Then(reads...).Commit()
		return err
	})
	if err != nil {
		return backend.Obstacles{Blocks: blocks}
	}
	for i, r := range flatten(resp.Responses) {
		if len(r.Kvs) > 0 {
			l.abouts[ids[i]] = r.Kvs[0].Value
		}
	}
	return backend.NewObstacles(blocks, 0, func(id string) *backend.Claim {
		c := l.state.Claim(id)
		if c == nil {
			return nil
		}
		described, err := l.described(c)
		if err != nil {
			return nil
		}
		concealed := l.settings.Conceal(*described)
		return &concealed
	})
}

// grantSelf is the transaction "grant". It returns what it has read instead where somebody else was faster.
func (e *entry) grantSelf(ctx context.Context, l *ledger, c *backend.Claim) (*view, error) {
	cools, err := e.s.leaseStarts(ctx, l, c)
	if err != nil {
		return nil, err
	}
	guard, g := guards{}, grant{Slots: c.Grant.Slots, At: time.Now()}
	guard.unchanged(e.s.keys.claim(e.id), 0)
	guard.nothingAdded(e.s.keys.waits(), l.revision) // who came to wait meanwhile was there before us
	l.guard(guard, c, func(string) int64 { return l.revision })
	r := recordOf(&e.claim)
	r.Grant = &g
	about := clientv3.OpPut(e.s.keys.about(e.id), encode(e.told), clientv3.WithLease(e.session.lease))
	resp, unsure, err := e.s.commit(ctx, "grant", txn{
		compare:   guard.list(),
		then:      append(l.puts(c, encode(r), e.session.lease, cools), about),
		otherwise: e.reads(),
	})
	e.unsure = e.unsure || unsure
	if err != nil {
		return nil, fmt.Errorf("entering the claim: %w", err)
	}
	if !resp.Succeeded {
		return e.view(resp)
	}
	e.holdFrom(&g, resp.Header.Revision, resp.Header.Revision)
	return nil, nil
}

// wait is the transaction "wait". It returns what it has read instead where the limits have changed or an earlier try has succeeded.
func (e *entry) wait(ctx context.Context, v *view) (*view, error) {
	g := guards{}
	g.unchanged(e.s.keys.claim(e.id), 0)
	g.unchanged(e.s.keys.settings(), v.settingsRevision)
	resp, unsure, err := e.s.commit(ctx, "wait", txn{compare: g.list(), then: e.waitPuts(), otherwise: e.reads()})
	e.unsure = e.unsure || unsure
	if err != nil {
		return nil, fmt.Errorf("queueing the claim: %w", err)
	}
	if !resp.Succeeded {
		return e.view(resp)
	}
	e.waitFrom(resp)
	e.reserveAfter = v.settings.Reserve()
	return nil, nil
}

// waitPuts write a waiting claim and look for the gate.
func (e *entry) waitPuts() []clientv3.Op {
	k, lease := e.s.keys, clientv3.WithLease(e.session.lease)
	r := recordOf(&e.claim)
	r.Aside = e.aside
	ops := []clientv3.Op{
		clientv3.OpGet(k.gate(), clientv3.WithKeysOnly()),
		clientv3.OpPut(k.about(e.id), encode(e.told), lease),
		clientv3.OpPut(k.claim(e.id), encode(r), lease),
	}
	if !e.aside {
		ops = append(ops, clientv3.OpPut(k.wait(e.id), "", lease))
	}
	return ops
}

// waitFrom notes that the claim waits since a transaction.
func (e *entry) waitFrom(resp *clientv3.TxnResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision = resp.Header.Revision
	if e.claim.Seq == 0 {
		e.claim.Seq = resp.Header.Revision
	}
	e.seen = resp.Header.Revision
	e.gateSeen = len(resp.Responses[0].GetResponseRange().Kvs) > 0
}

// adopt takes the own record that was found for what it says, if it is our own: written by a try whose outcome was unknown.
func (e *entry) adopt(v *view) error {
	if !e.unsure || clientv3.LeaseID(v.own.Lease) != e.session.lease {
		return fmt.Errorf("claim %s has entered already; an id is for one claim", e.id)
	}
	seat, err := readSeat(e.id, v.own)
	if err != nil {
		return err
	}
	e.gateSeen = v.gate
	e.reserveAfter = v.settings.Reserve()
	if seat.Grant != nil {
		e.holdFrom(seat.Grant, seat.revision, v.revision)
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision, e.claim.Seq, e.seen = seat.revision, seat.Seq, v.revision
	return nil
}

// replace asks the oldest holders in the way to stop.
func (e *entry) replace(ctx context.Context, v *view) error {
	for _, holder := range v.state.InTheWay(&e.claim) {
		if err := ignoreNotFound(e.s.Cancel(ctx, holder.ID, "replaced by "+e.told.Name)); err != nil {
			return err
		}
	}
	return nil
}
