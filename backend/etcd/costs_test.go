package etcd

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"limit/backend"
	"limit/backend/etcd/keeper"
	"limit/integration/etcdtest"
)

// trips counts requests that follow one another: one that begins while another is under way adds none.
type trips struct {
	mu       sync.Mutex
	underway int
	count    int
	methods  []string
}

func (c *trips) intercept(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, next grpc.UnaryInvoker, o ...grpc.CallOption) error {
	c.mu.Lock()
	if c.underway == 0 {
		c.count++
	}
	c.underway++
	c.methods = append(c.methods, method[strings.LastIndexByte(method, '/')+1:])
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.underway--
		c.mu.Unlock()
	}()
	return next(ctx, method, request, reply, conn, o...)
}

func TestAnUncontendedRunTakesNoMoreRoundTripsThanEtcdctlLock(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	count := new(trips)
	s, err := open(t.Context(), Options{Endpoints: c.Endpoints()}, []grpc.DialOption{grpc.WithChainUnaryInterceptor(count.intercept)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e, err := s.Enter(t.Context(), one(), backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	await(t, e, backend.Granted, 5*time.Second)
	release(t, e)

	member := c.Members[0]
	before := unary(c.Metrics(t, member))
	out, err := exec.Command(etcdtest.Etcdctl(t), "--endpoints", c.Endpoints()[0], "lock", "name", "--", "true").CombinedOutput()
	if err != nil {
		t.Fatalf("etcdctl lock: %v\n%s", err, out)
	}
	etcdctl := unary(c.Metrics(t, member)) - before // each waits for the one before
	t.Logf("limit: %d round trips one after the other (%s); etcdctl lock: %.0f requests", count.count, strings.Join(count.methods, " "), etcdctl)
	if float64(count.count) > etcdctl || etcdctl == 0 {
		t.Errorf("%d round trips, etcdctl lock takes %.0f", count.count, etcdctl)
	}
}

// unary sums the requests that a server was sent one by one; those on streams left out.
func unary(metrics map[string]float64) float64 {
	sum := 0.0
	for name, v := range metrics {
		if strings.HasPrefix(name, "grpc_server_started_total{") && strings.Contains(name, `grpc_type="unary"`) {
			sum += v
		}
	}
	return sum
}

// costs are what a number of grants cost the server.
type costs struct{ requests, watchMessages, events, renewals float64 }

func (a costs) minus(b costs) costs {
	return costs{a.requests - b.requests, a.watchMessages - b.watchMessages, a.events - b.events, a.renewals - b.renewals}
}

func costsOf(metrics map[string]float64) costs {
	stream := func(method string) float64 {
		sum := 0.0
		for name, v := range metrics {
			if strings.HasPrefix(name, "grpc_server_msg_received_total{") && strings.Contains(name, `grpc_method="`+method+`"`) {
				sum += v
			}
		}
		return sum
	}
	return costs{unary(metrics), stream("Watch"), metrics["etcd_debugging_mvcc_events_total"], stream("LeaseKeepAlive")}
}

// A release costs the same whether 10 or 1,000 wait.
func TestAGrantCostsTheSameWhetherTenOrAThousandWait(t *testing.T) {
	const grants = 200
	per := map[int]costs{}
	for _, waiters := range []int{10, 1000} {
		c := etcdtest.Start(t, etcdtest.Options{})
		total, took := handOn(t, c, waiters, grants)
		per[waiters] = costs{total.requests / grants, total.watchMessages / grants, total.events / grants, total.renewals / grants}
		t.Logf("%4d waiters: per grant %.2f requests, %.2f messages on watch streams, %.2f watch events (and %.2f renewals, which go by time); %s a grant",
			waiters, per[waiters].requests, per[waiters].watchMessages, per[waiters].events, per[waiters].renewals, (took / grants).Round(10*time.Microsecond))
	}
	compare := func(what string, few, many float64) {
		if few == 0 || many == 0 {
			t.Errorf("%s: %.2f and %.2f: not counted", what, few, many)
		} else if ratio := many / few; ratio < 0.8 || ratio > 1.2 {
			t.Errorf("%s per grant: %.2f at 10 waiters, %.2f at 1,000", what, few, many)
		}
	}
	compare("requests", per[10].requests+per[10].watchMessages, per[1000].requests+per[1000].watchMessages)
	compare("watch events", per[10].events, per[1000].events)
}

// handOn keeps so many waiting for one slot, each a process with a lease of its own, and hands the slot on.
func handOn(t *testing.T, c *etcdtest.Cluster, waiters, grants int) (costs, time.Duration) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: c.Direct()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	process := func() *Store {
		o := keeper.Options{Endpoints: c.Direct(), Namespace: "crowd", TTL: 2 * time.Minute, ConnectTimeout: time.Minute}.WithDefaults()
		return newStore(o, nil, client)
	}
	var stores []*Store
	var queue []backend.Entry
	join := func(s *Store) {
		e, err := s.Enter(t.Context(), one(), backend.EnterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		queue = append(queue, e)
	}
	for range waiters + 1 {
		s := process()
		stores = append(stores, s)
		join(s)
	}
	await(t, queue[0], backend.Granted, time.Minute)
	before, start := costsOf(c.Metrics(t, c.Members[0])), time.Now()
	for i := range grants {
		holder := queue[0]
		queue = queue[1:]
		release(t, holder)
		await(t, queue[0], backend.Granted, time.Minute)
		join(stores[i%len(stores)]) // the released comes again
	}
	took := time.Since(start)
	total := costsOf(c.Metrics(t, c.Members[0])).minus(before)
	var leaving sync.WaitGroup
	for i := len(queue) - 1; i >= 0; i-- {
		e := queue[i].(*entry)
		leaving.Go(func() { // the server ends with the test: there is nothing to clean up but goroutines
			e.cancel()
			e.following.Wait()
			e.s.gate.leave(e)
			e.session.cancel()
			e.session.working.Wait()
		})
	}
	leaving.Wait()
	for _, s := range stores {
		s.gate.close()
	}
	return total, took
}
