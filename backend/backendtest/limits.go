package backendtest

import (
	"errors"

	"limit/backend"
)

// limits is what happens when limits change.
func limits() []testCase {
	return []testCase{
		{"raising a limit wakes waiters at once", raising},
		{"lowering a limit kills nobody and admits nobody until there is room", lowering},
		{"a limit of 0 pauses and 1 resumes", pausing},
		{"an unset pool falls back to the default", unsetting},
		{"a pool without any limit is a lock", builtin},
		{"a waiter that a lower limit makes impossible is refused", refusedLater},
		{"an unlimited pool never blocks", unlimited},
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
