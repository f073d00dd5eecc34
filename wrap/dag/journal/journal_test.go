package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

const text = "steps: {a: x, b: {run: x, needs: a}, 'c/d': {run: x, needs: b}}"

// written is a run with a journal of everything that can be in one.
func written(t *testing.T, root string) *Writer {
	t.Helper()
	f, _, err := stepfile.Parse("/x/f.yaml", []byte(text), stepfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := NewRun(f)
	r.ID, r.File, r.Hash, r.Started, r.Max = strings.Repeat("a", 32), "/x/f.yaml", Hash(f.Source), time.Now(), 2
	w, err := Create(root, r, f.Source, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := Load(w.Dir); err != nil || e.State() != "queued" {
		t.Fatalf("%v: before the run is granted it is %s", err, e.State())
	}
	w.Granted(&Run{Granted: 1, Waits: []Wait{{Limit: "runs", Long: 1}}, Pools: true, PoolLimits: map[string]int{"db": 2}})
	w.Check("a", 1)
	w.Passed("a", 2)
	a := r.Steps[0].Attempt(1)
	a.Ready, a.Start, a.Waits = 1, 2, []Wait{{Limit: "pool:db", From: 1, Long: 1, By: "x"}}
	w.Start("a", a)
	a.End, a.Ended, a.Code, a.PID, a.Log = 5, true, 75, 77, "log/a.log"
	w.End("a", a, nil)
	again := r.Steps[0].Attempt(2)
	again.Ready, again.Start = 6, 7
	w.Start("a", again)
	again.End, again.Ended = 9, true
	w.End("a", again, []stepfile.Var{{Name: "k", Value: "v\"\n"}})
	r.Steps[0].Outcome = plan.Outcome{State: plan.Succeeded}
	w.Settled("a", r.Steps[0].Outcome, 9)
	b := r.Steps[1].Attempt(1)
	b.Ready, b.Start = 9, 10
	w.Start("b", b)
	b.End, b.Ended, b.Signal, b.Reason = 12, true, 9, "killed \"ü\""
	w.End("b", b, nil)
	r.Steps[1].Outcome = plan.Outcome{State: plan.Failed, Tolerated: true, Reason: "why"}
	w.Settled("b", r.Steps[1].Outcome, 12)
	r.Steps[2].Outcome = plan.Outcome{State: plan.NotRun, Reason: "stopped"}
	w.Settled("c/d", r.Steps[2].Outcome, 12)
	r.Ended, r.Code = 13, 1
	w.Finish(r)
	if err := w.Complete(time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAJournalIsReadAsItWasWritten(t *testing.T) {
	root := t.TempDir()
	w := written(t, root)
	e, err := Load(w.Dir)
	if err != nil || !e.Running {
		t.Fatalf("%v, running %t", err, e.Running)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	e, err = Find(root, "aaa")
	if err != nil || e.Running || !e.Finished || e.Code != 1 || e.Granted != 1 || len(e.Waits) != 1 || !e.Pools {
		t.Fatalf("%v %+v", err, e.Run)
	}
	a, b, c := e.Steps[0], e.Steps[1], e.Steps[2]
	if len(a.Attempts) != 2 || a.Attempts[0].Code != 75 || a.Attempts[0].Log != "log/a.log" || a.Attempts[0].Waits[0].Limit != "pool:db" ||
		a.Outputs[0].Value != "v\"\n" || a.Outcome.State != plan.Succeeded || a.Checked != 1 || a.Passed != 2 {
		t.Errorf("a: %+v %+v", a.Attempts, a.Outcome)
	}
	if b.Last().Signal != 9 || b.Last().Reason != "killed \"ü\"" || !b.Outcome.Tolerated || c.Outcome.Reason != "stopped" {
		t.Errorf("b: %+v %+v, c: %+v", b.Last(), b.Outcome, c.Outcome)
	}
	runs, err := List(root)
	if err != nil || len(runs) != 1 || runs[0].Counts != e.Count() || runs[0].State() != "failed (1)" {
		t.Errorf("%+v %v", runs, err)
	}
}

// Cut off at any byte, a journal is read up to there: no step is said to have ended that had not, and none
// that had been started is forgotten before its end is known.
func TestAJournalSurvivesAKillAtAnyByte(t *testing.T) {
	root := t.TempDir()
	w := written(t, root)
	w.Close()
	path := filepath.Join(w.Dir, journalName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	firstLine := bytes.IndexByte(whole, '\n') + 1
	for at := range whole {
		if err := os.WriteFile(path, whole[:at], 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := Load(w.Dir)
		if at < firstLine {
			if err == nil {
				t.Errorf("cut at %d: a journal without a head was read", at)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut at %d: %v", at, err)
		}
		kept := string(whole[:bytes.LastIndexByte(whole[:at], '\n')+1])
		for _, s := range e.Steps {
			started := strings.Count(kept, fmt.Sprintf(`{"e":"start","s":%q`, s.ID))
			ended := strings.Count(kept, fmt.Sprintf(`{"e":"end","s":%q`, s.ID))
			settled := strings.Contains(kept, fmt.Sprintf(`{"e":"settled","s":%q`, s.ID))
			open := 0
			for _, a := range s.Attempts {
				if !a.Ended {
					open++
				}
			}
			if len(s.Attempts) != started || open != started-ended || (s.Outcome.State != plan.Pending) != settled {
				t.Errorf("cut at %d: %s: %+v %+v", at, s.ID, s.Attempts, s.Outcome)
			}
		}
		if e.Finished {
			t.Errorf("cut at %d: finished", at)
		}
	}
}

func TestAJournalBeginsWithWhatEarlierRunsHaveSettled(t *testing.T) {
	root := t.TempDir()
	f, _, err := stepfile.Parse("/x/f.yaml", []byte(text), stepfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := NewRun(f)
	r.ID, r.Started = strings.Repeat("b", 32), time.Now()
	r.Steps[0].Outputs, r.Steps[1].Rerun = []stepfile.Var{{Name: "k", Value: "v"}}, true
	w, err := Create(root, r, f.Source, map[int]plan.Outcome{0: {State: plan.Succeeded, Earlier: true}}, func(s string) string { return s })
	if err != nil {
		t.Fatal(err)
	}
	w.file.Close() // as a kill does
	// One that was killed before its journal was there is not the latest run.
	if err := os.MkdirAll(filepath.Join(root, "99990101T000000.000-"+strings.Repeat("c", 32)), 0o700); err != nil {
		t.Fatal(err)
	}
	e, err := Find(root, "")
	if err != nil || e.Running || e.Finished {
		t.Fatalf("%v %+v", err, e)
	}
	if s := e.Steps[0]; !s.Outcome.Earlier || s.Outcome.State != plan.Succeeded || s.Outputs[0].Value != "v" || !e.Steps[1].Rerun || len(e.Steps[1].Attempts) != 0 {
		t.Errorf("%+v %+v", s, e.Steps[1])
	}
}

func TestLogNamesAreFileNamesAndDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, id := range []string{"a", "a.b", "a/b", "a%2Fb", "..", ".", "ä", "x[1,2]", "A", strings.Repeat("l", 300), strings.Repeat("l", 301), "a:b"} {
		for attempt := range 2 {
			name := LogName(id, attempt+1)
			base := strings.TrimPrefix(name, logDir+"/")
			if strings.ContainsAny(base, "/\x00") || len(base) > 255 || strings.HasPrefix(base, ".") {
				t.Errorf("%q is %q", id, name)
			}
			if other, twice := seen[name]; twice {
				t.Errorf("%q and %q are both %q", id, other, name)
			}
			seen[name] = id
		}
	}
}

func TestTheOldestRunsOfEachDagArePruned(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	add := func(t *testing.T, root, id, file string, age time.Duration, code int) *Writer {
		f, _, err := stepfile.Parse(file, []byte(text), stepfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := NewRun(f)
		r.ID, r.File, r.Started = strings.Repeat(id, 32), file, now.Add(-age)
		w, err := Create(root, r, f.Source, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if code >= 0 {
			r.Code = code
			w.Finish(r)
			w.Close()
		}
		return w
	}
	for name, c := range map[string]struct {
		keep Keep
		want string
	}{
		"number":                    {Keep{Runs: 2}, "9dca10"},
		"age":                       {Keep{Age: 2500 * time.Millisecond}, "9dca10"},
		"bytes":                     {Keep{Bytes: 1}, "9dc10"},
		"none":                      {Keep{}, "9dcab120"},
		"of the other file no more": {Keep{Runs: 1}, "9dc10"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			running := add(t, root, "0", "/x/f.yaml", 9*time.Second, -1)
			running.Flush()
			defer running.Close()
			for i, code := range []int{7, 7, 0, 0, 0} {
				add(t, root, fmt.Sprintf("%x", []int{1, 2, 10, 11, 12}[i]), "/x/f.yaml", []time.Duration{7, 8, 2, 3, 1}[i]*time.Second, code)
			}
			add(t, root, "d", "/x/g.yaml", 500*time.Millisecond, 0)
			add(t, root, "9", "/x/h.yaml", 100*time.Millisecond, 1)
			unborn := [2]string{filepath.Join(root, "19700101T000000.000-"+strings.Repeat("e", 32)), filepath.Join(root, "19700101T000001.000-"+strings.Repeat("e", 32))}
			for i, dir := range unborn {
				if err := errors.Join(os.MkdirAll(filepath.Join(dir, logDir), 0o700), os.Chtimes(dir, now, now.Add(-time.Duration(i)*birth))); err != nil {
					t.Fatal(err)
				}
			}
			if err := Prune(root, "/x/f.yaml", c.keep, now); err != nil {
				t.Fatal(err)
			}
			if left, _ := filepath.Glob(filepath.Join(root, "19700101*-e*")); len(left) != 1 || left[0] != unborn[0] {
				t.Errorf("of runs without a journal are left: %v", left)
			}
			runs, err := List(root)
			got := ""
			for _, r := range runs {
				got += r.ID[:1]
			}
			if err != nil || got != c.want {
				t.Errorf("%s are kept, not %s (%v)", got, c.want, err)
			}
		})
	}
}

func TestTheLatestRunOfAFileIsFound(t *testing.T) {
	root := t.TempDir()
	for i, file := range []string{"/x/f.yaml", "/y/f.yaml", "/x/f.yaml", "/y/g.yaml"} {
		f, _, err := stepfile.Parse(file, []byte(text), stepfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := NewRun(f)
		r.ID, r.File, r.Started = fmt.Sprintf("%032d", i), file, time.Unix(int64(1000+i), 0)
		w, err := Create(root, r, f.Source, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	e, err := Latest(root, func(file string) bool { return file == "/x/f.yaml" })
	if err != nil || e == nil || !strings.HasSuffix(e.ID, "2") {
		t.Errorf("%+v %v", e, err)
	}
	if e, err := Latest(root, func(file string) bool { return file == "/z" }); e != nil || err != nil {
		t.Errorf("%+v %v", e, err)
	}
}

func TestWeightsFollowTheDurationsOfSuccessfulSteps(t *testing.T) {
	root := t.TempDir()
	f, _, err := stepfile.Parse("/x/f.yaml", []byte(text), stepfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if w, known := Weights(root, "/x/f.yaml", f); w != nil || known != 0 {
		t.Error(w, known)
	}
	keep := func(a time.Duration) {
		r := NewRun(f)
		r.File = "/x/f.yaml"
		*r.Steps[0].Attempt(1) = Attempt{Number: 1, End: a, Ended: true}
		r.Steps[0].Outcome.State = plan.Succeeded
		*r.Steps[1].Attempt(1) = Attempt{Number: 1, End: time.Hour, Ended: true}
		r.Steps[1].Outcome.State = plan.Failed
		if err := KeepWeights(root, r); err != nil {
			t.Fatal(err)
		}
	}
	keep(4 * time.Second)
	keep(2 * time.Second)
	if w, known := Weights(root, "/x/f.yaml", f); known != 1 || w[0] != 3*time.Second || w[1] != 3*time.Second {
		t.Error(w, known)
	}
}

func TestTailIsTheLastLines(t *testing.T) {
	for _, c := range []struct {
		text        string
		lines, most int
		want        string
	}{
		{"a\nb\nc\n", 2, 100, "b\nc\n"}, {"a\nb\nc", 2, 100, "b\nc"}, {"a\n", 5, 100, "a\n"}, {"", 5, 100, ""},
		{"aaaa\nbbbb\ncccc\n", 5, 12, "bbbb\ncccc\n"}, {"a\n\n\n", 1, 100, "a\n\n\n"},
	} {
		var b bytes.Buffer
		if err := Tail(strings.NewReader(c.text), &b, c.lines, c.most); err != nil || b.String() != c.want {
			t.Errorf("%q: %q, not %q (%v)", c.text, b.String(), c.want, err)
		}
	}
}
