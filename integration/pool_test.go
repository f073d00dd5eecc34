package integration

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestFortyCommandsPassATwoSlotPoolInOrder(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "database", "2")
	w.start("first", "", "--pool", "database")
	w.start("second", "", "--pool", "database")
	w.until("two run", func() bool { return len(w.running()) == 2 })
	var all []*started
	var names []string
	for i := range 38 {
		name := fmt.Sprintf("c%02d", i)
		names = append(names, name)
		all = append(all, w.start(name, "30ms", "--pool", "database"))
		w.until(name+" waits", func() bool { return len(w.waiting()) == i+1 })
	}
	w.release("first")
	w.release("second")
	for _, s := range all {
		s.ends(0)
	}
	spent := w.sweep(2)
	if spent[2] < spent[0]+spent[1] {
		t.Errorf("exactly two ran for %v only, one for %v, none for %v", spent[2], spent[1], spent[0])
	}
	var tokens []int64
	for _, name := range names {
		for _, e := range readRecord(t, w.record) {
			if e.start && e.name == name {
				tokens = append(tokens, e.token)
			}
		}
	}
	if len(tokens) != 38 || !slices.IsSorted(tokens) {
		t.Errorf("granted out of order: tokens %v in the order of arrival", tokens)
	}
	s := w.status()
	expect(t, "used at the end", s.Pools[0].Used, 0)
	expect(t, "waiting at the end", s.Pools[0].Waiting, 0)
}

func TestHigherPriorityGoesFirstAndEqualsByArrival(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	holder := w.hold("holder", "--pool", "p")
	low := w.queue("low", "--pool", "p", "--priority", "-1")
	normal := w.queue("normal", "--pool", "p")
	high := w.queue("high", "--pool", "p", "--priority", "5")
	second := w.queue("second", "--pool", "p")
	expectNames(t, "the queue", w.waiting(), "high", "normal", "second", "low")
	w.must("bump", w.idOf("second"), "3")
	expectNames(t, "the queue after a bump", w.waiting(), "high", "second", "normal", "low")
	for _, name := range []string{"high", "second", "normal", "low"} {
		w.release(name)
	}
	holder.finish(0)
	for _, s := range []*started{high, second, normal, low} {
		s.ends(0)
	}
	expectNames(t, "the order of starts", w.order(), "holder", "high", "second", "normal", "low")
	w.sweep(1)
}

func TestAClaimThatDoesNotFitIsPassedElsewhereButNotInItsLimit(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "4")
	w.must("pool", "set", "q", "1")
	holder := w.hold("holder", "--pool", "p=2")
	big := w.queue("big", "--pool", "p=4")
	small := w.queue("small", "--pool", "p") // two slots are free, but big is before it
	other := w.hold("other", "--pool", "q")  // another limit: passes
	blocks := w.status().Waiting[1].BlockedBy
	if len(blocks) != 1 || blocks[0].Limit != "pool:p" || blocks[0].Used != 2 || blocks[0].Capacity != 4 || blocks[0].Why != "behind" {
		t.Errorf("small is blocked by %+v, want pool:p 2 of 4, behind", blocks)
	}
	holder.finish(0)
	w.until("big runs", func() bool { return slices.Contains(w.running(), "big") })
	expectNames(t, "who waits", w.waiting(), "small")
	big.finish(0)
	small.finish(0)
	other.finish(0)
	expectNames(t, "the order of starts", w.order(), "holder", "other", "big", "small")
}

func TestAClaimIsGrantedAllOfItsLimitsOrNone(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "a", "1")
	w.must("pool", "set", "b", "1")
	holder := w.hold("holder", "--pool", "b")
	both := w.queue("both", "--pool", "a", "--pool", "b")
	free := w.hold("free", "--pool", "a", "--priority", "1") // both waits holding nothing, so a is free for it
	free.finish(0)
	holder.finish(0)
	both.finish(0)
	expectNames(t, "the order of starts", w.order(), "holder", "free", "both")
}

