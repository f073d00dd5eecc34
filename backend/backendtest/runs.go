package backendtest

import (
	"errors"

	"limit/backend"
)

// runs is the run queue and the tag limits.
func runs() []testCase {
	return []testCase{
		{"the run queue bounds runs alone", runQueue},
		{"a tag limit counts all runs with the key", tagKey},
		{"a tag limit with a value counts that pair", tagPair},
		{"a tag limit per value counts each value apart", tagPerValue},
		{"a run meets every tag limit that matches", tagsTogether},
		{"a tag limit of 0 never admits", tagZero},
		{"tags of a claim that is no run match nothing", tagsOfSteps},
		{"a run inside a run takes no slot of the run queue", runInRun},
		{"a run inside a run that has ended is a run of its own", runInEndedRun},
		{"a run inside what is left of a run is of that", runInWhatIsLeftOfARun},
		{"a run inside a run that never was, or waits, is a run of its own", runInNoRun},
		{"a run whose outer run ends while it waits is a run of its own", runOutlivesOuter},
		{"a run is inside another as long as a claim of that is held", runInStepsRun},
		{"what the outer run holds can make a run inside it impossible", runInRunImpossible},
		{"of claims that would wait for each other the last is refused", circleRefused},
		{"of claims that a lowered limit lets wait for each other the last is refused", circleLowered},
		{"a run that stood aside is inside no run that has ended meanwhile", runStoodAside},
	}
}

func value(v string) *string { return &v }

func (k *kit) tagLimits(limits ...backend.TagLimit) {
	k.Helper()
	k.set(func(s *backend.Settings) { s.TagLimits = limits })
}

func runQueue(k *kit) {
	k.set(func(s *backend.Settings) { s.MaxRuns = 2 })
	a := k.enter(run()).holds()
	k.enter(run()).holds()
	third := k.enter(run(), pool("p", 1)).waits()
	k.admits(pool("p", 1))
	if blocks := k.refuses(run()); blocks[0].Limit != "runs" || blocks[0].Capacity != 2 {
		k.Fatalf("blocks %+v, want runs 2/2", blocks)
	}
	a.release()
	third.holds()
}

func tagKey(k *kit) {
	k.tagLimits(backend.TagLimit{Key: "dagster/backfill", Limit: 2})
	a := k.enter(tag("dagster/backfill", "x")).holds()
	k.enter(tag("dagster/backfill", "y")).holds()
	third := k.enter(tag("dagster/backfill", "")).waits()
	k.admits(tag("other", "x"))
	if blocks := k.refuses(tag("dagster/backfill", "z")); blocks[0].Limit != "tag:dagster/backfill" {
		k.Fatalf("blocks %+v, want tag:dagster/backfill", blocks)
	}
	a.release()
	third.holds()
}

func tagPair(k *kit) {
	k.tagLimits(backend.TagLimit{Key: "tenant", Value: value("acme"), Limit: 1})
	k.enter(tag("tenant", "acme")).holds()
	if blocks := k.refuses(tag("tenant", "acme")); blocks[0].Limit != "tag:tenant=acme" {
		k.Fatalf("blocks %+v, want tag:tenant=acme", blocks)
	}
	for range 3 {
		k.enter(tag("tenant", "globex")).holds()
	}
}

func tagPerValue(k *kit) {
	k.tagLimits(backend.TagLimit{Key: "tenant", PerValue: true, Limit: 1})
	acme := k.enter(tag("tenant", "acme")).holds()
	k.enter(tag("tenant", "globex")).holds()
	second := k.enter(tag("tenant", "acme")).waits()
	k.refuses(tag("tenant", "globex"))
	acme.release()
	second.holds()
}

func tagsTogether(k *kit) {
	k.tagLimits(
		backend.TagLimit{Key: "tenant", Limit: 3},
		backend.TagLimit{Key: "tenant", PerValue: true, Limit: 2},
		backend.TagLimit{Key: "kind", Value: value("heavy"), Limit: 1},
	)
	k.enter(tag("tenant", "acme"), tag("kind", "heavy")).holds()
	k.refuses(tag("tenant", "globex"), tag("kind", "heavy"))
	k.enter(tag("tenant", "acme")).holds()
	k.refuses(tag("tenant", "acme"))
	k.enter(tag("tenant", "globex"), tag("kind", "light")).holds()
	k.refuses(tag("tenant", "initech"))
	k.admits(tag("kind", "light"))
}

