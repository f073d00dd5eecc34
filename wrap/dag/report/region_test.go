package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"limit/backend"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// liveRun is a run whose steps are all open.
func liveRun(t *testing.T, text string, slots int, pools map[string]int) *journal.Run {
	r := runIn(t, text, slots, pools)
	r.Max, r.PoolLimits = slots, pools
	for _, s := range r.Steps {
		s.Outcome, s.Attempts = plan.Outcome{}, nil
	}
	return r
}

// run lets a step run since a time after the start of its run.
func startStep(c *Console, s *journal.Step, since time.Duration) {
	a := s.Attempt(1)
	a.Start = since
	c.Started(s, a)
}

// shown are the lines of a region.
func shown(c *Console, out *bytes.Buffer) []string {
	out.Reset()
	c.Tick()
	c.Out.Flush()
	text := out.String()
	if i := strings.LastIndex(text, "\x1b[J"); i >= 0 {
		text = text[i+3:]
	}
	return strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\x1b[K", ""), "\n"), "\n")
}

func manySteps(n int) string {
	var b strings.Builder
	b.WriteString("steps:\n")
	for i := range n {
		fmt.Fprintf(&b, "  s%d: {run: x, pool: db}\n", i)
	}
	return b.String()
}

func TestTheLiveRegionGroupsWhatWaitsAndUsesTheHeight(t *testing.T) {
	for _, size := range []struct{ width, height, running, want int }{{80, 24, 60, 18}, {120, 50, 60, 38}, {40, 12, 60, 9}, {120, 50, 3, 9}} {
		r := liveRun(t, manySteps(2000), 100, map[string]int{"db": 2})
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range size.running {
			log := fmt.Sprintf("first\n\x1b[1mat\x1b[0m 10%%\rat %d%%\r\n\n", i)
			if err := os.WriteFile(filepath.Join(dir, "log", fmt.Sprintf("s%d.log", i)), []byte(log), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		now := r.Started.Add(10 * time.Second)
		c := consoleOf(r, Terminal, &out, size.width, size.height, &now)
		c.Dir = dir
		c.Begin(func(time.Duration) []plan.Waiting {
			w := []plan.Waiting{{Step: 1999, Delayed: true}}
			for i := 60; i < 1000; i++ {
				w = append(w, plan.Waiting{Step: i, InStore: true, Behind: 60, Blocks: []backend.Block{{Limit: "pool:db", Used: 2, Capacity: 2, Why: backend.WhyFull, By: []string{"s0", "s1"}}}})
			}
			return w
		})
		for i := range size.running {
			startStep(c, r.Steps[i], time.Duration(i)*time.Millisecond)
		}
		got := shown(c, &out)
		text := strings.Join(got, "\n")
		if len(got) != size.want {
			t.Errorf("%+v: %d lines\n%s", size, len(got), text)
		}
		wants := []string{"[   0/2000] ", fmt.Sprintf("%d running", size.running), "941 waiting", "run abababab", "^C stops, twice kills", "940 wait for pool db (2 of 2)", "s1999 waits for the next attempt"}
		if size.running == 3 {
			wants = append(wants, "s0 ", "\n      at 0%\n", "\n      at 2%\n")
		}
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%+v: %q is not shown:\n%s", size, want, text)
			}
		}
		c.Halting("cancelled by SIGINT", 3)
		c.Out.Flush()
		if text := strings.Join(shown(c, &out), "\n"); !strings.Contains(text, "stopping, ^C kills") {
			t.Errorf("%+v: after a signal:\n%s", size, text)
		}
	}
}

func TestTheLiveRegionFollowsTheSizeOfTheTerminal(t *testing.T) {
	r := liveRun(t, manySteps(100), 100, nil)
	var out bytes.Buffer
	now := r.Started
	c := consoleOf(r, Terminal, &out, 0, 0, &now)
	size := [2]int{100, 40}
	c.Size = func() (int, int) { return size[0], size[1] }
	c.Begin(nil)
	for _, s := range r.Steps {
		startStep(c, s, 0)
	}
	if got := shown(c, &out); len(got) != 30 {
		t.Errorf("%d lines of 40", len(got))
	}
	size = [2]int{30, 20}
	got := shown(c, &out)
	// 29 of the lines fit the narrow terminal, and one is as wide as three of it.
	if len(got) != 15 || !strings.HasPrefix(out.String(), "\x1b[32A\r\x1b[J") {
		t.Errorf("%d lines of 20, after %q", len(got), out.String()[:12])
	}
}

func TestTheTimeThatIsLeftCountsPoolsAndTags(t *testing.T) {
	second := func(n int) []time.Duration {
		d := make([]time.Duration, n)
		for i := range d {
			d[i] = time.Second
		}
		return d
	}
	for name, c := range map[string]struct {
		text  string
		pools map[string]int
		want  time.Duration
	}{
		"a pool":           {"steps: {a: {run: x, pool: db}, b: {run: x, pool: db}, c: {run: x, pool: db}}", map[string]int{"db": 1}, 2600 * time.Millisecond},
		"a tag":            {"executor: {tag_concurrency_limits: [{key: k, limit: 1}]}\nsteps: {a: {run: x, tags: {k: v}}, b: {run: x, tags: {k: v}, priority: 5}, c: y}", nil, 1600 * time.Millisecond},
		"needs":            {"steps: {a: x, b: {run: x, needs: a}, c: {run: x, needs: b}}", nil, 2600 * time.Millisecond},
		"nothing":          {"steps: {a: x, b: x}", nil, time.Second},
		"a paused pool":    {"steps: {a: x, b: {run: x, pool: db}}", map[string]int{"db": 0}, 0},
		"longer than ever": {"steps: {a: x, b: {run: x, needs: a}}", nil, 1600 * time.Millisecond},
	} {
		r := liveRun(t, "name: n\n"+c.text, 8, nil)
		r.PoolLimits = c.pools
		r.TagLimits = nil
		if strings.Contains(c.text, "key: k") {
			r.TagLimits = []backend.TagLimit{{Key: "k", Limit: 1}}
		}
		r.Steps[0].Attempt(1).Start = 5 * time.Second
		if got := Remaining(r, second(len(r.Steps)), 5400*time.Millisecond); got != c.want {
			t.Errorf("%s: %v are left, not %v", name, got, c.want)
		}
		if got := Remaining(r, nil, 0); got != 0 {
			t.Errorf("%s: %v are left where nothing is known", name, got)
		}
	}
}

func TestGroupsThatFindNoRoomAreCounted(t *testing.T) {
	groups := []waitGroup{{9, "nine"}, {5, "five"}, {1, "one"}}
	for most, want := range map[int]string{3: "[nine five one]", 2: "[nine … and 6 more waiting]", 1: "[… and 15 more waiting]"} {
		if got := fmt.Sprint(foremost(groups, most)); got != want {
			t.Errorf("in %d lines: %s, not %s", most, got, want)
		}
	}
}
