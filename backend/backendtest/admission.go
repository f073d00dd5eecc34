package backendtest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"limit/backend"
)

// admission is the order, all or nothing, and what Enter promises.
func admission() []testCase {
	return []testCase{
		{"a claim is granted at once where there is room", grantedAtOnce},
		{"a claim waits for a full pool and is granted when a slot is free", waitsForSlot},
		{"a claim of several pools gets all of them at once or none", allOrNothing},
		{"claims are granted in the order of their arrival", inOrder},
		{"a higher priority goes first", byPriority},
		{"a claim that does not fit is passed by those who need other limits", skipped},
		{"a claim for many slots is not starved by claims for one", notStarved},
		{"a claim that waited long keeps what comes free", reserves},
		{"a claim for several slots takes as many", weights},
		{"slot numbers are below the limit and nobody shares one", slotNumbers},
		{"tokens grow", tokensGrow},
		{"a claim that can never be granted fails at once", impossible},
		{"a claim that does not wait says what is busy and leaves nothing", noWait},
		{"a claim that replaces asks the oldest holders in the way", replaces},
		{"a claim whose ancestors hold what it needs fails at once", impossibleWithinRun},
		{"a nested claim takes what its ancestors leave", nested},
		{"a release counts once, held or waiting", releaseOnce},
		{"a cancelled context leaves nothing", cancelledContext},
		{"an id enters once", idOnce},
	}
}

func grantedAtOnce(k *kit) {
	m := k.enter(pool("p", 1))
	select {
	case ev := <-m.Events():
		if ev.Kind != backend.Granted {
			k.Fatalf("first event %+v, want Granted", ev)
		}
	default:
		k.Fatal("Enter returned a held claim without a Granted event")
	}
	c := m.Claim()
	if c.Grant == nil || c.Grant.Token < 1 || c.Grant.GrantedAt.IsZero() || c.Seq < 1 {
		k.Fatalf("%s: want a seq, and a grant with token and time", describe(c))
	}
	if want := map[string][]int{"p": {0}}; !reflect.DeepEqual(c.Grant.Slots, want) {
		k.Fatalf("slots %v, want %v", c.Grant.Slots, want)
	}
}

func waitsForSlot(k *kit) {
	first := k.enter(pool("p", 1)).holds()
	second := k.enterWith(k.other, backend.EnterOptions{}, pool("p", 1)).waits()
	if g := second.Claim().Grant; g != nil {
		k.Fatalf("a waiting claim has a grant: %+v", g)
	}
	first.release()
	second.holds()
}

func allOrNothing(k *kit) {
	p := k.enter(pool("p", 1)).holds()
	both := k.enter(pool("p", 1), pool("q", 1)).waits()
	q, err := k.try(pool("q", 1))
	if err != nil {
		k.Fatalf("a waiting claim holds something: %v", err)
	}
	p.release()
	both.waits()
	q.release()
	both.holds()
	k.refuses(pool("p", 1))
	k.refuses(pool("q", 1))
}

func inOrder(k *kit) {
	m := k.enter(pool("p", 1)).holds()
	var line []*member
	for i := range 6 {
		line = append(line, k.enterWith([]backend.Backend{k.b, k.other}[i%2], backend.EnterOptions{}, pool("p", 1)))
	}
	for _, next := range line {
		next.waits()
		m.release()
		m = next.holds()
	}
}

func byPriority(k *kit) {
	m := k.enter(pool("p", 1)).holds()
	low := k.enter(pool("p", 1), priority(-1))
	mid := k.enter(pool("p", 1))
	high := k.enter(pool("p", 1), priority(7))
	for _, next := range []*member{high, mid, low} {
		next.waits()
		m.release()
		m = next.holds()
	}
}

func skipped(k *kit) {
	k.enter(pool("p", 1)).holds()
	k.enter(pool("p", 1), pool("q", 1)).waits()
	k.enter(pool("q", 1)).holds()
	k.enter(pool("r", 1)).holds()
}

