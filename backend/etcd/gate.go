package etcd

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend/etcd/boot"
)

// The gate is kept under a lease of its own, short, so that a gatekeeper that dies is soon replaced.
const (
	gateTTL    = 4 * time.Second
	gateRenew  = time.Second
	gateJitter = 300 * time.Millisecond
)

// handOver bounds the passing on of the gate; after it the gate passes on by itself, when its lease ends.
const handOver = 3 * time.Second

// gate is this process's part in keeping the gate: while claims of it wait, it takes the gate when nobody has it, or
// when its turn has come, and is the gatekeeper until none of its claims waits any more.
type gate struct {
	s       *Store
	changed chan struct{}
	turns   chan int64

	retry backoff // of the goroutine

	mu      sync.Mutex
	members map[string]*entry // waiting, not aside; by the claim's id
	seen    int64             // the latest revision at which somebody has looked at the gate
	present bool
	cancel  context.CancelFunc
	closed  bool
	working sync.WaitGroup
}

func newGate(s *Store) *gate {
	return &gate{s: s, changed: make(chan struct{}, 1), turns: make(chan int64, 1), members: map[string]*entry{}}
}

// enter adds a claim that waits; at revision seen, the gate had a keeper or not.
func (g *gate) enter(e *entry, seen int64, present bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.members[e.id] = e
	if seen > g.seen {
		g.seen, g.present = seen, present
	}
	if g.cancel == nil {
		ctx, cancel := context.WithCancel(context.Background())
		g.cancel = cancel
		g.working.Go(func() { g.run(ctx) })
	}
	g.signal()
}

// leave takes a claim out that does not wait any more.
func (g *gate) leave(e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.members[e.id] == e {
		delete(g.members, e.id)
	}
	g.signal()
}

func (g *gate) signal() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// turn tells that the keeper has handed the gate to a claim of ours, by writing it at this revision.
func (g *gate) turn(_ *entry, revision int64) {
	select {
	case <-g.turns:
	default:
	}
	select {
	case g.turns <- revision:
	default:
	}
}

// granted tells a claim of ours that it is: its own watch comes later. kv is what was written.
func (g *gate) granted(id string, kv *mvccpb.KeyValue) {
	g.mu.Lock()
	e := g.members[id]
	g.mu.Unlock()
	if e != nil {
		e.observe(kv)
	}
}

// close passes the gate on if it is ours, and waits for that.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	if g.cancel != nil {
		g.cancel()
	}
	g.mu.Unlock()
	g.working.Wait()
}

func (g *gate) needed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members) > 0 && !g.closed
}

func (g *gate) looked() (seen int64, present bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen, g.present
}

func (g *gate) look(seen int64, present bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if seen > g.seen {
		g.seen, g.present = seen, present
	}
}

// run is the one goroutine of the gate.
func (g *gate) run(ctx context.Context) {
	for ctx.Err() == nil {
		if !g.needed() {
			select {
			case <-ctx.Done():
			case <-g.changed:
			case revision := <-g.turns:
				g.takeOver(ctx, revision) // and hand it on at once
			}
			continue
		}
		if _, present := g.looked(); present {
			g.attend(ctx)
		} else {
			g.take(ctx, "gate", 0)
		}
	}
	select {
	case revision := <-g.turns:
		final, cancel := context.WithTimeout(context.WithoutCancel(ctx), handOver)
		defer cancel()
		g.takeOver(final, revision)
	default:
	}
}

// attend waits for the gate to be free or ours, looking again from time to time. It looks at deletions alone, so that
// handing the gate on wakes nobody but the next keeper.
func (g *gate) attend(ctx context.Context) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen, _ := g.looked()
	key := g.s.keys.gate()
	freed := g.s.watch(watching, key, key+"\x00", seen+1, clientv3.WithFilterPut())
	recheck := time.NewTimer(recheckAfter())
	defer recheck.Stop()
	for g.needed() {
		select {
		case <-ctx.Done():
			return
		case <-g.changed:
			if _, present := g.looked(); !present {
				return
			}
			continue
		case revision := <-g.turns:
			g.takeOver(ctx, revision)
			return
		case <-recheck.C:
		case resp, ok := <-freed:
			if ok && resp.Err() == nil && len(resp.Events) == 0 {
				continue
			}
			pause(ctx, rand.N(gateJitter)) // one of many will be first, the others see it
		}
		g.read(ctx)
		return
	}
}

