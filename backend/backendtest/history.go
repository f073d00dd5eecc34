package backendtest

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"limit/backend"
)

// history is what a store remembers of claims that have ended.
func history() []testCase {
	return []testCase{
		{"a claim that has ended is remembered with what it asked and how long it waited and held", pastTells},
		{"a claim that left while it waited is remembered as never granted", pastOfWaiter},
		{"a claim that is held or waits is not in the history", noPastYet},
		{"a claim is remembered with what tells whose it was and how it ended", pastOutcome},
		{"the history is bounded, and keeps the last", historyBounded},
	}
}

// pasts reads the history, which is to have so many entries: a store may write it when Release has returned already.
func (k *kit) pasts(want int) []backend.Past {
	k.Helper()
	b, ok := k.other.(backend.Historian)
	if !ok {
		k.Fatalf("%T remembers nothing", k.other)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		pasts, err := b.History(k.ctx)
		if err != nil {
			k.Fatalf("history: %v", err)
		}
		pasts = slices.DeleteFunc(pasts, ofSentinel)
		if len(pasts) == want {
			return pasts
		}
		if time.Now().After(deadline) {
			k.Fatalf("%d ended claims are remembered, want %d: %+v", len(pasts), want, pasts)
		}
	}
}

// ofSentinel tells the claims by which the suite learns that a store has settled.
func ofSentinel(p backend.Past) bool {
	for name := range p.Pools {
		return strings.HasPrefix(name, "sentinel-")
	}
	return false
}

func pastTells(k *kit) {
	k.limit("p", 3)
	k.pasts(0)
	before := time.Now()
	m := k.enter(pool("p", 2), pool("q", 1), run()).holds()
	next := k.enterWith(k.other, backend.EnterOptions{}, pool("p", 2))
	time.Sleep(20 * time.Millisecond) // what is measured is time
	m.release()
	took := time.Since(before)
	p := k.pasts(1)[0]
	if granted := next.holds().Claim().Grant.GrantedAt; p.Ended.After(granted) {
		k.Errorf("it ended at %s, and the next was granted at %s", p.Ended, granted)
	}
	if !reflect.DeepEqual(p.Of, map[string]int{"pool:p": 3, "pool:q": 1}) {
		k.Errorf("it is remembered as of %v", p.Of)
	}
	want := m.Claim()
	if p.ID != m.id || p.RunID != want.RunID || p.Name != "test" || p.Runs != 1 ||
		!reflect.DeepEqual(p.Pools, map[string]int{"p": 2, "q": 1}) {
		k.Errorf("remembered %+v of %+v", p, want)
	}
	if !p.Granted || p.Held < 20*time.Millisecond || p.Waited < 0 || p.Waited+p.Held > took {
		k.Errorf("granted %v, waited %s and held %s of at most %s", p.Granted, p.Waited, p.Held, took)
	}
	if p.Ended.Before(before.Round(0).Add(-time.Second)) || p.Ended.After(time.Now().Add(time.Second)) {
		k.Errorf("it ended at %s, it is %s", p.Ended, time.Now())
	}
}

func pastOfWaiter(k *kit) {
	k.limit("p", 1)
	holder := k.enter(pool("p", 1)).holds()
	waiter := k.enter(pool("p", 1)).waits()
	waiter.release()
	if p := k.pasts(1)[0]; p.ID != waiter.id || p.Granted || p.Held != 0 || p.Waited <= 0 {
		k.Errorf("remembered %+v", p)
	}
	holder.release()
	if p := k.pasts(2)[1]; p.ID != holder.id || !p.Granted {
		k.Errorf("the second to end is %+v", p)
	}
}

func pastOutcome(k *kit) {
	code := 3
	told := backend.Outcome{How: backend.CancelledBy, Code: &code, Reason: "no more of it"}
	m := k.enter(pool("p", 1), run(), func(c *backend.Claim) {
		c.Tags, c.Priority = map[string]string{"tenant": "acme", "nightly": ""}, -7
		c.Host, c.PID, c.User = "far", 4711, "ann"
	}).holds()
	m.Conclude(backend.Outcome{How: backend.Exited})
	m.Conclude(told)
	m.release()
	p, want := k.pasts(1)[0], m.Claim()
	if !reflect.DeepEqual(p.Outcome, told) {
		k.Errorf("it ended %+v, want %+v", p.Outcome, told)
	}
	if !reflect.DeepEqual(p.Tags, want.Tags) || p.Priority != -7 || p.Seq != want.Seq || p.Host != "far" ||
		p.PID != 4711 || p.User != "ann" {
		k.Errorf("remembered %+v of %+v", p, want)
	}
	silent := k.enter(pool("p", 1)).holds()
	silent.release()
	if o := k.pasts(2)[1].Outcome; o != (backend.Outcome{}) {
		k.Errorf("nobody has told how it ended, and it ended %+v", o)
	}
}

func noPastYet(k *kit) {
	k.limit("p", 1)
	k.enter(pool("p", 1)).holds()
	k.enter(pool("p", 1)).waits()
	k.pasts(0)
}

func historyBounded(k *kit) {
	const bound = 3
	k.set(func(s *backend.Settings) { s.HistoryEntries = bound })
	var last []string
	for i := range 3 * bound {
		m := k.enter(pool("q", 1)).holds()
		m.release()
		k.pasts(min(i+1, bound))
		last = append(last, m.id)
	}
	last = last[len(last)-bound:]
	deadline := time.Now().Add(patience)
	for {
		var got []string
		for _, p := range k.pasts(bound) {
			got = append(got, p.ID)
		}
		if reflect.DeepEqual(got, last) {
			return
		}
		if time.Now().After(deadline) {
			k.Fatalf("remembered are %v, want the last %v", got, last)
		}
		time.Sleep(time.Millisecond)
	}
}
