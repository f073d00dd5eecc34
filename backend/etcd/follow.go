package etcd

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
)

// A watch that lost an event is noticed by reading again, at a random time within these bounds.
const (
	recheckMin = 30 * time.Second
	recheckMax = 60 * time.Second
)

// doubtAfter is how often a doubtful grant is looked at.
const doubtAfter = 200 * time.Millisecond

func recheckAfter() time.Duration { return recheckMin + rand.N(recheckMax-recheckMin) }

// watchAfter is how long a claim that was granted at once is held before it is watched: a command that ends sooner
// spares the watch, which costs as much as the grant. Nothing is missed, for a watch begins at the revision that was
// seen.
const watchAfter = 20 * time.Millisecond

// retryAfter is the pause after a watch has ended, so that a server that ends them at once is not flooded.
func retryAfter() time.Duration { return 50*time.Millisecond + rand.N(150*time.Millisecond) }

// longestRetry is the longest pause between two tries of what fails.
const longestRetry = 5 * time.Second

// backoff paces what fails: each pause is twice as long as the last, up to longestRetry, and a random part of it is
// left out, so that a fleet does not come back at one moment.
type backoff struct{ failures int }

func (b *backoff) next() time.Duration {
	longest := min(longestRetry, retryAfter()<<min(b.failures, 10))
	b.failures++
	return longest/2 + rand.N(longest/2)
}

// pause waits; false says that ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// watch follows a range from a revision on. A server without a leader ends it, as otherwise it would stay silent.
func (s *Store) watch(ctx context.Context, from, to string, revision int64,
	opts ...clientv3.OpOption) clientv3.WatchChan {
	if !s.watchNow {
		opts = append(opts, clientv3.WithRev(revision))
	}
	return s.client.Watch(clientv3.WithRequireLeader(ctx), from, append(opts, clientv3.WithRange(to))...)
}

// follow watches the claim's own keys until it is over or ctx ends. Whenever the watch ends, by compaction or a server
// that goes away, it reads the keys and watches on from there.
func (e *entry) follow(ctx context.Context) {
	from, to := e.s.keys.ofClaim(e.id)
	reserve := time.NewTimer(max(0, e.reserveAfter))
	defer reserve.Stop()
	if !e.waiting() {
		pause(ctx, watchAfter)
	}
	var retry backoff
	for e.again && !e.read(ctx) && pause(ctx, retry.next()) {
	}
	for ctx.Err() == nil {
		watching, stop := context.WithCancel(ctx)
		again := e.listen(ctx, e.s.watch(watching, from, to, e.seen+1), reserve.C)
		stop()
		if !again {
			return
		}
		if e.session.isGone() && !e.enterAgain(ctx) {
			return
		}
		for !e.read(ctx) && pause(ctx, retry.next()) {
		}
	}
}

// listen takes events until it is time to read the keys again (true) or the claim is of no interest any more.
func (e *entry) listen(ctx context.Context, watch clientv3.WatchChan, reserve <-chan time.Time) bool {
	recheck := time.NewTimer(recheckAfter())
	defer recheck.Stop()
	doubt := time.NewTicker(doubtAfter)
	defer doubt.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-e.session.gone:
			return e.waiting()
		case <-recheck.C:
			return true
		case <-e.doubts(doubt):
			e.believe()
		case <-reserve:
			e.markWaited(ctx)
		case resp, ok := <-watch:
			if !ok || resp.Err() != nil {
				return pause(ctx, retryAfter())
			}
			for _, event := range resp.Events {
				if !e.take(ctx, event) {
					return false
				}
			}
			if n := len(resp.Events); n > 0 {
				e.seen = resp.Events[n-1].Kv.ModRevision // a header may be ahead of the events still to come
			}
		}
	}
}

// take handles one event; false says that the claim is over.
func (e *entry) take(ctx context.Context, event *clientv3.Event) bool {
	kind, id, _ := e.s.keys.parse(string(event.Kv.Key))
	if id != e.id {
		return true // the range of an id may hold others
	}
	switch {
	case kind == keyClaim && event.Type == clientv3.EventTypeDelete:
		return e.vanished(ctx, event.Kv.ModRevision)
	case kind == keyClaim:
		return e.observe(event.Kv)
	case kind == keyAsk && event.Type == clientv3.EventTypePut:
		return e.askedToGo(ctx, event.Kv)
	case kind == keyTurn && event.Type == clientv3.EventTypePut:
		e.s.gate.turn(e, event.Kv.ModRevision)
	}
	return true
}

