package etcd

import (
	"context"
	"testing"
	"time"

	"limit/backend"
	"limit/integration/etcdtest"
)

// openStore opens a store as a process of its own would.
func openStore(t testing.TB, c *etcdtest.Cluster, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{Endpoints: c.Endpoints(), Namespace: t.Name(), TTL: 5 * time.Second, Grace: 500 * time.Millisecond}
	for _, f := range change {
		f(&o)
	}
	s, err := open(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

// claim asks for slots of pools: "a", 1, "b", 2.
func claim(pools map[string]int) backend.Claim {
	id := backend.NewID()
	return backend.Claim{ID: id, RunID: id, Pools: pools, Runs: 1, Name: "test", QueuedAt: time.Now()}
}

func enter(t testing.TB, s backend.Backend, c backend.Claim, o backend.EnterOptions) backend.Entry {
	t.Helper()
	e, err := s.Enter(t.Context(), c, o)
	if err != nil {
		t.Fatalf("entering %v: %v", c.Pools, err)
	}
	t.Cleanup(func() { release(t, e) })
	return e
}

func release(t testing.TB, e backend.Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Release(ctx); err != nil {
		t.Errorf("releasing: %v", err)
	}
}

// await reads events until one of the kind comes.
func await(t testing.TB, e backend.Entry, kind backend.EventKind, within time.Duration) backend.Event {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		select {
		case event := <-e.Events():
			if event.Kind == kind {
				return event
			}
			t.Logf("event before the one awaited: %+v", event)
		case <-timer.C:
			t.Fatalf("no event %d within %s for %+v", kind, within, e.Claim())
		}
	}
}

func TestAFreedSlotGoesToTheNextInOrder(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	holder := enter(t, openStore(t, c), claim(map[string]int{"p": 1}), backend.EnterOptions{})
	await(t, holder, backend.Granted, time.Second)
	var waiters []backend.Entry
	for range 5 {
		waiters = append(waiters, enter(t, openStore(t, c), claim(map[string]int{"p": 1}), backend.EnterOptions{}))
	}
	last := holder
	for i, w := range waiters {
		token := last.Claim().Grant.Token
		start := time.Now()
		release(t, last)
		await(t, w, backend.Granted, 5*time.Second)
		t.Logf("waiter %d granted %s after the release", i, time.Since(start))
		if got := w.Claim().Grant.Token; got <= token {
			t.Errorf("token %d after %d", got, token)
		}
		last = w
	}
}
