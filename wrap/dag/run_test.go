package dag

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"limit/backend"
	"limit/integration/until"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/report"
)

func TestStepsRunAndSeeTheirEnvironment(t *testing.T) {
	s := newStage(t)
	s.limits(map[string]int{"db": 2})
	p := s.do(`
executor: {max_concurrent: 2}
params: {day: monday}
env: {TZ: UTC, SHARED: file}
steps:
  a:
    run: |
      echo "$TZ $SHARED $PARAM_DAY $LIMIT_NAMESPACE"
      echo count=5 >> "$LIMIT_OUTPUT"; echo "say=a b=c" >> "$LIMIT_OUTPUT"
    env: {SHARED: own}
  m: {run: 'echo "$MATRIX_K $OUT_A_COUNT $OUT_A_SAY $LIMIT_POOLS $LIMIT_SLOT_DB $LIMIT_TOKEN"', matrix: {k: [x]}, needs: a, pool: db}
  z: {run: 'echo "[$OUT_A_COUNT]"; pwd; cat', needs: m, dir: /}
`)
	p.want(0, "a succeeded, m[x] succeeded, z succeeded")
	if got := p.log("a"); got != "UTC own monday default\n" {
		t.Errorf("a printed %q", got)
	}
	if got := p.log("m[x]"); !strings.HasPrefix(got, "x 5 a b=c db=1 0 ") || strings.HasSuffix(got, " \n") {
		t.Errorf("m printed %q", got)
	}
	if got := p.log("z"); got != "[]\n/\n" {
		t.Errorf("z printed %q: outputs are for direct dependants, standard input is empty", got)
	}
	s.empty()
}

func TestFailuresRetriesConditionsAndTolerance(t *testing.T) {
	s := newStage(t)
	marker := filepath.Join(s.root, "marker")
	p := s.do(fmt.Sprintf(`
executor: {max_concurrent: 4}
steps:
  flaky: {run: 'test -e %[1]s || { touch %[1]s; exit 75; }', retry: {max: 2, delay: 10ms, exit_codes: [75]}}
  hard: {run: exit 2, retry: {max: 2, exit_codes: [75]}}
  after: {run: 'true', needs: hard}
  soft: {run: exit 3, continue_on_error: [3]}
  on: {run: 'true', needs: soft}
  skip: {run: 'true', if: 'false'}
  past: {run: 'true', needs: skip}
  badif: {run: 'true', if: exit 126}
  note: {run: 'true', needs: after, when: on_failure}
  never: {run: 'true', needs: on, when: on_failure}
  clean: {run: 'true', needs: [hard, on], when: always}
`, marker))
	p.want(1, "flaky succeeded, hard failed, after not_run, soft failed (tolerated), on succeeded, skip skipped, past succeeded, "+
		"badif failed, note succeeded, never skipped, clean succeeded")
	if a := p.run.Record.Steps[0].Attempts; len(a) != 2 || a[0].Code != 75 || a[1].Code != 0 {
		t.Errorf("flaky: %+v", a)
	}
	if a := p.run.Record.Steps[1].Attempts; len(a) != 1 {
		t.Errorf("hard: %+v", a)
	}
	s.empty()
}

func TestATimeoutStopsAStepAndCountsAsFailure(t *testing.T) {
	s := newStage(t)
	p := s.do(`
executor: {max_concurrent: 2}
steps:
  slow: {run: sleep 60, timeout: 50ms}
  stubborn: {run: "trap '' TERM; sleep 60", timeout: 50ms, grace: 50ms}
`)
	p.want(1, "slow failed, stubborn failed")
	if a := p.run.Record.Steps[0].Last(); a.Code != wrap.CodeTimeout || !strings.HasPrefix(a.Reason, "timed out") {
		t.Errorf("slow: %+v", a)
	}
}

func TestTheRunTimesOut(t *testing.T) {
	s := newStage(t)
	p := s.do("timeout: 100ms\nsteps: {a: sleep 60, b: {run: 'true', needs: a}}")
	p.want(wrap.CodeTimeout, "a failed, b not_run")
	s.empty()
}