// read looks at the gate again.
func (g *gate) read(ctx context.Context) {
	resp, err := g.s.get(ctx, "looking at the gate", g.s.keys.gate(), clientv3.WithKeysOnly())
	if err != nil {
		g.fails(ctx, err)
		return
	}
	g.works()
	g.look(resp.Header.Revision, len(resp.Kvs) > 0)
}

// fails tells the claims that wait why nobody is granted, and pauses: the longer the more often it has failed. false
// says that ctx has ended.
func (g *gate) fails(ctx context.Context, err error) bool {
	for _, e := range g.waiting() {
		e.fails(granting, err.Error(), time.Time{})
	}
	return pause(ctx, g.retry.next())
}

// works tells them that it goes on.
func (g *gate) works() {
	g.retry = backoff{}
	for _, e := range g.waiting() {
		e.works(granting)
	}
}

func (g *gate) waiting() []*entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.members))
}

// takeOver takes the gate that its keeper has left to us.
func (g *gate) takeOver(ctx context.Context, revision int64) { g.take(ctx, "turn", revision) }

// take writes the gate where it stands at revision, 0: where there is none, and keeps it until none of our claims
// waits.
func (g *gate) take(ctx context.Context, name string, revision int64) {
	lease, sent, err := g.s.newLease(ctx, "asking etcd for the lease of the gate", gateTTL)
	if err != nil {
		g.fails(ctx, err)
		return
	}
	guard := guards{}
	guard.unchanged(g.s.keys.gate(), revision)
	put := clientv3.OpPut(g.s.keys.gate(), gateSign(), clientv3.WithLease(lease))
	get := clientv3.OpGet(g.s.keys.gate())
	resp, _, err := g.s.commit(ctx, name,
		txn{compare: guard.list(), then: []clientv3.Op{put}, otherwise: []clientv3.Op{get}})
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return // etcd took longer to answer than the lease lasts
	case err != nil:
		g.fails(ctx, err)
		return
	}
	mine := resp.Header.Revision
	if !resp.Succeeded {
		kvs := resp.Responses[0].GetResponseRange().Kvs
		g.look(resp.Header.Revision, len(kvs) > 0)
		if len(kvs) == 0 || clientv3.LeaseID(kvs[0].Lease) != lease {
			return
		}
		mine = kvs[0].ModRevision // an earlier try has succeeded unseen
	}
	g.keep(ctx, lease, mine, sent)
}

// keep is the time as gatekeeper.
func (g *gate) keep(ctx context.Context, lease clientv3.LeaseID, revision int64, sent time.Duration) {
	keeping, stop := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		defer stop()
		g.renew(keeping, lease, sent)
	})
	k := &gatekeeper{s: g.s, gate: g, lease: lease, revision: revision}
	k.run(keeping)
	left := keeping.Err() == nil || ctx.Err() != nil
	stop()
	renewing.Wait()
	if left {
		final, cancel := context.WithTimeout(context.WithoutCancel(ctx), handOver)
		defer cancel()
		k.leave(final)
	}
	g.look(k.known(), false) // read before anything is decided on it
	g.read(ctx)
}

// renew renews the lease of the gate until ctx ends, or the lease has or may have.
func (g *gate) renew(ctx context.Context, lease clientv3.LeaseID, sent time.Duration) {
	r := g.s.newRenewer(lease)
	defer r.close()
	wait := gateRenew
	for pause(ctx, wait) {
		at, err := r.renew(ctx, gateRenew)
		switch {
		case err == nil:
			sent, wait = at, gateRenew
		case errors.Is(err, errLeaseGone) || boot.Now() > sent+gateTTL:
			return
		default:
			wait = firstPause
		}
	}
}

// gateSign is the value of gate: which process keeps it, for people who look. Nothing is decided by it.
func gateSign() string {
	host, _ := os.Hostname() // "": not known
	return encode(struct {
		Host string `json:"host,omitempty"`
		PID  int    `json:"pid"`
	}{host, os.Getpid()})
}
