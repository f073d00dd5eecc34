package etcd

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/integration/etcdtest"
)

// Every transaction of the protocol, its client killed right before and right after it: nothing of the client is left
// after the TTL + 2 s, and those who wait go on.
func TestAClientKilledAtAnyTransactionLeavesNothingAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	var all sync.WaitGroup
	few := make(chan struct{}, 12) // most of the time goes by in waiting for leases to end
	for _, transaction := range []string{"lease", "grant", "wait", "gate", "admit", "hand over", "turn", "shut", "aside", "up",
		"withdraw", "revoke", "settings", "cool", "refuse"} {
		for _, when := range []string{":before", ":after"} {
			few <- struct{}{}
			all.Go(func() {
				t.Run(transaction+when, func(t *testing.T) { crashAt(t, c, transaction, when) })
				<-few
			})
		}
	}
	all.Wait()
}

// crashAt makes the situation in which a victim comes to the point, and looks at what is left of it.
func crashAt(t *testing.T, c *etcdtest.Cluster, transaction, when string) {
	s := openStore(t, c)
	set := func(pool backend.Pool) {
		if err := s.ChangeSettings(t.Context(), func(settings *backend.Settings, _ bool) error {
			settings.Pools = map[string]backend.Pool{"p": pool}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	set(backend.Pool{Limit: 1})
	do := task{Options: helperOptions(c, t.Name()), Claim: claim(map[string]int{"p": 1}), Crash: transaction + when}
	var holder backend.Entry
	hold := func() {
		holder = enter(t, s, claim(map[string]int{"p": 1}), backend.EnterOptions{})
		await(t, holder, backend.Granted, 5*time.Second)
	}
	var victim *helper
	var third backend.Entry
	switch transaction {
	case "lease", "grant":
		victim = start(t, do)
	case "cool":
		set(backend.Pool{Limit: 1, Rate: &backend.Rate{Slots: 100, Period: 2 * time.Second}})
		victim = start(t, do)
	case "settings":
		do.Settings = 3
		victim = start(t, do)
	case "wait", "gate":
		hold()
		victim = start(t, do)
	case "admit": // as the gatekeeper, for itself
		hold()
		victim = start(t, do)
		victim.hears(t, 10*time.Second, "entered")
		eventually(t, 10*time.Second, "the gate is kept", func() bool { return gateKept(t, s) })
		release(t, holder)
	case "shut": // the gatekeeper is granted, nobody else waits
		hold()
		victim = start(t, do)
		victim.hears(t, 10*time.Second, "entered")
		eventually(t, 10*time.Second, "the gate is kept", func() bool { return gateKept(t, s) })
		release(t, holder)
	case "hand over": // the gatekeeper is granted while another waits
		hold()
		victim = start(t, do)
		victim.hears(t, 10*time.Second, "entered")
		eventually(t, 10*time.Second, "the gate is kept", func() bool { return gateKept(t, s) })
		third = enter(t, openStore(t, c), claim(map[string]int{"p": 1}), backend.EnterOptions{})
		release(t, holder)
	case "turn": // the victim waits behind the gatekeeper, which leaves
		hold()
		other := openStore(t, c)
		keeper := enter(t, other, claim(map[string]int{"p": 1}), backend.EnterOptions{})
		eventually(t, 10*time.Second, "the gate is kept", func() bool { return gateKept(t, s) })
		victim = start(t, do)
		victim.hears(t, 10*time.Second, "entered")
		release(t, keeper)
	case "aside", "up":
		do.Aside = true
		victim = start(t, do)
	case "withdraw":
		hold()
		victim = start(t, do)
		victim.hears(t, 10*time.Second, "entered")
		if err := s.Cancel(t.Context(), do.Claim.ID, "test"); err != nil {
			t.Fatal(err)
		}
	case "revoke":
		victim = start(t, do)
		victim.hears(t, 10*time.Second, "granted")
		victim.stdin.Close()
	case "refuse": // the gatekeeper finds that limits have made a claim impossible
		set(backend.Pool{Limit: 2})
		do.Claim.Pools = map[string]int{"p": 2}
		hold()
		victim = start(t, do)
		victim.hears(t, 10*time.Second, "entered")
		eventually(t, 10*time.Second, "the gate is kept", func() bool { return gateKept(t, s) })
		set(backend.Pool{Limit: 1})
	}
	victim.hears(t, 20*time.Second, "crash")
	<-victim.ended
	killed := time.Now()
	if transaction == "settings" {
		set(backend.Pool{Limit: 1})
	}
	residue := eventually(t, 5*time.Second+2*time.Second, "nothing is left of the victim", func() bool { return len(leftOf(t, s, do.Claim.ID)) == 0 })
	if holder != nil {
		release(t, holder)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	next, err := openStore(t, c).Enter(ctx, claim(map[string]int{"p": 1}), backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if third != nil {
		await(t, third, backend.Granted, 10*time.Second)
		release(t, third)
	}
	await(t, next, backend.Granted, 10*time.Second)
	release(t, next)
	t.Logf("nothing left after %s, another granted after %s", residue.Round(time.Millisecond), time.Since(killed).Round(time.Millisecond))
}

// gateKept reports whether somebody keeps the gate.
func gateKept(t testing.TB, s *Store) bool {
	t.Helper()
	resp, err := s.client.Get(t.Context(), s.keys.gate())
	return err == nil && len(resp.Kvs) > 0
}

// leftOf lists the keys with an id in their names. Starts that rates remember, and what is remembered of claims,
// outlive the claim.
func leftOf(t testing.TB, s *Store, id string) []string {
	t.Helper()
	resp, err := s.client.Get(t.Context(), s.keys.prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, kv := range resp.Kvs {
		key := string(kv.Key)
		if strings.Contains(key, id) && !strings.HasPrefix(key, s.keys.prefix+"cool/") && !strings.HasPrefix(key, s.keys.pasts()) {
			left = append(left, key)
		}
	}
	return left
}

// Every transaction of the protocol, the agent killed right before and right after it and started again: its wrappers
// go on as if nothing had been, and nothing is left.
func TestAnAgentKilledAtAnyTransactionAndStartedAgainCostsItsWrappersNothing(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	var all sync.WaitGroup
	few := make(chan struct{}, 6)
	for _, transaction := range []string{"lease", "grant", "wait", "gate", "admit", "shut", "aside", "up", "withdraw",
		"release", "revoke"} {
		for _, when := range []string{":before", ":after"} {
			few <- struct{}{}
			all.Go(func() {
				t.Run(transaction+when, func(t *testing.T) { crashAgentAt(t, c, transaction+when) })
				<-few
			})
		}
	}
	all.Wait()
}

// crashAgentAt lets two wrappers take turns through one slot, and one leave that is asked to.
func crashAgentAt(t *testing.T, c *etcdtest.Cluster, point string) {
	a := newAgency(t, c)
	a.do.Crash = point
	if strings.HasPrefix(point, "revoke") {
		a.do.Idle = 50 * time.Millisecond
	}
	a.start()
	crashed := make(chan struct{})
	go func() {
		defer close(crashed)
		<-a.agent.ended
		a.do.Crash = ""
		a.start()
	}()
	first, second, third := one(), one(), one()
	wrapper, other := a.dial(), a.dial()
	held, alive := running(t, wrapper, first, 20*time.Second)
	waiting := enter(t, other, second, backend.EnterOptions{})
	leaving := enter(t, other, third, backend.EnterOptions{})
	if err := a.watch.Cancel(t.Context(), third.ID, "test"); err != nil {
		t.Fatal(err)
	}
	await(t, leaving, backend.Cancelled, 20*time.Second)
	release(t, leaving)
	if err := held.Yield(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, waiting, backend.Granted, 20*time.Second)
	if err := held.Reacquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	release(t, waiting)
	await(t, held, backend.Granted, 20*time.Second)
	if !alive() {
		t.Error("the command was ended")
	}
	release(t, held)
	wrapper.Close()
	other.Close()
	select {
	case <-crashed:
	case <-time.After(20 * time.Second):
		t.Fatal("the agent did not come to the point")
	}
	a.nothingLeft(first, second, third)
	a.agent.kill()
}
