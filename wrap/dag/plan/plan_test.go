package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"limit/backend"
	"limit/wrap/dag/stepfile"
)

// fileOf parses the steps of a test.
func fileOf(t testing.TB, text string) *stepfile.File {
	t.Helper()
	f, _, err := stepfile.Parse("test.yaml", []byte(text), stepfile.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

// scene is a dag as text with what happens to its commands.
type scene struct {
	text    string
	max     int
	seconds map[string]float64 // durations; 1 where not given
	exits   map[string][]Exit  // of the attempts; the last one repeats
	checks  map[string]int     // exit codes of conditions
	pools   map[string]int
	fail    FailMode
	weights map[string]float64
	only    []string
	done    map[string]Outcome
}

// play simulates a scene and tells what ran, in the order of starts, as "id start-end" in seconds.
func (sc scene) play(t *testing.T) (string, *Plan, *stepfile.File) {
	t.Helper()
	f := fileOf(t, sc.text)
	opt := Options{MaxConcurrent: max(sc.max, 1), TagLimits: f.Executor.TagLimits, FailMode: sc.fail, Done: map[int]Outcome{}}
	w := World{
		Durations: make([]time.Duration, len(f.Steps)),
		Exit: func(step, attempt int) Exit {
			exits := sc.exits[f.Steps[step].ID]
			if len(exits) == 0 {
				return Exit{}
			}
			return exits[min(attempt, len(exits))-1]
		},
		Condition: func(step int) Exit { return Exit{Code: sc.checks[f.Steps[step].ID]} },
	}
	if sc.weights != nil {
		opt.Weights = make([]time.Duration, len(f.Steps))
	}
	if sc.only != nil {
		chosen, err := f.Select(sc.only, nil)
		if err != nil {
			t.Fatal(err)
		}
		opt.Selected = chosen
	}
	for i, s := range f.Steps {
		w.Durations[i] = time.Second
		if d, ok := sc.seconds[s.ID]; ok {
			w.Durations[i] = time.Duration(d * float64(time.Second))
		}
		if sc.weights != nil {
			opt.Weights[i] = time.Duration(sc.weights[s.ID] * float64(time.Second))
		}
		if o, ok := sc.done[s.ID]; ok {
			opt.Done[i] = o
		}
	}
	if sc.pools != nil {
		settings := backend.NewSettings()
		settings.Pools = map[string]backend.Pool{}
		for name, limit := range sc.pools {
			settings.Pools[name] = backend.Pool{Limit: limit}
		}
		w.Pools = &settings
	}
	spans, p, err := Simulate(f, opt, w)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, s := range spans {
		told = append(told, fmt.Sprintf("%s %g-%g", f.Steps[s.Step].ID, s.Start.Seconds(), s.End.Seconds()))
	}
	return strings.Join(told, ", "), p, f
}

// outcomes tells how the steps have ended, in the order of the file.
func outcomes(p *Plan, f *stepfile.File) string {
	var told []string
	for i, s := range f.Steps {
		o := p.Outcome(i)
		word := o.State.String()
		if o.Tolerated {
			word += " (tolerated)"
		}
		told = append(told, s.ID+" "+word)
	}
	return strings.Join(told, ", ")
}

func failing(code int) []Exit { return []Exit{{Code: code}} }

func TestStepsStartInOrder(t *testing.T) {
	for name, c := range map[string]struct {
		scene
		want string
	}{
		"file order among equals": {
			scene{text: "steps: {a: x, b: x, c: x}"}, "a 0-1, b 1-2, c 2-3"},
		"priority first": {
			scene{text: "steps: {a: x, b: {run: x, priority: 1}, c: {run: x, priority: 2}}"}, "c 0-1, b 1-2, a 2-3"},
		"priority comes down from what needs a step": {
			scene{text: "steps: {a: x, b: x, c: {run: x, needs: b, priority: 2}}"}, "b 0-1, c 1-2, a 2-3"},
		"the longest path before the file": {
			scene{text: "steps: {a: x, b: x, c: {run: x, needs: b}}"}, "b 0-1, a 1-2, c 2-3"},
		"paths are weighted": {
			scene{text: "steps: {a: x, b: x, c: {run: x, needs: b}}", weights: map[string]float64{"a": 3, "b": 1, "c": 1}}, "a 0-1, b 1-2, c 2-3"},
		"as many at once as there are slots": {
			scene{text: "steps: {a: x, b: x, c: x}", max: 2}, "a 0-1, b 0-1, c 1-2"},
		"a step may take several slots": {
			scene{text: "steps: {a: {run: x, slots: 2}, b: x, c: x}", max: 2}, "a 0-1, b 1-2, c 1-2"},
		"a large step is not starved by small ones": {
			scene{text: "steps: {a: x, b: {run: x, slots: 2}, c: x, d: x}", max: 2, seconds: map[string]float64{"a": 2}}, "a 0-2, b 2-3, c 3-4, d 3-4"},
		"one gets the terminal at a time": {
			scene{text: "steps: {a: {run: x, console: true}, b: {run: x, console: true}, c: x}", max: 3}, "a 0-1, c 0-1, b 1-2"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _, _ := c.play(t); got != c.want {
				t.Errorf("%s\nran  %s\nwant %s", c.text, got, c.want)
			}
		})
	}
}

func TestTagLimitsBoundSteps(t *testing.T) {
	for name, c := range map[string]struct {
		scene
		want string
	}{
		"exact": {scene{max: 9, text: `
executor: {tag_concurrency_limits: [{key: db, value: red, limit: 1}]}
steps:
  a: {run: x, tags: {db: red}}
  b: {run: x, tags: {db: red}}
  c: {run: x, tags: {db: blue}}
`}, "a 0-1, c 0-1, b 1-2"},
		"key-wide": {scene{max: 9, text: `
executor: {tag_concurrency_limits: [{key: db, limit: 2}]}
steps:
  a: {run: x, tags: {db: red}}
  b: {run: x, tags: {db: blue}}
  c: {run: x, tags: {db: green}}
  d: x
`}, "a 0-1, b 0-1, d 0-1, c 1-2"},
		"per unique value": {scene{max: 9, text: `
executor: {tag_concurrency_limits: [{key: customer, value: {applyLimitPerUniqueValue: true}, limit: 1}]}
steps:
  a1: {run: x, tags: {customer: a}}
  a2: {run: x, tags: {customer: a}}
  b1: {run: x, tags: {customer: b}}
  b2: {run: x, tags: {customer: b}}
`}, "a1 0-1, b1 0-1, a2 1-2, b2 1-2"},
		"all three together, a step with several tags": {scene{max: 9, text: `
executor:
  tag_concurrency_limits:
    - {key: db, value: red, limit: 2}
    - {key: db, limit: 3}
    - {key: customer, value: {applyLimitPerUniqueValue: true}, limit: 1}
steps:
  a: {run: x, tags: {db: red, customer: acme}}
  b: {run: x, tags: {db: red, customer: acme}}    # customer acme
  c: {run: x, tags: {db: red, customer: globex}}
  d: {run: x, tags: {db: red}}                    # db=red has two
  e: {run: x, tags: {db: blue}}                   # passes b and d: db itself has room
  f: {run: x, tags: {customer: initech}}
`}, "a 0-1, c 0-1, e 0-1, f 0-1, b 1-2, d 1-2"},
		"what does not fit is passed by": {scene{max: 2, text: `
executor: {tag_concurrency_limits: [{key: db, limit: 1}]}
steps:
  a: {run: x, tags: {db: ""}}
  b: {run: x, tags: {db: ""}}
  c: x
  d: x
`, seconds: map[string]float64{"a": 2}}, "a 0-2, c 0-1, d 1-2, b 2-3"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _, _ := c.play(t); got != c.want {
				t.Errorf("%s\nran  %s\nwant %s", c.text, got, c.want)
			}
		})
	}
}