func TestAClaimThatWaitedLongEnoughReserves(t *testing.T) {
	w := newWorld(t)
	w.write("limit.yaml", "concurrency:\n  reserve_after: 1s\n  pools: {limits: {a: 2, b: 1}}\n")
	w.must("apply", "limit.yaml")
	holdA := w.hold("hold-a", "--pool", "a")
	holdB := w.hold("hold-b", "--pool", "b")
	both := w.queue("both", "--pool", "a", "--pool", "b")
	passes := w.hold("passes", "--pool", "a") // both has not waited long: it is passed
	passes.finish(0)
	w.until("a newcomer is refused the slot that is kept", func() bool {
		r := w.limit("run", "--pool", "a", "--priority", "9", "--if-busy", "fail", "--", "true")
		return r.code == 75
	})
	late := w.queue("late", "--pool", "a")
	expect(t, "why late waits", w.status().Waiting[1].BlockedBy[0].Why, "reserved")
	holdB.finish(0)
	w.until("both runs", func() bool { return slices.Contains(w.running(), "both") })
	holdA.finish(0)
	both.finish(0)
	late.finish(0)
}

func TestLimitsChangeWhileCommandsWaitAndRun(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	a := w.hold("a", "--pool", "p")
	b := w.queue("b", "--pool", "p")
	c := w.queue("c", "--pool", "p")
	d := w.queue("d", "--pool", "p")

	w.must("pool", "set", "p", "3")
	w.until("raising wakes two", func() bool { return slices.Equal(slices.Sorted(slices.Values(w.running())), []string{"a", "b", "c"}) })
	w.must("pool", "set", "p", "1")
	expect(t, "used after lowering below it", w.status().Pools[0].Used, 3)
	a.finish(0)
	b.finish(0)
	expectNames(t, "who waits while use is not below the limit", w.waiting(), "d")
	w.must("pool", "set", "p", "0")
	c.finish(0)
	expectNames(t, "who waits on a paused pool", w.waiting(), "d")
	expect(t, "why", w.status().Waiting[0].BlockedBy[0].Why, "paused")
	w.must("pool", "set", "p", "1")
	d.finish(0)

	w.must("pool", "unset", "p")
	expect(t, "the limit of a pool unset", w.must("pool", "get", "p"), "1\n")
	r := w.limit("pool", "unset", "p")
	expect(t, "unset twice", r.code, 125)
}

func TestAClaimForMoreThanTheLimitFailsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "3")
	r := w.limit("run", "--pool", "p=4", "--", "true")
	expect(t, "exit status", r.code, 125)
	expect(t, "what it says", r.stderr, "limit: asks 4 of pool:p, whose limit is 3; ask for less or raise the limit\n")
	holder := w.hold("holder", "--pool", "p")
	waiter := w.queue("waiter", "--pool", "p=3")
	w.must("pool", "set", "p", "2") // now the waiter asks for the impossible
	waiter.ends(125)
	holder.finish(0)
}

func TestSlotNumbersAreSharedByNobody(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "db", "4")
	a := w.hold("a", "--pool", "db")
	b := w.hold("b", "--pool", "db=2")
	c := w.hold("c", "--pool", "db")
	b.finish(0)
	d := w.hold("d", "--pool", "db")
	slots := map[string]string{}
	for _, e := range readRecord(t, w.record) {
		slots[e.name] = e.slots
	}
	expect(t, "slots", fmt.Sprint(slots), fmt.Sprint(map[string]string{"a": "0", "b": "1,2", "c": "3", "d": "1"}))
	a.finish(0)
	c.finish(0)
	d.finish(0)
}

func TestARateAdmitsSoManyStartsInAnyWindow(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "api", "unlimited", "--rate", "3/2s")
	expect(t, "pool get", w.must("pool", "get", "api"), "unlimited 3/2s\n")
	var all []*started
	for i := range 8 {
		all = append(all, w.start(fmt.Sprintf("c%d", i), "1ms", "--pool", "api"))
	}
	for _, s := range all {
		s.ends(0)
	}
	var starts []int64
	for _, e := range readRecord(t, w.record) {
		if e.start {
			starts = append(starts, e.at)
		}
	}
	slices.Sort(starts)
	for i := 3; i < len(starts); i++ {
		// A command starts some milliseconds after its grant, which is what the rate counts.
		if gap := time.Duration(starts[i] - starts[i-3]); gap < 1500*time.Millisecond {
			t.Errorf("four starts within %v, three in 2s may: %v", gap, starts)
		}
	}
	if total := time.Duration(starts[7] - starts[0]); total < 3500*time.Millisecond || total > 20*time.Second {
		t.Errorf("eight starts at three in 2s took %v", total)
	}
}

