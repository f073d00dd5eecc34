package etcd

import (
	"strings"
	"testing"
	"time"

	"limit/backend"
	"limit/integration/etcdtest"
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
