package etcd

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend/etcd/boot"
)

// session is the lease that all claims of this process hang on, renewed until the last of them is released. One lease
// for many claims costs a dag run one renewal, not one for each step that waits; each claim is still entered,
// cancelled, stood aside and released by its own keys.
type session struct {
	store   *Store
	lease   clientv3.LeaseID
	users   int  // claims on it, and the agent where it is idle; under Store.mu
	idle    bool // an agent keeps it beyond its last claim; under Store.mu
	gone    chan struct{}
	cancel  context.CancelFunc
	working sync.WaitGroup

	mu          sync.Mutex
	sent        time.Duration // when the last answered renewal was sent
	trouble     string        // why the last renewal was not answered; "" while all is well
	told        bool          // that it was not
	subscribers map[*entry]struct{}
	changed     chan struct{} // somebody has subscribed
}

// join finds or makes the session and counts one more claim on it.
func (s *Store) join(ctx context.Context) (*session, error) {
	s.joining.Lock() // one of those who come together asks for the lease, the others find it
	defer s.joining.Unlock()
	s.mu.Lock()
	if n := s.session; n != nil && !n.isGone() {
		n.users++
		s.mu.Unlock()
		return n, nil
	}
	s.mu.Unlock()

	alarm, err := boot.NewAlarm() // before the lease, which would outlive a failure
	if err != nil {
		return nil, err
	}
	s.at("lease:before")
	lease, sent, err := s.newLease(ctx, "asking etcd for a lease", s.shared.options.TTL)
	s.at("lease:after")
	if err != nil {
		alarm.Stop()
		return nil, err
	}
	n := &session{store: s.with(s.shared.options), lease: lease, users: 1, gone: make(chan struct{}), sent: sent,
		subscribers: map[*entry]struct{}{}, changed: make(chan struct{}, 1)}
	n.start(ctx, alarm)
	return n, nil
}

// start begins to renew the lease.
func (n *session) start(ctx context.Context, alarm *boot.Alarm) {
	s := n.store
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	n.working.Go(func() { n.renew(running) })
	n.working.Go(func() { n.guard(running, alarm) })
	s.mu.Lock()
	old := s.session
	s.session = n
	s.leases = append(s.leases[max(0, len(s.leases)-latestLeases+1):], n.lease)
	if n.idle = s.stays; n.idle {
		n.users++
	}
	s.mu.Unlock()
	if old != nil { // it has ended
		old.leaveIdle(ctx)
	}
	n.tell()
}

// latestSession is the one that the next claim would join; nil: none.
func (s *Store) latestSession() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// tell tells of the last moment that the lease is good for, unless another has taken its place.
func (n *session) tell() {
	s := n.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.renewed != nil && s.session == n {
		s.renewed(n)
	}
}

// leave counts one claim less, and revokes the lease with the last.
func (n *session) leave(ctx context.Context) error {
	if !n.uncount() {
		return nil
	}
	return n.revoke(ctx)
}

// leaveIdle is leave for the agent.
func (n *session) leaveIdle(ctx context.Context) error {
	if !n.uncountIdle() {
		return nil
	}
	return n.revoke(ctx)
}

// uncountIdle is uncount for the agent: the lease is revoked with the last claim then, or now.
func (n *session) uncountIdle() (last bool) {
	s := n.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if !n.idle {
		return false
	}
	n.idle = false
	return n.uncountLocked()
}

// park ends the renewals and leaves the lease to another process.
func (n *session) park() {
	n.cancel()
	n.working.Wait()
}

// uncount counts one claim less, and reports whether it was the last: whose leaving the lease is to be revoked by.
func (n *session) uncount() (last bool) {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	return n.uncountLocked()
}

func (n *session) uncountLocked() (last bool) {
	s := n.store
	n.users--
	last = n.users == 0
	if last && s.session == n {
		s.session = nil
		if s.renewed != nil {
			s.renewed(nil)
		}
	}
	return last
}

// revoke ends the lease, and with it every key that still hangs on it.
func (n *session) revoke(ctx context.Context) error {
	s := n.store
	s.noting.Go(s.noteSeen) // beside: a home directory that hangs must not keep the slot
	n.park()
	if n.isGone() {
		return nil
	}
	s.at("revoke:before")
	_, err := s.call(ctx, "releasing the lease", func(ctx context.Context) error {
		_, err := s.client.Revoke(ctx, n.lease)
		return notGone(err)
	})
	s.at("revoke:after")
	return err
}

func (n *session) isGone() bool {
	select {
	case <-n.gone:
		return true
	default:
		return false
	}
}

// deadline is the moment at which the last process of a command has to be gone unless a renewal is answered before. The
// fence of a claim is its grace earlier: from there on it counts as lost.
func (n *session) deadline() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent + n.store.options.Fence()
}

func (n *session) answeredAt() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent
}

// safe reports whether a command that needs grace may still be started.
func (n *session) safe(grace time.Duration) bool {
	return n.store.unfenced || (!n.isGone() && boot.Now() < n.deadline()-grace)
}

// interval between renewals: three of them fit before the fence.
func (n *session) interval() time.Duration {
	o := n.store.options
	return min(o.TTL/3, (o.Fence()-o.Grace)/3)
}

