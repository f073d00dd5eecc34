// Package dag drives limit dag as a user does: real workflows on a real store, and kills at random moments.
package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"limit/integration/binary"
	"limit/integration/etcdtest"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/stepfile"
)

func TestMain(m *testing.M) { os.Exit(binary.Run(m)) }

// place is a store and a directory of runs.
type place struct {
	t    *testing.T
	dir  string
	runs string
	env  []string
}

// The two stores.
const (
	embedded = "embedded"
	fleet    = "etcd"
)

func newPlace(t *testing.T, store string) *place {
	t.Helper()
	p := &place{t: t}
	p.dir, p.env = binary.Home(t)
	p.runs = filepath.Join(p.dir, "runs")
	if store == fleet {
		p.env = append(p.env, "LIMIT_BACKEND="+strings.Join(etcdtest.Start(t, etcdtest.Options{}).Endpoints(), ","))
	}
	return p
}

func (p *place) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary.Path(p.t), args...)
	cmd.Env, cmd.Dir = p.env, p.dir
	return cmd
}

// limit calls limit and fails unless it exits with the code.
func (p *place) limit(code int, args ...string) string {
	p.t.Helper()
	var out bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("limit %s: exit %d, not %d\n%s", strings.Join(args, " "), got, code, out.String())
	}
	return out.String()
}