func TestOutcomesSpreadOverTheGraph(t *testing.T) {
	for name, c := range map[string]struct {
		scene
		ran, ended string
	}{
		"a failure abandons its dependants alone": {
			scene{text: "steps: {a: x, b: {run: x, needs: a}, c: {run: x, needs: b}, d: x}", exits: map[string][]Exit{"a": failing(1)}},
			"a 0-1, d 1-2", "a failed, b not_run, c not_run, d succeeded"},
		"a tolerated failure does not": {
			scene{text: "steps: {a: {run: x, continue_on_error: [3]}, b: {run: x, needs: a}}", exits: map[string][]Exit{"a": failing(3)}},
			"a 0-1, b 1-2", "a failed (tolerated), b succeeded"},
		"another code is not tolerated": {
			scene{text: "steps: {a: {run: x, continue_on_error: [3]}, b: {run: x, needs: a}}", exits: map[string][]Exit{"a": failing(4)}},
			"a 0-1", "a failed, b not_run"},
		"a skipped step satisfies": {
			scene{text: "steps: {a: {run: x, if: y}, b: {run: x, needs: a}}", checks: map[string]int{"a": 1}},
			"b 0-1", "a skipped, b succeeded"},
		"a condition that cannot be executed is a failure": {
			scene{text: "steps: {a: {run: x, if: y}, b: {run: x, needs: a}}", checks: map[string]int{"a": 127}},
			"", "a failed, b not_run"},
		"on_failure runs when a need failed": {
			scene{text: "steps: {a: x, n: {run: x, needs: a, when: on_failure}}", exits: map[string][]Exit{"a": failing(1)}},
			"a 0-1, n 1-2", "a failed, n succeeded"},
		"on_failure runs when a need was not run": {
			scene{text: "steps: {a: x, b: {run: x, needs: a}, n: {run: x, needs: b, when: on_failure}}", exits: map[string][]Exit{"a": failing(1)}},
			"a 0-1, n 1-2", "a failed, b not_run, n succeeded"},
		"on_failure is skipped when nothing failed, and satisfies": {
			scene{text: "steps: {a: x, n: {run: x, needs: a, when: on_failure}, z: {run: x, needs: n}}"},
			"a 0-1, z 1-2", "a succeeded, n skipped, z succeeded"},
		"always runs either way": {
			scene{text: "steps: {a: x, z: {run: x, needs: a, when: always}}", exits: map[string][]Exit{"a": failing(1)}},
			"a 0-1, z 1-2", "a failed, z succeeded"},
		"stop starts nothing further, but what is there for failures": {
			scene{text: "steps: {a: x, b: x, c: x, d: {run: x, needs: b}, n: {run: x, needs: a, when: on_failure}, z: {run: x, needs: [a, d], when: always}}",
				max: 2, fail: Stop, exits: map[string][]Exit{"a": failing(1)}, seconds: map[string]float64{"b": 2}},
			"b 0-2, a 0-1, n 1-2, z 2-3", "a failed, b succeeded, c not_run, d not_run, n succeeded, z succeeded"},
		"kill stops those that run": {
			scene{text: "steps: {a: x, b: x, c: x}", max: 2, fail: Kill, exits: map[string][]Exit{"a": failing(1)}, seconds: map[string]float64{"b": 9}},
			"a 0-1, b 0-1", "a failed, b failed, c not_run"},
		"what is not selected counts as done": {
			scene{text: "steps: {a: x, b: {run: x, needs: a}, c: {run: x, needs: b}}", only: []string{"c"}},
			"c 0-1", "a unselected, b unselected, c succeeded"},
		"what an earlier run has settled is not run again": {
			scene{text: "steps: {a: x, b: {run: x, needs: a}, c: {run: x, needs: b}}", done: map[string]Outcome{"a": {State: Succeeded, Earlier: true}}},
			"b 0-1, c 1-2", "a succeeded, b succeeded, c succeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			ran, p, f := c.play(t)
			if ran != c.ran || outcomes(p, f) != c.ended || !p.Done() {
				t.Errorf("%s\nran   %s\nwant  %s\nended %s\nwant  %s\ndone  %t", c.text, ran, c.ran, outcomes(p, f), c.ended, p.Done())
			}
		})
	}
}

