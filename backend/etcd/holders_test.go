package etcd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/integration/etcdtest"
)

// hold writes so many holders of pool p and of the run queue into the store as other processes would have granted them,
// with the epochs.
func hold(t testing.TB, s *Store, from, to int) {
	t.Helper()
	l, err := s.readState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dims := []string{dimPool("p"), dimRuns}
	epochs := map[string]*epoch{}
	for _, dim := range dims {
		epochs[dim] = l.sum(dim)
	}
	var ops []clientv3.Op
	flush := func() {
		if _, _, err := s.commit(t.Context(), "holders", txn{then: ops}); err != nil {
			t.Fatal(err)
		}
		ops = nil
	}
	for i := from; i < to; i++ {
		c := claim(map[string]int{"p": 1})
		c.Grant = &backend.Grant{Slots: map[string][]int{"p": {i}}}
		r := recordOf(&c)
		r.Grant = &grant{Slots: c.Grant.Slots, At: time.Now()}
		ops = append(ops, l.puts(&c, encode(r), clientv3.NoLease, nil)...)
		for _, dim := range dims {
			epochs[dim].add(dim, &c, 1)
		}
		if len(ops) > 100 {
			flush()
		}
	}
	for dim, e := range epochs {
		ops = append(ops, clientv3.OpPut(s.keys.epoch(dim), encode(e)))
	}
	flush()
}

// sentBytes is what the server has sent to clients.
func sentBytes(metrics map[string]float64) float64 {
	sum := 0.0
	for name, v := range metrics {
		if strings.HasPrefix(name, "etcd_network_client_grpc_sent_bytes_total") {
			sum += v
		}
	}
	return sum
}

