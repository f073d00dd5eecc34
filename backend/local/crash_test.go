package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"limit/backend"
)

// crashScript is every kind of change that one process can make. It is killed at its n-th step, for every n there is.
func crashScript(ctx context.Context, s *Store) error {
	for i := range 2 {
		err := s.ChangeSettings(ctx, func(st *backend.Settings, _ bool) error {
			st.Pools = map[string]backend.Pool{"p": {Limit: 2}, "q": {Limit: 1 + i}}
			return nil
		})
		if err != nil {
			return err
		}
	}
	first, err := s.Enter(ctx, newClaim("q", 2), backend.EnterOptions{})
	if err != nil {
		return err
	}
	second, err := s.Enter(ctx, newClaim("q", 1), backend.EnterOptions{})
	if err != nil {
		return err
	}
	third, err := s.Enter(ctx, newClaim("p", 1), backend.EnterOptions{}) // behind those of the test
	if err != nil {
		return err
	}
	var busy *backend.BusyError
	if _, err := s.Enter(ctx, newClaim("q", 1), backend.EnterOptions{NoWait: true}); !errors.As(err, &busy) {
		return fmt.Errorf("not busy: %w", err)
	}
	if err := s.Bump(ctx, third.Claim().ID, 3); err != nil && err != backend.ErrHeld {
		return err
	}
	return errors.Join(
		s.Cancel(ctx, first.Claim().ID, "why not"),
		first.Yield(ctx), first.Reacquire(ctx), second.Yield(ctx), second.Reacquire(ctx),
		first.Release(ctx), third.Release(ctx), second.Release(ctx), s.Close())
}

// helperCrash (DIR N) runs the script and kills itself at step N. It says how many steps there were if it gets so far.
func helperCrash(args []string) error {
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	steps := newCounter()
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: args[0], Create: true, recheck: time.Hour, step: func(name string) {
		if steps.next() == n {
			fmt.Println("killed", name)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	if err != nil {
		return err
	}
	if err := crashScript(ctx, s); err != nil {
		return err
	}
	fmt.Println("survived", steps.next()-1)
	return nil
}

// counter counts from 1, for several goroutines.
type counter struct{ c chan int64 }

func newCounter() *counter {
	c := &counter{make(chan int64, 1)}
	c.c <- 0
	return c
}

func (c *counter) next() int64 {
	n := <-c.c + 1
	c.c <- n
	return n
}

// TestAProcessMayDieAtAnyStep kills a process at each step of each of its changes, within the writes too. Others hold
// and wait at that time: they must go on, and nothing of the dead one may stay.
func TestAProcessMayDieAtAnyStep(t *testing.T) {
	const lanes = 4 // most of the time goes into syncing settings
	for lane := range int64(lanes) {
		t.Run(fmt.Sprintf("from step %d on", 1+lane), func(t *testing.T) {
			t.Parallel()
			for n := 1 + lane; ; n += lanes {
				word, where := dieAt(t, n)
				if t.Failed() {
					t.Fatalf("killed at step %d, %s", n, where)
				}
				if word == "survived" {
					t.Logf("%s steps", where)
					return
				}
			}
		})
	}
}

// dieAt runs the script up to step n beside a holder and a waiter, and returns what the process said last.
func dieAt(t *testing.T, n int64) (word, where string) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	fresh := n%3 == 0 // every third time the process makes the store, too
	var s *Store
	var holder, waiter backend.Entry
	if !fresh {
		s = open(t, dir)
		limitPool(t, s, "p", 1)
		holder, waiter = enter(t, s, "p"), enter(t, s, "p")
	}
	p := launch(t, "crash", dir, strconv.FormatInt(n, 10))
	line := <-p.lines
	p.cmd.Wait()
	if fresh {
		s = open(t, dir)
		limitPool(t, s, "p", 1)
		holder, waiter = enter(t, s, "p"), enter(t, s, "p")
	}
	if _, err := fmt.Sscan(line, &word); err != nil || word == "error" {
		t.Errorf("the process said %q", line)
	}
	where = line[min(len(word)+1, len(line)):]

	// It set a limit of 2, or not; either way the holder holds, and the waiter is granted when there is room.
	if holder.Claim().Grant == nil {
		t.Error("the holder lost its grant")
	}
	last := enter(t, s, "p")
	for _, e := range []backend.Entry{holder, waiter, last} {
		awaitGrant(t, ctx, e)
		if used := usedOf(t, s, "p"); used > 2 {
			t.Errorf("%d of p are held", used)
		}
		if err := e.Release(ctx); err != nil {
			t.Error(err)
		}
	}
	for snap := snapshot(t, s); len(snap.Held)+len(snap.Waiting) > 0; snap = snapshot(t, s) {
		t.Errorf("left behind: held %+v, waiting %+v", snap.Held, snap.Waiting)
		break
	}
	noResidue(t, s)
	tidy(t, s)
	s.Close()
	return word, where
}

func enter(t *testing.T, s *Store, pool string) backend.Entry {
	t.Helper()
	e, err := s.Enter(context.Background(), newClaim(pool, 1), backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runtime.KeepAlive(e) }) // an entry that nobody has any more is closed, and its claim ends
	return e
}

func awaitGrant(t *testing.T, ctx context.Context, e backend.Entry) {
	t.Helper()
	for {
		select {
		case ev := <-e.Events():
			switch ev.Kind {
			case backend.Granted:
				return
			case backend.Blocked:
				continue
			}
			t.Errorf("event %+v, want Granted", ev)
			return
		case <-ctx.Done():
			t.Errorf("%s was never granted", e.Claim().ID)
			return
		}
	}
}

func usedOf(t *testing.T, s *Store, pool string) int {
	t.Helper()
	used := 0
	for _, h := range snapshot(t, s).Held {
		used += h.Pools[pool]
	}
	return used
}

// tidy checks that a directory has nothing in it but what every store has.
func tidy(t *testing.T, s *Store) {
	t.Helper()
	known := map[string]bool{"state": true, "settings": true, "tokens": true, "details.0": true, "details.1": true, "claims": true,
		"gate": true, "history": true, "processes": true, "settings.tmp": true, "tokens.tmp": true}
	entries, err := os.ReadDir(s.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !known[e.Name()] {
			t.Errorf("%s is left in the namespace", e.Name())
		}
	}
	entries, err = os.ReadDir(s.opts.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != formatName && e.Name() != "default" {
			t.Errorf("%s is left in the store", e.Name())
		}
	}
}

// TestSettingsThatWereBeingWrittenAreTaken kills a process between the new settings and the change that puts them in
// force: whoever waits for them is admitted.
func TestSettingsThatWereBeingWrittenAreTakenByTheOthers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	limitPool(t, s, "p", 0)
	waiter := enter(t, s, "p")
	raise := func(what string) {
		p := launch(t, "raise", dir, what)
		p.says("killed")
		p.cmd.Wait()
	}
	raise("renamed settings")
	if ev := next(t, waiter); ev.Kind != backend.Granted { // whom the settings on the disk admit
		t.Fatalf("event %+v, want Granted", ev)
	}
	if err := waiter.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// helperRaise (DIR STEP) sets the limit of p to 1 and kills itself at the step.
func helperRaise(args []string) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: args[0], step: func(name string) {
		if name == args[1] {
			fmt.Println("killed", name)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	if err != nil {
		return err
	}
	return s.ChangeSettings(ctx, func(st *backend.Settings, _ bool) error {
		st.Pools["p"] = backend.Pool{Limit: 1}
		return nil
	})
}
