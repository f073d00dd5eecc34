package dag

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"limit/integration/until"
)

const heldBack = `
name: etl
executor: {max_concurrent: 2, tag_concurrency_limits: [{key: db, value: {applyLimitPerUniqueValue: true}, limit: 1}]}
steps:
  migrate: {run: "read line <release", tags: {db: red}, priority: 5}
  index: {run: echo indexed, tags: {db: red}}
  load: {run: echo loaded, pool: database}
  more: {run: echo loaded, pool: database}
  most: {run: echo loaded, pool: database}
  report: {run: echo reported, needs: [index, load]}
`

// background starts limit and returns what waits for its end and gives its exit code.
func (p *place) background(args ...string) func() int {
	p.t.Helper()
	cmd := p.command(args...)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	p.t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	return func() int {
		p.t.Helper()
		select {
		case <-ended:
		case <-time.After(patience):
			p.t.Fatalf("limit %s has not ended", strings.Join(args, " "))
		}
		return cmd.ProcessState.ExitCode()
	}
}

const patience = 30 * time.Second

// explains waits until why says of a step what the pattern says.
func (p *place) explains(asked, pattern string) {
	p.t.Helper()
	said := ""
	if !until.Within(patience, func() bool {
		cmd := p.command("why", "--log-dir", p.runs, asked)
		out, _ := cmd.CombinedOutput()
		said = string(out)
		return regexp.MustCompile(pattern).MatchString(said)
	}) {
		p.t.Errorf("why %s does not say %s, but\n%s", asked, pattern, said)
	}
}

func TestWhyExplainsStepsThatTheExecutorAndAPoolHoldBack(t *testing.T) {
	t.Parallel()
	for _, store := range []string{embedded, fleet} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, store)
			release, elsewhere := p.gate("release"), p.gate("elsewhere")
			p.limit(0, "pool", "set", "database", "1")
			holder := p.background("run", "--pool", "database", "--name", "holder", "-c", "read line <elsewhere")
			p.explains("load", `no run that lives has such a step`)
			until.That(t, patience, "the holder holds", func() bool { return strings.Contains(p.limit(0, "status"), "held: 1") })

			run := p.background("dag", "run", "--log-dir", p.runs, "--progress", "none", p.write("etl.yaml", heldBack))
			p.explains("migrate", `^migrate of etl, run [0-9a-f]{8}, runs for .*s\n  it holds 1 of 2 slots \(max_concurrent\), 1 of 1 of step-tag:db=red\n$`)
			p.explains("index", `^index of etl, run [0-9a-f]{8}, waits for step-tag:db=red 1/1 for .*\n  asks .*\n  step-tag:db=red: 1 of 1 used, full\n    migrate  runs for .*\n$`)
			p.explains("load", `^load of etl, run [0-9a-f]{8}, waits for pool:database for .*\n[0-9a-f]{8} etl/load waits for \d+s, position 1, .*\n  pool:database: 1 of 1 used, full\n +[0-9a-f]{8}  holder holds database for `)
			p.explains("most", `^most of etl.* waits for pool:database for .*\nits claim enters the store when one like it has left, such as that of load\n[0-9a-f]{8} etl/load waits for `)
			p.explains("report", `^report of etl.* is not ready: it needs index, load\n    index  waits for step-tag:db=red 1/1 for .*\n    load   waits for pool:database for `)
			id := p.lastRun()
			p.explains(id[:6]+"/load", `^load of etl, run `+id[:8]+`, waits for pool:database`)
			p.explains(id[:6]+"/lord", `has no step "lord"`)

			release.open()
			p.explains("index", `^index of etl, run [0-9a-f]{8}, succeeded after `)
			elsewhere.open()
			if code := run(); code != 0 {
				t.Errorf("the run exits %d", code)
			}
			holder()
			p.explains(id[:8]+"/report", `^report of etl, run `+id[:8]+`, succeeded after .* ago\n$`)
			p.explains("report", `no run that lives has such a step`)
			p.empty()
		})
	}
}

