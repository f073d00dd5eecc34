package etcd

import (
	"context"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/backend/etcd/keeper"
)

// entry is a claim of this process. One goroutine follows its keys from Enter to Release.
type entry struct {
	s       *Store
	id      string
	options backend.EnterOptions
	mail    *keeper.Mailbox

	seen         int64         // the revision that the goroutine watches from; its own
	reserveAfter time.Duration // its own
	entered      time.Time

	told       backend.Claim     // what others are told of the claim
	epochs     map[string]*epoch // that its grant has written, where it granted itself
	arrived    *view             // what it had read when it began to wait; nil: used
	remembered int               // how many ended claims the store is to remember
	capacities map[string]int    // of its limits, when it entered
	survey     backend.Survey    // of its limits, when it entered

	mu        sync.Mutex
	stay      backend.Stay
	session   *session // changed by the goroutine alone, which may read it unlocked
	claim     backend.Claim
	asks      backend.Claim // as it entered
	revision  int64         // of the record as known here
	value     []byte        // of the record as somebody else has written it last; nil: nobody has
	doubted   *record       // came when the lease had nearly run out: not told yet
	gateSeen  bool          // the gate had a keeper when the claim began to wait
	aside     bool
	held      bool
	lost      bool // its loss was told; it may still be kept until the owner has released
	over      bool // cancelled or refused while waiting: it has left
	unsure    bool // a transaction of Enter may still arrive
	again     bool // it was taken over: what was asked of it meanwhile is to be read
	left      bool // removing it has failed
	failing   activity
	asked     int64
	cancel    context.CancelFunc
	following sync.WaitGroup
	released  sync.Once
}

var _ backend.Entry = (*entry)(nil)
var _ backend.Surveyed = (*entry)(nil)

// activity is what a process does for a claim, and what may fail: several at once.
type activity int

const (
	renewing activity = 1 << iota // the lease
	reading                       // the claim's own keys, and writing them
	granting                      // as the gatekeeper, or to become it
)

func newEntry(s *Store, c backend.Claim, o backend.EnterOptions) *entry {
	c.Seq, c.Grant, c.Replaces = 0, nil, o.Replace
	e := &entry{s: s, id: c.ID, options: o, claim: c, asks: c, mail: keeper.NewMailbox(), entered: time.Now()}
	e.stay.Enter()
	return e
}

// start begins to follow the claim, once it is in the store.
func (e *entry) start(ctx context.Context) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e.cancel = cancel
	e.session.subscribe(e)
	if e.waiting() && !e.aside {
		e.s.gate.enter(e, e.seen, e.gateSeen)
	}
	e.following.Go(func() { e.follow(running) })
	if e.options.WatchBlocks {
		e.following.Go(func() { e.watchBlocks(running) })
	}
}

// Claim returns the claim as it stands.
func (e *entry) Claim() backend.Claim {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.claim
}

// Started implements backend.Entry. The server that owns this entry watches the process, see charge.
func (e *entry) Started(...int) {}

// Events tells what happens to the claim.
func (e *entry) Events() <-chan backend.Event { return e.mail.Events() }

// Survey implements backend.Surveyed.
func (e *entry) Survey() backend.Survey { return e.survey }

// Obstacles tells what stands in the way of the claim, the first time from what was read on entering. Its place in the
// order is not read.
func (e *entry) Obstacles(ctx context.Context) (backend.Obstacles, error) {
	if !e.waiting() {
		return backend.Obstacles{}, nil
	}
	e.mu.Lock()
	v := e.arrived
	e.arrived = nil
	e.mu.Unlock()
	if v == nil {
		var err error
		if v, err = e.look(ctx); err != nil {
			return backend.Obstacles{}, err
		}
	}
	if err := e.findFew(ctx, v); err != nil {
		return backend.Obstacles{}, err
	}
	if blocks := v.blocks(e.claim); len(blocks) > 0 {
		return e.s.nameParties(ctx, v.ledger, blocks), nil
	}
	s, err := e.s.Snapshot(ctx) // it waits behind others: who they are says the order
	if err != nil {
		return backend.Obstacles{}, err
	}
	return s.Obstacles(e.id), nil
}

// Inherit is nil: a lease is kept by a process that renews it, not by a descriptor. See the keeper.
func (e *entry) Inherit() *os.File { return nil }

