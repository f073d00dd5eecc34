package etcd

import (
	"strings"
	"testing"
	"time"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"

	"limit/backend"
	"limit/integration/etcdtest"
	"limit/integration/until"
)

// On a machine or a network that is slow the answer to the request for a lease may come when most of the time to renew
// it is over.
func TestALeaseThatTookLongToGetIsRenewedInTime(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	s := openStore(t, c) // TTL 5s, grace 500ms: lost 3s after the request was sent, renewed every second
	s.hook = func(point string) {
		if point == "lease:after" {
			<-time.After(2300 * time.Millisecond) // this is the slowness
		}
	}
	e := enter(t, s, one(), backend.EnterOptions{})
	await(t, e, backend.Granted, 5*time.Second)
	select {
	case event := <-e.Events():
		t.Errorf("after the grant: %+v", event)
	case <-time.After(1500 * time.Millisecond):
	}
	release(t, e)
}

// TestAGrantThatIsDoubtedIsNotTakenForAWait: the mark that a claim has waited long was written over its grant, and the
// slot was given to another.
func TestAGrantThatIsDoubtedIsNotTakenForAWait(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	holder := enter(t, openStore(t, c), one(), backend.EnterOptions{})
	await(t, holder, backend.Granted, 20*time.Second)
	s := openStore(t, c, func(o *Options) { o.TTL = time.Minute })
	e := enter(t, s, one(), backend.EnterOptions{}).(*entry)
	e.cancel()
	e.following.Wait() // the test takes the events from here on
	e.session.mu.Lock()
	e.session.sent -= time.Hour // no renewal was answered
	e.session.mu.Unlock()
	release(t, holder)
	record := func() (*seat, *mvccpb.KeyValue) {
		t.Helper()
		resp, err := s.get(t.Context(), "reading the claim", s.keys.claim(e.id))
		if err != nil || len(resp.Kvs) != 1 {
			t.Fatalf("%v, %v", resp, err)
		}
		found, err := readSeat(e.id, resp.Kvs[0])
		if err != nil {
			t.Fatal(err)
		}
		return found, resp.Kvs[0]
	}
	until.That(t, 20*time.Second, "it is granted", func() bool { found, _ := record(); return found.Grant != nil })
	_, kv := record()
	if e.observe(kv); e.doubted == nil {
		t.Fatal("the grant is not doubted")
	}
	e.markWaited(t.Context())
	if found, _ := record(); found.Grant == nil {
		t.Error("its grant is gone")
	}
}

// TestAClaimIsLostWhereEtcdHasGoneBackToAnEarlierState: it may grant the slots again, and gives tokens twice.
func TestAClaimIsLostWhereEtcdHasGoneBackToAnEarlierState(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	s := openStore(t, c, func(o *Options) { o.TTL = 30 * time.Second })
	e := enter(t, s, one(), backend.EnterOptions{})
	await(t, e, backend.Granted, 20*time.Second)
	m := c.Members[0]
	m.Kill()
	restore := m.Saved(t)
	m.Start(t)
	c.WaitReady(t)
	other := enter(t, s, claim(map[string]int{"q": 1}), backend.EnterOptions{})
	await(t, other, backend.Granted, 20*time.Second)
	m.Kill()
	restore()
	m.Start(t)
	lost := await(t, e, backend.Lost, 150*time.Second)
	if !strings.Contains(lost.Reason, "--bump-revision") {
		t.Errorf("lost because %q", lost.Reason)
	}
}
