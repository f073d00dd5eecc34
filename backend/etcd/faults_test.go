package etcd

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/integration/etcdtest"
)

// one is a claim for the one slot of pool p.
func one() backend.Claim { return claim(map[string]int{"p": 1}) }

// machine opens a store whose network can be cut.
func machine(t testing.TB, c *etcdtest.Cluster, change ...func(*Options)) (*Store, func(cut bool)) {
	t.Helper()
	links, endpoints := c.NewLinks(t)
	s := openStore(t, c, append(change, func(o *Options) { o.Endpoints = endpoints })...)
	return s, func(cut bool) {
		for _, l := range links {
			if cut {
				l.Cut()
			} else {
				l.Mend()
			}
		}
	}
}

func TestADeadMachinesSlotIsFreeWithinTheTTLAndItsCommandIsGoneBefore(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	dead, cut := machine(t, c)
	holder := enter(t, dead, one(), backend.EnterOptions{})
	await(t, holder, backend.Granted, 5*time.Second)
	waiter := enter(t, openStore(t, c), one(), backend.EnterOptions{})
	cut(true)
	since := time.Now()
	lost := await(t, holder, backend.Lost, 10*time.Second)
	told := time.Now()
	await(t, waiter, backend.Granted, 10*time.Second)
	granted := time.Now()
	t.Logf("TTL 5s, grace 500ms: lost told %s after the cut, last moment %s, given to another %s after the cut",
		told.Sub(since).Round(time.Millisecond), lost.KillBy.Sub(since).Round(time.Millisecond), granted.Sub(since).Round(time.Millisecond))
	if granted.Sub(since) > 7*time.Second {
		t.Errorf("the slot was free only after %s, bound 7s", granted.Sub(since))
	}
	if !lost.KillBy.Before(granted) {
		t.Errorf("the slot was given away %s before the last moment of the command", lost.KillBy.Sub(granted))
	}
	if early := lost.KillBy.Sub(told); early < 300*time.Millisecond {
		t.Errorf("the loss was told %s before the last moment, grace is 500ms", early)
	}
	cut(false)
}

func TestOthersGoOnWithinSixSecondsWhenTheGatekeeperIsKilled(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	s := openStore(t, c)
	both := enter(t, s, claim(map[string]int{"p": 1, "q": 1}), backend.EnterOptions{})
	await(t, both, backend.Granted, 5*time.Second)
	do := task{Options: helperOptions(c, t.Name()), Claim: claim(map[string]int{"q": 1})}
	do.Options.TTL = time.Minute
	keeper := start(t, do)
	keeper.hears(t, 10*time.Second, "entered")
	eventually(t, 10*time.Second, "the gate is kept", func() bool { return gateKept(t, s) })
	waiter := enter(t, openStore(t, c), one(), backend.EnterOptions{})
	keeper.kill()
	since := time.Now()
	release(t, both)
	await(t, waiter, backend.Granted, 10*time.Second)
	t.Logf("granted %s after the gatekeeper was killed", time.Since(since).Round(time.Millisecond))
	if stall := time.Since(since); stall > 6*time.Second {
		t.Errorf("others went on after %s, bound 6s", stall)
	}
}

// relay hands one slot on through claims of several processes and returns the longest time from grant to grant. Tokens
// rise, and no two hold. at is called before each round; nil: nothing is done.
func relay(t *testing.T, stores []*Store, rounds int, at func(round int)) (longest time.Duration) {
	t.Helper()
	var queue []backend.Entry
	for _, s := range stores {
		queue = append(queue, enter(t, s, one(), backend.EnterOptions{}))
	}
	token, last := int64(0), time.Now()
	for i := range rounds {
		if at != nil {
			at(i)
		}
		e := queue[0]
		await(t, e, backend.Granted, 40*time.Second)
		longest = max(longest, time.Since(last))
		last = time.Now()
		if got := e.Claim().Grant.Token; got <= token {
			t.Fatalf("round %d: token %d after %d", i, got, token)
		} else {
			token = got
		}
		for _, other := range queue[1:] {
			if other.Claim().Grant != nil {
				t.Fatalf("round %d: two hold the one slot", i)
			}
		}
		next := enter(t, stores[i%len(stores)], one(), backend.EnterOptions{})
		releasePatiently(t, e)
		queue = append(queue[1:], next)
	}
	for _, e := range queue {
		releasePatiently(t, e)
	}
	return longest
}