func TestTheRunQueueAndItsTagLimits(t *testing.T) {
	w := newWorld(t)
	w.write("limit.yaml", `concurrency:
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits:
      - {key: team, limit: 3}
      - {key: tenant, value: acme, limit: 1}
      - {key: tenant, value: {applyLimitPerUniqueValue: true}, limit: 2}
`)
	w.must("apply", "limit.yaml")
	acme := w.hold("acme", "--tag", "tenant=acme", "--tag", "team=x")
	acme2 := w.queue("acme2", "--tag", "tenant=acme")
	globex := w.hold("globex", "--tag", "tenant=globex", "--tag", "team=y")
	globex2 := w.hold("globex2", "--tag", "tenant=globex", "--tag", "team=z")
	globex3 := w.queue("globex3", "--tag", "tenant=globex")
	team4 := w.queue("team4", "--tag", "team=x")
	last := w.hold("last")
	over := w.queue("over")
	blocked := map[string]string{}
	for _, c := range w.status().Waiting {
		for _, b := range c.BlockedBy {
			blocked[c.Name] += fmt.Sprintf("%s %d/%d %s;", b.Limit, b.Used, b.Capacity, b.Why)
		}
	}
	want := map[string]string{
		"acme2":   "runs 4/4 full;tag:tenant=acme 1/1 full;",
		"globex3": "runs 4/4 full;tag:tenant=globex 2/2 full;",
		"team4":   "runs 4/4 full;tag:team 3/3 full;",
		"over":    "runs 4/4 full;",
	}
	expect(t, "what blocks each", fmt.Sprint(blocked), fmt.Sprint(want))
	// A slot of the run queue comes free: those whose tags are full are passed.
	last.finish(0)
	over.finish(0)
	globex.finish(0)
	globex3.finish(0)
	acme.finish(0)
	acme2.finish(0)
	team4.finish(0)
	globex2.finish(0)
}

func TestTheExamplesOfDagsterTenRunsThreeOfThemBackfills(t *testing.T) {
	w := newWorld(t)
	w.write("dagster.yaml", `concurrency:
  pools:
    default_limit: 3
  runs:
    max_concurrent_runs: 10
    tag_concurrency_limits:
      - key: 'dagster/backfill'
        limit: 3
`)
	w.must("apply", "dagster.yaml")
	var all []*started
	for i := range 5 {
		all = append(all, w.start(fmt.Sprintf("backfill%d", i), "", "--tag", "dagster/backfill=b1"))
	}
	w.until("three backfills run", func() bool { return len(w.running()) == 3 && len(w.waiting()) == 2 })
	for i := range 5 {
		all = append(all, w.start(fmt.Sprintf("db%d", i), "", "--pool", "db"))
	}
	w.until("three of the pool run beside them", func() bool { return len(w.running()) == 6 && len(w.waiting()) == 4 })
	for i := range 6 {
		all = append(all, w.start(fmt.Sprintf("free%d", i), ""))
	}
	w.until("ten run in all", func() bool { return len(w.running()) == 10 && len(w.waiting()) == 6 })
	s := w.status()
	expect(t, "runs", fmt.Sprint(*s.Runs.Limit, s.Runs.Used, s.Runs.Waiting), "10 10 6")
	expect(t, "backfills", fmt.Sprint(*s.TagLimits[0].Limit, s.TagLimits[0].Used, s.TagLimits[0].Waiting), "3 3 2")
	expect(t, "pool", fmt.Sprintf("%s %d %s %d %d", s.Pools[0].Name, *s.Pools[0].Limit, s.Pools[0].Source, s.Pools[0].Used, s.Pools[0].Waiting), "db 3 default 3 2")
	for _, c := range all {
		w.release(c.name)
	}
	for _, c := range all {
		c.ends(0)
	}
	w.sweep(10)
}

func TestADefaultLimitHoldsForPoolsWithoutTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.write("limit.yaml", "concurrency: {pools: {default_limit: 5}}\n")
	w.must("apply", "limit.yaml")
	var all []*started
	for i := range 7 {
		all = append(all, w.start(fmt.Sprintf("c%d", i), "", "--pool", "any"))
	}
	w.until("five run and two wait", func() bool { return len(w.running()) == 5 && len(w.waiting()) == 2 })
	for _, c := range all {
		w.release(c.name)
	}
	for _, c := range all {
		c.ends(0)
	}
}