// holdFrom notes that the claim is held since a revision.
func (e *entry) holdFrom(r *record, revision, seen int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision, e.seen = revision, seen
	if e.claim.Seq == 0 {
		e.claim.Seq = revision
	}
	e.grantedLocked(r)
}

// grantedLocked takes over the grant of a record, which is the last known, and what it settles.
func (e *entry) grantedLocked(r *record) {
	e.held, e.aside, e.doubted = true, false, nil
	e.worksLocked(reading | granting)
	e.stay.Grant()
	e.claim.Follow((&seat{record: *r, id: e.id, revision: e.revision}).claim())
	e.mail.Post(backend.Event{Kind: backend.Granted})
}

// fails tells the owner that the store fails: once, until everything works again. What a held claim needs is its lease
// alone; killBy is the moment by which that has to be renewed.
func (e *entry) fails(what activity, reason string, killBy time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over || e.held && what != renewing {
		return
	}
	if e.failing == 0 {
		e.mail.Post(backend.Event{Kind: backend.Unreachable, Reason: reason, KillBy: killBy})
	}
	e.failing |= what
}

// works tells the owner once that the store works again.
func (e *entry) works(what activity) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.worksLocked(what)
}

func (e *entry) worksLocked(what activity) {
	was := e.failing
	e.failing &^= what
	if was != 0 && e.failing == 0 && !e.over {
		e.mail.Post(backend.Event{Kind: backend.Reachable})
	}
}

// lose tells the owner of a held claim, once, that it is lost. A waiting claim has nothing to lose: it enters again.
func (e *entry) lose(reason string, killBy time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.held || e.lost {
		return
	}
	e.lost = true
	if killBy.IsZero() {
		killBy = time.Now()
	}
	e.mail.Post(backend.Event{Kind: backend.Lost, Reason: reason, KillBy: killBy})
}

// waiting reports whether the claim is in the store and not held.
func (e *entry) waiting() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.held && !e.over
}

// Conclude implements backend.Entry.
func (e *entry) Conclude(o backend.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stay.Conclude(o)
}

// lostPatience bounds the release of a claim that is lost.
const lostPatience = time.Second

// Release gives the claim back: with the lease where it is the last claim on it, else by deleting its keys.
func (e *entry) Release(ctx context.Context) error {
	var err error
	e.released.Do(func() {
		e.cancel()
		e.following.Wait()
		e.s.gate.leave(e)
		if e.waiting() && !e.aside && !e.session.isGone() {
			e.withdraw(ctx, e.revision) // for the turn; whatever it finds, all is removed below
		}
		e.session.unsubscribe(e)
		e.mail.Close()
		past := e.stay.End(&e.claim)
		past.Met(e.capacities)
		past.Name = backend.BriefText(past.Name)
		if e.lost { // a claim that is lost, as a rule because etcd does not answer, ends without our help
			bounded, cancel := context.WithTimeout(ctx, lostPatience)
			defer cancel()
			e.remove(bounded, &past)
			return
		}
		err = e.remove(ctx, &past)
	})
	return err
}

// abandon is Release for a claim that Enter has not brought to an end. What is not removed ends with the lease.
func (e *entry) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaning)
	defer cancel()
	switch {
	case e.session == nil:
	case e.unsure:
		e.remove(ctx, nil)
	default:
		e.session.leave(ctx) // nothing was written
	}
	e.mail.Close()
}

// remove takes the claim's keys away, and adds what is to be remembered of it, if anything. The keys of a claim whose
// lease has ended are gone already.
func (e *entry) remove(ctx context.Context, past *backend.Past) error {
	if e.session.uncount() {
		var remembering sync.WaitGroup
		if past != nil {
			remembering.Go(func() { e.remember(ctx, past) })
		}
		defer remembering.Wait()
		return e.session.revoke(ctx)
	}
	if e.session.isGone() {
		return nil
	}
	return e.clear(ctx, past)
}

// clear deletes the claim's keys.
func (e *entry) clear(ctx context.Context, past *backend.Past) error {
	ops := e.s.keys.removal(&e.claim)
	if e.unsure {
		bury := clientv3.OpPut(e.s.keys.claim(e.id), encode(record{Gone: true}), clientv3.WithLease(e.session.lease))
		ops = append(e.s.keys.vacating(&e.claim), bury, clientv3.OpDelete(e.s.keys.about(e.id)),
			clientv3.OpDelete(e.s.keys.wait(e.id)))
	}
	if past != nil {
		ops = append(ops, e.s.pastOps(*past)...)
	}
	resp, _, err := e.s.commit(ctx, "release", e.withoutUs(txn{then: ops}))
	if err == nil {
		e.s.trimPasts(ctx, resp, e.remembered)
	}
	err = notGone(err)
	e.left = err != nil
	return err
}

