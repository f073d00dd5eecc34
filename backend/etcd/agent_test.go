package etcd

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/backend/etcd/fence"
	"limit/backend/etcd/keeper"
	"limit/integration/etcdtest"
)

// agency is a place for one agent after the other, with a store that looks on.
type agency struct {
	t     testing.TB
	do    task
	watch *Store
	agent *helper
}

func newAgency(t testing.TB, c *etcdtest.Cluster) *agency {
	o := helperOptions(c, t.Name())
	o.TTL = 10 * time.Second // time for a busy machine to start an agent
	a := &agency{t: t, watch: openStore(t, c, func(own *Options) { own.Namespace = o.Namespace })}
	a.do = task{Options: o, Agent: filepath.Join(t.TempDir(), "agent.sock")}
	setPool(t, a.watch, backend.Pool{Limit: 1})
	return a
}

// start starts the next agent.
func (a *agency) start() {
	a.t.Helper()
	a.agent = start(a.t, a.do)
	a.agent.hears(a.t, 10*time.Second, "listens")
}

// dial is a wrapper.
func (a *agency) dial() *keeper.Client {
	a.t.Helper()
	c, err := keeper.Dial(context.Background(), a.do.Agent,
		Options{Namespace: a.do.Options.Namespace, Grace: time.Second, ConnectTimeout: 20 * time.Second})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { c.Close() })
	return c
}

// nothingLeft waits until nothing of the claims is in the store.
func (a *agency) nothingLeft(claims ...backend.Claim) {
	a.t.Helper()
	for _, c := range claims {
		eventually(a.t, 20*time.Second, "nothing is left of "+c.ID,
			func() bool { return len(leftOf(a.t, a.watch, c.ID)) == 0 })
	}
}

// command starts a process with the mark of a claim.
func command(t testing.TB, id string) (pid int, alive func() bool) {
	t.Helper()
	cmd := exec.Command("sleep", "300")
	cmd.Env = []string{claimVariable + id}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := fence.Watch(cmd.Process.Pid)
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		w.Close()
	})
	return cmd.Process.Pid, w.Alive
}

// wrapperProcess starts a wrapper as a process of its own, with a command that it holds a claim for.
func (a *agency) wrapperProcess() (w *helper, id string, alive func() bool) {
	a.t.Helper()
	do := task{Options: a.do.Options, Claim: one(), Dial: a.do.Agent}
	do.PID, alive = command(a.t, do.Claim.ID)
	w = start(a.t, do)
	w.hears(a.t, 10*time.Second, "granted")
	<-time.After(5 * fenceAfter)
	return w, do.Claim.ID, alive
}

// running enters a claim that is granted within so long, and starts a command under it.
func running(t testing.TB, wrapper *keeper.Client, c backend.Claim,
	within time.Duration) (held backend.Entry, alive func() bool) {
	t.Helper()
	held = enter(t, wrapper, c, backend.EnterOptions{})
	await(t, held, backend.Granted, within)
	pid, alive := command(t, c.ID)
	held.Started(pid)
	return held, alive
}

// notLost fails for a claim that was told lost, or granted once more.
func notLost(t testing.TB, e backend.Entry) {
	t.Helper()
	for {
		select {
		case event := <-e.Events():
			if event.Kind == backend.Lost || event.Kind == backend.Granted {
				t.Fatalf("told %+v", event)
			}
		default:
			return
		}
	}
}

func TestAnAgentThatIsKilledOrStoppedAndStartedAgainCostsNoClaim(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	for name, end := range map[string]func(*helper){
		"killed":  func(h *helper) { h.kill() },
		"stopped": func(h *helper) { h.stdin.Close(); <-h.ended },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAgency(t, c)
			a.start()
			first, second := one(), one()
			wrapper, other := a.dial(), a.dial()
			held, alive := running(t, wrapper, first, 10*time.Second)
			waiting := enter(t, other, second, backend.EnterOptions{})
			token := held.Claim().Grant.Token
			for range 3 {
				end(a.agent)
				a.start()
				if _, err := wrapper.Snapshot(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			<-time.After(a.do.Options.TTL + time.Second) // past the last moment that the first agent knew
			notLost(t, held)
			notLost(t, waiting)
			if g := held.Claim().Grant; !alive() || g == nil || g.Token != token {
				t.Errorf("alive: %t, grant %+v, was %d", alive(), g, token)
			}
			release(t, held)
			await(t, waiting, backend.Granted, 10*time.Second)
			release(t, waiting)
			a.nothingLeft(first, second)
		})
	}
}