func TestWhatCannotBeStartedHasFailedWithTheShellsCode(t *testing.T) {
	s := newStage(t)
	p := s.do("executor: {max_concurrent: 2}\nsteps: {a: {run: x, dir: /not/there}, b: {run: x, shell: /not/there/sh -c}, c: {run: exit 0, needs: a}, d: {run: x, console: true, dir: /not/there}}")
	p.want(1, "a failed, b failed, c not_run, d failed")
	for _, i := range []int{0, 1, 3} {
		if a := p.run.Record.Steps[i].Last(); a == nil || a.Code != 127 && a.Code != 126 || !strings.Contains(a.Reason, "/not/there") {
			t.Errorf("%s: %+v", p.run.Record.Steps[i].ID, a)
		}
	}
}

func TestStepsThatWaitForAPoolLeaveTheSlotsToOthers(t *testing.T) {
	s := newStage(t)
	s.limits(map[string]int{"db": 1})
	release := s.hold("db", 1)
	p := s.begin(`
executor: {max_concurrent: 2}
steps:
  d1: {run: sleep 0.01, pool: db, priority: 9}
  d2: {run: sleep 0.01, pool: db, priority: 9}
  d3: {run: sleep 0.01, pool: db, priority: 9}
  f1: sleep 0.02
  f2: sleep 0.02
  f3: sleep 0.02
  f4: sleep 0.02
  f5: sleep 0.02
`)
	for _, id := range []string{"f1", "f2", "f3", "f4", "f5"} {
		p.until(id+" ends while db is held elsewhere", named(wrap.EventExited, id))
	}
	for _, e := range p.eventList() {
		if e.Event == wrap.EventStarted && strings.HasPrefix(e.Step, "d") {
			t.Errorf("%s started though its pool is held elsewhere", e.Step)
		}
	}
	most, running := 0, 0
	for _, e := range p.eventList() {
		switch e.Event {
		case wrap.EventStarted:
			running++
		case wrap.EventExited:
			running--
		}
		most = max(most, running)
	}
	if most != 2 {
		t.Errorf("at most %d ran at once, not 2", most)
	}
	blocked := p.until("d1 says what blocks it", named(wrap.EventBlocked, "d1"))
	if len(blocked.BlockedBy) != 1 || blocked.BlockedBy[0].Limit != "pool:db" {
		t.Errorf("blocked by %+v", blocked.BlockedBy)
	}
	release()
	p.wait().want(0, "")
	sweep(t, p.run.File, p.eventList(), 2, map[string]int{"db": 1})
	waited := report.Waited(p.run.Record, report.AttributeWaits(p.run.Record))
	if !slices.ContainsFunc(waited, func(w report.LimitWait) bool { return w.Limit == "pool:db" && w.Steps == 3 }) {
		t.Errorf("the report blames %+v", waited)
	}
	s.empty()
}