func notStarved(k *kit) {
	k.limit("p", 4)
	var held []*member
	for range 4 {
		held = append(held, k.enter(pool("p", 1)).holds())
	}
	big := k.enter(pool("p", 4)).waits()
	small := k.enter(pool("p", 1))
	for _, m := range held[:3] {
		m.release()
		big.waits()
		small.waits()
	}
	if blocks := k.refuses(pool("p", 1)); blocks[0].Why != backend.WhyBehind || !slices.Contains(blocks[0].By, big.id) {
		k.Fatalf("blocks %+v, want behind %s", blocks, big.id)
	}
	held[3].release()
	big.holds()
	small.waits()
	big.release()
	small.holds()
}

func reserves(k *kit) {
	k.set(func(s *backend.Settings) { s.ReserveAfter = 300 * time.Millisecond })
	p := k.enter(pool("p", 1)).holds()
	old := k.enter(pool("p", 1), pool("q", 1)).waits()
	var blocks []backend.Block
	for deadline := time.Now().Add(patience); len(blocks) == 0; {
		if time.Now().After(deadline) {
			k.Fatalf("q was never kept for the old claim; the store has %s", k.describeAll())
		}
		m, err := k.try(pool("q", 1))
		var busy *backend.BusyError
		switch {
		case err == nil:
			m.release() // passes while the other is young
		case errors.As(err, &busy):
			blocks = busy.Blocks
		default:
			k.Fatal(err)
		}
	}
	if b := blocks[0]; b.Why != backend.WhyReserved || !slices.Contains(b.By, old.id) || b.Limit != "pool:q" {
		k.Fatalf("blocks %+v, want pool:q reserved for %s", blocks, old.id)
	}
	young := k.enter(pool("q", 1)).waits()
	p.release()
	old.holds()
	young.waits()
	old.release()
	young.holds()
}

func weights(k *kit) {
	k.limit("p", 3)
	two := k.enter(pool("p", 2)).holds()
	k.refuses(pool("p", 2))
	k.admits(pool("p", 1))
	three := k.enter(pool("p", 3)).waits()
	two.release()
	three.holds()
	k.refuses(pool("p", 1))
}

func slotNumbers(k *kit) {
	k.limit("p", 4)
	k.limit("free", backend.Unlimited)
	taken := map[int]string{}
	note := func(m *member) {
		k.Helper()
		for _, n := range m.Claim().Grant.Slots["p"] {
			if other := taken[n]; n < 0 || n >= 4 || other != "" {
				k.Fatalf("%s has slot %d of 4, held by %q", describe(m.Claim()), n, other)
			}
			taken[n] = m.id
		}
	}
	a := k.enter(pool("p", 2), pool("free", 7)).holds()
	b := k.enter(pool("p", 1)).holds()
	c := k.enter(pool("p", 1)).holds()
	for _, m := range []*member{a, b, c} {
		note(m)
	}
	if s := a.Claim().Grant.Slots; len(s["p"]) != 2 || len(s["free"]) != 0 {
		k.Fatalf("slots %v, want two of p and none of an unlimited pool", s)
	}
	again := k.enter(pool("p", 1))
	want := b.Claim().Grant.Slots["p"]
	b.release()
	if got := again.holds().Claim().Grant.Slots["p"]; !reflect.DeepEqual(got, want) {
		k.Fatalf("slots %v, want those that came free: %v", got, want)
	}
}

func tokensGrow(k *kit) {
	k.limit("p", 2)
	last := int64(0)
	for i := range 10 {
		b := []backend.Backend{k.b, k.other}[i%2]
		m := k.enterWith(b, backend.EnterOptions{}, pool("p", 1)).holds()
		if token := m.Claim().Grant.Token; token <= last {
			k.Fatalf("token %d after %d", token, last)
		}
		last = m.Claim().Grant.Token
		m.release()
	}
}

func impossible(k *kit) {
	k.limit("p", 2)
	k.limit("paused", 0)
	for _, o := range []backend.EnterOptions{{}, {NoWait: true}, {Replace: true}} {
		_, err := k.b.Enter(k.ctx, claim(pool("p", 3), pool("q", 1)), o)
		var never *backend.ImpossibleError
		if !errors.As(err, &never) || never.Limit != "pool:p" || never.Asked != 3 || never.Capacity != 2 {
			k.Fatalf("error %v (%+v), want 3 of pool:p with 2", err, never)
		}
	}
	k.empty()
	k.enter(pool("paused", 3)).waits()
}