func releasePatiently(t testing.TB, e backend.Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	if err := e.Release(ctx); err != nil {
		t.Logf("releasing: %v", err)
	}
}

func fleet(t *testing.T, c *etcdtest.Cluster, n int, change ...func(*Options)) []*Store {
	t.Helper()
	var stores []*Store
	for range n {
		stores = append(stores, openStore(t, c, change...))
	}
	return stores
}

func longTTL(o *Options) {
	o.TTL, o.Grace, o.ConnectTimeout = 30*time.Second, time.Second, 30*time.Second
}

func TestNoGrantIsLostOrDoubledWhenTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	stores := fleet(t, c, 5, longTTL)
	calm := relay(t, stores, 20, nil)
	leader := c.Leader(t)
	longest := relay(t, stores, 30, func(round int) {
		if round == 10 {
			leader.Kill()
		}
	})
	leader.Start(t)
	c.WaitReady(t)
	after := relay(t, stores, 20, nil)
	t.Logf("longest time from grant to grant: calm %s, leader killed %s, back %s", calm, longest, after)
	if longest > 10*time.Second {
		t.Errorf("the fleet stood still for %s", longest)
	}
}

func TestTheFleetGoesOnWhenOneOfThreeMembersIsStoppedForGood(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	stores := fleet(t, c, 5, longTTL)
	stopped := c.Leader(t) // the worst of the three
	defer stopped.Continue()
	longest := relay(t, stores, 30, func(round int) {
		if round == 10 {
			stopped.Stop()
		}
	})
	t.Logf("longest time from grant to grant with the leader stopped by SIGSTOP: %s", longest)
	if bound := pingAfter + pingTimeout + 10*time.Second; longest > bound {
		t.Errorf("the fleet stood still for %s, bound %s", longest, bound)
	}
}

func TestALossOfQuorumShorterThanTheDeadlineIsOnlyAWarning(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	s := openStore(t, c, func(o *Options) { o.TTL, o.Grace = 10*time.Second, time.Second }) // fence 7s after a renewal
	holder := enter(t, s, one(), backend.EnterOptions{})
	await(t, holder, backend.Granted, 5*time.Second)
	stopped := c.Members[:2]
	for _, m := range stopped {
		m.Stop()
	}
	since := time.Now()
	event := await(t, holder, backend.Unreachable, 10*time.Second)
	t.Logf("told unreachable after %s, last moment %s after the stop", time.Since(since).Round(time.Millisecond), event.KillBy.Sub(since).Round(time.Millisecond))
	for _, m := range stopped {
		m.Continue()
	}
	await(t, holder, backend.Reachable, 10*time.Second)
	t.Logf("reachable again %s after the stop", time.Since(since).Round(time.Millisecond))
	select {
	case event := <-holder.Events():
		t.Errorf("after the return: %+v", event)
	default:
	}
	if busy := new(backend.BusyError); !errors.As(tryEnter(t, openStore(t, c)), &busy) {
		t.Error("the claim is not held any more")
	}
}

func tryEnter(t testing.TB, s *Store) error {
	t.Helper()
	e, err := s.Enter(t.Context(), one(), backend.EnterOptions{NoWait: true})
	if err == nil {
		release(t, e)
	}
	return err
}