// A dag that is granted a pool while its executor is full gives the pool's slot to others.
func TestAFullDagStandsAsideForOthers(t *testing.T) {
	s := newStage(t)
	s.limits(map[string]int{"db": 1})
	release := s.hold("db", 1)
	gate := filepath.Join(s.root, "gate")
	full := s.begin(fmt.Sprintf(`
steps:
  long: {run: 'while ! test -e %s; do sleep 0.01; done', priority: 1}
  mine: {run: echo mine, pool: db}
`, gate))
	full.until("long runs", named(wrap.EventStarted, "long"))
	full.until("mine waits", named(wrap.EventBlocked, "mine"))
	other := s.begin("steps: {theirs: {run: echo theirs, pool: db}}")
	other.until("theirs waits", named(wrap.EventBlocked, "theirs"))
	release()
	other.wait().want(0, "theirs succeeded")
	select {
	case <-full.over:
		t.Error("the full dag ended")
	default:
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	full.wait().want(0, "long succeeded, mine succeeded")
	s.empty()
}

func TestSeveralDagsShareAPoolAndNotTheirExecutors(t *testing.T) {
	s := newStage(t)
	s.limits(map[string]int{"db": 3})
	text := `
executor: {max_concurrent: 2, tag_concurrency_limits: [{key: k, limit: 1}]}
steps:
`
	for i := range 12 {
		switch i % 3 {
		case 0:
			text += fmt.Sprintf("  s%d: {run: sleep 0.01, pool: db}\n", i)
		case 1:
			text += fmt.Sprintf("  s%d: {run: sleep 0.01, pool: db=2, tags: {k: v}}\n", i)
		default:
			text += fmt.Sprintf("  s%d: {run: sleep 0.01, tags: {k: v}}\n", i)
		}
	}
	plays := []*play{s.begin(text), s.begin(text), s.begin(text)}
	var all []wrap.Event
	for _, p := range plays {
		p.wait().want(0, "")
		sweep(t, p.run.File, p.eventList(), 2, map[string]int{"db": 3})
		all = append(all, p.eventList()...)
	}
	slices.SortStableFunc(all, func(a, b wrap.Event) int { return a.Time.Compare(b.Time) })
	used := 0
	for _, e := range all {
		step := stepOf(plays[0].run.File, e)
		if step == nil {
			continue
		}
		switch e.Event {
		case wrap.EventStarted:
			used += step.Pools["db"]
		case wrap.EventExited:
			used -= step.Pools["db"]
		}
		if used > 3 {
			t.Errorf("%d slots of db in use when %s of %s started", used, e.Step, e.Run)
		}
	}
	s.empty()
}

func TestEventsTellOnceWhatBlocksAStep(t *testing.T) {
	s := newStage(t)
	p := s.do(`
executor: {max_concurrent: 2, tag_concurrency_limits: [{key: k, limit: 1}]}
steps:
  a: {run: sleep 0.05, tags: {k: v}}
  b: {run: sleep 0.05, tags: {k: v}}
  c: sleep 0.02
  d: sleep 0.02
`)
	p.want(0, "")
	told := map[string][]string{}
	for _, e := range p.eventList() {
		if e.Event == wrap.EventBlocked {
			var limits []string
			for _, b := range e.BlockedBy {
				limits = append(limits, b.Limit)
			}
			told[e.Step] = append(told[e.Step], strings.Join(limits, "+"))
		}
	}
	if len(told["a"]) > 0 || len(told["b"]) == 0 || len(told["b"]) > 3 || !strings.Contains(told["b"][0], "step-tag:k") ||
		len(told["d"]) != 1 || told["d"][0] != "max_concurrent" {
		t.Errorf("told %v", told)
	}
}

func TestRunGranularityHoldsThePoolsFromStartToEnd(t *testing.T) {
	s := newStage(t)
	s.change(func(settings *backend.Settings) {
		settings.Granularity = backend.GranularityRun
		settings.Pools = map[string]backend.Pool{"db": {Limit: 2}, "api": {Limit: 5}}
	})
	gate := filepath.Join(s.root, "gate")
	p := s.begin(fmt.Sprintf(`
steps:
  a: {run: 'while ! test -e %s; do sleep 0.01; done', priority: 1}
  b: {run: echo "$LIMIT_POOLS", pool: [db=2, api=1]}
  c: {run: 'true', pool: db}
`, gate))
	p.until("a runs", named(wrap.EventStarted, "a"))
	snapshot, err := s.store.Snapshot(context.Background())
	if err != nil || len(snapshot.Held) != 1 || snapshot.Held[0].Pools["db"] != 2 || snapshot.Held[0].Pools["api"] != 1 {
		t.Errorf("held: %+v %v", snapshot.Held, err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.wait().want(0, "")
	if got := p.log("b"); got != "api=1,db=2\n" {
		t.Errorf("b printed %q", got)
	}
	for _, e := range p.eventList() {
		if e.Step != "" && e.Claim != "" {
			t.Errorf("a step has a claim of its own: %+v", e)
		}
	}
	s.empty()
}

func TestARunWaitsInTheRunQueue(t *testing.T) {
	s := newStage(t)
	s.change(func(settings *backend.Settings) { settings.MaxRuns = 1 })
	gate := filepath.Join(s.root, "gate")
	first := s.begin(fmt.Sprintf("steps: {a: 'while ! test -e %s; do sleep 0.01; done'}", gate))
	first.until("the first runs", named(wrap.EventStarted, "a"))
	second := s.begin("steps: {b: 'true'}")
	second.until("the second is blocked", func(e wrap.Event) bool {
		return e.Event == wrap.EventBlocked && len(e.BlockedBy) > 0 && e.BlockedBy[0].Limit == "runs"
	})
	third := s.do("steps: {c: 'true'}", func(p *play) { p.run.Wait = 20 * time.Millisecond })
	if third.exit.Code != wrap.CodeBusy {
		t.Errorf("the third gave up with %d", third.exit.Code)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	first.wait().want(0, "")
	second.wait().want(0, "")
	if second.run.Record.Granted == 0 || len(second.run.Record.Waits) == 0 || second.run.Record.Waits[0].Limit != "runs" {
		t.Errorf("waits: %+v", second.run.Record.Waits)
	}
	s.empty()
}

func TestARunInTheQueueSaysOnceForWhomItWaits(t *testing.T) {
	s := newStage(t)
	s.change(func(settings *backend.Settings) { settings.MaxRuns = 1 })
	holder, err := s.space.Open().Enter(t.Context(), backend.Claim{ID: "h", RunID: "h", Runs: 1, Name: "nightly", Host: "far", PID: 7}, backend.EnterOptions{NoWait: true})
	if err != nil {
		t.Fatal(err)
	}
	waiting := s.begin("steps: {a: 'true'}")
	waiting.until("it waits", named(wrap.EventBlocked, ""))
	for i := range 3 { // others come and go before it: what blocks it changes
		other, err := s.space.Open().Enter(t.Context(), backend.Claim{ID: fmt.Sprint(i), RunID: fmt.Sprint(i), Runs: 1, Priority: 9}, backend.EnterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		other.Release(t.Context())
	}
	if !until.Within(patienceOfTests, func() bool { return strings.Contains(waiting.said.String(), "\n") }) {
		t.Error("nothing is said")
	}
	holder.Release(t.Context())
	waiting.wait().want(0, "a succeeded")
	if said := waiting.said.String(); strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "limit: waiting for runs (1 of 1 used) held by nightly (far, pid 7, for 1s), position 1") {
		t.Errorf("it says %q", said)
	}
	if out := waiting.out.String(); strings.Contains(out, "waiting") {
		t.Errorf("standard output has %q", out)
	}
}

func TestAStepGivesUpWaitingForItsPool(t *testing.T) {
	s := newStage(t)
	s.limits(map[string]int{"db": 1})
	defer s.hold("db", 1)()
	p := s.do("steps: {a: {run: 'true', pool: db}, b: {run: 'true', needs: a}}", func(p *play) { p.run.Wait = 30 * time.Millisecond })
	p.want(wrap.CodeBusy, "a failed, b not_run")
}

func TestAnImpossibleClaimFailsItsStepAlone(t *testing.T) {
	s := newStage(t)
	s.limits(map[string]int{"db": 2})
	p := s.do("executor: {max_concurrent: 2}\nsteps: {a: {run: 'true', pool: db=3}, b: 'true'}")
	p.want(1, "a failed, b succeeded")
	if r := p.run.Record.Steps[0].Outcome.Reason; !strings.Contains(r, "pool:db") {
		t.Errorf("reason %q", r)
	}
	s.empty()
}

func TestCancellingAClaimStopsItsStep(t *testing.T) {
	s := newStage(t)
	s.limits(map[string]int{"db": 1})
	p := s.begin("steps: {a: {run: sleep 60, pool: db, retry: 3, continue_on_error: true}, b: {run: 'true', needs: a}}")
	started := p.until("a is granted", named(wrap.EventGranted, "a"))
	p.until("a runs", named(wrap.EventStarted, "a"))
	if err := s.store.Cancel(context.Background(), started.Claim, "not now"); err != nil {
		t.Fatal(err)
	}
	p.wait().want(1, "a failed, b not_run")
	s.empty()
}

func TestCancellingTheRunStopsEverything(t *testing.T) {
	s := newStage(t)
	p := s.begin("executor: {max_concurrent: 2}\nsteps: {a: sleep 60, b: sleep 60, c: sleep 60, d: {run: 'true', needs: a, when: always}}")
	p.until("a runs", named(wrap.EventStarted, "a"))
	p.until("b runs", named(wrap.EventStarted, "b"))
	if err := s.store.Cancel(context.Background(), p.run.Claim.ID, "not now"); err != nil {
		t.Fatal(err)
	}
	p.wait().want(1, "a failed, b failed, c not_run, d succeeded")
	s.empty()
}

func TestASignalStopsTheStepsAndTheRunDiesOfIt(t *testing.T) {
	s := newStage(t)
	s.limits(map[string]int{"db": 1})
	p := s.begin("executor: {max_concurrent: 2}\nsteps: {a: sleep 60, b: {run: sleep 60, pool: db}, c: {run: sleep 60, pool: db}}")
	p.until("a runs", named(wrap.EventStarted, "a"))
	p.until("b runs", named(wrap.EventStarted, "b"))
	s.signal("TERM")
	p.wait()
	if p.exit.Signal != syscall.SIGTERM || p.outcomes() != "a failed, b failed, c not_run" {
		t.Errorf("exit %+v, %s", p.exit, p.outcomes())
	}
	s.empty()
}

func TestASecondSignalKills(t *testing.T) {
	s := newStage(t)
	ready := filepath.Join(s.root, "ready")
	p := s.begin(fmt.Sprintf("steps: {a: {run: \"trap 'touch %[1]s' TERM; touch %[1]s.trap; while :; do sleep 0.01 || :; done\", grace: 60s}}", ready))
	p.until("a has its trap", func(wrap.Event) bool { _, err := os.Stat(ready + ".trap"); return err == nil })
	s.signal("TERM")
	until.That(t, patienceOfTests, "a has had the first signal", func() bool { _, err := os.Stat(ready); return err == nil })
	s.signal("INT")
	p.wait()
	if a := p.run.Record.Steps[0].Last(); a.Signal != int(syscall.SIGKILL) {
		t.Errorf("a: %+v", a)
	}
}

func TestFailModes(t *testing.T) {
	s := newStage(t)
	const text = "executor: {max_concurrent: 2}\nsteps: {a: {run: exit 1, priority: 2}, b: {run: sleep 0.2, priority: 1}, c: 'true', z: {run: 'true', needs: a, when: always}}"
	s.do(text, func(p *play) { p.run.Plan.FailMode = plan.Stop }).want(1, "a failed, b succeeded, c not_run, z succeeded")
	s.do(strings.Replace(text, "0.2", "60", 1), func(p *play) { p.run.Plan.FailMode = plan.Kill }).want(1, "a failed, b failed, c not_run, z succeeded")
}

func TestOutputThatIsTooLongOrMalformedFailsTheStep(t *testing.T) {
	s := newStage(t)
	p := s.do(`
executor: {max_concurrent: 3}
steps:
  long: head -c 70000 /dev/zero | tr '\0' x > "$LIMIT_OUTPUT"
  bad: echo "no equals sign" > "$LIMIT_OUTPUT"
  good: head -c 60000 /dev/zero | tr '\0' x | sed 's/^/k=/' > "$LIMIT_OUTPUT"
`)
	p.want(1, "long failed, bad failed, good succeeded")
}

func TestAGrandchildThatKeepsTheOutputDoesNotHoldTheStep(t *testing.T) {
	s := newStage(t)
	pidFile := filepath.Join(s.root, "pid")
	start := time.Now()
	p := s.do(fmt.Sprintf("steps: {a: 'echo before; sleep 60 & echo $! > %s'}", pidFile))
	p.want(0, "a succeeded")
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	if p.log("a") != "before\n" {
		t.Errorf("log %q", p.log("a"))
	}
	var pid int
	text, err := os.ReadFile(pidFile)
	if _, scanErr := fmt.Sscan(string(text), &pid); err != nil || scanErr != nil {
		t.Fatal(err, scanErr)
	}
	syscall.Kill(pid, syscall.SIGKILL)
}

func TestLargeOutputIsKeptWhole(t *testing.T) {
	s := newStage(t)
	p := s.do("steps: {a: 'seq 1 200000; echo end >&2'}", func(p *play) { p.run.Console.Output = report.Quiet })
	p.want(0, "")
	if got := p.log("a"); len(got) != 1288895+4 || !strings.HasSuffix(got, "200000\nend\n") {
		t.Errorf("%d bytes, ending %q", len(got), got[max(0, len(got)-20):])
	}
}

func TestTheJournalTellsWhatHappened(t *testing.T) {
	s := newStage(t)
	p := s.do("steps: {a: 'echo k=v > $LIMIT_OUTPUT; echo hello', b: {run: exit 3, needs: a}, c: {run: 'true', needs: b}}")
	e, err := journal.Load(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	if e.Running || !e.Finished || e.Code != 1 || e.Run.Count() != p.run.Record.Count() {
		t.Errorf("%+v", e.Run)
	}
	for i, got := range e.Steps {
		want := p.run.Record.Steps[i]
		got.Outcome.Exit, want.Outcome.Exit = plan.Exit{}, plan.Exit{}
		if got.Outcome.State != want.Outcome.State || fmt.Sprint(got.Attempts) != fmt.Sprint(want.Attempts) || fmt.Sprint(got.Outputs) != fmt.Sprint(want.Outputs) {
			t.Errorf("%s: read %+v %+v, was %+v %+v", got.ID, got.Outcome, got.Attempts, want.Outcome, want.Attempts)
		}
	}
}