// read takes the keys as they stand, in place of events that were missed. It reports whether etcd has answered.
func (e *entry) read(ctx context.Context) bool {
	from, to := e.s.keys.ofClaim(e.id)
	resp, err := e.s.get(ctx, "reading the claim", from, clientv3.WithRange(to))
	if err != nil {
		e.fails(reading, err.Error(), time.Time{})
		return false
	}
	e.works(reading)
	e.seen = resp.Header.Revision
	found := false
	for _, kv := range resp.Kvs {
		kind, id, _ := e.s.keys.parse(string(kv.Key))
		found = found || (kind == keyClaim && id == e.id)
		if !e.take(ctx, &clientv3.Event{Type: clientv3.EventTypePut, Kv: kv}) {
			return true
		}
	}
	if !found {
		e.vanished(ctx, math.MaxInt64) // also where etcd was restored, and its revisions have gone back
	}
	return true
}

// observe takes the record as somebody has written it; false says that the claim is over.
func (e *entry) observe(kv *mvccpb.KeyValue) bool {
	seat, err := readSeat(e.id, kv)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil || kv.ModRevision <= e.revision || e.over {
		return !e.over
	}
	e.revision, e.value = kv.ModRevision, kv.Value
	switch {
	case seat.Refused != nil:
		e.over = true
		e.mail.Post(backend.Event{Kind: backend.Refused, Err: seat.Refused})
		e.s.gate.leave(e)
		return false
	case seat.Grant != nil && !e.held && !e.session.safe(e.s.options.Grace):
		e.doubted = &seat.record
	case seat.Grant != nil && !e.held:
		e.grantedLocked(&seat.record)
		e.s.gate.leave(e)
	case seat.Grant == nil:
		e.claim.Priority = seat.Priority
	}
	return true
}

// doubts is the ticker while a grant is doubted, else nil.
func (e *entry) doubts(t *time.Ticker) <-chan time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.doubted == nil {
		return nil
	}
	return t.C
}

// believe tells the owner of a grant that came when the lease had nearly run out, once it is renewed. If it ends
// instead, the claim enters again.
func (e *entry) believe() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.doubted; r != nil && !e.held && !e.over && e.session.safe(e.s.options.Grace) {
		e.grantedLocked(r)
		e.s.gate.leave(e)
	}
}

// vanished handles the disappearance of the record at a revision; false says that the claim is over.
func (e *entry) vanished(ctx context.Context, revision int64) bool {
	e.mu.Lock()
	stale, held := revision <= e.revision || e.over, e.held
	e.mu.Unlock()
	if stale {
		return true
	}
	if held {
		e.lose("the claim was dropped, or its lease has ended", time.Time{})
		return false
	}
	lives, known := e.leaseLives(ctx)
	switch {
	case !known:
		return false // it is being released
	case !lives:
		e.session.end("its lease has ended")
		return true // and enters again
	}
	e.leaveOrder(backend.Event{Kind: backend.Cancelled, Reason: "dropped by an operator"})
	return false
}

// leaseLives asks the server until it answers: in doubt a claim was not dropped. known is false where ctx has ended
// before.
func (e *entry) leaseLives(ctx context.Context) (lives, known bool) {
	for retry := (backoff{}); !e.session.isGone(); {
		lives, err := e.askLease(ctx)
		if err == nil {
			e.works(reading)
			return lives, true
		}
		e.fails(reading, err.Error(), time.Time{})
		if !pause(ctx, retry.next()) {
			return false, false
		}
	}
	return false, true
}

// askLease asks the server whether the claim's lease lives.
func (e *entry) askLease(ctx context.Context) (lives bool, err error) {
	_, err = e.s.call(ctx, "asking after the lease", func(ctx context.Context) error {
		r, err := e.s.client.TimeToLive(ctx, e.session.lease)
		if err == nil {
			lives = r.TTL > 0
		}
		return notGone(err)
	})
	return lives, err
}

// leaveOrder ends a waiting claim.
func (e *entry) leaveOrder(event backend.Event) {
	e.mu.Lock()
	e.over = true
	e.mail.Post(event)
	e.mu.Unlock()
	e.s.gate.leave(e)
}