func TestALossOfQuorumLongerThanTheDeadlineEndsTheCommandBeforeTheSlotIsGivenAway(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	patient := func(o *Options) { o.ConnectTimeout = 30 * time.Second }
	holder := enter(t, openStore(t, c, patient), one(), backend.EnterOptions{})
	await(t, holder, backend.Granted, 5*time.Second)
	waiter := enter(t, openStore(t, c, patient), one(), backend.EnterOptions{})
	for _, m := range c.Members[:2] {
		m.Kill()
	}
	since := time.Now()
	lost := await(t, holder, backend.Lost, 10*time.Second)
	t.Logf("told lost %s after the kill, last moment %s", time.Since(since).Round(time.Millisecond), lost.KillBy.Sub(since).Round(time.Millisecond))
	if bound := 5 * time.Second; lost.KillBy.Sub(since) > bound {
		t.Errorf("the last moment is %s after the kill", lost.KillBy.Sub(since))
	}
	<-time.After(time.Until(lost.KillBy)) // as the owner does: it ends the command by then, and cannot release
	for _, m := range c.Members[:2] {
		m.Start(t)
	}
	go releasePatiently(t, holder)
	await(t, waiter, backend.Granted, 30*time.Second)
	t.Logf("the waiter was granted %s after the kill", time.Since(since).Round(time.Millisecond))
	if waiter.Claim().Grant.GrantedAt.Before(lost.KillBy) {
		t.Errorf("the slot was given away at %s, before %s", waiter.Claim().Grant.GrantedAt, lost.KillBy)
	}
}

func TestCompactionEveryTenthOfASecondStopsNobody(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	stores := fleet(t, c, 5)
	admin := openStore(t, c)
	compacting, stop := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		n := 0
		for ; pause(compacting, 100*time.Millisecond); n++ {
			if r, err := admin.revision(compacting); err == nil {
				admin.client.Compact(compacting, r)
			}
		}
		done <- n
	}()
	longest := time.Duration(0)
	for start := time.Now(); time.Since(start) < 5*time.Second; {
		longest = max(longest, relay(t, stores, 50, nil))
	}
	stop()
	t.Logf("%d compactions, longest time from grant to grant %s", <-done, longest)
	if longest > time.Second {
		t.Errorf("stood still for %s", longest)
	}
}

