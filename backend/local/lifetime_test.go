package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"limit/backend"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// reboot lets everything that is opened on the directory from now on believe that the machine was booted in between.
func reboot(t *testing.T, dir string) *Store {
	t.Helper()
	s := open(t, dir)
	s.boot = id{0xb0, 0x07}
	return s
}

func tokenOf(t *testing.T, s *Store) int64 {
	t.Helper()
	e := enter(t, s, "token")
	defer e.Release(context.Background())
	return e.Claim().Grant.Token
}

func TestAfterARebootNobodyHoldsAndTokensHaveGrown(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	limitPool(t, s, "p", 3)
	last := tokenOf(t, s)
	err := s.change(t.Context(), func(c *change) error { // claims of processes that the reboot has ended
		for range 5 {
			c.add(&entry{id: id{byte(len(c.img.claims) + 1)}, claim: newClaim("p", 3)})
		}
		c.advance()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()

	s = reboot(t, dir)
	defer s.Close()
	snap := snapshot(t, s)
	if len(snap.Held)+len(snap.Waiting) != 0 || snap.Settings.Pools["p"].Limit != 3 {
		t.Errorf("after the reboot: %+v", snap)
	}
	if token := tokenOf(t, s); token <= last+1 {
		t.Errorf("token %d after %d and more that may not have reached the disk", token, last)
	}
}

func TestARateHoldsOverAReboot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	setRate := func(s *Store, period time.Duration) {
		err := s.ChangeSettings(t.Context(), func(st *backend.Settings, _ bool) error {
			st.Pools = map[string]backend.Pool{"p": {Limit: backend.Unlimited, Rate: &backend.Rate{Slots: 1, Period: period}}}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	setRate(s, s.clock()+time.Hour)
	enter(t, s, "p").Release(t.Context())
	err := s.change(t.Context(), func(c *change) error { // the boot before was longer
		c.img.starts[0].at, c.dirty = c.now+time.Hour, true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = reboot(t, dir)
	defer s.Close()
	var busy *backend.BusyError
	if _, err := s.Enter(t.Context(), newClaim("p", 1), backend.EnterOptions{NoWait: true}); !errors.As(err, &busy) {
		t.Fatalf("a start of the boot before is forgotten within the period: %v", err)
	}
	setRate(s, backend.MinRatePeriod) // the machine is up for longer than that
	e := enter(t, s, "p")
	defer e.Release(t.Context())
	if e.Claim().Grant == nil {
		t.Error("a start of the boot before is remembered for ever")
	}
}

func TestALostStateStartsAnewAboveAllTokensAndWithRatesExhausted(t *testing.T) {
	for name, damage := range map[string]func(s *Store) error{
		"emptied": func(s *Store) error { return os.Truncate(s.file("state"), 0) },
		"scrambled": func(s *Store) error {
			return os.WriteFile(s.file("state"), []byte(strings.Repeat("scrambled", 5000)), 0o600)
		},
		"image":  func(s *Store) error { return flip(s, s.glance().off) },
		"header": func(s *Store) error { return flip(s, 20) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			defer s.Close()
			err := s.ChangeSettings(t.Context(), func(st *backend.Settings, _ bool) error {
				st.Pools = map[string]backend.Pool{"r": {Limit: backend.Unlimited, Rate: &backend.Rate{Slots: 2, Period: time.Hour}}}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			last := tokenOf(t, s)
			if err := damage(s); err != nil {
				t.Fatal(err)
			}
			if token := tokenOf(t, s); token <= last {
				t.Errorf("token %d after %d", token, last)
			}
			if snap := snapshot(t, s); !snap.SettingsSet || snap.Settings.Pools["r"].Rate == nil {
				t.Errorf("the settings are lost: %+v", snap.Settings)
			}
			var busy *backend.BusyError
			if _, err := s.Enter(t.Context(), newClaim("r", 1), backend.EnterOptions{NoWait: true}); !errors.As(err, &busy) {
				t.Errorf("a rate whose starts are lost admits more: %v", err)
			}
		})
	}
}

// flip changes one byte of the state.
func flip(s *Store, off int64) error {
	var b [1]byte
	if _, err := preadFull(s.state, b[:], off); err != nil {
		return err
	}
	b[0] ^= 0x40
	return pwriteFull(s.state, b[:], off)
}

func TestADamagedStateWithLiveClaimsIsAnErrorUntilTheyEnd(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	e := enter(t, s, "p")
	if err := flip(s, s.glance().off); err != nil {
		t.Fatal(err)
	}
	_, err := s.Enter(t.Context(), newClaim("p", 1), backend.EnterOptions{})
	if err == nil || !strings.Contains(err.Error(), "damaged while claims are alive") {
		t.Fatalf("error %v, want that the state is damaged", err)
	}
	if err := e.Release(t.Context()); err == nil {
		t.Error("a release that the state does not know of says nothing")
	}
	next := enter(t, s, "p") // its end was enough
	defer next.Release(t.Context())
	if next.Claim().Grant == nil {
		t.Error("the store did not start anew")
	}
}

func TestDamagedSettingsAndTokensAreNamed(t *testing.T) {
	for name, words := range map[string]string{"settings": "set the limits again", "tokens": "number above every token"} {
		s := open(t, t.TempDir())
		limitPool(t, s, "p", 1)
		enter(t, s, "p").Release(t.Context())
		write(t, s.file(name), "{nonsense")
		if err := os.Truncate(s.file("state"), 0); err != nil {
			t.Fatal(err)
		}
		_, err := s.Snapshot(t.Context())
		if err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), s.file(name)) {
			t.Errorf("damaged %s: %v", name, err)
		}
		s.Close()
	}
}

func TestTokensAreCoveredOnTheDisk(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	tokenOf(t, s)
	for range 3 {
		err := s.change(t.Context(), func(c *change) error { // as many grants as the file covers
			c.img.token, c.dirty = c.img.ceiling, true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		token := tokenOf(t, s)
		if ceiling, known, err := s.readTokens(); err != nil || !known || ceiling < token {
			t.Fatalf("token %d, and the disk covers %d (%t, %v)", token, ceiling, known, err)
		}
	}
}

func TestDetailsAreRewrittenWhenMostAreOfClaimsThatAreGone(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	first := newClaim("p", 1)
	first.Name, first.Command = "the first", []string{"sh", "-c", "ü\n\x00"}
	e, err := s.Enter(t.Context(), first, backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release(context.WithoutCancel(t.Context()))
	largest := int64(0)
	for i := range 120 {
		c := newClaim(fmt.Sprint("q", i), 1)
		c.Command = []string{strings.Repeat("x", 10_000), strings.Repeat("y", maxCommand)}
		other, err := s.Enter(t.Context(), c, backend.EnterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{detailsName(0), detailsName(1)} {
			if st, err := os.Stat(s.file(name)); err == nil {
				largest = max(largest, st.Size())
			}
		}
	}
	if largest > 2*detailsSlack {
		t.Errorf("the details have grown to %d bytes", largest)
	}
	held := snapshot(t, s).Held
	if len(held) != 1 || held[0].Name != "the first" || len(held[0].Command) != 3 || held[0].Command[2] != "ü\n\x00" {
		t.Errorf("held %+v, want the first with its command", held)
	}
}

func TestALockThatHangsIsWaitedForAsLongAsTheContextAndTheStoreAllow(t *testing.T) {
	dir := t.TempDir()
	s, hanging := open(t, dir), open(t, dir)
	defer hanging.Close()
	held := enter(t, s, "p")
	waiter := enter(t, s, "p")
	defer waiter.Release(t.Context())
	if err := flock(hanging.state, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.Enter(ctx, newClaim("p", 1), backend.EnterOptions{})
	holder := fmt.Sprintf("process %d (%s", os.Getpid(), os.Args[0][:10])
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), holder) {
		t.Errorf("Enter: %v, want the deadline and %s", err, holder)
	}
	if _, err := s.Snapshot(t.Context()); err != nil {
		t.Errorf("Snapshot: %v, want what there is without the lock", err)
	}
	if _, _, err := s.Settings(t.Context()); err != nil {
		t.Errorf("Settings: %v, want what there is without the lock", err)
	}
	impatient, err := Open(t.Context(), Options{Dir: dir, Patience: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer impatient.Close()
	for name, call := range map[string]func() error{
		"Enter": func() error {
			_, err := impatient.Enter(t.Context(), newClaim("p", 1), backend.EnterOptions{})
			return err
		},
		"Cancel": func() error { return impatient.Cancel(t.Context(), held.Claim().ID, "") },
		"ChangeSettings": func() error {
			return impatient.ChangeSettings(t.Context(), func(*backend.Settings, bool) error { return nil })
		},
	} {
		if err := call(); !errors.Is(err, backend.ErrUnreachable) || !strings.Contains(err.Error(), holder) {
			t.Errorf("%s: %v, want that the store is out of reach, and %s", name, err, holder)
		}
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := held.Release(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Release: %v, want the deadline", err)
	}
	if err := flock(hanging.state, unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if ev := next(t, waiter); ev.Kind != backend.Granted { // the slot is given back as that of a dead claim is
		t.Errorf("event %+v, want Granted", ev)
	}
	s.Close()
}

func TestAStoreThatCannotBeMadeInTimeIsOutOfReach(t *testing.T) {
	for name, locked := range map[string]func(dir string) string{
		"nothing is there":     func(dir string) string { return dir },
		"the state is missing": func(dir string) string { return filepath.Join(dir, "default") },
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if path := locked(dir); path != dir {
			open(t, dir).Close()
			if err := os.Remove(filepath.Join(path, "state")); err != nil {
				t.Fatal(err)
			}
		}
		lock, err := os.Open(locked(dir))
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if err := flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err = Open(ctx, Options{Dir: dir, Create: true})
		holder := fmt.Sprintf("process %d (", os.Getpid())
		if !errors.Is(err, backend.ErrUnreachable) || !strings.Contains(err.Error(), holder) {
			t.Errorf("%s: %v, want that the store is out of reach, and who has the lock", name, err)
		}
	}
}

// A crowd before the lock may wait for longer than the patience: while the state changes, the store can be reached.
func TestAStoreThatOthersChangeCanBeReached(t *testing.T) {
	dir := t.TempDir()
	s, hanging := open(t, dir), open(t, dir)
	defer s.Close()
	defer hanging.Close()
	waiting, cancel := s.patient(t.Context(), 500*time.Millisecond)
	defer cancel()
	for begun := time.Now(); time.Since(begun) < 1500*time.Millisecond; {
		if err := hanging.change(t.Context(), func(c *change) error { c.dirty = true; return nil }); err != nil {
			t.Fatal(err)
		}
		select {
		case <-waiting.Done():
			t.Fatalf("given up after %v, though the state changes", time.Since(begun))
		case <-time.After(10 * time.Millisecond):
		}
	}
	<-waiting.Done()
	if cause := context.Cause(waiting); cause != errLockHeld {
		t.Errorf("it ends with %v, want %v", cause, errLockHeld)
	}
}

func TestNothingIsLeftRunningOrOpen(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	open(t, dir).Close()
	before := descriptors(t)
	for range 5 {
		s := open(t, dir)
		ctx, cancel := context.WithCancel(t.Context())
		changes, err := s.Changes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var entries []backend.Entry
		for range 4 {
			entries = append(entries, enter(t, s, "p"))
		}
		entries[0].Events()
		for _, i := range []int{2, 0, 1, 3} { // waiting, held, granted, last
			if err := entries[i].Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		for range changes {
		}
		s.Close()
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