// askedToGo handles a request to cancel: a waiting claim leaves with the transaction "withdraw", the holder is told.
func (e *entry) askedToGo(ctx context.Context, ask *mvccpb.KeyValue) bool {
	event := backend.Event{Kind: backend.Cancelled, Reason: string(ask.Value)}
	for retry := (backoff{}); ctx.Err() == nil; {
		e.mu.Lock()
		known, held, revision := e.asked >= ask.ModRevision, e.held, e.revision
		if held && !known {
			e.asked = ask.ModRevision
			e.mail.Post(event)
		}
		e.mu.Unlock()
		if known || held {
			return true
		}
		found, err := e.withdraw(ctx, revision)
		switch {
		case err != nil: // it stays in the order until etcd answers, or its lease ends
			e.fails(reading, err.Error(), time.Time{})
			pause(ctx, retry.next())
		case found == nil:
			e.leaveOrder(event)
			return false
		case !e.observe(found):
			return false
		}
	}
	return true
}

// withdraw takes a waiting claim away whose record stands at a revision, else it returns the record found. The turn, if
// it has come in between, goes to the gate, which hands it on.
func (e *entry) withdraw(ctx context.Context, revision int64) (*mvccpb.KeyValue, error) {
	k, g := e.s.keys, guards{}
	g.unchanged(k.claim(e.id), revision)
	then := append([]clientv3.Op{clientv3.OpGet(k.turn(e.id))}, k.removal(&e.claim)...)
	resp, _, err := e.s.commit(ctx, "withdraw",
		txn{compare: g.list(), then: then, otherwise: []clientv3.Op{clientv3.OpGet(k.claim(e.id))}})
	if err != nil {
		return nil, err
	}
	kvs := resp.Responses[0].GetResponseRange().Kvs
	switch {
	case len(kvs) == 0:
		return nil, nil
	case resp.Succeeded:
		e.s.gate.turn(e, kvs[0].ModRevision)
		return nil, nil
	}
	return kvs[0], nil
}

// markWaited writes into the record that the claim has waited long enough to reserve. Its owner's clock measures that,
// so that it survives a change of gatekeepers and needs no two clocks to agree.
func (e *entry) markWaited(ctx context.Context) {
	e.mu.Lock()
	c, revision, value := e.claim, e.revision, e.value
	idle := e.held || e.doubted != nil || e.over || e.aside
	e.mu.Unlock()
	if idle {
		return
	}
	r := recordOf(&c)
	r.Waited = time.Since(e.entered)
	g := guards{}
	g.unchanged(e.s.keys.claim(e.id), revision)
	put := clientv3.OpPut(e.s.keys.claim(e.id), rewrite(value, r), clientv3.WithLease(e.session.lease))
	// failing, the gatekeeper's own clock serves
	e.s.commit(ctx, "waited", txn{compare: g.list(), then: []clientv3.Op{put}})
}

// enterAgain queues a waiting claim whose lease has ended once more, in its old place. Should its record still be
// there, which etcd has said too soon, it is taken over under the new lease as that of a claim that waits.
func (e *entry) enterAgain(ctx context.Context) bool {
	k, found := e.s.keys, int64(0)
	for retry := (backoff{}); ctx.Err() == nil && e.waiting(); {
		err := e.rejoin(ctx)
		if err == nil {
			g := guards{}
			g.unchanged(k.claim(e.id), found)
			var resp *clientv3.TxnResponse
			resp, _, err = e.s.commit(ctx, "wait",
				txn{compare: g.list(), then: append(e.waitPuts(), k.vacating(&e.claim)...),
					otherwise: []clientv3.Op{clientv3.OpGet(k.claim(e.id))}})
			switch {
			case err == nil && resp.Succeeded:
				e.works(reading)
				e.waitFrom(resp)
				e.s.gate.enter(e, e.seen, e.gateSeen)
				return true
			case err == nil:
				found = 0
				for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
					found = kv.ModRevision
				}
				continue
			}
		}
		e.fails(reading, err.Error(), time.Time{})
		pause(ctx, retry.next())
	}
	return false
}

// rejoin gives the claim a session whose lease lives.
func (e *entry) rejoin(ctx context.Context) error {
	old := e.session
	if !old.isGone() {
		return nil
	}
	n, err := e.s.join(ctx)
	if err != nil {
		return err
	}
	old.unsubscribe(e)
	old.leave(ctx)
	e.mu.Lock()
	e.session, e.doubted = n, nil
	e.mu.Unlock()
	n.subscribe(e)
	e.works(renewing)
	return nil
}