func TestRetriesGiveTheirSlotsBackDuringTheDelay(t *testing.T) {
	c := scene{
		text:  "steps: {a: {run: x, retry: {max: 3, delay: 2s, backoff: exponential, max_delay: 3s}}, b: x, c: x}",
		exits: map[string][]Exit{"a": {{Code: 1}, {Code: 1}, {Code: 1}, {}}},
	}
	got, p, f := c.play(t)
	want := "a 0-1, b 1-2, c 2-3, a 3-4, a 7-8, a 11-12"
	if got != want || outcomes(p, f) != "a succeeded, b succeeded, c succeeded" {
		t.Errorf("ran  %s\nwant %s\n%s", got, want, outcomes(p, f))
	}
}

func TestOnlyListedExitCodesAreTriedAgain(t *testing.T) {
	c := scene{text: "steps: {a: {run: x, retry: {max: 3, exit_codes: [75]}}}", exits: map[string][]Exit{"a": {{Code: 75}, {Code: 2}}}}
	got, p, f := c.play(t)
	if got != "a 0-1, a 1-2" || outcomes(p, f) != "a failed" {
		t.Errorf("ran %s, %s", got, outcomes(p, f))
	}
}

func TestAFinalExitIsNotTriedAgainOrTolerated(t *testing.T) {
	c := scene{text: "steps: {a: {run: x, retry: 3, continue_on_error: true}}", exits: map[string][]Exit{"a": {{Code: 143, Reason: "cancelled", Final: true}}}}
	got, p, f := c.play(t)
	if got != "a 0-1" || outcomes(p, f) != "a failed" {
		t.Errorf("ran %s, %s", got, outcomes(p, f))
	}
}