func tagZero(k *kit) {
	k.tagLimits(backend.TagLimit{Key: "off", Limit: 0})
	k.enter(tag("off", "")).waits()
}

func tagsOfSteps(k *kit) {
	k.tagLimits(backend.TagLimit{Key: "tenant", Limit: 1})
	step := func(c *backend.Claim) { c.Runs = 0 }
	k.enter(tag("tenant", "acme"), step).holds()
	k.enter(tag("tenant", "acme"), step).holds()
	k.enter(tag("tenant", "acme")).holds()
}

// oneRun lets one run hold at a time, and one with the tag k.
func (k *kit) oneRun() {
	k.Helper()
	k.set(func(s *backend.Settings) {
		s.MaxRuns, s.TagLimits = 1, []backend.TagLimit{{Key: "k", Limit: 1}}
		s.Pools = map[string]backend.Pool{"p": {Limit: 2}, "q": {Limit: 1}}
	})
}

// isOf fails the test unless the claim is held as one of a run.
func (m *member) isOf(run string, runs int) {
	m.k.Helper()
	c := m.holds().Claim()
	if c.RunID != run || c.Runs != runs || c.Within != nil {
		m.k.Fatalf("claim %s is of run %s with %d run slots, within %v; want run %s with %d", c.ID, c.RunID, c.Runs,
			c.Within, run, runs)
	}
	for _, h := range m.k.snapshot().Held {
		if h.ID == m.id && (h.RunID != run || h.Runs != runs) {
			m.k.Fatalf("the store has claim %s in run %s with %d run slots; want run %s with %d", h.ID, h.RunID, h.Runs,
				run, runs)
		}
	}
}

func runInRun(k *kit) {
	k.oneRun()
	outer := k.enter(tag("k", "")).holds()
	inner := k.enterWith(k.other, backend.EnterOptions{}, tag("k", ""), inside(outer), pool("p", 1))
	inner.isOf(outer.id, 0)
	k.enter(tag("k", ""), inside(inner), pool("p", 1)).isOf(outer.id, 0)
	waits := k.enter(inside(inner), pool("p", 1)).waits()
	k.refuses(run())
	for _, u := range k.snapshot().Usage {
		if u.Kind == backend.KindRuns && u.Used != 1 {
			k.Fatalf("%d runs, want 1", u.Used)
		}
	}
	inner.release()
	waits.isOf(outer.id, 0)
}

func runInEndedRun(k *kit) {
	k.oneRun()
	outer := k.enter(tag("k", "")).holds()
	in := inside(outer)
	outer.release()
	own := k.enter(tag("k", ""), in)
	own.isOf(own.id, 1)
	if blocks := k.refuses(tag("k", ""), in); len(blocks) != 2 || blocks[0].Limit != "runs" ||
		blocks[1].Limit != "tag:k" {
		k.Fatalf("blocks %+v, want runs and tag:k", blocks)
	}
}

func runInWhatIsLeftOfARun(k *kit) {
	k.oneRun()
	k.set(func(s *backend.Settings) { s.Pools = map[string]backend.Pool{"p": {Limit: 9}} })
	outer := k.enter(run()).holds()
	in := inside(outer)
	k.enter(in, pool("p", 1)).isOf(outer.id, 0)
	outer.release()
	for range 8 {
		k.enter(in, pool("p", 1)).isOf(outer.id, 0)
	}
}

func runInNoRun(k *kit) {
	k.oneRun()
	junk := func(c *backend.Claim) { c.Runs, c.Within = 1, &backend.Within{Run: "junk", Claim: "more/junk"} }
	held := k.enter(junk)
	held.isOf(held.id, 1)
	waits := k.enter(run()).waits()
	k.refuses(inside(waits))
	strange := func(c *backend.Claim) { c.Runs, c.Within = 1, &backend.Within{Run: waits.id, Claim: held.id} }
	k.refuses(strange) // held is of another run
}

