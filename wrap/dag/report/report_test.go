package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"limit/backend"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

const hostile = `</script><script>document.title="broken"</script>`

// runOf is a run as a simulation of the text gives it: each step takes a second, those called fail… fail.
func runOf(t testing.TB, text string, slots int) *journal.Run {
	t.Helper()
	return runIn(t, text, slots, nil)
}

// runIn is runOf with pools of a store; nil: they do not limit.
func runIn(t testing.TB, text string, slots int, pools map[string]int) *journal.Run {
	t.Helper()
	f, _, err := stepfile.Parse("test.yaml", []byte(text), stepfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	durations := make([]time.Duration, len(f.Steps))
	for i := range durations {
		durations[i] = time.Second
	}
	exit := func(step, attempt int) plan.Exit {
		if strings.HasPrefix(f.Steps[step].ID, "fail") {
			return plan.Exit{Code: 3}
		}
		return plan.Exit{}
	}
	world := plan.World{Durations: durations, Exit: exit}
	if pools != nil {
		settings := backend.NewSettings()
		settings.Pools = map[string]backend.Pool{}
		for name, limit := range pools {
			settings.Pools[name] = backend.Pool{Limit: limit}
		}
		world.Pools = &settings
	}
	spans, p, err := plan.Simulate(f, plan.Options{MaxConcurrent: slots, TagLimits: f.Executor.TagLimits}, world)
	if err != nil {
		t.Fatal(err)
	}
	r := Simulated(f, slots, pools, spans, p)
	r.ID, r.Host, r.File, r.Started, r.Finished = strings.Repeat("ab", 16), "here", "/x/test.yaml", time.Unix(1_700_000_000, 0), true
	for _, span := range spans {
		r.Steps[span.Step].Attempt(span.Attempt).Code = span.Exit.Code
	}
	if r.Count().Failed > 0 {
		r.Code = 1
	}
	return r
}

const graphText = `
name: "graph <of> \"things\""
executor: {tag_concurrency_limits: [{key: k, limit: 1}]}
steps:
  a: x
  b: {run: x, needs: a, tags: {k: v}}
  c: {run: x, needs: a, tags: {k: v}}
  d: {run: x, needs: a, slots: 2}
  fail: {run: x, needs: [b, c]}
  after: {run: x, needs: fail}
  note: {run: x, needs: fail, when: on_failure}
`

func TestWaitsAreBlamedOnTheLimitsThatWereFull(t *testing.T) {
	r := runOf(t, graphText, 3)
	waited := map[string]float64{}
	for _, w := range Waited(r, AttributeWaits(r)) {
		waited[w.Limit] = w.Waited.Seconds()
	}
	// After a: d (2 slots) and b start, c waits for the tag; all slots are taken too. Then c.
	if waited["step-tag:k"] != 1 || waited["max_concurrent"] != 1 {
		t.Errorf("blamed: %v", waited)
	}
}

func TestBlameAgreesWithALookAtEveryInstant(t *testing.T) {
	var b strings.Builder
	b.WriteString("executor: {tag_concurrency_limits: [{key: k, value: {applyLimitPerUniqueValue: true}, limit: 2}]}\nsteps:\n")
	for i := range 40 {
		fmt.Fprintf(&b, "  s%d: {run: x, slots: %d, tags: {k: %d}", i, 1+i%2, i%3)
		if i > 5 {
			fmt.Fprintf(&b, ", needs: [s%d]", i*7%i)
		}
		b.WriteString("}\n")
	}
	r := runOf(t, b.String(), 5)
	got := map[string]time.Duration{}
	for _, w := range Waited(r, AttributeWaits(r)) {
		got[w.Limit] = w.Waited
	}
	want := map[string]time.Duration{}
	for at := time.Duration(0); at < r.Ended; at += time.Second { // everything happens at whole seconds
		slots, tags := 0, map[string]int{}
		for _, s := range r.Steps {
			if a := s.Last(); a.Start <= at && a.End > at {
				slots += s.Slots
				tags[s.Tags["k"]]++
			}
		}
		for _, s := range r.Steps {
			if a := s.Last(); a.Ready <= at && a.Start > at {
				if slots+s.Slots > 5 {
					want["max_concurrent"] += time.Second
				}
				if tags[s.Tags["k"]] >= 2 {
					want["step-tag:k="+s.Tags["k"]] += time.Second
				}
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("blamed %v\nwant   %v", got, want)
	}
}

func TestTheCriticalPathGoesBackThroughWhateverLetAStepStart(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		max   int
		pools map[string]int
		want  string
	}{
		"slots of a tag": {`
executor: {tag_concurrency_limits: [{key: t, limit: 1}]}
steps: {x1: {run: x, tags: {t: a}, priority: 9}, x2: {run: x, tags: {t: a}, priority: 9}, x3: {run: x, tags: {t: a}}, y: x, end: {run: x, needs: [x1, x2, x3, y]}}`,
			4, nil, `critical path: x1 1.0s –step-tag:t→ x2 1.0s –step-tag:t→ x3 1.0s → end 1.0s (4.0s of 4.0s)
by needs alone: x1 1.0s → end 1.0s (2.0s, however many slots)
waited for limits: step-tag:t 3.0s (2 steps)
raising it would give (simulated): step-tag:t 1 → 2: 4.0s → 3.0s
`},
		"slots of the executor, which only half the steps can use": {
			"steps: {a: x, b: x, c: {run: x, needs: b}}", 1, nil, `critical path: b 1.0s –max_concurrent→ a 1.0s –max_concurrent→ c 1.0s (3.0s of 3.0s)
by needs alone: b 1.0s → c 1.0s (2.0s, however many slots)
waited for limits: max_concurrent 2.0s (2 steps)
raising it would give (simulated): max_concurrent 1 → 2: 3.0s → 2.0s
`},
		"a pool": {
			"steps: {a: {run: x, pool: db}, b: {run: x, pool: db}}", 4, map[string]int{"db": 1}, `critical path: a 1.0s –pool:db→ b 1.0s (2.0s of 2.0s)
by needs alone: a 1.0s (1.0s, however many slots)
waited for limits: pool:db 1.0s (1 step)
raising it would give (simulated): pool:db 1 → 2: 2.0s → 1.0s
`},
		"needs": {"steps: {a: x, b: {run: x, needs: a}}", 4, nil, "critical path: a 1.0s → b 1.0s (2.0s of 2.0s)\n"},
		"a limit that gains nothing": {
			"executor: {tag_concurrency_limits: [{key: t, limit: 1}]}\nsteps: {a: {run: x, tags: {t: a}}, b: {run: x, tags: {t: a}}, p: x, q: {run: x, needs: p}, r: {run: x, needs: q}}",
			9, nil, `critical path: p 1.0s → q 1.0s → r 1.0s (3.0s of 3.0s)
waited for limits: step-tag:t 1.0s (1 step)
raising it would give (simulated): step-tag:t 1 → 2: no gain
`},
	} {
		t.Run(name, func(t *testing.T) {
			r := runIn(t, c.text, c.max, c.pools)
			var b strings.Builder
			blame := AttributeWaits(r)
			writeCriticalPath(&b, r, blame)
			writeWaited(&b, r, blame)
			if b.String() != c.want {
				t.Errorf("%s\nnot\n%s", b.String(), c.want)
			}
		})
	}
}

func TestARunThatIsToBeSilentTellsWhatFailedAlone(t *testing.T) {
	r := runOf(t, graphText, 3)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for i := range 30 {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	if err := os.WriteFile(filepath.Join(dir, "log", "fail.log"), []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Steps[4].Last().Log = "log/fail.log"
	var b strings.Builder
	writeWhatFailed(&b, r, dir, false)
	want := "failed: fail: exit 3\n"
	for i := 20; i < 30; i++ {
		want += fmt.Sprintf("    line %d\n", i)
	}
	if b.String() != want {
		t.Errorf("%q\nnot %q", b.String(), want)
	}
	b.Reset()
	writeWhatFailed(&b, runOf(t, "steps: {a: x}", 1), dir, false)
	if b.Len() > 0 {
		t.Errorf("%q of a run in which nothing failed", b.String())
	}
}

func TestJUnitIsValid(t *testing.T) {
	r := runOf(t, graphText, 3)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "log", "fail.log"), []byte("]]> \x00\x1b[31m \xff <end>"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Steps[4].Last().Log = "log/fail.log"
	var b bytes.Buffer
	if err := JUnit(&b, r, dir); err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	suite := got.Suites[0]
	if suite.Tests != 7 || suite.Failures != 1 || suite.Skipped != 1 || len(suite.Cases) != 7 || suite.Cases[4].Failure == nil || suite.Cases[4].Failure.Message != "exit 3" {
		t.Errorf("%+v", suite)
	}
	if out := suite.Cases[4].SystemOut; !strings.Contains(out, "]]>") || !strings.Contains(out, "<end>") {
		t.Errorf("output %q", out)
	}
}

func TestJUnitMarksWhatWasTriedAgainAndWhatIsTolerated(t *testing.T) {
	r := runOf(t, "steps: {fail1: {run: x, retry: 1}, fail2: {run: x, continue_on_error: true}, flaky: {run: x, retry: 2}}", 3)
	*r.Steps[2].Attempt(1) = journal.Attempt{Number: 1, Ended: true, Code: 7, Log: "log/flaky.log"}
	*r.Steps[2].Attempt(2) = journal.Attempt{Number: 2, Ended: true}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "log", "flaky.log"), []byte("not this time"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := JUnit(&b, r, dir); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`tests="3" failures="1" errors="0" skipped="1"`,
		`<failure message="exit 3" type="failed"></failure>` + "\n      " + `<rerunFailure message="exit 3" type="failed"></rerunFailure>`,
		`<skipped message="failed, and is tolerated: exit 3" type="tolerated"></skipped>`,
		`<flakyFailure message="exit 7" type="failed">` + "\n        <system-out>not this time</system-out>",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s\nlacks %s", b.String(), want)
		}
	}
}

func TestTheTraceIsOfChromesFormat(t *testing.T) {
	r := runOf(t, graphText, 3)
	var b bytes.Buffer
	if err := Trace(&b, r); err != nil {
		t.Fatal(err)
	}
	var got struct {
		TraceEvents []struct {
			Name, Ph string
			Ts, Dur  float64
			Pid, Tid int
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	until := map[int]float64{}
	steps := 0
	for _, e := range got.TraceEvents {
		if e.Ph != "X" || e.Pid != traceRan {
			continue
		}
		steps++
		if e.Ts < until[e.Tid] {
			t.Errorf("%s overlaps on its thread", e.Name)
		}
		until[e.Tid] = e.Ts + e.Dur
	}
	if steps != 6 {
		t.Errorf("%d steps", steps)
	}
}

func TestAPageHasTheLastLinesOfWhatFailed(t *testing.T) {
	r := runOf(t, "params: {day: monday}\nsteps: {fail: {run: 'x <y>', tags: {k: v}}, after: {run: x, needs: fail}}", 3)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for i := range 60 {
		fmt.Fprintf(&log, "line <%d>\n", i)
	}
	if err := os.WriteFile(filepath.Join(dir, "log", "fail.log"), []byte(log.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Steps[0].Last().Log = "log/fail.log"
	r.Params = map[string]string{"day": "tuesday"}
	var b bytes.Buffer
	if err := Page(&b, r, dir); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"line &lt;59&gt;</span></pre>", "<pre tabindex=\"0\"><span>line &lt;10&gt;", "✗ fail", "exit 3", "not run: 1", "day = tuesday", `x \u003cy\u003e`, "k=v"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestAPageNeedsNothingAndCannotBeBroken(t *testing.T) {
	r := runOf(t, graphText, 3)
	r.Name = hostile
	r.Reason = hostile
	r.Steps[0].Outcome.Reason = hostile
	var b bytes.Buffer
	if err := Page(&b, r, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if strings.Contains(text, hostile) {
		t.Error("text became markup")
	}
	if m := regexp.MustCompile(`(?:src|href)\s*=\s*"(?:https?:)?//`).FindString(text); m != "" {
		t.Error("it loads something:", m)
	}
}

// pageOfSteps is a page of so many steps.
func pageOfSteps(t *testing.T, n int) string {
	var b strings.Builder
	b.WriteString("name: many\nsteps:\n")
	for i := range n {
		name := fmt.Sprintf("s%d", i)
		if i == 7 {
			name = "fail7"
		}
		fmt.Fprintf(&b, "  %s: {run: x", name)
		if i >= 50 {
			fmt.Fprintf(&b, ", needs: s%d", i-40)
		}
		b.WriteString("}\n")
	}
	var page bytes.Buffer
	if err := Page(&page, runOf(t, b.String(), 20), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// In a real browser: the page draws its rows, is worked by keys, and tells no errors, in light and dark.
func TestThePageWorksInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser twice")
	}
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("NO BROWSER: chromium is not installed; the page is not tried")
	}
	const probe = `<script>
var faults = [];
addEventListener("error", function (e) { faults.push(e.message); });
setTimeout(function () {
  function key(target, k) { target.dispatchEvent(new KeyboardEvent("keydown", {key: k, bubbles: true, cancelable: true})); }
  var view = document.getElementById("timeline"), find = document.getElementById("find"), out = {};
  out.rows = document.querySelectorAll(".row").length;
  key(document.body, "/"); out.finds = document.activeElement === find;
  key(view, "End"); out.last = document.getElementById("detail").textContent;
  out.scrolled = view.scrollTop > 0;
  key(view, "Home"); key(view, "ArrowDown"); out.chosen = document.querySelectorAll(".row.chosen").length;
  find.value = "fail7"; find.dispatchEvent(new Event("input"));
  out.found = document.getElementById("count").textContent;
  out.failed = document.querySelectorAll(".bars i.failed").length;
  out.background = getComputedStyle(document.body).backgroundColor;
  out.boxes = document.querySelectorAll(".graph rect").length;
  out.faults = faults;
  document.title = "probe " + JSON.stringify(out);
}, 0);
</script>`
	dir := t.TempDir()
	path := filepath.Join(dir, "page.html")
	page := strings.Replace(pageOfSteps(t, 2000), "</html>", probe+"</html>", 1)
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	backgrounds := map[string]bool{}
	for _, scheme := range []string{"0", "1"} {
		cmd := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--user-data-dir="+filepath.Join(dir, "profile"), "--blink-settings=preferredColorScheme="+scheme,
			"--virtual-time-budget=5000", "--dump-dom", "file://"+path)
		text, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`<title>probe (.*?)</title>`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("the page did not come to its end: %.2000s", text)
		}
		var got struct {
			Rows, Chosen, Failed, Boxes int
			Finds, Scrolled             bool
			Last, Found, Background     string
			Faults                      []string
		}
		if err := json.Unmarshal(m[1], &got); err != nil {
			t.Fatalf("%v: %s", err, m[1])
		}
		if got.Rows < 5 || got.Rows > 200 || got.Chosen != 1 || got.Failed != 1 || got.Boxes != 2000 || !got.Finds || !got.Scrolled ||
			!strings.Contains(got.Last, "attempt 1") || got.Found != "1" || len(got.Faults) > 0 {
			t.Errorf("%s", m[1])
		}
		backgrounds[got.Background] = true
	}
	if len(backgrounds) != 2 {
		t.Errorf("dark and light look alike: %v", backgrounds)
	}
}

func TestGraphsHaveEveryStepAndNeed(t *testing.T) {
	f := fileOf(runOf(t, graphText, 3))
	for name, c := range map[string]struct {
		write func(io.Writer, *stepfile.File) error
		edge  string
	}{
		"text":    {GraphText, "fail ← b, c"},
		"mermaid": {GraphMermaid, "s4 -.-> s6"},
		"dot":     {GraphDot, "s4 -> s6 [style=dashed]"},
		"svg":     {GraphSVG, "stroke-dasharray"},
	} {
		var b bytes.Buffer
		if err := c.write(&b, f); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), c.edge) {
			t.Errorf("%s lacks %q:\n%s", name, c.edge, b.String())
		}
		for _, s := range f.Steps {
			if !strings.Contains(b.String(), s.ID) {
				t.Errorf("%s lacks %s", name, s.ID)
			}
		}
		if name == "svg" && xml.Unmarshal(b.Bytes(), new(struct{})) != nil {
			t.Errorf("the SVG is not XML")
		}
	}
}

// screenOf is a console on a terminal of a test.
func consoleOf(r *journal.Run, progress Progress, out io.Writer, width, height int, clock *time.Time) *Console {
	return &Console{Out: wrap.NewOutlet(out), Output: Group, Progress: progress, Run: r, Size: func() (int, int) { return width, height },
		Clock: func() time.Time { return *clock }}
}

func TestTheLiveRegionFitsTheTerminal(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {200, 50}, {20, 5}, {1, 1}} {
		var b strings.Builder
		b.WriteString("steps:\n")
		for i := range 50 {
			fmt.Fprintf(&b, "  %s%d: x\n", strings.Repeat("数据", 1+i%30), i)
		}
		r := runOf(t, b.String(), 30)
		var out bytes.Buffer
		now := r.Started
		c := consoleOf(r, Terminal, &out, size[0], size[1], &now)
		c.Begin(func(time.Duration) []plan.Waiting {
			var w []plan.Waiting
			for i := 30; i < 50; i++ {
				w = append(w, plan.Waiting{Step: i, Blocks: []backend.Block{{Limit: "max_concurrent", Used: 30, Capacity: 30, By: []string{"x", "y", "z", "u"}}}})
			}
			return w
		})
		for i := range 30 {
			r.Steps[i].Outcome, r.Steps[i].Attempts[0].Ended = plan.Outcome{}, false
			c.Started(r.Steps[i], r.Steps[i].Last())
		}
		c.Tick()
		c.Out.Flush()
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) > max(4, size[1]) {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, line := range lines {
			line = strings.TrimSuffix(line, "\x1b[K")
			if w := wrap.Cells(line); w >= max(size[0], 10) {
				t.Errorf("%v: %d cells: %q", size, w, line)
			}
		}
	}
}

func TestOutputCannotMoveTheCursor(t *testing.T) {
	now := time.Unix(0, 0)
	c := consoleOf(nil, Terminal, io.Discard, 80, 24, &now)
	for in, want := range map[string]string{
		"plain\n":              "plain\n",
		"\x1b[31mred\x1b[0m":   "\x1b[31mred\x1b[0m",
		"\x1b[2Jcleared\x1b[H": "cleared",
		"\x1b[?25lhidden":      "hidden",
		"10%\r20%\rdone\r\n":   "10%\n20%\ndone\n",
		"bell\a null\x00 \xff": `bell\x07 null\x00 \xff`,
		"wide 数据 \u202etrick":  "wide 数据 \\u202etrick",
	} {
		if got := c.safe([]byte(in)); got != want {
			t.Errorf("%q became %q, not %q", in, got, want)
		}
	}
}

func TestALogBreaksAMinuteOfSilence(t *testing.T) {
	r := runOf(t, "steps: {slow: x, next: {run: x, needs: slow}}", 1)
	r.Steps[0].Outcome, r.Steps[0].Attempts[0].Ended = plan.Outcome{}, false
	r.Steps[1].Outcome, r.Steps[1].Attempts = plan.Outcome{}, nil
	var out bytes.Buffer
	now := r.Started
	c := consoleOf(r, Plain, &out, 80, 24, &now)
	c.Begin(nil)
	c.Started(r.Steps[0], r.Steps[0].Last())
	c.Flush()
	c.Out.Flush()
	out.Reset()
	now = now.Add(59 * time.Second)
	c.Tick()
	if out.Len() > 0 {
		t.Errorf("too early: %q", out.String())
	}
	now = now.Add(2 * time.Second)
	c.Tick()
	c.Out.Flush()
	if got := out.String(); got != "[0/2] still running after 1m01s: slow (1m01s)\n" {
		t.Errorf("%q", got)
	}
}