func TestACommandWhoseAgentDoesNotComeBackIsToldItsEndInTime(t *testing.T) {
	t.Parallel()
	a := newAgency(t, etcdtest.Start(t, etcdtest.Options{}))
	a.start()
	first := one()
	held := enter(t, a.dial(), first, backend.EnterOptions{})
	await(t, held, backend.Granted, 10*time.Second)
	a.agent.kill()
	if event := await(t, held, backend.Unreachable, 10*time.Second); time.Until(event.KillBy) > a.do.Options.Fence() {
		t.Errorf("%+v, later than the last moment", event)
	}
	await(t, held, backend.Lost, 20*time.Second)
	if len(leftOf(t, a.watch, first.ID)) == 0 {
		t.Error("the lease has ended before the claim was told lost")
	}
}

func TestAnAgentThatIsKilledWithItsWrapperLeavesTheCommandToTheThirdGuardOrTheNext(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	t.Run("the fence", func(t *testing.T) {
		t.Parallel()
		a := newAgency(t, c)
		a.do.Options.ThirdGuard = fenceProgram
		a.start()
		w, first, alive := a.wrapperProcess()
		a.agent.kill()
		w.kill()
		eventually(t, 20*time.Second, "the command is gone", func() bool { return !alive() })
		if len(leftOf(t, a.watch, first)) == 0 {
			t.Error("the slot was free before the command was gone")
		}
	})
	t.Run("the next agent", func(t *testing.T) {
		t.Parallel()
		a := newAgency(t, c)
		a.start()
		w, first, alive := a.wrapperProcess()
		a.agent.kill()
		w.kill()
		a.start()
		eventually(t, 20*time.Second, "nothing is left of it", func() bool {
			if len(leftOf(t, a.watch, first)) > 0 {
				return false
			}
			if alive() {
				t.Fatal("the slot was free before the command was gone")
			}
			return true
		})
	})
}

func TestTheFenceOfAnAgentThatWasReplacedEndsNothing(t *testing.T) {
	t.Parallel()
	a := newAgency(t, etcdtest.Start(t, etcdtest.Options{}))
	a.do.Options.ThirdGuard = fenceProgram
	a.start()
	held := enter(t, a.dial(), one(), backend.EnterOptions{})
	await(t, held, backend.Granted, 10*time.Second)
	pid, alive := command(t, held.Claim().ID)
	held.Started(pid)
	<-time.After(5 * fenceAfter)
	a.agent.kill()
	a.start()
	<-time.After(a.do.Options.TTL + time.Second)
	notLost(t, held)
	if !alive() {
		t.Error("the command was ended")
	}
	release(t, held)
}

func TestAWrapperThatIsStoppedWhileItsAgentIsReplacedKeepsItsClaim(t *testing.T) {
	t.Parallel()
	a := newAgency(t, etcdtest.Start(t, etcdtest.Options{}))
	a.start()
	w, id, alive := a.wrapperProcess()
	if err := w.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	a.agent.kill()
	a.start()
	<-time.After(a.do.Options.TTL + time.Second)
	if len(leftOf(t, a.watch, id)) == 0 || !alive() {
		t.Fatalf("the claim is gone, or its command: alive %t", alive())
	}
	if err := w.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := a.dial().Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.stdin.Close()
	<-w.ended
	for line := range w.lines {
		if strings.HasPrefix(line, "lost") || strings.HasPrefix(line, "error") {
			t.Errorf("the wrapper was told %s", line)
		}
	}
	a.nothingLeft(backend.Claim{ID: id})
}

