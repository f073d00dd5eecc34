package backendtest

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"limit/backend"
)

// limits is what happens when limits change.
func limits() []testCase {
	return []testCase{
		{"raising a limit wakes waiters at once", raising},
		{"lowering a limit kills nobody and admits nobody until there is room", lowering},
		{"a limit of 0 pauses and 1 resumes", pausing},
		{"a paused pool keeps its limit, its holders and its waiters", pausedPool},
		{"a paused run queue lets nobody start, and what is nested in a run", pausedRuns},
		{"a strict store refuses pools without a limit of their own", strict},
		{"an unset pool falls back to the default", unsetting},
		{"a pool without any limit is a lock", builtin},
		{"a waiter that a lower limit makes impossible is refused", refusedLater},
		{"a claim that stands up after a limit has made it impossible is refused", refusedOnStandingUp},
		{"an unlimited pool never blocks", unlimited},
		{"a claim for all slots takes the whole limit, however often that changes before", allSlots},
		{"a claim for all slots of an unlimited pool is refused", allOfUnlimited},
	}
}

func raising(k *kit) {
	k.limit("p", 1)
	k.enter(pool("p", 1)).holds()
	second, third, fourth := k.enter(pool("p", 1)), k.enter(pool("p", 1)), k.enter(pool("p", 1))
	second.waits()
	k.limit("p", 3)
	second.holds()
	third.holds()
	fourth.waits()
}

func lowering(k *kit) {
	k.limit("p", 3)
	a, b, c := k.enter(pool("p", 1)).holds(), k.enter(pool("p", 1)).holds(), k.enter(pool("p", 1)).holds()
	k.limit("p", 1)
	next := k.enter(pool("p", 1)).waits()
	for _, m := range []*member{a, b} {
		m.release()
		next.waits()
	}
	if s := k.snapshot(); len(s.Held) != 1 {
		k.Fatalf("lowering took a claim away: %s", k.describeAll())
	}
	c.release()
	next.holds()
}

func pausing(k *kit) {
	k.limit("p", 0)
	m := k.enter(pool("p", 1)).waits()
	if blocks := k.refuses(pool("p", 1)); blocks[0].Why != backend.WhyPaused || blocks[0].Capacity != 0 {
		k.Fatalf("blocks %+v, want paused", blocks)
	}
	k.limit("p", 1)
	m.holds()
}

func pausedPool(k *kit) {
	k.limit("p", 2)
	holder := k.enter(pool("p", 1)).holds()
	pause := backend.Pause{By: "ann@host", At: time.Unix(1700000000, 0).UTC(), Reason: "disk"}
	k.set(func(s *backend.Settings) { s.Paused = map[string]backend.Pause{"pool:p": pause} })
	m := k.enter(pool("p", 1)).waits()
	want := backend.Block{Limit: "pool:p", Used: 1, Capacity: 2, By: []string{}, Why: backend.WhyPaused, Pause: &pause}
	if blocks := k.refuses(pool("p", 1)); !reflect.DeepEqual(blocks, []backend.Block{want}) {
		k.Fatalf("blocks %+v, want %+v", blocks, want)
	}
	if o, err := m.Obstacles(k.ctx); err != nil || !reflect.DeepEqual(o.Blocks, []backend.Block{want}) {
		k.Fatalf("obstacles %+v, %v; want %+v", o, err, want)
	}
	var never *backend.ImpossibleError
	if _, err := k.b.Enter(k.ctx, claim(pool("p", 3)), backend.EnterOptions{}); !errors.As(err, &never) ||
		never.Capacity != 2 {
		k.Fatalf("error %v, want 3 of 2 to be impossible", err)
	}
	holder.release()
	m.waits()
	k.set(func(s *backend.Settings) { s.Paused = nil })
	m.holds()
}

func pausedRuns(k *kit) {
	outer := k.enter(run()).holds()
	k.set(func(s *backend.Settings) { s.Paused = map[string]backend.Pause{"runs": {By: "ann@host"}} })
	k.enter(inside(outer)).isOf(outer.id, 0)
	k.enter(pool("p", 1)).holds()
	next := k.enter(run()).waits()
	if blocks := k.refuses(run()); blocks[0].Why != backend.WhyPaused || blocks[0].Pause == nil {
		k.Fatalf("blocks %+v, want paused", blocks)
	}
	k.set(func(s *backend.Settings) { s.Paused = nil })
	next.holds()
}

func strict(k *kit) {
	k.limit("p", 1)
	k.enter(pool("other", 1)).holds()
	waiter := k.enter(pool("other", 1)).waits()
	k.set(func(s *backend.Settings) { s.Strict = true })
	var never *backend.ImpossibleError
	if ev := waiter.event(backend.Refused); !errors.As(ev.Err, &never) || never.Undeclared != "other" {
		k.Fatalf("event %+v, want that pool:other is not declared", ev)
	}
	if _, err := k.b.Enter(k.ctx, claim(pool("third", 1)), backend.EnterOptions{}); !errors.As(err, &never) ||
		never.Undeclared != "third" {
		k.Fatalf("error %v, want that pool:third is not declared", err)
	}
	k.enter(pool("p", 1)).holds()
}

