package etcd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/backend/etcd/boot"
)

// maxSelfGrants is how often a newcomer tries to grant itself while others do the same, before it lets the gatekeeper
// decide.
const maxSelfGrants = 3

// cleaning bounds what is done to withdraw a claim whose context has ended.
const cleaning = 3 * time.Second

// Enter puts the claim before the limits. A newcomer that nobody waits ahead of grants itself, in the transaction
// "grant"; otherwise it becomes a waiter with "wait", and the gatekeeper grants it.
func (s *Store) Enter(ctx context.Context, c backend.Claim, o backend.EnterOptions) (backend.Entry, error) {
	e := newEntry(s, c, o)
	if err := e.enter(ctx); err != nil {
		e.abandon(ctx)
		return nil, err
	}
	return e, nil
}

// enter is Enter. Who asks for it abandons the claim where it fails.
func (e *entry) enter(ctx context.Context) error {
	if n := len(e.claim.Pools); n > maxDimensions {
		return fmt.Errorf("a claim asks for %d pools, etcd takes %d at most in one grant; ask for fewer", n,
			maxDimensions)
	}
	err := e.arriveAndSettle(ctx)
	for errors.Is(err, rpctypes.ErrLeaseNotFound) && e.outlived(ctx) {
		err = e.arriveAndSettle(ctx)
	}
	if err == nil && e.options.Replace && !e.held {
		err = e.replace(ctx)
	}
	if err != nil {
		return err
	}
	e.start(ctx)
	return nil
}

func (e *entry) arriveAndSettle(ctx context.Context) error {
	v, err := e.arrive(ctx)
	if err != nil {
		return err
	}
	return e.settle(ctx, v)
}

// outlived reports whether the lease that the claim has joined has ended, which nobody had noticed.
func (e *entry) outlived(ctx context.Context) bool {
	lives, err := e.askLease(ctx)
	if err != nil || lives {
		return false
	}
	e.session.end("its lease has ended")
	return true
}

// view is what a newcomer has read: of the limits that concern it, who holds them, and whether anybody waits.
type view struct {
	*ledger
	waiter  string // one who waits; "": nobody does
	unknown bool   // a limit has more holders than were read, and no epoch says how much they use
	gate    bool
	own     *mvccpb.KeyValue // its own record: a transaction that seemed to fail has succeeded

	few   map[string][]string // holders of each dimension, as many as were read
	first bool                // some slots are of the first releases
}

// arrive gets the lease and reads, at the same time. A claim that was taken over has its lease.
func (e *entry) arrive(ctx context.Context) (*view, error) {
	if e.session != nil {
		if err := e.rejoin(ctx); err != nil {
			return nil, err
		}
		return e.look(ctx)
	}
	type leased struct {
		n   *session
		err error
	}
	joined := make(chan leased, 1)
	go func() {
		n, err := e.s.join(ctx)
		joined <- leased{n, err}
	}()
	v, err := e.look(ctx)
	j := <-joined
	if j.err != nil {
		return nil, j.err
	}
	e.session = j.n
	return v, err
}

// look reads what a newcomer has to know.
func (e *entry) look(ctx context.Context) (*view, error) {
	var resp *clientv3.TxnResponse
	_, err := e.s.call(ctx, "reading the limits", func(ctx context.Context) (err error) {
		resp, err = e.s.client.Txn(ctx).Then(e.reads()...).Commit()
		return err
	})
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
	for _, id := range e.claim.Ancestors {
		ops = append(ops, clientv3.OpGet(k.claim(id)))
	}
	if w := e.claim.Within; w != nil {
		ops = append(ops, clientv3.OpGet(k.claim(w.Claim)), clientv3.OpGet(k.claim(w.Run)),
			clientv3.OpGet(k.slots(dimRun(w.Run)), clientv3.WithPrefix(), clientv3.WithLimit(1)))
	}
	for _, pool := range slices.Sorted(maps.Keys(e.claim.Pools)) {
		ops = append(ops, k.holders(dimPool(pool))...)
		ops = append(ops, clientv3.OpGet(k.cools(pool), clientv3.WithPrefix()))
	}
	switch w := e.claim.Within; {
	case e.claim.Runs == 0:
	case w == nil:
		ops = append(ops, k.holders(dimRuns)...)
	default: // whose run has a slot of the queue needs none of its own
		alone := clientv3.Compare(clientv3.CreateRevision(k.slot(dimRuns, w.Run)), "=", 0)
		limited := clientv3.Compare(clientv3.CreateRevision(k.queue()), ">", 0)
		ops = append(ops, clientv3.OpTxn([]clientv3.Cmp{alone, limited}, k.holders(dimRuns), nil))
	}
	if len(ops) <= maxOps {
		return ops
	}
	return []clientv3.Op{clientv3.OpTxn(nil, ops[:maxOps], nil), clientv3.OpTxn(nil, ops[maxOps:], nil)}
}