func TestWhatBecomesOfOneClaimOfAnAgentIsNoMatterOfTheOthers(t *testing.T) {
	t.Parallel()
	a := newAgency(t, etcdtest.Start(t, etcdtest.Options{}))
	setPool(t, a.watch, backend.Pool{Limit: 3})
	a.start()
	one, other := a.dial(), a.dial()
	claims := []backend.Claim{claim(map[string]int{"p": 1}), claim(map[string]int{"p": 1}),
		claim(map[string]int{"p": 1})}
	dropped, kept := enter(t, one, claims[0], backend.EnterOptions{}),
		enter(t, other, claims[1], backend.EnterOptions{})
	await(t, dropped, backend.Granted, 10*time.Second)
	await(t, kept, backend.Granted, 10*time.Second)
	w, id, alive := a.wrapperProcess()
	waiting := enter(t, one, claims[2], backend.EnterOptions{})
	w.kill()
	await(t, waiting, backend.Granted, 10*time.Second)
	if len(leftOf(t, a.watch, id)) > 0 || alive() {
		t.Errorf("a dead wrapper's command is alive: %t", alive())
	}
	if err := a.watch.Drop(t.Context(), claims[0].ID); err != nil {
		t.Fatal(err)
	}
	await(t, dropped, backend.Lost, 10*time.Second)
	release(t, dropped)
	release(t, waiting)
	notLost(t, kept)
	resp, err := a.watch.client.Get(t.Context(), a.watch.keys.claim(claims[1].ID))
	if err != nil || len(resp.Kvs) == 0 {
		t.Fatalf("the claim that was kept: %v", err)
	}
	if _, err := a.watch.client.Revoke(t.Context(), clientv3.LeaseID(resp.Kvs[0].Lease)); err != nil {
		t.Fatal(err)
	}
	await(t, kept, backend.Lost, 10*time.Second)
	notLost(t, kept) // once
	release(t, kept)
}

func TestAnAgentThatTakesOverWhileEtcdIsSilentCostsNoClaimThatIsInTime(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	a := newAgency(t, c)
	a.do.Options.TTL = 30 * time.Second
	a.start()
	held := enter(t, a.dial(), one(), backend.EnterOptions{})
	await(t, held, backend.Granted, 10*time.Second)
	a.agent.kill()
	c.Members[0].Stop()
	a.start()
	event := await(t, held, backend.Unreachable, 20*time.Second)
	c.Members[0].Continue()
	if !strings.Contains(event.Reason, "etcd does not answer it") {
		t.Errorf("told %q", event.Reason)
	}
	await(t, held, backend.Reachable, 20*time.Second)
	notLost(t, held)
	release(t, held)
}

// The next command finds the lease that the last has left, or another where that has ended; after a while nothing is
// left.
func TestAnAgentKeepsItsLeaseForTheNextCommandForAWhile(t *testing.T) {
	t.Parallel()
	a := newAgency(t, etcdtest.Start(t, etcdtest.Options{}))
	a.do.Idle = 3 * time.Second
	a.start()
	var lease clientv3.LeaseID
	for i := range 4 {
		if i == 3 { // before its next renewal would tell
			if _, err := a.watch.client.Revoke(t.Context(), lease); err != nil {
				t.Fatal(err)
			}
		}
		wrapper, c := a.dial(), one()
		held := enter(t, wrapper, c, backend.EnterOptions{})
		await(t, held, backend.Granted, 10*time.Second)
		resp, err := a.watch.client.Get(t.Context(), a.watch.keys.claim(c.ID))
		if err != nil || len(resp.Kvs) != 1 {
			t.Fatalf("the claim's record: %v, %v", resp, err)
		}
		of := clientv3.LeaseID(resp.Kvs[0].Lease)
		if same := i == 1 || i == 2; same != (of == lease) {
			t.Errorf("command %d has the lease %x, the one before it %x", i, of, lease)
		}
		lease = of
		release(t, held)
		a.nothingLeft(c)
		wrapper.Close()
	}
	eventually(t, 20*time.Second, "the lease is revoked", func() bool {
		left, err := a.watch.client.TimeToLive(t.Context(), lease)
		return err == nil && left.TTL <= 0
	})
}
