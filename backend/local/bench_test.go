package local

import (
	"context"
	"fmt"
	"testing"
	"time"

	"limit/backend"
)

func newClaim(pool string, slots int) backend.Claim {
	id := backend.NewID()
	return backend.Claim{ID: id, RunID: id, Pools: map[string]int{pool: slots}, Runs: 1,
		Name: "true", Command: []string{"/bin/true"}, Host: "h", PID: 1, User: "u", QueuedAt: time.Now()}
}

// BenchmarkUncontended is all that a command costs which need not wait.
func BenchmarkUncontended(b *testing.B) {
	dir := b.TempDir()
	ctx := context.Background()
	for b.Loop() {
		s, err := Open(ctx, Options{Dir: dir, Create: true})
		if err != nil {
			b.Fatal(err)
		}
		e, err := s.Enter(ctx, newClaim("p", 1), backend.EnterOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Release(ctx); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkHandOver is the time from a release to the event of the next in line, who comes back at the end of it,
// outside the time.
func BenchmarkHandOver(b *testing.B) {
	for _, waiting := range []int{200, 2000, 10000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) { handOver(b, waiting) })
	}
}

// handOver has two waiters in full, in turn, and the others as records of the state alone, whose files the test keeps
// locked.
func handOver(b *testing.B, waiting int) {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: b.TempDir(), Create: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	enter := func(priority int32) backend.Entry {
		c := newClaim("p", 1)
		c.Priority = priority
		e, err := s.Enter(ctx, c, backend.EnterOptions{})
		if err != nil {
			b.Fatal(err)
		}
		return e
	}
	holder := enter(0)
	<-holder.Events()
	crowdOf(b, s, waiting-1, newClaim)
	heir := enter(1)
	for b.Loop() {
		if err := holder.Release(ctx); err != nil {
			b.Fatal(err)
		}
		next(b, heir)
		b.StopTimer()
		holder, heir = heir, enter(1)
		b.StartTimer()
	}
	heir.Release(ctx)
	holder.Release(ctx)
}

// tagged is a claim with a tag of its own.
func tagged(pool string, slots int) backend.Claim {
	c := newClaim(pool, slots)
	c.Tags = map[string]string{"build": c.ID}
	return c
}

// BenchmarkArrival is the time in which a claim enters behind others, and leaves again.
func BenchmarkArrival(b *testing.B) {
	for _, waiting := range []int{200, 1000, 2000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) { arrive(b, waiting, newClaim) })
		b.Run(fmt.Sprintf("waiting=%d/tagged", waiting), func(b *testing.B) { arrive(b, waiting, tagged) })
	}
}

func arrive(b *testing.B, waiting int, claim func(string, int) backend.Claim) {
	s := crowded(b, waiting, claim)
	for b.Loop() {
		e, err := s.Enter(b.Context(), claim("p", 1), backend.EnterOptions{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		e.Release(b.Context())
		b.StartTimer()
	}
}

// crowded is a store with a holder and many who wait.
func crowded(b testing.TB, waiting int, claim func(string, int) backend.Claim) *Store {
	s, err := Open(b.Context(), Options{Dir: b.TempDir(), Create: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	holder, err := s.Enter(b.Context(), claim("p", 1), backend.EnterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { holder.Release(context.Background()) })
	crowdOf(b, s, waiting, claim)
	return s
}

// BenchmarkSnapshot reads everything while many wait.
func BenchmarkSnapshot(b *testing.B) {
	for _, waiting := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			s := crowded(b, waiting, newClaim)
			for b.Loop() {
				if _, err := s.Snapshot(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// crowdOf lets many claims wait without goroutines of their own. The first stands for all that live: it keeps the gate.
func crowdOf(b testing.TB, s *Store, n int, claim func(pool string, slots int) backend.Claim) {
	ctx := context.Background()
	first, err := s.Enter(ctx, claim("p", 1), backend.EnterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { first.Release(ctx) })
	err = s.change(ctx, func(c *change) error {
		for range n - 1 {
			e := newEntry(s, id{}, claim("p", 1), backend.EnterOptions{})
			e.id, _ = parseID(e.claim.ID)
			c.add(e)
			n, f, err := c.takeFile()
			if err != nil {
				return err
			}
			c.img.find(e.id).file = n
			b.Cleanup(func() { f.Close() })
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