func TestCancelLeavesWhatRunsAndStartsNothing(t *testing.T) {
	f := fileOf(t, "steps: {a: {run: x, retry: 1}, b: x, c: {run: x, needs: a}}")
	p, err := New(f, Options{MaxConcurrent: 1})
	if err != nil {
		t.Fatal(err)
	}
	p.Begin(0)
	p.Cancel("cancelled", 1)
	if got := outcomes(p, f); got != "a pending, b not_run, c not_run" {
		t.Fatal(got)
	}
	p.Finished(0, Exit{Code: 143, Signal: 15}, 2)
	if got := outcomes(p, f); got != "a failed, b not_run, c not_run" || !p.Done() {
		t.Error(got, p.Done())
	}
}

func TestAStepThatNoSlotWillEverBeFreeForIsRefused(t *testing.T) {
	f := fileOf(t, "steps: {a: {run: x, slots: 3}}")
	if _, err := New(f, Options{MaxConcurrent: 2}); err == nil {
		t.Error("three slots of two were accepted")
	}
	f = fileOf(t, "executor: {tag_concurrency_limits: [{key: k, limit: 0}]}\nsteps: {a: {run: x, tags: {k: v}}, b: x}")
	if _, err := New(f, Options{MaxConcurrent: 2, TagLimits: f.Executor.TagLimits}); err == nil {
		t.Error("a limit of 0 was accepted")
	}
	if _, err := New(f, Options{MaxConcurrent: 2, TagLimits: f.Executor.TagLimits, Selected: []bool{false, true}}); err != nil {
		t.Error(err)
	}
}

// said is what a plan has told its runner to do, without what it tells alone.
func said(p *Plan, actions []Action) string {
	var out []string
	for _, a := range actions {
		if a.Kind < Queued {
			word := [...]string{"check", "start", "enter", "aside", "up", "release", "terminate"}[a.Kind]
			out = append(out, word+" "+p.steps[a.Step].ID)
		}
	}
	return strings.Join(out, ", ")
}