func TestWhyExplainsADagInTheRunQueue(t *testing.T) {
	t.Parallel()
	p := newPlace(t, embedded)
	release := p.gate("release")
	p.write("limit.yaml", "concurrency: {runs: {max_concurrent_runs: 1}}\n")
	p.limit(0, "apply", "limit.yaml")
	first := p.background("run", "--name", "first", "-c", "read line <release")
	until.That(t, patience, "the first run runs", func() bool { return strings.Contains(p.limit(0, "status"), "held: 1") })
	second := p.background("dag", "run", "--log-dir", p.runs, "--progress", "none", p.write("two.yaml", "steps: {a: echo}"))
	p.explains("a", `^a of two, run [0-9a-f]{8}, waits, as the run waits in the run queue\n[0-9a-f]{8} two waits for \d+s, position 1, .*\n  runs: 1 of 1 used, full\n +[0-9a-f]{8}  first holds run for `)
	for _, args := range [][]string{{"list", "--state", "queued"}, {"show", "two.yaml"}} {
		if out := p.limit(0, append([]string{"dag", args[0], "--log-dir", p.runs}, args[1:]...)...); !strings.Contains(out, "queued") {
			t.Errorf("limit dag %s shows no queued run:\n%s", args[0], out)
		}
	}
	release.open()
	first()
	second()
}

func TestWhyTellsThatTheLimitOfADagIsGone(t *testing.T) {
	t.Parallel()
	p := newPlace(t, embedded)
	release := p.gate("release")
	cmd := p.command("dag", "run", "--log-dir", p.runs, "--progress", "none", p.write("etl.yaml", "executor: {max_concurrent: 1}\nsteps: {a: read line <release, b: echo}"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.explains("b", `^b of etl, .* waits for max_concurrent 1/1`)
	cmd.Process.Kill()
	cmd.Wait()
	p.explains("b", `^b of etl, run [0-9a-f]{8}, was not started: its run was killed\n`)
	p.explains("a", `^a of etl, run [0-9a-f]{8}, ran when its run was killed; how it ended is not known\n`)
	release.open()
	until.That(t, patience, "nothing of the run lives", func() bool { return !strings.Contains(p.limit(0, "dag", "list", "--log-dir", p.runs), "running") })
}

// lastRun is the id of the latest run.
func (p *place) lastRun() string {
	p.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(p.runs, "*T*-*"))
	if err != nil || len(dirs) == 0 {
		p.t.Fatalf("no run: %v", err)
	}
	_, id, _ := strings.Cut(filepath.Base(dirs[len(dirs)-1]), "-")
	return id
}

func TestCancelEndsTheStepsOfADagWhoseLimitIsGone(t *testing.T) {
	t.Parallel()
	p := newPlace(t, embedded)
	p.gate("never")
	cmd := p.command("dag", "run", "--log-dir", p.runs, "--progress", "none", p.write("etl.yaml", "executor: {max_concurrent: 2}\nsteps: {a: {run: echo >up-a; read line <never, pool: p}, b: echo >up-b; read line <never & read line <never}"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until.That(t, patience, "both steps run", func() bool {
		up, _ := filepath.Glob(filepath.Join(p.dir, "up-*"))
		return len(up) == 2
	})
	cmd.Process.Kill()
	cmd.Wait()
	if out := p.limit(0, "cancel", "--name", "etl"); !strings.Contains(out, "was killed: ending the processes that it left (pids: ") {
		t.Errorf("limit cancel says:\n%s", out)
	}
	p.empty()
}

// gate is a fifo that steps read a line of. What still reads when the test is over reads its end.
type gate struct {
	t    *testing.T
	file *os.File
}

func (p *place) gate(name string) *gate {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		p.t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { file.Close() })
	return &gate{p.t, file}
}

// open lets one reader go on.
func (g *gate) open() {
	g.t.Helper()
	if _, err := g.file.WriteString("go\n"); err != nil {
		g.t.Fatal(err)
	}
}