// due is how long it is to the next renewal. It counts from the sending of the last, as the fence does: the answer may
// have been on its way for most of the time that there is.
func (n *session) due() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent + n.interval() - boot.Now()
}

// patience is how long one renewal may take.
func (n *session) patience() time.Duration {
	return min(max(n.interval()/2, 200*time.Millisecond), tryTimeout)
}

// renew renews the lease until ctx ends or the lease has. A renewal that fails is repeated at once, then after short
// pauses; where the claims are lost already, after longer ones.
func (n *session) renew(ctx context.Context) {
	r := n.store.newRenewer(n.lease)
	defer r.close()
	wait := n.due()
	retry, failures := backoff{}, 0
	for pause(ctx, wait) {
		sent, err := r.renew(ctx, n.patience())
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errLeaseGone):
			n.end("its lease has ended")
			return
		case err != nil:
			failures++
			n.failed(err, failures)
			wait = retry.next()
			if n.safe(n.store.options.Grace) {
				wait = min(wait, n.interval()/4, time.Duration(failures)*2*firstPause)
			}
		default:
			n.answered(sent)
			if failures > 0 { // it may have come back with an earlier state: reading anything shows that
				looking, cancel := context.WithTimeout(ctx, n.patience())
				n.store.get(looking, "looking after an outage", n.store.keys.prefix)
				cancel()
			}
			retry, failures = backoff{}, 0
			wait = n.due()
		}
	}
}

// answered moves the deadline, and tells the claims if they were in doubt.
func (n *session) answered(sent time.Duration) {
	n.mu.Lock()
	told := n.told
	n.sent, n.trouble, n.told = sent, "", false
	n.mu.Unlock()
	if told {
		n.store.log.Info("etcd answers renewals again", "lease", int64(n.lease))
	}
	for _, e := range n.claims() {
		e.works(renewing)
	}
	n.tell()
}

// failed notes a renewal that was not answered; the claims learn of the second in a row.
func (n *session) failed(err error, failures int) {
	reason := n.store.explain(rpctypes.Error(err)).Error()
	n.mu.Lock()
	n.trouble, n.told = reason, failures >= 2
	n.mu.Unlock()
	if failures < 2 {
		return
	}
	deadline := n.deadline()
	if failures == 2 {
		n.store.log.Warn("etcd does not answer renewals", "reason", reason, "commands end by", boot.At(deadline))
	}
	for _, e := range n.claims() {
		e.fails(renewing, reason, boot.At(deadline))
	}
}

// guard is beside the renewals, which may hang: it declares the claims lost when the fence is reached, on a clock that
// goes on during suspension.
func (n *session) guard(ctx context.Context, alarm *boot.Alarm) {
	defer alarm.Stop()
	for {
		if n.store.setBack.Swap(false) {
			n.end("etcd has gone back to an earlier state: it was restored without --bump-revision, see limit " +
				"help etcd")
		}
		if err := alarm.Set(n.reachFence(boot.Now())); err != nil {
			n.reachFence(n.deadline()) // without an alarm nothing would stop the commands in time
		}
		select {
		case <-ctx.Done():
			return
		case <-alarm.C:
		case <-n.changed:
		}
	}
}

// reachFence tells the held claims whose fence is reached that they are lost, and returns when to look again. They
// stay lost, for their owners have begun to stop; a later answer only keeps the slot until they have.
func (n *session) reachFence(now time.Duration) (next time.Duration) {
	deadline := n.deadline()
	n.mu.Lock()
	reason := "etcd has answered no renewal in time: " + n.trouble
	n.mu.Unlock()
	if next = deadline; next <= now {
		next = now + n.interval()
	}
	for _, e := range n.claims() {
		if fence := deadline - e.s.options.Grace; fence > now {
			next = min(next, fence)
		} else if !n.store.unfenced {
			e.lose(reason, boot.At(deadline))
		}
	}
	return next
}

// end declares the lease gone.
func (n *session) end(reason string) {
	n.mu.Lock()
	gone := n.isGone()
	if !gone {
		close(n.gone)
	}
	n.mu.Unlock()
	if !gone {
		n.store.log.Warn("the lease has ended", "lease", int64(n.lease))
		n.lose(reason, time.Time{})
	}
}

func (n *session) lose(reason string, killBy time.Time) {
	if n.store.unfenced {
		return
	}
	for _, e := range n.claims() {
		e.lose(reason, killBy)
	}
}

// claims are those to be told. They are told without n.mu, which each of them takes under its own.
func (n *session) claims() []*entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.subscribers))
}

// subscribe adds a claim. One that comes when the lease has ended already learns it at once.
func (n *session) subscribe(e *entry) {
	n.mu.Lock()
	n.subscribers[e] = struct{}{}
	gone := n.isGone() && !n.store.unfenced
	n.mu.Unlock()
	n.wake()
	if gone {
		e.lose("its lease has ended", time.Time{})
	}
}

// wake has guard look again.
func (n *session) wake() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

func (n *session) unsubscribe(e *entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.subscribers, e)
}

// notGone makes nothing of a lease that is gone already.
func notGone(err error) error {
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}
