//go:build linux

package wrap

import (
	"context"
	"io"
	"os"
	"regexp"
	"testing"
	"time"

	"limit/backend"
	"limit/backend/memory"
	"limit/wrap/process"
)

// slow is a store that does not say on entering who is in the way, and later only when it is asked no longer.
type slow struct {
	backend.Backend
	asked chan struct{}
	ended chan error
}

type slowEntry struct {
	backend.Entry
	s slow
}

func (s slow) Enter(ctx context.Context, c backend.Claim, o backend.EnterOptions) (backend.Entry, error) {
	e, err := s.Backend.Enter(ctx, c, o)
	if err == nil && e.Claim().Grant == nil {
		<-e.Events() // what it knows
	}
	return slowEntry{e, s}, err
}

func (e slowEntry) Obstacles(ctx context.Context) (backend.Obstacles, error) {
	e.s.asked <- struct{}{}
	<-ctx.Done()
	e.s.ended <- ctx.Err()
	return backend.Obstacles{}, ctx.Err()
}

func TestAGrantIsTakenWhileTheStoreIsSlowToSayWhoHoldsTheSlot(t *testing.T) {
	store := slow{memory.NewSpace().Open(), make(chan struct{}, 1), make(chan error, 1)}
	holder, err := store.Enter(t.Context(), backend.Claim{ID: "holds", RunID: "holds", Pools: map[string]int{"p": 1}}, backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	supervisor, err := process.NewSupervisor(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer supervisor.Close()
	run := Run{
		Backend: store, Start: func(c process.Command) (Process, error) { return supervisor.Start(c) }, Signals: supervisor.Signals(),
		Messages: NewMessages(io.Discard, Normal),
		Claim:    backend.Claim{ID: "asks", RunID: "asks", Name: "true", Pools: map[string]int{"p": 1}},
		Command:  process.Command{Path: "/bin/true", Args: []string{"true"}, Env: os.Environ()},
	}
	go func() {
		<-store.asked
		holder.Release(context.Background())
	}()
	if exit, err := run.Do(t.Context()); exit != (Exit{}) || err != nil {
		t.Errorf("the run ends with %+v, %v; want success", exit, err)
	}
	if err := <-store.ended; err != context.Canceled {
		t.Errorf("the grant was taken after the store was given up on (%v), not at once", err)
	}
}

// unreadable is a store whose claims must not ask it for anything while they wait.
type unreadable struct {
	backend.Backend
	t *testing.T
}

type unreadableEntry struct {
	backend.Entry
	t *testing.T
}

func (u unreadable) Snapshot(context.Context) (*backend.Snapshot, error) {
	u.t.Error("the whole store is read")
	return nil, backend.ErrUnreachable
}

func (u unreadable) Enter(ctx context.Context, c backend.Claim, o backend.EnterOptions) (backend.Entry, error) {
	e, err := u.Backend.Enter(ctx, c, o)
	return unreadableEntry{e, u.t}, err
}

func (e unreadableEntry) Obstacles(context.Context) (backend.Obstacles, error) {
	e.t.Error("the store is asked who is in the way, which it has told")
	return backend.Obstacles{}, backend.ErrUnreachable
}

// lines passes on what is written, line by line.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestTheWaitMessageIsFromWhatEnterKnows(t *testing.T) {
	space := memory.NewSpace()
	store := unreadable{space.Open(), t}
	err := store.ChangeSettings(t.Context(), func(s *backend.Settings, _ bool) error {
		s.Pools = map[string]backend.Pool{"p": {Limit: 4}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var holders []backend.Entry
	for _, name := range []string{"one", "two", "three", "four"} {
		e, err := store.Enter(t.Context(), backend.Claim{ID: name, RunID: name, Name: name, Host: "h", PID: 7, Pools: map[string]int{"p": 1}}, backend.EnterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		holders = append(holders, e)
	}
	supervisor, err := process.NewSupervisor(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer supervisor.Close()
	said := make(lines, 8)
	run := Run{
		Backend: store, Start: func(c process.Command) (Process, error) { return supervisor.Start(c) }, Signals: supervisor.Signals(), Messages: NewMessages(said, Normal),
		Claim:   backend.Claim{ID: "asks", RunID: "asks", Name: "true", Pools: map[string]int{"p": 1}},
		Command: process.Command{Path: "/bin/true", Args: []string{"true"}, Env: os.Environ()},
	}
	done := make(chan error, 1)
	go func() {
		_, err := run.Do(t.Context())
		done <- err
	}()
	want := `^limit: waiting for pool:p \(4 of 4 used\) held by one \(h, pid 7, for \d+s\), two \(.*\), three \(.*\), 1 more, position 1\n$`
	if line := <-said; !regexp.MustCompile(want).MatchString(line) {
		t.Errorf("said %q, want %s", line, want)
	}
	for _, h := range holders {
		h.Release(context.Background())
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// closed is a store that takes no claim.
type closed struct{ backend.Backend }

func (closed) Enter(context.Context, backend.Claim, backend.EnterOptions) (backend.Entry, error) {
	return nil, backend.ErrUnreachable
}

func TestAClaimThatCouldNotEnterHasNothingInItsWay(t *testing.T) {
	q := Queue{
		Life:     Life{Backend: closed{}, Claim: backend.Claim{ID: "asks"}},
		Messages: NewMessages(io.Discard, Normal), Emit: func(Event) {},
	}
	q.Begin(t.Context())
	defer q.Release()
	<-q.Entered()
	if o := q.look(t.Context()); len(o.Blocks) > 0 {
		t.Errorf("obstacles %+v, want none", o)
	}
}

// The store may know who is before a claim, and not what is in the way.
func TestAWaitMessageHasNoHole(t *testing.T) {
	for _, c := range []struct {
		claim backend.Claim
		known backend.Obstacles
		want  string
	}{
		{backend.Claim{Pools: map[string]int{"p": 1}}, backend.Obstacles{Position: 2, Parties: []backend.Party{{ID: "other"}}}, "waiting for pool:p 1 for 0s, position 2"},
		{backend.Claim{Runs: 1}, backend.Obstacles{}, "waiting for a run slot for 0s"},
		{backend.Claim{}, backend.Obstacles{}, "waiting for its turn for 0s"},
	} {
		q := Queue{Life: Life{Claim: c.claim}, began: time.Now()}
		if got := q.describeWait(c.known); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
