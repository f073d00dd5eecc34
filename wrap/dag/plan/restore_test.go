package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"limit/backend"
)

// standings is what can be known of a plan from outside.
func standings(p *Plan) []Standing {
	at := make([]Standing, len(p.nodes))
	for i, n := range p.nodes {
		at[i] = Standing{
			Outcome: n.outcome, Attempt: n.attempt, Passed: n.passed, Checking: n.phase == checking, Running: n.phase == running,
			Delayed: n.phase == delaying, Aside: n.phase == aside,
		}
	}
	for _, d := range p.delayed.heap {
		at[d.step].Until = d.at
	}
	return at
}

// told is what a plan says of everybody who waits.
func told(p *Plan, now time.Duration) string {
	describe := func(w Waiting) string {
		text := fmt.Sprintf("%s store=%t delayed=%t", p.steps[w.Step].ID, w.InStore, w.Delayed)
		for _, b := range w.Blocks {
			text += fmt.Sprintf(" %s %d/%d %s by %v", b.Limit, b.Used, b.Capacity, b.Why, slices.Sorted(slices.Values(b.By)))
		}
		return text
	}
	var lines []string
	for _, w := range p.Waiting(now) {
		lines = append(lines, describe(w))
	}
	slices.Sort(lines)
	for _, w := range p.Blocked(now) {
		lines = append(lines, describe(w)) // in order
	}
	at, ok := p.Next()
	return strings.Join(append(lines, fmt.Sprint("next ", at, ok)), "\n")
}

func TestARestoredPlanSaysOfWhoWaitsWhatThePlanItselfSays(t *testing.T) {
	looks, blocked := 0, 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		text := randomText(r, 30)
		f := fileOf(t, text)
		settings := backend.NewSettings()
		settings.Pools = map[string]backend.Pool{"db": {Limit: 2}, "api": {Limit: 1}, "free": {Limit: backend.Unlimited}}
		opt := Options{MaxConcurrent: 4, TagLimits: f.Executor.TagLimits, ClaimPools: r.IntN(4) > 0}
		w := World{
			Durations: make([]time.Duration, len(f.Steps)), Between: 100 * time.Millisecond,
			Exit:      func(step, attempt int) Exit { return Exit{Code: int(hash(seed, step, attempt)%4) / 3} },
			Condition: func(step int) Exit { return Exit{Code: int(hash(seed, step, 99) % 2)} },
		}
		for i := range w.Durations {
			w.Durations[i] = time.Duration(r.IntN(5)) * time.Second
		}
		p, err := New(f, opt)
		if err != nil {
			t.Fatal(err)
		}
		s := &simulation{plan: p, world: w, ready: make([]time.Duration, len(f.Steps)), running: map[int]int{}, store: backend.NewState(settings, backend.StoreNames())}
		for s.do(p.Begin(0)); s.turn(); {
			restored, err := Restore(f, opt, standings(p))
			if err != nil {
				t.Fatal(err)
			}
			looks, blocked = looks+1, blocked+len(p.Blocked(s.now))
			if got, want := told(restored, s.now), told(p, s.now); got != want {
				t.Fatalf("seed %d at %s: the restored plan says\n%s\nand the plan itself\n%s\n%s", seed, s.now, got, want, text)
			}
		}
	}
	if looks < 1000 || blocked < 1000 {
		t.Errorf("only %d looks at %d who wait", looks, blocked)
	}
}