func unsetting(k *kit) {
	k.set(func(s *backend.Settings) {
		two := 2
		s.DefaultLimit = &two
		s.Pools["p"] = backend.Pool{Limit: 1}
	})
	k.enter(pool("p", 1)).holds()
	second, third := k.enter(pool("p", 1)).waits(), k.enter(pool("p", 1))
	k.set(func(s *backend.Settings) { delete(s.Pools, "p") })
	second.holds()
	third.waits()
}

func builtin(k *kit) {
	k.enter(pool("nobody-knows", 1)).holds()
	k.refuses(pool("nobody-knows", 1))
}

func refusedLater(k *kit) {
	k.limit("p", 3)
	first := k.enter(pool("p", 3)).holds()
	big := k.enter(pool("p", 2)).waits()
	small := k.enter(pool("p", 1))
	k.limit("p", 1)
	ev := big.event(backend.Refused)
	var never *backend.ImpossibleError
	if !errors.As(ev.Err, &never) || never.Limit != "pool:p" || never.Asked != 2 || never.Capacity != 1 {
		k.Fatalf("event %+v, want 2 of pool:p with 1", ev)
	}
	small.waits()
	first.release()
	small.holds()
	big.release()
}

func unlimited(k *kit) {
	k.limit("p", backend.Unlimited)
	for range 20 {
		k.enter(pool("p", 1000)).holds()
	}
}

func refusedOnStandingUp(k *kit) {
	k.limit("p", 3)
	k.limit("q", 1)
	k.enter(pool("r", 1)).holds()
	k.enterWith(k.other, backend.EnterOptions{}, pool("r", 1)).waits() // somebody decides already
	both := []*member{k.enter(pool("p", 3)).holds(), k.enter(pool("q", backend.AllSlots)).holds()}
	for _, m := range both {
		k.limit("p", 2)
		k.limit("q", backend.Unlimited)
		k.must(m.Yield(k.ctx))
		k.must(m.Reacquire(k.ctx))
		var never *backend.ImpossibleError
		if ev := m.event(backend.Refused); !errors.As(ev.Err, &never) {
			k.Fatalf("event %+v, want it to be impossible", ev)
		}
		k.limit("p", 3)
		k.limit("q", 1)
	}
}

func allSlots(k *kit) {
	k.limit("p", 2)
	reader := k.enter(pool("p", 1), pool("q", 1)).holds()
	writer := k.enter(pool("p", backend.AllSlots), run()).waits()
	behind := k.enter(pool("p", 1)).waits()
	for _, limit := range []int{4, 1, 0, 3} {
		k.limit("p", limit)
		writer.waits()
		if got, want := k.snapshot().Waiting[0].Pools["p"], max(limit, 1); got != want {
			k.Fatalf("it waits for %d slots of a limit of %d, want %d", got, limit, want)
		}
	}
	reader.release()
	writer.holds().has("p", 0, 1, 2)
	behind.waits()
	k.refuses(pool("p", 1))

	k.must(writer.Yield(k.ctx))
	behind.holds()
	k.limit("p", 2)
	k.must(writer.Reacquire(k.ctx))
	writer.waits()
	behind.release()
	writer.holds().has("p", 0, 1)
	k.limit("p", 3)
	k.admits(pool("p", 1))
	k.refuses(pool("p", 2))
	k.refuses(pool("p", backend.AllSlots))
	writer.release()
	k.admits(pool("p", backend.AllSlots))
}

// has fails the test unless the claim holds these slots of a pool.
func (m *member) has(pool string, slots ...int) {
	m.k.Helper()
	if c := m.Claim(); c.Pools[pool] != len(slots) || !slices.Equal(c.Grant.Slots[pool], slots) {
		m.k.Fatalf("%s, want the slots %v of pool %s", describe(c), slots, pool)
	}
}

func allOfUnlimited(k *kit) {
	k.limit("p", 1)
	k.enter(pool("p", 1)).holds()
	writer := k.enter(pool("p", backend.AllSlots)).waits()
	k.limit("p", backend.Unlimited)
	var never *backend.ImpossibleError
	if ev := writer.event(backend.Refused); !errors.As(ev.Err, &never) || never.Asked != backend.AllSlots {
		k.Fatalf("event %+v, want that an unlimited pool has no whole", ev)
	}
	if _, err := k.b.Enter(k.ctx, claim(pool("p", backend.AllSlots)), backend.EnterOptions{}); !errors.As(err, &never) {
		k.Fatalf("error %v, want that an unlimited pool has no whole", err)
	}
}