func noWait(k *kit) {
	m := k.enter(pool("p", 1)).holds()
	blocks := k.refuses(pool("p", 1), pool("q", 1))
	want := []backend.Block{{Limit: "pool:p", Used: 1, Capacity: 1, By: []string{m.id}, Why: backend.WhyFull}}
	if !reflect.DeepEqual(blocks, want) {
		k.Fatalf("blocks %+v, want %+v", blocks, want)
	}
	if s := k.snapshot(); len(s.Waiting) != 0 || len(s.Held) != 1 {
		k.Fatalf("something stayed behind: %s", k.describeAll())
	}
	m.release()
	k.admits(pool("p", 1), pool("q", 1))
}

func replaces(k *kit) {
	k.limit("p", 3)
	oldest, middle, newest := k.enter(pool("p", 1)).holds(), k.enter(pool("p", 1)).holds(), k.enter(pool("p",
		1)).holds()
	in := k.enterWith(k.other, backend.EnterOptions{Replace: true}, pool("p", 2))
	for _, m := range []*member{oldest, middle} {
		if ev := m.event(backend.Cancelled); ev.Reason == "" {
			k.Fatalf("event %+v, want a reason", ev)
		}
		in.waits()
		m.release()
	}
	in.holds()
	select {
	case ev := <-newest.Events():
		k.Fatalf("the newest holder was told %+v, though two had to go", ev)
	default:
	}
}

func impossibleWithinRun(k *kit) {
	k.limit("p", 2)
	outer := k.enter(pool("p", 2)).holds()
	_, err := k.b.Enter(k.ctx, claim(pool("p", 1), within(outer)), backend.EnterOptions{})
	var never *backend.ImpossibleError
	if !errors.As(err, &never) || never.Limit != "pool:p" || never.Held[outer.id] != 2 || never.Asked != 1 {
		k.Fatalf("error %v (%+v), want that %s holds 2", err, never, outer.id)
	}
}

func nested(k *kit) {
	k.set(func(s *backend.Settings) { s.MaxRuns = 1; s.Pools["p"] = backend.Pool{Limit: 2} })
	outer := k.enter(run(), pool("p", 1)).holds()
	k.enter(pool("p", 1), within(outer)).holds()
	k.refuses(run())
}

func releaseOnce(k *kit) {
	k.limit("p", 1)
	first := k.enter(pool("p", 1)).holds()
	second, third := k.enter(pool("p", 1)), k.enter(pool("p", 1))
	second.release()
	second.release()
	first.release()
	first.release()
	third.holds()
	first.release()
	k.refuses(pool("p", 1))
	third.release()
	k.empty()
}

func cancelledContext(k *kit) {
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	if e, err := k.b.Enter(ctx, claim(pool("p", 1)), backend.EnterOptions{}); !errors.Is(err, context.Canceled) {
		k.Fatalf("Enter with a cancelled context: %v, %v", e, err)
	}
	k.empty()

	// While others come and go, so that some are cancelled in the middle.
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			ctx, cancel := context.WithCancel(k.ctx)
			go cancel()
			e, err := k.other.Enter(ctx, claim(pool("p", 1)), backend.EnterOptions{})
			if err == nil {
				err = e.Release(k.ctx)
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				k.Errorf("Enter with a context that is cancelled meanwhile: %v", err)
			}
			cancel()
		}
	}()
	<-done
	k.empty()
	k.admits(pool("p", 1))
}

func idOnce(k *kit) {
	c := claim(pool("p", 1))
	e, err := k.b.Enter(k.ctx, c, backend.EnterOptions{})
	if err != nil {
		k.Fatal(err)
	}
	defer e.Release(k.ctx)
	if _, err := k.other.Enter(k.ctx, c, backend.EnterOptions{}); err == nil {
		k.Fatal("a second claim with the same id entered")
	}
	if s := k.snapshot(); len(s.Held) != 1 {
		k.Fatalf("the first claim is gone: %s", k.describeAll())
	}
}
