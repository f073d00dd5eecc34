package etcd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/integration/etcdtest"
)

// requests counts what a server has answered.
func requests(t testing.TB, c *etcdtest.Cluster) float64 {
	t.Helper()
	sum := 0.0
	for name, value := range c.Metrics(t, c.Members[0]) {
		if strings.HasPrefix(name, "grpc_server_handled_total{") {
			sum += value
		}
	}
	return sum
}

// TestAnEtcdWithoutRoomIsToldOnceAskedSeldomAndGoesOn: what holds goes on holding, who waits waits, who comes is told
// what to do.
func TestAnEtcdWithoutRoomIsToldOnceAskedSeldomAndGoesOn(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Flags: []string{"--quota-backend-bytes", "2097152"}})
	long := func(o *Options) { o.TTL, o.Grace = time.Minute, time.Second }
	s, other := openStore(t, c, long), openStore(t, c, long)
	setPool(t, s, backend.Pool{Limit: 1})
	holder := enter(t, s, one(), backend.EnterOptions{})
	await(t, holder, backend.Granted, 10*time.Second)
	waiter := enter(t, other, one(), backend.EnterOptions{})

	var err error
	for i := 0; !errors.Is(err, rpctypes.ErrNoSpace); i++ {
		if _, err = s.client.Put(t.Context(), fmt.Sprintf("fill/%d", i), strings.Repeat("x", 100<<10)); err != nil && !errors.Is(err, rpctypes.ErrNoSpace) {
			t.Fatal(err)
		}
	}
	if err := tryEnter(t, openStore(t, c, long)); err == nil || !strings.Contains(err.Error(), "compact and defragment etcd") {
		t.Errorf("who comes is told %v", err)
	}
	if err := holder.Release(t.Context()); err != nil {
		t.Logf("the release: %v", err)
	}
	before := requests(t, c)
	<-time.After(3 * time.Second)
	if made := requests(t, c) - before; made > 60 {
		t.Errorf("%.0f requests in 3 s without room", made)
	} else {
		t.Logf("%.0f requests in 3 s without room", made)
	}
	t.Logf("the waiter was told %v", told(waiter))

	if _, err := s.client.Delete(t.Context(), "fill/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Compact(c.Members[0]), c.Defragment(c.Members[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.AlarmDisarm(t.Context(), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
	await(t, waiter, backend.Granted, 20*time.Second)
	release(t, waiter)
}

// told are the events that wait to be read.
func told(e backend.Entry) (events []string) {
	for {
		select {
		case event := <-e.Events():
			events = append(events, eventName(event.Kind)+" "+event.Reason)
		default:
			return events
		}
	}
}