// holders reads the epoch of a dimension, and the first of its holders; where there is an epoch, they show whether the
// first releases hold slots that it does not count. These reads are in no transaction of their own, for which etcd
// would have to agree on a change and write it to its disk.
func (k keyspace) holders(dim string) []clientv3.Op {
	return []clientv3.Op{clientv3.OpGet(k.epoch(dim)),
		clientv3.OpGet(k.slots(dim), clientv3.WithPrefix(), clientv3.WithLimit(fewHolders+1))}
}

// view takes the answers to reads apart.
func (e *entry) view(resp *clientv3.TxnResponse) (*view, error) {
	ranges := flatten(resp.Responses)
	l, err := newLedger(e.s.keys, ranges[0].Kvs, resp.Header.Revision)
	if err != nil {
		return nil, err
	}
	v := &view{ledger: l, gate: len(ranges[2].Kvs) > 0, few: map[string][]string{}}
	if len(ranges[1].Kvs) > 0 {
		v.waiter = e.s.keys.waiterOf(string(ranges[1].Kvs[0].Key))
	}
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
	v.countUnread(&e.claim)
	l.rebuild()
	return v, nil
}

// noteSlot takes a slot for the claim that holds it: the record is the same.
func (v *view) noteSlot(kv *mvccpb.KeyValue) error {
	id, dim, ok := v.keys.holder(string(kv.Key))
	if !ok {
		return v.note(kv)
	}
	v.few[dim] = append(v.few[dim], id)
	v.first = v.first || v.keys.slot(dim, id) != string(kv.Key)
	return v.noteClaim(id, kv)
}

// countUnread lets epochs count in place of the holders of dimensions that have too many to be read.
func (v *view) countUnread(c *backend.Claim) {
	for _, dim := range dimensions(c) {
		switch {
		case len(v.few[dim]) <= fewHolders && v.epochs[dim] == nil:
		case !slices.Contains(v.guarded(c), dim):
			v.unread[dim] = &epoch{} // nothing limits it
		case v.first || v.epochOf(dim) == nil || !v.summed(dim) || dim == dimRuns && v.tagLimited(c):
			v.unknown = true
		default:
			v.unread[dim] = v.epochs[dim].clone()
		}
	}
	for id, s := range v.seats {
		if s.Grant == nil {
			delete(v.seats, id) // an ancestor that does not hold
			continue
		}
		for dim, e := range v.unread {
			switch held := s.claim(); {
			case !takes(held, dim):
			case slices.Contains(c.Ancestors, id), c.Within != nil && (id == c.Within.Claim || id == c.Within.Run):
				e.add(dim, held, -1) // it is counted as itself
			default:
				s.without(dim)
			}
		}
	}
}

