package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"limit/backend"
	"limit/wrap/dag/stepfile"
)

// randomText is a dag of up to so many steps with priorities, slots, tags, pools, retries, conditions and needs.
func randomText(r *rand.Rand, size int) string {
	var b strings.Builder
	b.WriteString(`executor:
  tag_concurrency_limits:
    - {key: k, limit: 3}
    - {key: k, value: "0", limit: 1}
    - {key: c, value: {applyLimitPerUniqueValue: true}, limit: 2}
steps:
`)
	n := 1 + r.IntN(size)
	for i := range n {
		fmt.Fprintf(&b, "  s%d:\n    run: x\n    slots: %d\n    priority: %d\n", i, 1+r.IntN(2)*r.IntN(3), r.IntN(3))
		var needs []string
		for j := range i {
			if r.IntN(i+4) < 2 {
				needs = append(needs, fmt.Sprintf("s%d", j))
			}
		}
		if len(needs) > 0 {
			fmt.Fprintf(&b, "    needs: [%s]\n", strings.Join(needs, ", "))
			b.WriteString([]string{"", "", "    when: always\n", "    when: on_failure\n"}[r.IntN(4)])
		}
		b.WriteString([]string{"", "", "    tags: {k: \"0\"}\n", "    tags: {k: \"1\", c: a}\n", "    tags: {c: b}\n"}[r.IntN(5)])
		b.WriteString([]string{"", "", "    pool: db\n", "    pool: [db=2, api]\n", "    pool: free\n"}[r.IntN(5)])
		b.WriteString([]string{"", "", "    retry: {max: 2, delay: 300ms}\n", "    if: y\n"}[r.IntN(4)])
		if r.IntN(6) == 0 {
			b.WriteString("    continue_on_error: true\n")
		}
	}
	return b.String()
}

func TestAnyPlanKeepsItsPromises(t *testing.T) {
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := randomText(r, 30)
		f := fileOf(t, text)
		settings := backend.NewSettings()
		settings.Pools = map[string]backend.Pool{"db": {Limit: 2}, "api": {Limit: 1}, "free": {Limit: backend.Unlimited}}
		opt := Options{MaxConcurrent: 4, TagLimits: f.Executor.TagLimits, FailMode: FailMode(r.IntN(3))}
		w := World{Pools: &settings, Durations: make([]time.Duration, len(f.Steps))}
		for i := range w.Durations {
			w.Durations[i] = time.Duration(r.IntN(5)) * time.Second
		}
		exits := func(step, attempt int) Exit { return Exit{Code: int(hash(seed, step, attempt)%4) / 3} }
		w.Exit = exits
		w.Condition = func(step int) Exit { return Exit{Code: int(hash(seed, step, 99) % 2)} }
		spans, p, err := Simulate(f, opt, w)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		for _, fault := range faults(f, p, spans, settings) {
			t.Errorf("seed %d: %s\n%s\n%s", seed, fault, text, outcomes(p, f))
		}
		if t.Failed() {
			return
		}
	}
}

func hash(seed uint64, step, attempt int) uint64 {
	return rand.New(rand.NewPCG(seed+uint64(step)*1000, uint64(attempt))).Uint64()
}

// faults sweeps a simulation for broken promises.
func faults(f *stepfile.File, p *Plan, spans []Span, settings backend.Settings) []string {
	var found []string
	if !p.Done() {
		found = append(found, "not every step is final")
	}
	last := map[int]Span{}
	for _, s := range spans {
		last[s.Step] = s
	}
	for _, s := range spans {
		for _, n := range f.Steps[s.Step].Needs {
			if end, ran := last[n]; ran && end.End > s.Start {
				found = append(found, fmt.Sprintf("%s starts before %s is done", f.Steps[s.Step].ID, f.Steps[n].ID))
			}
		}
	}
	for _, s := range spans {
		if over := overuse(f, spans, s.Start, settings); over != "" {
			found = append(found, over)
		}
	}
	used := p.state.Usage(0)
	for _, u := range used {
		if u.Used != 0 || u.Waiting != 0 {
			found = append(found, fmt.Sprintf("%s is left with %d used, %d waiting", u.Limit, u.Used, u.Waiting))
		}
	}
	return found
}

// overuse finds a limit that is exceeded by those running at an instant.
func overuse(f *stepfile.File, spans []Span, at time.Duration, settings backend.Settings) string {
	slots, tags, pools := 0, map[string]int{}, map[string]int{}
	for _, s := range spans {
		if s.Start > at || s.End <= at {
			continue
		}
		step := f.Steps[s.Step]
		slots += step.Slots
		for name, n := range step.Pools {
			pools[name] += n
		}
		for k, v := range step.Tags {
			tags[k]++
			tags[k+"="+v]++
		}
	}
	switch {
	case slots > 4:
		return fmt.Sprintf("max_concurrent: %d slots at %s", slots, at)
	case tags["k"] > 3 || tags["k=0"] > 1 || tags["c=a"] > 2 || tags["c=b"] > 2:
		return fmt.Sprintf("tags at %s: %v", at, tags)
	case pools["db"] > settings.Pools["db"].Limit || pools["api"] > settings.Pools["api"].Limit:
		return fmt.Sprintf("pools at %s: %v", at, pools)
	}
	return ""
}

// Without pools, conditions, slots of different size and failures nobody may wait who could run.
func TestNoSlotIsIdleWhileAnAdmissibleStepWaits(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		var b strings.Builder
		b.WriteString("executor: {tag_concurrency_limits: [{key: k, value: {applyLimitPerUniqueValue: true}, limit: 1}]}\nsteps:\n")
		n := 1 + r.IntN(40)
		for i := range n {
			fmt.Fprintf(&b, "  s%d: {run: x, tags: {k: %d}", i, r.IntN(4))
			if i > 0 && r.IntN(2) == 0 {
				fmt.Fprintf(&b, ", needs: [s%d, s%d]", r.IntN(i), r.IntN(i))
			}
			b.WriteString("}\n")
		}
		f := fileOf(t, b.String())
		durations := make([]time.Duration, n)
		for i := range durations {
			durations[i] = time.Duration(1+r.IntN(9)) * time.Second
		}
		spans, _, err := Simulate(f, Options{MaxConcurrent: 3, TagLimits: f.Executor.TagLimits}, World{Durations: durations})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range spans {
			for at := s.Ready; at < s.Start; at += time.Second {
				running := slices.DeleteFunc(slices.Clone(spans), func(o Span) bool { return o.Start > at || o.End <= at })
				same := slices.ContainsFunc(running, func(o Span) bool { return f.Steps[o.Step].Tags["k"] == f.Steps[s.Step].Tags["k"] })
				if len(running) < 3 && !same {
					t.Fatalf("seed %d: %s waits at %s though it could run\n%s\n%v", seed, f.Steps[s.Step].ID, at, b.String(), spans)
				}
			}
		}
	}
}

func BenchmarkTransitions(b *testing.B) {
	for _, steps := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("independent=%d", steps), func(b *testing.B) {
			var text strings.Builder
			text.WriteString("steps:\n")
			for i := range steps {
				fmt.Fprintf(&text, "  s%d: x\n", i)
			}
			f := fileOf(b, text.String())
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Simulate(f, Options{MaxConcurrent: 2}, World{Durations: make([]time.Duration, steps)}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*steps), "ns/step")
		})
	}
}
