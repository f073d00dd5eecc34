package local

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"limit/backend"
)

// busy fails unless a pool is taken.
func busy(t *testing.T, s *Store, pool string) {
	t.Helper()
	var busy *backend.BusyError
	e, err := s.Enter(t.Context(), newClaim(pool, 1), backend.EnterOptions{NoWait: true})
	if err == nil {
		e.Release(t.Context())
	}
	if !errors.As(err, &busy) {
		t.Errorf("pool %s: %v, want that it is taken", pool, err)
	}
}

func shell(t *testing.T, script string, args ...string) {
	t.Helper()
	if out, err := exec.Command("sh", append([]string{"-ec", script, "sh"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// storeFiles are all files that a store may have, below its directory.
var storeFiles = []string{"format", "default/state", "default/settings", "default/tokens", "default/details.0", "default/history",
	"default/processes", "default/gate", "default/claims/0", "default/claims/1", "default/claims", "default"}

// TestAFileThatACleanerRemovesIsMadeAgain: for each file a holder lives, one waits and others come; nobody fails, and
// no slot is given twice.
func TestAFileThatACleanerRemovesIsMadeAgain(t *testing.T) {
	for _, name := range storeFiles {
		t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			defer s.Close()
			everything(t, s)
			holder := launch(t, "claim", dir, "p", "1")
			holder.says("granted")
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			later := open(t, dir)
			defer later.Close()
			busy(t, later, "p")
			if snap := snapshot(t, later); len(snap.Held) != 1 || snap.Settings.Pools["p"].Limit != 1 {
				t.Errorf("held %+v, settings %+v", snap.Held, snap.Settings)
			}
			waiter := launch(t, "claim", dir, "p", "1")
			waiter.says("waiting")
			waiter.quiet()
			holder.stdin.Close()
			holder.says("released")
			waiter.says("granted")
			waiter.kill()
			waiter.cmd.Wait()
			e := enter(t, later, "p")
			if e.Claim().Grant == nil {
				t.Error("the slot of a killed holder is not free")
			}
			if err := e.Release(t.Context()); err != nil {
				t.Error(err)
			}
			for _, made := range []string{"format", "default/state", "default/settings", "default/tokens", "default/gate", "default/claims"} {
				if !exists(filepath.Join(dir, made)) {
					t.Errorf("%s was not made again", made)
				}
			}
		})
	}
}

// TestAFileThatACleanerRemovesFromUnderAWaiterCostsItNothing: the file is removed while one holds and one waits.
func TestAFileThatACleanerRemovesFromUnderAWaiterCostsItNothing(t *testing.T) {
	for _, name := range storeFiles[:len(storeFiles)-1] {
		t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			defer s.Close()
			everything(t, s)
			holder := launch(t, "claim", dir, "p", "1")
			holder.says("granted")
			waiter := launch(t, "claim", dir, "p", "1")
			waiter.says("waiting")
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			busy(t, s, "p")
			waiter.quiet()
			holder.kill()
			waiter.says("granted")
		})
	}
}

// TestAStateThatTwoWriteAgainAtOnceIsLockedInOneOrder: one has the removed state locked, the other finds it and is on
// the way to lock it.
func TestAStateThatTwoWriteAgainAtOnceIsLockedInOneOrder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	enter(t, s, "p")
	if err := s.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.file("state")); err != nil {
		t.Fatal(err)
	}
	waits, opened := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		later, err := Open(t.Context(), Options{Dir: dir, step: func(name string) {
			if name == "lock removed state" {
				waits <- struct{}{}
			}
		}})
		if err == nil {
			defer later.Close()
			busy(t, later, "p")
		}
		opened <- err
	}()
	<-waits
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err := s.relock(ctx, ctx)
	if err == nil {
		s.unlock()
	}
	if others := <-opened; err != nil || others != nil {
		t.Errorf("who had the state open: %v; the newcomer: %v", err, others)
	}
}

func TestAStoreWhoseDirectoryIsMadeAgainWithoutAStateIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	enter(t, s, "p")
	shell(t, "rm -r $1; mkdir -p $1/claims", s.path)
	begun := time.Now()
	busy(t, s, "p")
	if took := time.Since(begun); took > busyPatience/2 {
		t.Errorf("the claim took %s: it waits for a lock of its own", took)
	}
}

func TestAWaiterWhoseStoreIsRemovedOrRenamedLearnsItAtOnce(t *testing.T) {
	for what, script := range map[string]string{
		"removed":          `rm -rf "$1/store"`,
		"renamed":          `mv "$1/store" "$1/other"`,
		"namespace":        `rm -rf "$1/store/default"`,
		"namespace moved":  `mv "$1/store/default" "$1/store/x"`,
		"parent":           `mv "$1" "$1.x"; trap '' EXIT`,
		"made anew":        `mv "$1/store" "$1/other"; cp -a "$1/empty" "$1/store"`,
		"no kernel's help": `rm -rf "$1/store"`,
	} {
		t.Run(what, func(t *testing.T) {
			parent := filepath.Join(t.TempDir(), "parent")
			dir := filepath.Join(parent, "store")
			open(t, filepath.Join(parent, "empty")).Close()
			s, err := Open(t.Context(), Options{Dir: dir, Create: true, noWatch: what == "no kernel's help"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			holder := enter(t, s, "p")
			waiters := []backend.Entry{enter(t, s, "p"), enter(t, s, "p"), enter(t, s, "q"), enter(t, s, "q")}
			began := time.Now()
			shell(t, script, parent)
			for _, e := range []backend.Entry{waiters[0], waiters[1], waiters[3]} {
				learnsThatItsStoreIsGone(t, e, dir)
			}
			t.Logf("after %s", time.Since(began))
			for _, e := range append(waiters, holder) {
				if err := e.Release(t.Context()); err != nil {
					t.Errorf("releasing: %v", err)
				}
			}
		})
	}
}

func learnsThatItsStoreIsGone(t *testing.T, e backend.Entry, dir string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case ev := <-e.Events():
			if ev.Kind == backend.Blocked {
				continue
			}
			if ev.Kind != backend.Refused || !isGone(ev.Err) || !strings.Contains(ev.Err.Error(), dir+"/default is gone") {
				t.Errorf("event %+v, want that the store is gone", ev)
			}
			return
		case <-timeout:
			t.Fatal("a waiter does not learn that its store is gone")
		}
	}
}