func TestAStepWaitingForAPoolKeepsNoSlot(t *testing.T) {
	f := fileOf(t, `
steps:
  d1: {run: x, pool: db}
  d2: {run: x, pool: db}
  d3: {run: x, pool: db}
  f1: x
  f2: x
  f3: x
`)
	p, err := New(f, Options{MaxConcurrent: 2, ClaimPools: true})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, actions []Action, want string) {
		t.Helper()
		if got := said(p, actions); got != want {
			t.Fatalf("%s: told to %q, want %q", what, got, want)
		}
	}
	expect("begin", p.Begin(0), "enter d1, enter d2, start f1, start f2")
	expect("d1 granted while full", p.Granted(0, 1), "aside d1")
	expect("f1 ends: there is room for d1, which is before f3", p.Finished(3, Exit{}, 2), "up d1")
	expect("but its pool is gone again", p.Reacquired(0, false, 3), "start f3")
	expect("f2 ends: nothing else is ready", p.Finished(4, Exit{}, 4), "")
	expect("d2 granted, and there is room", p.Granted(1, 5), "start d2")
	expect("d1 granted, and there is none", p.Granted(0, 6), "aside d1")
	expect("d2 ends: its claim goes back, d1 stands up, d3 is entered", p.Finished(1, Exit{}, 7), "release d2, enter d3, up d1")
	expect("d1 is granted on standing up", p.Reacquired(0, true, 8), "start d1")
	expect("d3 is refused", p.Refused(2, Exit{Code: 125, Reason: "impossible", Final: true}, 9), "release d3")
	expect("the rest ends", append(p.Finished(0, Exit{}, 10), p.Finished(5, Exit{}, 11)...), "release d1")
	if !p.Done() {
		t.Error("not done:", outcomes(p, f))
	}
}

func TestPoolsBoundASimulationToo(t *testing.T) {
	c := scene{text: "steps: {a: {run: x, pool: db}, b: {run: x, pool: db}, c: {run: x, pool: [db=2, api]}, d: x}",
		max: 4, pools: map[string]int{"db": 2, "api": 1}}
	if got, _, _ := c.play(t); got != "d 0-1, a 0-1, b 0-1, c 1-2" {
		t.Error(got)
	}
}

