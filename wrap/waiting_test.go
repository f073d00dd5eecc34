//go:build linux

package wrap

import (
	"context"
	"io"
	"os"
	"testing"

	"limit/backend"
	"limit/backend/memory"
	"limit/wrap/process"
)

// slow is a store that says who holds what only when it is asked no longer.
type slow struct {
	backend.Backend
	asked chan struct{}
	ended chan error
}

func (s slow) Snapshot(ctx context.Context) (*backend.Snapshot, error) {
	s.asked <- struct{}{}
	<-ctx.Done()
	s.ended <- ctx.Err()
	return nil, ctx.Err()
}

func TestAGrantIsTakenWhileTheStoreIsSlowToSayWhoHoldsTheSlot(t *testing.T) {
	store := slow{memory.NewSpace().Open(), make(chan struct{}, 1), make(chan error, 1)}
	holder, err := store.Enter(t.Context(), backend.Claim{ID: "holds", RunID: "holds", Pools: map[string]int{"p": 1}}, backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	supervisor, err := process.NewSupervisor()
	if err != nil {
		t.Fatal(err)
	}
	defer supervisor.Close()
	run := Run{
		Backend: store, Supervisor: supervisor, Messages: NewMessages(io.Discard, Normal),
		Claim:   backend.Claim{ID: "asks", RunID: "asks", Name: "true", Pools: map[string]int{"p": 1}},
		Command: process.Command{Path: "/bin/true", Args: []string{"true"}, Env: os.Environ()},
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