func runOutlivesOuter(k *kit) {
	k.oneRun()
	outer, q := k.enter(run()).holds(), k.enter(pool("q", 1)).holds()
	inner := k.enter(inside(outer), pool("q", 1)).waits()
	outer.release()
	inner.waits()
	next := k.enter(run()).holds()
	q.release()
	inner.waits()
	next.release()
	inner.isOf(inner.id, 1)
}

func runInStepsRun(k *kit) {
	k.oneRun()
	dag := k.enter(run()).holds()
	step := func(c *backend.Claim) { c.RunID, c.Ancestors = dag.id, []string{dag.id} }
	one, two := k.enter(step, pool("p", 1)).holds(), k.enter(step, pool("p", 1)).holds()
	in := inside(one)
	one.release()
	k.enter(in).isOf(dag.id, 0)
	dag.release()
	k.enter(in).isOf(dag.id, 0)
	two.release()
}

func runInRunImpossible(k *kit) {
	k.oneRun()
	outer := k.enter(run(), pool("p", 1)).holds()
	inner := k.enter(inside(outer)).holds()
	_, err := k.b.Enter(k.ctx, claim(inside(inner), pool("p", 2)), backend.EnterOptions{})
	var never *backend.ImpossibleError
	if !errors.As(err, &never) || never.Limit != "pool:p" || never.Held[outer.id] != 1 {
		k.Fatalf("error %v (%+v), want that %s holds 1", err, never, outer.id)
	}
}

func runStoodAside(k *kit) {
	k.oneRun()
	outer := k.enter(run()).holds()
	inner := k.enter(inside(outer), pool("p", 1)).holds()
	if err := inner.Yield(k.ctx); err != nil {
		k.Fatal(err)
	}
	outer.release()
	next := k.enter(run()).holds()
	if err := inner.Reacquire(k.ctx); err != nil {
		k.Fatal(err)
	}
	inner.waits()
	next.release()
	inner.isOf(inner.id, 1)
}

// refusedInCircle fails the test unless a claim is refused, at once or soon, as one of claims that would wait for each
// other.
func (k *kit) refusedInCircle(binds int, options ...func(*backend.Claim)) {
	k.Helper()
	e, err := k.other.Enter(k.ctx, claim(options...), backend.EnterOptions{})
	if err == nil {
		err = (&member{e, k, e.Claim().ID}).event(backend.Refused).Err
		e.Release(k.ctx)
	}
	var never *backend.ImpossibleError
	if !errors.As(err, &never) || len(never.Circle) != binds {
		k.Fatalf("error %v (%+v), want a circle of %d", err, never, binds)
	}
}

func circleRefused(k *kit) {
	k.limit("p", 2)
	k.limit("q", 1)
	a, b := k.enter(run(), pool("p", 1)).holds(), k.enter(run(), pool("p", 1), pool("q", 1)).holds()
	first := k.enter(inside(a), pool("p", 1)).waits()
	k.enter(pool("p", 1)).waits() // it waits for them, and is no part of it
	k.refusedInCircle(2, inside(b), pool("p", 1))
	b.release()
	first.isOf(a.id, 0)
}

func circleLowered(k *kit) {
	k.limit("p", 4)
	a, b, other := k.enter(run(), pool("p", 1)).holds(), k.enter(run(),
		pool("p", 1)).holds(), k.enter(pool("p", 2)).holds()
	first, second := k.enter(inside(a), pool("p", 2)).waits(), k.enter(inside(b), pool("p", 2)).waits()
	k.limit("p", 3)
	var never *backend.ImpossibleError
	if ev := second.event(backend.Refused); !errors.As(ev.Err, &never) || len(never.Circle) != 2 {
		k.Fatalf("refused for %v, want a circle of 2", ev.Err)
	}
	first.waits()
	other.release()
	b.release()
	first.isOf(a.id, 0)
}