// without takes a dimension out of what the claim is seen to hold.
func (s *seat) without(dim string) {
	pool, ok := poolOf(dim)
	if !ok {
		s.Runs = 0
		return
	}
	s.Pools = maps.Clone(s.Pools)
	delete(s.Pools, pool)
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
		e.remembered, e.survey = v.settings.Remembered(), v.settings.Survey(&e.claim)
		e.capacities = v.settings.Capacities(e.claim.Pools, e.claim.Runs)
		e.told = v.settings.Conceal(e.claim).Brief()
		if v.own != nil {
			return e.adopt(v)
		}
		if err := v.state.Check(&e.claim); err != nil {
			return err
		}
		l := v.ledger
		alone := v.waiter == ""
		if e.options.NoWait && !alone || alone && v.unknown || e.options.Replace && (v.unknown || len(v.unread) > 0) {
			var err error
			if l, err = e.s.readState(ctx); err != nil {
				return err
			}
		}
		if e.options.NoWait || alone && try < maxSelfGrants {
			c, blocks := e.judge(l)
			if c == nil && e.options.NoWait && len(l.unread) > 0 { // an epoch may count some who are gone
				var err error
				if l, err = e.s.readState(ctx); err != nil {
					return err
				}
				c, blocks = e.judge(l)
			}
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
		e.mu.Lock()
		e.arrived = v
		e.mu.Unlock()
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

// blocks are the limits that a claim does not fit in as they were read. The holders of one that has many are the first
// few.
func (v *view) blocks(c backend.Claim) []backend.Block {
	c.Seq, c.Grant = v.revision+1, nil
	now := boot.Now()
	v.state.Wait(&c, now)
	blocks := v.state.BlocksOf(c.ID, now)
	for i, b := range blocks {
		dim := dimRuns
		if pool, ok := strings.CutPrefix(b.Limit, backend.StoreNames().Pool); ok {
			dim = dimPool(pool)
		}
		if v.unread[dim] != nil {
			blocks[i].By = v.few[dim]
		}
	}
	return blocks
}

// findFew reads the first holders of the dimensions whose epoch was read, to be named.
func (e *entry) findFew(ctx context.Context, v *view) error {
	for dim := range v.unread {
		resp, err := e.s.get(ctx, "reading who holds", v.keys.slots(dim), clientv3.WithPrefix(),
			clientv3.WithLimit(backend.MaxParties))
		if err != nil {
			return err
		}
		v.few[dim] = nil
		for _, kv := range resp.Kvs {
			id, _, _ := v.keys.holder(string(kv.Key))
			s, err := readSeat(id, kv)
			if err != nil {
				return err
			}
			v.few[dim] = append(v.few[dim], id)
			if v.state.Claim(id) == nil {
				s.Pools, s.Runs = nil, 0 // its slots are counted
				v.state.Hold(s.claim(), 0)
			}
		}
	}
	return nil
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
		concealed := l.settings.Conceal(*l.described(c))
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
	l.guardNesting(guard, e.claim.Within, e.id)
	r := recordOf(c)
	r.Seq, r.Grant = e.claim.Seq, &g
	about := clientv3.OpPut(e.s.keys.about(e.id), encode(e.told), clientv3.WithLease(e.session.lease))
	epochs := l.nextEpochs([]*backend.Claim{c})
	then := append(l.puts(c, encode(r), e.session.lease, cools), about)
	resp, unsure, err := e.s.commit(ctx, "grant", txn{
		compare:   guard.list(),
		then:      append(then, l.epochPuts(epochs)...),
		otherwise: e.reads(),
	})
	e.unsure = e.unsure || unsure
	if err != nil {
		return nil, fmt.Errorf("entering the claim: %w", err)
	}
	if !resp.Succeeded {
		return e.view(resp)
	}
	for _, written := range epochs {
		if written != nil {
			written.revision = resp.Header.Revision
		}
	}
	e.epochs = epochs
	e.holdFrom(&r, resp.Header.Revision, resp.Header.Revision)
	return nil, nil
}

// wait is the transaction "wait". It returns what it has read instead where the limits have changed or an earlier try
// has succeeded.
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

// adopt takes the own record that was found for what it says, if it is our own: written by a try whose outcome was
// unknown.
func (e *entry) adopt(v *view) error {
	if !e.unsure || clientv3.LeaseID(v.own.Lease) != e.session.lease {
		return fmt.Errorf("claim %s has entered already; an id is for one claim", e.id)
	}
	seat, err := readSeat(e.id, v.own)
	if err != nil {
		return err
	}
	if seat.Gone {
		return fmt.Errorf("claim %s was given up; ask with another", e.id)
	}
	e.gateSeen = v.gate
	e.reserveAfter = v.settings.Reserve()
	if seat.Grant != nil {
		e.holdFrom(&seat.record, seat.revision, v.revision)
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision, e.claim.Seq, e.seen, e.aside = seat.revision, seat.Seq, v.revision, seat.Aside
	if seat.Refused != nil {
		e.over = true
		e.mail.Post(backend.Event{Kind: backend.Refused, Err: seat.Refused})
	}
	return nil
}

// replace asks those in the way of a claim that waits now to stop, or to leave. Of two that come at once the later sees
// the earlier.
func (e *entry) replace(ctx context.Context) error {
	l, err := e.s.readState(ctx)
	if err != nil {
		return err
	}
	c := l.state.Claim(e.id)
	if c == nil || c.Grant != nil {
		return nil
	}
	for _, other := range l.state.InTheWay(c) {
		if err := ignoreNotFound(e.s.Cancel(ctx, other.ID, "replaced by "+e.told.Name)); err != nil {
			return err
		}
	}
	return nil
}
