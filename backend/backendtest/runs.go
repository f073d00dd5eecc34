package backendtest

import (
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