// write puts a file into the place.
func (p *place) write(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// workflow is the text of one of the workflows.
func workflow(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "wrap", "dag", "testdata", "workflows", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// empty fails unless all counters of the store are zero.
func (p *place) empty() {
	p.t.Helper()
	var status struct {
		Pools []struct {
			Name          string
			Used, Waiting int
		}
		Runs          struct{ Used, Waiting int }
		Held, Waiting []any
	}
	if err := json.Unmarshal([]byte(p.limit(0, "status", "--json")), &status); err != nil {
		p.t.Fatal(err)
	}
	if len(status.Held) > 0 || len(status.Waiting) > 0 || status.Runs.Used > 0 || status.Runs.Waiting > 0 {
		p.t.Errorf("left in the store: %+v", status)
	}
	for _, pool := range status.Pools {
		if pool.Used > 0 || pool.Waiting > 0 {
			p.t.Errorf("left in the store: %+v", pool)
		}
	}
}

// A slot that is free is given to a step that is ready before anything else is looked at. How long that takes is
// measured by scripts/bench.sh.
func TestNoSlotIsIdleWhileAStepIsReady(t *testing.T) {
	for _, c := range []struct{ name, store string }{
		{"blast", embedded}, {"rnaseq", embedded}, {"1000genome", embedded}, {"blast", fleet}, {"rnaseq", fleet},
	} {
		t.Run(c.name+" on "+c.store, func(t *testing.T) {
			p := newPlace(t, c.store)
			path, events := p.write(c.name+".yaml", workflow(t, c.name)), filepath.Join(p.dir, "events")
			p.limit(0, "dag", "run", path, "--log-dir", p.runs, "--output", "quiet", "--progress", "none", "--events", events)
			f := steps(t, path)
			running, done := map[string]bool{}, map[string]bool{}
			ready := func(s *stepfile.Step) bool {
				return !running[s.ID] && !done[s.ID] && !slices.ContainsFunc(s.Needs, func(n int) bool { return !done[f.Steps[n].ID] })
			}
			for _, e := range eventsOfSteps(t, events) {
				switch e.Event {
				case wrap.EventStarted:
					running[e.Step] = true
				case wrap.EventExited:
					if i := slices.IndexFunc(f.Steps, ready); i >= 0 && len(running) < f.Executor.MaxConcurrent {
						t.Errorf("%d of %d slots are used, %s is ready, and the end of %s is looked at", len(running), f.Executor.MaxConcurrent, f.Steps[i].ID, e.Step)
					}
					delete(running, e.Step)
					done[e.Step] = true
				}
			}
			if len(done) != len(f.Steps) {
				t.Errorf("%d of %d steps have ended", len(done), len(f.Steps))
			}
			p.empty()
		})
	}
}

func steps(t *testing.T, path string) *stepfile.File {
	t.Helper()
	f, _, err := stepfile.Read(path, stepfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// eventsOfSteps reads a file of events.
func eventsOfSteps(t *testing.T, path string) []wrap.Event {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []wrap.Event
	for line := range strings.Lines(string(raw)) {
		var e wrap.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Step != "" {
			all = append(all, e)
		}
	}
	return all
}

// No step starts before its needs, no limit is exceeded at any instant: swept from the events.
func TestAWorkflowWithPoolsKeepsItsLimits(t *testing.T) {
	for _, store := range []string{embedded, fleet} {
		t.Run(store, func(t *testing.T) { keepsItsLimits(t, newPlace(t, store)) })
	}
}

func keepsItsLimits(t *testing.T, p *place) {
	p.limit(0, "pool", "set", "disk", "3")
	text := strings.ReplaceAll(workflow(t, "blast"), `tags: {program: "blastall"}`, `tags: {program: "blastall"}`+"\n    pool: disk")
	text = strings.Replace(text, "executor: {max_concurrent: 16}",
		`executor: {max_concurrent: 6, tag_concurrency_limits: [{key: program, value: blastall, limit: 4}]}`, 1)
	path := p.write("blast.yaml", text)
	events := filepath.Join(p.dir, "events")
	p.limit(0, "dag", "run", path, "--log-dir", p.runs, "--output", "quiet", "--progress", "none", "--events", events)
	f := steps(t, path)
	running, disk, most, done := 0, 0, 0, map[string]bool{}
	for _, e := range eventsOfSteps(t, events) {
		s := f.Steps[slices.IndexFunc(f.Steps, func(s *stepfile.Step) bool { return s.ID == e.Step })]
		switch e.Event {
		case wrap.EventStarted:
			running, disk = running+1, disk+s.Pools["disk"]
			for _, n := range s.Needs {
				if !done[f.Steps[n].ID] {
					t.Errorf("%s started before %s was done", s.ID, f.Steps[n].ID)
				}
			}
		case wrap.EventExited:
			running, disk = running-1, disk-s.Pools["disk"]
			done[s.ID] = true
		}
		most = max(most, disk)
		if running > 6 || disk > 3 {
			t.Errorf("%d running, %d of disk in use when %s started", running, disk, s.ID)
		}
	}
	if most != 3 || len(done) != len(f.Steps) {
		t.Errorf("at most %d of disk were in use; %d steps ended", most, len(done))
	}
	p.empty()
}

// Killed at random moments and retried, every step has succeeded exactly once, or the retry has said that it runs
// again.
func TestKilledRunsAreResumed(t *testing.T) {
	for store, rounds := range map[string]int{embedded: 3, fleet: 1} {
		t.Run(store, func(t *testing.T) { resumesKilledRuns(t, store, rounds) })
	}
}

func resumesKilledRuns(t *testing.T, store string, rounds int) {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := range rounds {
		p := newPlace(t, store)
		p.limit(0, "pool", "set", "db", "3")
		record := filepath.Join(p.dir, "record")
		var b strings.Builder
		b.WriteString("executor: {max_concurrent: 4}\nsteps:\n")
		const count = 60
		for i := range count {
			fmt.Fprintf(&b, "  s%d:\n    run: sleep 0.0%d; echo s%d >> %s\n", i, 1+i%5, i, record)
			if i > 0 {
				fmt.Fprintf(&b, "    needs: [s%d]\n", r.IntN(i))
			}
			if i%3 == 0 {
				b.WriteString("    pool: db\n")
			}
		}
		path := p.write("steps.yaml", b.String())
		again, seen := map[string]int{}, map[string]bool{}
		args := []string{"dag", "run", path, "--log-dir", p.runs, "--output", "quiet", "--progress", "none"}
		kills := 0
		for tries := 0; ; tries++ {
			if tries > 50 {
				t.Fatalf("round %d: the run does not come to its end", round)
			}
			cmd := p.command(args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if kills < 6 {
				timer := time.AfterFunc(time.Duration(20+r.IntN(250))*time.Millisecond, func() { cmd.Process.Kill() })
				cmd.Wait()
				timer.Stop()
				kills++
			} else {
				cmd.Wait()
			}
			e, err := journal.Find(p.runs, "")
			if err != nil {
				continue // killed before there was a journal
			}
			for _, s := range e.Steps {
				if s.Rerun && !seen[e.ID] {
					again[s.ID]++
				}
			}
			seen[e.ID] = true
			if e.Finished {
				break
			}
			args = []string{"dag", "retry", "--log-dir", p.runs, "--output", "quiet", "--progress", "none"}
		}
		e, err := journal.Find(p.runs, "")
		if err != nil || e.Code != 0 {
			t.Fatalf("round %d: code %d, %v", round, e.Code, err)
		}
		raw, err := os.ReadFile(record)
		if err != nil {
			t.Fatal(err)
		}
		ran := map[string]int{}
		for _, id := range strings.Fields(string(raw)) {
			ran[id]++
		}
		for i := range count {
			id := fmt.Sprintf("s%d", i)
			if ran[id] < 1 || ran[id] > 1+again[id] {
				t.Errorf("round %d: %s ran %d times, said to run again %d times", round, id, ran[id], again[id])
			}
		}
		t.Logf("round %d: %d kills, %d steps said to run again", round, kills, len(again))
		p.empty()
	}
}
