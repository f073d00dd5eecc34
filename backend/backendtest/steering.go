package backendtest

import (
	"errors"

	"limit/backend"
)

// steering is what others do to a claim, and its owner's standing aside.
func steering() []testCase {
	return []testCase{
		{"cancelling a waiting claim takes it away and tells it why", cancelWaiting},
		{"cancelling a held claim asks its holder and leaves it held", cancelHeld},
		{"dropping a held claim frees its slots and tells its holder", dropHeld},
		{"dropping a waiting claim takes it away", dropWaiting},
		{"a bumped claim goes first", bumps},
		{"steering a claim that is not there says so", notFound},
		{"of a burst of claims that replace, the last alone follows the holder", replaceBurst},
		{"a claim that replaces leaves those alone who only wait", replaceSparesWaiters},
		{"a claim that stands aside gives back what it holds and keeps its place", standAside},
		{"a waiting claim that stands aside is passed", waitingAside},
	}
}

func replaceBurst(k *kit) {
	k.limit("p", 2)
	replace := backend.EnterOptions{Replace: true}
	first, beside, other := k.enter(pool("p", 1)).holds(), k.enter(pool("p", 1)).holds(), k.enter(pool("q", 1)).holds()
	second := k.enterWith(k.other, replace, pool("p", 1))
	first.event(backend.Cancelled)
	elsewhere := k.enterWith(k.other, replace, pool("q", 1))
	other.event(backend.Cancelled)
	third := k.enterWith(k.other, replace, pool("p", 1), priority(9))
	second.event(backend.Cancelled)
	fourth := k.enterWith(k.b, replace, pool("p", 1), pool("q", 1), func(c *backend.Claim) { c.Name = "D" })
	if ev := third.event(backend.Cancelled); ev.Reason != "replaced by D" {
		k.Fatalf("event %+v, want the name of who came", ev)
	}
	elsewhere.event(backend.Cancelled)
	second.release()
	third.release()
	elsewhere.release()
	other.release()
	first.release()
	fourth.holds()
	if s := k.snapshot(); len(s.Held) != 2 || len(s.Waiting) != 0 {
		k.Fatalf("%d held, %d wait; want the last, and the one that is in nobody's way", len(s.Held), len(s.Waiting))
	}
	beside.release()
	fifth := k.enterWith(k.other, replace, pool("p", 2)) // the fourth was granted in between
	fourth.event(backend.Cancelled)
	fourth.release()
	fifth.holds().release()
	k.empty()
}

func replaceSparesWaiters(k *kit) {
	first := k.enter(pool("p", 1)).holds()
	waits := k.enter(pool("p", 1)).waits()
	last := k.enterWith(k.other, backend.EnterOptions{Replace: true}, pool("p", 1))
	first.event(backend.Cancelled)
	first.release()
	waits.holds().release()
	last.holds().release()
	k.empty()
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func cancelWaiting(k *kit) {
	first := k.enter(pool("p", 1)).holds()
	second, third := k.enter(pool("p", 1)).waits(), k.enter(pool("p", 1))
	k.must(k.other.Cancel(k.ctx, second.id, "no longer wanted"))
	if ev := second.event(backend.Cancelled); ev.Reason != "no longer wanted" {
		k.Fatalf("event %+v, want the reason", ev)
	}
	first.release()
	third.holds()
	second.release()
	third.release()
	k.empty()
}

func cancelHeld(k *kit) {
	m := k.enter(pool("p", 1)).holds()
	k.must(k.other.Cancel(k.ctx, m.id, "stop it"))
	if ev := m.event(backend.Cancelled); ev.Reason != "stop it" {
		k.Fatalf("event %+v, want the reason", ev)
	}
	if s := k.snapshot(); len(s.Held) != 1 || s.Held[0].Asked != "stop it" {
		k.Fatalf("want it held and asked to stop: %+v", s.Held)
	}
	k.refuses(pool("p", 1))
	m.release()
	k.admits(pool("p", 1))
}

func dropHeld(k *kit) {
	m := k.enter(pool("p", 1)).holds()
	next := k.enter(pool("p", 1)).waits()
	k.must(k.other.Drop(k.ctx, m.id))
	m.event(backend.Lost)
	next.holds()
	m.release()
	k.refuses(pool("p", 1))
	if s := k.snapshot(); len(s.Held) != 1 || s.Held[0].ID != next.id {
		k.Fatalf("the release of a lost claim took another's: %s", k.describeAll())
	}
}

func dropWaiting(k *kit) {
	first := k.enter(pool("p", 1)).holds()
	second := k.enter(pool("p", 1)).waits()
	k.must(k.other.Drop(k.ctx, second.id))
	second.event(backend.Cancelled)
	first.release()
	second.release()
	k.empty()
}

func bumps(k *kit) {
	first := k.enter(pool("p", 1)).holds()
	second, third := k.enter(pool("p", 1)).waits(), k.enter(pool("p", 1)).waits()
	k.must(k.other.Bump(k.ctx, third.id, 3))
	if err := k.other.Bump(k.ctx, first.id, 3); !errors.Is(err, backend.ErrHeld) {
		k.Fatalf("bumping a held claim: %v, want ErrHeld", err)
	}
	if s := k.snapshot(); len(s.Waiting) != 2 || s.Waiting[0].ID != third.id || s.Waiting[0].Priority != 3 {
		k.Fatalf("want %s first with priority 3: %s", third.id, k.describeAll())
	}
	first.release()
	third.holds()
	second.waits()
}

func notFound(k *kit) {
	gone := k.enter(pool("p", 1)).holds()
	gone.release()
	for _, id := range []string{gone.id, backend.NewID()} {
		for name, err := range map[string]error{
			"Cancel": k.b.Cancel(k.ctx, id, "x"), "Drop": k.b.Drop(k.ctx, id), "Bump": k.b.Bump(k.ctx, id, 1),
		} {
			var missing *backend.NotFoundError
			if !errors.As(err, &missing) || missing.ID != id {
				k.Errorf("%s of a claim that is not there: %v", name, err)
			}
		}
	}
}

func standAside(k *kit) {
	first := k.enter(pool("p", 1)).holds()
	second, third := k.enter(pool("p", 1)), k.enter(pool("p", 1))
	k.must(first.Yield(k.ctx))
	if g := first.Claim().Grant; g != nil {
		k.Fatalf("a claim that stands aside has a grant: %+v", g)
	}
	second.holds()
	k.must(first.Reacquire(k.ctx))
	first.waits()
	third.waits()
	second.release()
	first.holds()
	third.waits()
	k.must(first.Yield(k.ctx))
	third.holds()
	first.release()
	third.release()
	k.empty()
}

func waitingAside(k *kit) {
	first := k.enter(pool("p", 1)).holds()
	second, third, fourth := k.enter(pool("p", 1)), k.enter(pool("p", 1)), k.enter(pool("p", 1))
	second.waits()
	k.must(second.Yield(k.ctx))
	first.release()
	third.holds()
	second.waits()
	if s := k.snapshot(); len(s.Waiting) != 2 || s.Waiting[0].ID != second.id || !s.Waiting[0].Aside ||
		s.Waiting[1].Aside {
		k.Fatalf("want %s first, aside: %s", second.id, k.describeAll())
	}
	k.must(second.Reacquire(k.ctx))
	third.release()
	second.holds()
	fourth.waits()
	k.must(second.Yield(k.ctx))
	fourth.holds()
	fourth.release()
	k.must(second.Reacquire(k.ctx))
	second.holds()
}