// lateArrival is how long a transaction may be on its way whose sender has given it up, or has died.
const lateArrival = 5 * time.Minute

// sweep makes sure that nothing of the claim is left on a lease that others live on: a claim that could not be removed,
// and what keeps late transactions of it from succeeding, when none can come any more.
func (e *entry) sweep(ctx context.Context) {
	for retry := (backoff{}); e.left && !e.session.isGone() && pause(ctx, retry.next()); {
		e.clear(ctx, nil)
	}
	for wait := lateArrival; e.unsure && !e.session.isGone() && pause(ctx, wait); wait = longestRetry {
		_, _, err := e.s.commit(ctx, "release", txn{then: []clientv3.Op{clientv3.OpDelete(e.s.keys.claim(e.id))}})
		e.unsure = err != nil
	}
}

// park ends the following of the claim, which stays where it is, for another process to take it over.
func (e *entry) park() {
	if e.cancel != nil {
		e.cancel()
	}
	e.following.Wait()
	e.mail.Close()
}

// Yield gives back a granted claim, or takes a waiting one out of the order: the transaction "aside".
func (e *entry) Yield(ctx context.Context) error { return e.move(ctx, true) }

// Reacquire puts the claim back into its old place: the transaction "up".
func (e *entry) Reacquire(ctx context.Context) error { return e.move(ctx, false) }

// move writes the record anew, guarded by its revision, until nobody else has changed it in between.
func (e *entry) move(ctx context.Context, aside bool) error {
	for {
		e.mu.Lock()
		revision, value, c, lease, done := e.revision, e.value, e.claim, e.session.lease, e.aside == aside || e.over
		e.mu.Unlock()
		if done {
			return nil
		}
		resp, _, err := e.s.commit(ctx, moveName(aside), e.moveTxn(&c, value, aside, revision, lease))
		if err != nil {
			return err
		}
		if e.moved(resp, &c, aside) {
			return nil
		}
	}
}

func moveName(aside bool) string {
	if aside {
		return "aside"
	}
	return "up"
}

func (e *entry) moveTxn(c *backend.Claim, value []byte, aside bool, revision int64, id clientv3.LeaseID) txn {
	k, lease := e.s.keys, clientv3.WithLease(id)
	asks := *c
	asks.Follow(&e.asks)
	r := recordOf(&asks)
	r.Aside, r.Waited = aside, time.Since(e.entered)
	g := guards{}
	g.unchanged(k.claim(e.id), revision)
	then := []clientv3.Op{
		clientv3.OpGet(k.gate(), clientv3.WithKeysOnly()),
		clientv3.OpPut(k.claim(e.id), rewrite(value, r), lease),
	}
	if aside {
		then = append(then, k.vacating(c)...)
		then = append(then, clientv3.OpDelete(k.wait(e.id)))
		for pool := range c.Pools {
			then = append(then, clientv3.OpDelete(k.cool(pool, e.id)))
		}
	} else {
		then = append(then, clientv3.OpPut(k.wait(e.id), "", lease))
	}
	return txn{compare: g.list(), then: then, otherwise: []clientv3.Op{clientv3.OpGet(k.claim(e.id))}}
}

// moved takes the answer to a moveTxn; false says to try again on what it has found.
func (e *entry) moved(resp *clientv3.TxnResponse, c *backend.Claim, aside bool) bool {
	if !resp.Succeeded {
		kvs := resp.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 {
			return true // lost or cancelled: the events tell
		}
		e.observe(kvs[0])
		return false
	}
	e.mu.Lock()
	e.revision, e.aside, e.held, e.lost, e.doubted = resp.Header.Revision, aside, false, false, nil
	e.claim.Follow(&e.asks)
	e.epochs = nil
	e.stay.Aside()
	e.mu.Unlock()
	if aside {
		e.s.gate.leave(e)
		return true
	}
	e.s.gate.enter(e, resp.Header.Revision, len(resp.Responses[0].GetResponseRange().Kvs) > 0)
	return true
}
