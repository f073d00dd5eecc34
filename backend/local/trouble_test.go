package local

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"limit/backend"
)

// helperPoor (DIR) waits for a slot of p. At a line of its standard input it can write no files any more, at the next
// it can again; at each it says how often it has tried to write the state.
func helperPoor(args []string) error {
	signal.Ignore(syscall.SIGXFSZ) // a write then fails with EFBIG, as one on a full disk with ENOSPC
	ctx := context.Background()
	var tries atomic.Int64
	s, err := Open(ctx, Options{Dir: args[0], Create: true, recheck: time.Hour, step: func(name string) {
		if name == "write image" {
			tries.Add(1)
		}
	}})
	if err != nil {
		return err
	}
	e, err := s.Enter(ctx, newClaim("p", 1), backend.EnterOptions{})
	if err != nil {
		return err
	}
	fmt.Println("waiting")
	orders := make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			orders <- struct{}{}
		}
	}()
	for _, most := range []uint64{100, unix.RLIM_INFINITY} {
		for waits := true; waits; {
			select {
			case ev := <-e.Events():
				sayEvent(ev)
			case <-orders:
				waits = false
			}
		}
		limit := unix.Rlimit{Cur: most, Max: unix.RLIM_INFINITY}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		fmt.Println("tried", tries.Load())
	}
	for ev := range e.Events() {
		sayEvent(ev)
	}
	return nil
}

func sayEvent(ev backend.Event) {
	names := map[backend.EventKind]string{backend.Granted: "granted", backend.Unreachable: "unreachable", backend.Reachable: "reachable"}
	if name := names[ev.Kind]; name != "" {
		fmt.Println(name, ev.Reason)
	}
}

func TestAStateThatCannotBeWrittenIsToldOnceAndTriedAgainEverMoreSeldom(t *testing.T) {
	dir := t.TempDir()
	holder := launch(t, "claim", dir, "p", "1")
	holder.says("granted")
	const waiting = 3
	var waiters []*process
	for range waiting {
		p := launch(t, "poor", dir)
		p.says("waiting")
		waiters = append(waiters, p)
	}
	order := func(p *process) (tried int) {
		p.stdin.Write([]byte("\n"))
		tried, _ = strconv.Atoi(p.says("tried")[1])
		return tried
	}
	before := make([]int, waiting)
	for i, p := range waiters {
		before[i] = order(p)
	}
	began := time.Now()
	holder.kill()
	keeper := waiters[0] // of the gate, as the first who came
	if reason := strings.Join(keeper.says("unreachable"), " "); !strings.Contains(reason, "state: file too large") {
		t.Errorf("the owner hears %q, want why the state cannot be written", reason)
	}
	for i, p := range waiters[1:] {
		if tried := order(p) - before[i+1]; tried > 0 {
			t.Errorf("one that nobody has woken has tried %d times to write", tried)
		}
	}
	rich := time.Now()
	tried := order(keeper) - before[0]
	if most := 2 + int(rich.Sub(began)/firstRetry); tried > most {
		t.Errorf("%d tries in %s, want %d at most", tried, rich.Sub(began), most)
	}
	keeper.says("reachable")
	keeper.says("granted") // the death was not forgotten
	if took := time.Since(rich); took > 2*lastRetry+time.Second {
		t.Errorf("granted %s after the state could be written", took)
	}
}

func TestAWaiterOnAStateThatBecameUnreadableSaysSo(t *testing.T) {
	for name, damage := range map[string]struct {
		at   int64
		with []byte
		says string
	}{
		"a newer format":  {8, []byte{99, 0, 0, 0}, "was written by a newer limit"},
		"a damaged state": {0, []byte("rubbish"), "damaged while claims are alive"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			defer s.Close()
			holder := enter(t, s, "p")
			waiter := enter(t, s, "p")
			sound := make([]byte, headerSize)
			if _, err := preadFull(s.state, sound, 0); err != nil {
				t.Fatal(err)
			}
			if err := pwriteFull(s.state, damage.with, damage.at); err != nil {
				t.Fatal(err)
			}
			if err := s.send(waiter.(*entry).file, wakeByte); err != nil {
				t.Fatal(err)
			}
			if ev := next(t, waiter); ev.Kind != backend.Unreachable || !strings.Contains(ev.Reason, damage.says) {
				t.Errorf("event %+v, want that the store is unreachable: %s", ev, damage.says)
			}
			if err := pwriteFull(s.state, sound, 0); err != nil {
				t.Fatal(err)
			}
			if ev := next(t, waiter); ev.Kind != backend.Reachable {
				t.Errorf("event %+v, want Reachable", ev)
			}
			if err := holder.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			if ev := next(t, waiter); ev.Kind != backend.Granted {
				t.Errorf("event %+v, want Granted", ev)
			}
			if err := waiter.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAChangeFailsWhereSomebodyCannotBeWoken(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	enter(t, s, "p").Release(t.Context())
	const file = 999
	if err := os.Symlink("elsewhere", s.file(fileNumber(file).path())); err != nil { // fails with ELOOP, as others do with EMFILE
		t.Fatal(err)
	}
	before := s.generation()
	err := s.change(t.Context(), func(c *change) error {
		c.dirty = true
		if !c.wake(&record{file: file}) {
			t.Error("one who cannot be told is taken for dead")
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "waking") || s.generation() != before {
		t.Errorf("%v, generation %d after %d; want that nothing is written", err, s.generation(), before)
	}
}
