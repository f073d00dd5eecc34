package etcd

import (
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