func TestAStoreThatIsRemovedAndMadeAnewGivesNoSlotTwice(t *testing.T) {
	for what, script := range map[string]string{"all": `rm -rf "$1"`, "all in it": `rm -rf "$1"/*`, "old files": `find "$1" -type f -delete; find "$1" -type p -delete`} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			s := open(t, dir)
			everything(t, s)
			s.Close()
			holder := launch(t, "claim", dir, "p", "1")
			holder.says("granted")
			shell(t, script, dir)
			anew := open(t, dir)
			defer anew.Close()
			busy(t, anew, "p")
			if held := snapshot(t, anew).Held; len(held) != 1 || held[0].PID != holder.cmd.Process.Pid || held[0].Orphaned {
				t.Errorf("held %+v, want the claim of process %d, which lives", held, holder.cmd.Process.Pid)
			}
			waiter := launch(t, "claim", dir, "p", "1")
			waiter.says("waiting")
			waiter.quiet()
			holder.kill()
			waiter.says("granted")
		})
	}
}

func TestAnotherBootIDIsNoRebootWhileALockIsHeld(t *testing.T) {
	dir := t.TempDir()
	s, container := open(t, dir), open(t, dir)
	defer s.Close()
	defer container.Close()
	container.boot = id{9}
	holder := enter(t, s, "p")
	e, err := container.Enter(t.Context(), newClaim("q", 1), backend.EnterOptions{})
	if err != nil || e.Claim().Grant == nil {
		t.Fatalf("a claim under another boot's identity: %v", err)
	}
	busy(t, container, "p")
	busy(t, s, "q")
	for _, e := range []backend.Entry{holder, e} {
		if err := e.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestARateIsNotForgottenUnderAnotherBootID(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	err := s.ChangeSettings(t.Context(), func(st *backend.Settings, _ bool) error {
		st.Pools = map[string]backend.Pool{"p": {Limit: backend.Unlimited, Rate: &backend.Rate{Slots: 1, Period: time.Minute}}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	enter(t, s, "p").Release(t.Context())
	s.boot = id{9}
	busy(t, s, "p")
}

// TestTokensGrowOverABackupThatIsRestored: each script ends with the store as it was before the last tokens.
func TestTokensGrowOverABackupThatIsRestored(t *testing.T) {
	for what, steps := range map[string][2]string{
		"a copy in its place":      {`cp -a "$1" "$1.b"`, `rm -rf "$1"; cp -a "$1.b" "$1"`},
		"the copy itself":          {`cp -a "$1" "$1.b"`, `rm -rf "$1"; mv "$1.b" "$1"`},
		"over what is there":       {`cp -a "$1" "$1.b"`, `sleep 0.05; cp -a "$1.b/." "$1/"`},
		"an archive":               {`tar cf "$1.tar" -C "$1" .`, `sleep 0.05; tar xf "$1.tar" -C "$1"`},
		"the state alone":          {`cp -a "$1/default/state" "$1.b"`, `sleep 0.05; cp -a "$1.b" "$1/default/state"`},
		"moved away, and the copy": {`rm -rf "$1.old"; cp -a "$1" "$1.b"`, `mv "$1" "$1.old"; mv "$1.b" "$1"`},
	} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			token := func() int64 {
				s := open(t, dir)
				defer s.Close()
				return tokenOf(t, s)
			}
			last := token()
			for round := range 3 {
				shell(t, steps[0], dir)
				for range 5 {
					last = token()
				}
				shell(t, steps[1], dir)
				if next := token(); next <= last {
					t.Fatalf("round %d: token %d after %d", round, next, last)
				} else {
					last = next
				}
			}
			shell(t, `rm -rf "$1.b" "$1.old"`, dir)
		})
	}
	t.Run("without one", func(t *testing.T) {
		s := open(t, t.TempDir())
		defer s.Close()
		if first, second := tokenOf(t, s), tokenOf(t, s); second != first+1 {
			t.Logf("token %d after %d: the machine was busy", second, first)
		}
	})
}

func TestNoNamespaceCollidesWithWhatIsBesideIt(t *testing.T) {
	dir := t.TempDir()
	shell(t, `mkdir -p "$1/runs/20260101T000000-abc" "$1/.etcd"`, dir) // a dag ran before, and something on etcd
	open(t, dir).Close()
	s, err := Open(t.Context(), Options{Dir: dir, Namespace: RunsName, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if exists(filepath.Join(dir, RunsName, "state")) || !exists(filepath.Join(dir, "%72uns", "state")) {
		t.Error("the namespace is among the runs of dags")
	}

	old := t.TempDir() // in which an earlier program has made one
	open(t, old).Close()
	shell(t, `cp -a "$1/default" "$1/runs"`, old)
	s, err = Open(t.Context(), Options{Dir: old, Namespace: RunsName})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, want := s.path, filepath.Join(old, "runs"); got != want {
		t.Errorf("the namespace is in %s, want %s", got, want)
	}
}