func TestManyStepsOfOnePoolEnterTheStoreAsTheExecutorCouldRunThem(t *testing.T) {
	var b strings.Builder
	b.WriteString("steps:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  s%d: {run: x, pool: db}\n", i)
	}
	f := fileOf(t, b.String())
	p, err := New(f, Options{MaxConcurrent: 3, ClaimPools: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := said(p, p.Begin(0)); got != "enter s0, enter s1, enter s2" {
		t.Error(got)
	}
}

func TestTheCriticalPathIsTheLongestByWeight(t *testing.T) {
	f := fileOf(t, "steps: {a: x, b: {run: x, needs: a}, c: {run: x, needs: a}, d: {run: x, needs: [b, c]}}")
	way, total := CriticalPath(f, []time.Duration{1, 2, 5, 1}, nil)
	if !slices.Equal(way, []int{0, 2, 3}) || total != 7 {
		t.Error(way, total)
	}
	way, total = CriticalPath(f, []time.Duration{1, 2, 5, 1}, func(i int) bool { return i == 2 })
	if !slices.Equal(way, []int{0, 1, 3}) || total != 4 {
		t.Error(way, total)
	}
}

// What blocks a step that needs a pool is what keeps it from starting: a limit of the executor, though its claim is not
// in the store, or stands aside there; else its pools, and whose claim is there in place of its own.
func TestTheBlockerThatIsNamedIsTheOneThatBlocks(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		max   int
		pools map[string]backend.Pool
		want  string
	}{
		"a tag limit, with room in the pool": {
			"executor: {tag_concurrency_limits: [{key: t, limit: 1}]}\nsteps: {a: {run: x, pool: wide, tags: {t: x}}, b: {run: x, pool: wide, tags: {t: x}}}",
			4, map[string]backend.Pool{"wide": {Limit: 10}}, "b step-tag:t"},
		"max_concurrent, with room in the pool": {
			"steps: {a: {run: x, pool: wide}, b: {run: x, pool: wide}}",
			1, map[string]backend.Pool{"wide": {Limit: 10}}, "b max_concurrent"},
		"max_concurrent, of a claim that stands aside": {
			"steps: {a: {run: x, priority: 1}, b: {run: x, pool: wide}}",
			1, map[string]backend.Pool{"wide": {Limit: 10}}, "b max_concurrent"},
		"the terminal": {
			"steps: {a: {run: x, console: true, pool: wide}, b: {run: x, console: true, pool: wide}}",
			4, map[string]backend.Pool{"wide": {Limit: 10}}, "b console"},
		"the pool, which others of the same needs wait for": {
			"steps: {a: {run: x, pool: full}, b: {run: x, pool: full}, c: {run: x, pool: full}, d: x}",
			2, map[string]backend.Pool{"full": {Limit: 0}}, "a in the store, b in the store, c behind a"},
		"both where both do": {
			"executor: {tag_concurrency_limits: [{key: t, limit: 1}]}\nsteps: {a: {run: x, tags: {t: x}}, b: {run: x, tags: {t: x}}}",
			1, nil, "b max_concurrent step-tag:t"},
	} {
		t.Run(name, func(t *testing.T) {
			f := fileOf(t, c.text)
			settings := backend.NewSettings()
			settings.Pools = c.pools
			p, err := New(f, Options{MaxConcurrent: c.max, TagLimits: f.Executor.TagLimits, ClaimPools: true})
			if err != nil {
				t.Fatal(err)
			}
			s := &simulation{plan: p, world: World{Durations: make([]time.Duration, len(f.Steps))}, ready: make([]time.Duration, len(f.Steps)),
				running: map[int]int{}, store: backend.NewState(settings, backend.StoreNames())}
			s.do(p.Begin(0))
			for range 2 { // a look leaves no trace
				if got := waitingOf(p); got != c.want {
					t.Errorf("%s, not %s", got, c.want)
				}
			}
			for s.turn() {
			}
			for i := range f.Steps {
				if c.pools["full"].Limit == 0 && f.Steps[i].Pools["full"] > 0 {
					continue
				}
				if p.Outcome(i).State != Succeeded {
					t.Errorf("%s: %v after the looks", f.Steps[i].ID, p.Outcome(i).State)
				}
			}
		})
	}
}

// waitingOf tells which steps wait for what, in the order of the file.
func waitingOf(p *Plan) string {
	waiting := p.Waiting(0)
	slices.SortFunc(waiting, func(a, b Waiting) int { return a.Step - b.Step })
	var told []string
	for _, w := range waiting {
		text := p.steps[w.Step].ID
		switch {
		case w.InStore && w.Behind == w.Step:
			text += " in the store"
		case w.InStore:
			text += " behind " + p.steps[w.Behind].ID
		}
		for _, b := range w.Blocks {
			text += " " + b.Limit
		}
		told = append(told, text)
	}
	return strings.Join(told, ", ")
}

func TestSoManyFailuresStopTheRun(t *testing.T) {
	text := "steps: {a: x, b: x, c: x, d: x}"
	for most, want := range map[int]string{
		0: "a failed, b failed, c succeeded, d succeeded",
		1: "a failed, b not_run, c not_run, d not_run",
		2: "a failed, b failed, c not_run, d not_run",
		3: "a failed, b failed, c succeeded, d succeeded",
	} {
		f := fileOf(t, text)
		w := World{Durations: make([]time.Duration, len(f.Steps)), Exit: func(step, _ int) Exit { return Exit{Code: map[int]int{0: 1, 1: 1}[step]} }}
		_, p, err := Simulate(f, Options{MaxConcurrent: 1, MaxFailures: most}, w)
		if err != nil {
			t.Fatal(err)
		}
		if got := outcomes(p, f); got != want {
			t.Errorf("at most %d: %s, not %s", most, got, want)
		}
	}
}