func TestAWatchThatWasCompactedAwayReadsAgain(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	machineStore, cut := machine(t, c, longTTL)
	admin := openStore(t, c)
	holder := enter(t, admin, one(), backend.EnterOptions{})
	await(t, holder, backend.Granted, 5*time.Second)
	waiter := enter(t, machineStore, one(), backend.EnterOptions{})
	other := enter(t, openStore(t, c), one(), backend.EnterOptions{}) // keeps the gate while the first cannot
	eventually(t, 10*time.Second, "the gate is kept", func() bool { return gateKept(t, admin) })
	cut(true)
	release(t, holder)
	eventually(t, 10*time.Second, "the waiter that is cut off is granted", func() bool {
		seat, err := admin.find(t.Context(), waiter.Claim().ID)
		return err == nil && seat.Grant != nil
	})
	revision, err := admin.revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.client.Compact(t.Context(), revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	cut(false)
	await(t, waiter, backend.Granted, 20*time.Second)
	release(t, waiter)
	await(t, other, backend.Granted, 20*time.Second)
}

func TestPasswordTokensThatExpireAreRenewed(t *testing.T) {
	t.Parallel()
	c, _, user := withPasswords(t)
	stores := fleet(t, c, 3, user)
	for start := time.Now(); time.Since(start) < 5*time.Second; {
		relay(t, stores, 3, nil)
		<-time.After(700 * time.Millisecond) // time has to pass for tokens to expire
	}
	holder := enter(t, stores[0], one(), backend.EnterOptions{})
	await(t, holder, backend.Granted, 5*time.Second)
	waiter := enter(t, stores[1], one(), backend.EnterOptions{})
	<-time.After(5 * time.Second) // both idle, past their tokens
	release(t, holder)
	await(t, waiter, backend.Granted, 10*time.Second)

	wrong := openStore(t, c, user, func(o *Options) { o.PasswordFile = fileWith(t, "wrong") })
	if err := tryEnter(t, wrong); err == nil || !strings.Contains(err.Error(), "check username and password_file") {
		t.Errorf("with a wrong password: %v", err)
	}
	if err := tryEnter(t, openStore(t, c)); err == nil || !strings.Contains(err.Error(), "set username") {
		t.Errorf("without a user: %v", err)
	}
}

func TestCertificatesAreShownAndRefused(t *testing.T) {
	t.Parallel()
	certs := etcdtest.NewCerts(t)
	c := etcdtest.Start(t, etcdtest.Options{TLS: certs})
	known := func(o *Options) { o.TLS.CA, o.TLS.Cert, o.TLS.Key = certs.CA, certs.ClientCert, certs.ClientKey }
	relay(t, fleet(t, c, 2, known), 4, nil)
	for name, change := range map[string]func(*Options){
		"a client certificate of another authority": func(o *Options) {
			o.TLS.CA, o.TLS.Cert, o.TLS.Key = certs.CA, certs.StrangerCert, certs.StrangerKey
		},
		"no client certificate":            func(o *Options) { o.TLS.CA = certs.CA },
		"a server of an unknown authority": func(o *Options) {},
	} {
		start := time.Now()
		err := tryEnter(t, openStore(t, c, change, func(o *Options) { o.ConnectTimeout = 5 * time.Second }))
		t.Logf("%s: after %s: %v", name, time.Since(start).Round(time.Millisecond), err)
		if err == nil || !strings.Contains(err.Error(), "check ca, cert and key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAServerThatHangsUpMayNotLikeTheCertificate(t *testing.T) {
	s := &Store{shared: &shared{}, options: Options{Endpoints: []string{"https://127.0.0.1:2"}}}
	for _, text := range []string{"write tcp 127.0.0.1:1->127.0.0.1:2: write: broken pipe",
		"error reading server preface: EOF"} {
		err := errors.New(text)
		if text := s.explain(err).Error(); !strings.Contains(text, "check ca, cert and key") || permanent(err) ||
			!hungUp(err) {
			t.Errorf("%q, permanent: %t", text, permanent(err))
		}
	}
}

func TestAServerThatIsNotThereIsUnreachableInTimeAndTheMessageSaysWhatToCheck(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t, etcdtest.Options{})
	secured := etcdtest.Start(t, etcdtest.Options{TLS: etcdtest.NewCerts(t)})
	for _, c := range []struct{ what, address, remedy string }{
		{"refused", etcdtest.FreeAddress(t), "check that etcd runs there"},
		{"silent", silent(t), "check the address"},
		{"no such name", "http://no.such.host.invalid:2379", "check the name of the host"},
		{"TLS of a server without", strings.Replace(server.Endpoints()[0], "http://", "https://", 1), "http:// in place of https://"},
		{"no TLS of a server with it", strings.Replace(secured.Endpoints()[0], "https://", "http://", 1), "https:// in place of http://"},
	} {
		s, err := open(t.Context(), Options{Endpoints: []string{c.address}, ConnectTimeout: time.Second}, nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err = tryEnter(t, s)
		t.Logf("%s: after %s: %v", c.what, time.Since(start).Round(time.Millisecond), err)
		if err == nil || !strings.Contains(err.Error(), c.remedy) || !errors.Is(err, backend.ErrUnreachable) && !permanent(err) {
			t.Errorf("%s: after %s: %v", c.what, time.Since(start), err)
		}
		s.Close()
	}
}

// silent is an address where the kernel accepts and nobody answers.
func silent(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestALostClaimIsReleasedWithoutWaitingForEtcd(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	links, endpoints := c.NewLinks(t)
	k := keep(t, Options{Endpoints: endpoints, Namespace: t.Name(), TTL: 5 * time.Second, Grace: time.Second},
		func(context.Context, int, string) error { return nil })
	holder := enter(t, k, one(), backend.EnterOptions{})
	await(t, holder, backend.Granted, 5*time.Second)
	links[0].Cut()
	await(t, holder, backend.Lost, 10*time.Second)
	start := time.Now()
	release(t, holder)
	released := time.Since(start)
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("released after %s, closed after %s", released.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	if time.Since(start) > 3*time.Second {
		t.Errorf("that took %s", time.Since(start))
	}
}