// A run that nobody contends with costs the same whether 10 or 4,000 hold slots of its pool.
func TestAnUncontendedRunCostsTheSameWhetherTenOrFourThousandHold(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	s := openStore(t, c)
	err := s.ChangeSettings(t.Context(), func(settings *backend.Settings, _ bool) error {
		settings.Pools, settings.MaxRuns = map[string]backend.Pool{"p": {Limit: 4500}}, 4500
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const runs = 20
	type cost struct {
		requests, bytes float64
		took            time.Duration
	}
	costs := map[int]cost{}
	was := 0
	for _, holders := range []int{10, 1000, 4000} {
		hold(t, s, was, holders)
		was = holders
		before, start := c.Metrics(t, c.Members[0]), time.Now()
		for range runs {
			e, err := s.Enter(t.Context(), one(), backend.EnterOptions{NoWait: true})
			if err != nil {
				t.Fatal(err)
			}
			if n := e.Claim().Grant.Slots["p"]; len(n) != 1 || n[0] != holders {
				t.Fatalf("slot %v, want %d", n, holders)
			}
			release(t, e)
		}
		took := time.Since(start) / runs
		after := c.Metrics(t, c.Members[0])
		costs[holders] = cost{(unary(after) - unary(before)) / runs, (sentBytes(after) - sentBytes(before)) / runs, took}
		t.Logf("%5d holders: a run takes %.1f requests, %.0f bytes from the server, %s", holders, costs[holders].requests, costs[holders].bytes, took)
	}
	for _, holders := range []int{1000, 4000} {
		if few, many := costs[10], costs[holders]; many.requests > few.requests || many.bytes > few.bytes+2048 {
			t.Errorf("with %d holders a run takes %.1f requests and %.0f bytes, with 10 it takes %.1f and %.0f", holders, many.requests, many.bytes, few.requests, few.bytes)
		}
	}
}

// What a waiter reads to say what it waits for does not grow with the others.
func TestWhatAWaiterReadsToSayWhyDoesNotGrowWithWaiters(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	s := openStore(t, c)
	enter(t, s, one(), backend.EnterOptions{})
	per := map[int]float64{}
	var waiters []backend.Entry
	for _, n := range []int{5, 60} {
		for len(waiters) < n {
			waiters = append(waiters, enter(t, s, one(), backend.EnterOptions{}))
		}
		before := sentBytes(c.Metrics(t, c.Members[0]))
		for _, again := range []bool{false, true} {
			o, err := waiters[n-1].Obstacles(t.Context())
			if err != nil || len(o.Blocks) != 1 || len(o.Parties) != 1 {
				t.Fatalf("%+v, %v (again %t)", o, err, again)
			}
		}
		per[n] = sentBytes(c.Metrics(t, c.Members[0])) - before
	}
	t.Logf("twice: %v bytes", fmt.Sprint(per))
	if per[60] > per[5]+512 || per[60] > 6000 {
		t.Errorf("at 5 and 60 waiters: %v bytes", per)
	}
}

func TestAWaiterNamesTheFirstHoldersOfAPoolThatHasMany(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	s := openStore(t, c)
	setPool(t, s, backend.Pool{Limit: 20})
	for range 20 {
		enter(t, s, one(), backend.EnterOptions{})
	}
	e := enter(t, s, one(), backend.EnterOptions{})
	o, err := e.Obstacles(t.Context())
	if err != nil || len(o.Blocks) != 1 || o.Blocks[0].Used != 20 || o.Blocks[0].Capacity != 20 || len(o.Parties) != backend.MaxParties || o.Parties[0].Since.IsZero() {
		t.Errorf("%+v, %v", o, err)
	}
}

// An epoch that counts some who are gone keeps nobody out: not one who may not wait, nor one who may.
func TestAnEpochThatCountsTheDeadKeepsNobodyOut(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	s, other := openStore(t, c), openStore(t, c)
	setPool(t, s, backend.Pool{Limit: 12})
	var entries []backend.Entry
	for range 12 {
		entries = append(entries, enter(t, s, one(), backend.EnterOptions{}))
	}
	for _, e := range entries[:3] {
		if err := s.Drop(t.Context(), e.Claim().ID); err != nil { // takes nothing out of the epoch
			t.Fatal(err)
		}
	}
	if e, err := other.Enter(t.Context(), one(), backend.EnterOptions{NoWait: true}); err != nil {
		t.Errorf("with room for three: %v", err)
	} else {
		defer release(t, e)
	}
	if err := s.Drop(t.Context(), entries[3].Claim().ID); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		await(t, enter(t, other, one(), backend.EnterOptions{}), backend.Granted, 5*time.Second)
	}
	if _, err := other.Enter(t.Context(), one(), backend.EnterOptions{NoWait: true}); err == nil {
		t.Error("a thirteenth was admitted")
	}
}

// What sums up, and what tells people who asks, is no reason to fail where it cannot be read.
func TestWhatCannotBeReadAndIsNotNeededIsDoneWithout(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	s, other := openStore(t, c), openStore(t, c)
	setPool(t, s, backend.Pool{Limit: 10})
	for range 9 {
		enter(t, s, one(), backend.EnterOptions{})
	}
	last := enter(t, s, one(), backend.EnterOptions{})
	for _, damaged := range []string{"{", `{"used":-3}`, `{"numbers":1}`, ""} {
		for _, key := range []string{s.keys.epoch(dimPool("p")), s.keys.epoch(dimRuns), s.keys.about(last.Claim().ID)} {
			if _, err := s.client.Put(t.Context(), key, damaged); err != nil {
				t.Fatal(err)
			}
		}
		_, err := other.Enter(t.Context(), one(), backend.EnterOptions{NoWait: true})
		if !errors.As(err, new(*backend.BusyError)) {
			t.Errorf("%q: an eleventh: %v", damaged, err)
		}
		if status, err := other.Snapshot(t.Context()); err != nil || len(status.Held) != 10 {
			t.Errorf("%q: %+v, %v", damaged, status, err)
		}
		release(t, last)
		last = enter(t, other, one(), backend.EnterOptions{NoWait: true})
	}
}
