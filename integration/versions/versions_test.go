// Package versions runs builds of several versions on one store: the last that knew nothing of versions, this one, and
// one that has a feature that no release has. What a fleet meets that is upgraded one machine at a time.
package versions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"limit/integration/binary"
	"limit/integration/etcdtest"
	"limit/integration/until"
)

func TestMain(m *testing.M) { os.Exit(binary.Run(m)) }

// first is the last commit whose programs know nothing of formats, needs and greetings.
const first = "a6215e3b41bc41ba08652f23e73f6406ef410594"

// builds are the directories of limit and limit-keeper of each version.
type builds struct{ first, this, madeUp string }

// build makes all of them; the test is skipped where the history of this repository does not reach back to the first.
func build(t *testing.T) builds {
	t.Helper()
	dir := t.TempDir()
	_, here, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(here), "..", "..")
	old := filepath.Join(dir, "source")
	if err := os.Mkdir(old, 0o755); err != nil {
		t.Fatal(err)
	}
	archive := exec.Command("git", "-C", source, "archive", first)
	unpack := exec.Command("tar", "-x", "-C", old)
	var complaint bytes.Buffer
	archive.Stderr = &complaint
	unpack.Stdin, _ = archive.StdoutPipe()
	if err := errors.Join(unpack.Start(), archive.Run(), unpack.Wait()); err != nil {
		t.Skipf("the source of the first version is not to be had (git archive %.8s: %v, %s); a full clone has it", first, err, &complaint)
	}
	b := builds{filepath.Join(dir, "first"), filepath.Join(dir, "this"), filepath.Join(dir, "madeup")}
	compile(t, old, b.first, "")
	compile(t, source, b.this, "")
	compile(t, source, b.madeUp, ",madeup")
	return b
}

// compile makes limit and limit-keeper as scripts/build.sh does.
func compile(t *testing.T, source, to, tags string) {
	t.Helper()
	for _, args := range [][]string{
		{"-tags", "slim,urfave_cli_no_docs" + tags, "-o", filepath.Join(to, "limit"), "."},
		{"-tags", "grpcnotrace" + tags, "-o", filepath.Join(to, "limit-keeper"), "./wrap/cli/limit-keeper"},
	} {
		cmd := exec.Command("go", append([]string{"build", "-buildvcs=false", "-trimpath"}, args...)...)
		cmd.Dir, cmd.Env = source, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", source, err, out)
		}
	}
}

// place is a store that programs of all versions use.
type place struct {
	t       *testing.T
	backend string
	scratch string
}

// stores are an embedded one and one on etcd, empty.
func stores(t *testing.T, test func(t *testing.T, p *place)) {
	t.Run("embedded", func(t *testing.T) {
		dir := t.TempDir()
		test(t, &place{t, "local:" + filepath.Join(dir, "store"), dir})
	})
	t.Run("etcd", func(t *testing.T) {
		c := etcdtest.Start(t, etcdtest.Options{})
		test(t, &place{t, "etcd://" + strings.TrimPrefix(c.Endpoints()[0], "http://"), t.TempDir()})
	})
}

// limit runs a verb to its end.
func (p *place) limit(dir string, args ...string) (output string, code int) {
	p.t.Helper()
	cmd := p.command(dir, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (p *place) command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(dir, "limit"), args...)
	cmd.Env = append(os.Environ(), "HOME="+p.scratch, "XDG_CONFIG_HOME="+p.scratch, "LIMIT_BACKEND="+p.backend)
	cmd.Dir = p.scratch
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func (p *place) must(dir string, args ...string) string {
	p.t.Helper()
	out, code := p.limit(dir, args...)
	if code != 0 {
		p.t.Fatalf("%s %s: exit %d\n%s", filepath.Base(dir), strings.Join(args, " "), code, out)
	}
	return out
}

// life is a run whose command begins by saying so and ends when it is told; two within at once are told of.
type life struct {
	*exec.Cmd
	place *place
	name  string
	mu    sync.Mutex
	out   bytes.Buffer
	stdin io.Closer
	ended chan struct{}
}

func (l *life) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}

func (l *life) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

// begin starts a run of one slot of pool p.
func (p *place) begin(dir string) *life {
	p.t.Helper()
	l := &life{place: p, name: filepath.Base(dir), ended: make(chan struct{})}
	l.Cmd = p.command(dir, "run", "--pool", "p", "--ttl", "5s", "--grace", "1s", "--", "sh", "-c",
		`mkdir within || echo over""lap; echo be""gun; read line; rmdir within`)
	l.Stdout, l.Stderr = l, l
	stdin, err := l.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	l.stdin = stdin
	if err := l.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		l.Wait()
		close(l.ended)
	}()
	p.t.Cleanup(func() {
		l.stdin.Close()
		l.Process.Kill()
		<-l.ended
		if p.t.Failed() {
			p.t.Logf("the run of %s:\n%s", l.name, l.text())
		}
	})
	return l
}

func (l *life) says(word string) {
	l.place.t.Helper()
	until.That(l.place.t, 30*time.Second, fmt.Sprintf("the run of %s says %q", l.name, word), func() bool { return strings.Contains(l.text(), word) })
	if strings.Contains(l.text(), "overlap") {
		l.place.t.Fatal("two within at once")
	}
}

// end lets the command end.
func (l *life) end() {
	l.stdin.Close()
	<-l.ended
}

// waits is a run that has said that it waits.
func (p *place) waits(dir string) *life {
	p.t.Helper()
	l := p.begin(dir)
	l.says("waiting for")
	return l
}

func TestVersionsLiveSideBySide(t *testing.T) {
	b := build(t)
	stores(t, func(t *testing.T, p *place) {
		p.must(b.first, "pool", "set", "p", "1")
		for _, order := range [][]string{{b.first, b.this, b.first}, {b.this, b.first, b.this}, {b.madeUp, b.this, b.first}} {
			holder := p.begin(order[0])
			holder.says("begun")
			second := p.waits(order[1])
			third := p.waits(order[2])
			if strings.Contains(second.text()+third.text(), "begun") {
				t.Fatal("two hold one slot")
			}
			holder.end()
			second.says("begun")
			second.end()
			third.says("begun")
			third.end()
		}
	})
	stores(t, func(t *testing.T, p *place) { refusals(t, p, b) })
	t.Run("greetings", func(t *testing.T) { greetings(t, b) })
}

// refusals let a newer version use a feature while claims of this one live.
func refusals(t *testing.T, p *place, b builds) {
	p.must(b.this, "pool", "set", "p", "1")
	holder := p.begin(b.this)
	holder.says("begun")
	var doomed *life
	if strings.HasPrefix(p.backend, "etcd") { // the first to wait keeps the gate: it would be the one to decide
		doomed = p.waits(b.this)
	}
	waiter := p.waits(b.madeUp)
	p.must(b.madeUp, "pool", "set", "made-up", "2")
	if doomed != nil {
		doomed.says("made-up")
		<-doomed.ended
		if code := doomed.ProcessState.ExitCode(); code != 125 {
			t.Errorf("a waiter that lacks the feature ended with %d", code)
		}
	}
	file := filepath.Join(p.scratch, "dag.yaml")
	write(t, file, "steps:\n  one:\n    run: \"true\"\n    pool: p\n")
	config := filepath.Join(p.scratch, "new.yaml")
	write(t, config, "concurrency: {pools: {limits: {p: 3}}}\n")
	for _, verb := range [][]string{
		{"run", "--pool", "p", "--wait", "0", "true"}, {"pool", "set", "p", "5"}, {"doctor"}, {"status"},
		{"dag", "run", file}, {"apply", config},
	} {
		for _, dir := range []string{b.this, b.first} {
			out, code := p.limit(dir, verb...)
			if dir == b.first && verb[0] == "doctor" {
				continue // it looks at the settings of etcd alone
			}
			if code != 125 || dir == b.this && !strings.Contains(out, `"made-up"`) || !strings.Contains(out, "newer limit") && dir == b.first {
				t.Errorf("%s %s: exit %d\n%s", filepath.Base(dir), strings.Join(verb, " "), code, out)
			}
		}
	}
	if out := p.must(b.madeUp, "pool", "list", "--json"); !json.Valid([]byte(out)) || !strings.Contains(out, "made-up") {
		t.Errorf("the feature is gone:\n%s", out)
	}
	holder.end()
	if code := holder.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the holder that lacks the feature ended with %d", code)
	}
	waiter.says("begun")
	waiter.end()
	p.must(b.madeUp, "pool", "unset", "made-up")
	p.must(b.this, "run", "--pool", "p", "--wait", "0", "true")
	p.must(b.first, "run", "--pool", "p", "--wait", "0", "true")
}

// greetings puts limit and limit-keeper of different versions into one directory.
func greetings(t *testing.T, b builds) {
	c := etcdtest.Start(t, etcdtest.Options{})
	p := &place{t, "etcd://" + strings.TrimPrefix(c.Endpoints()[0], "http://"), t.TempDir()}
	for _, pair := range []struct{ limit, keeper string }{
		{b.first, b.this}, {b.this, b.first}, {b.this, b.madeUp}, {b.madeUp, b.this},
	} {
		dir := t.TempDir()
		for name, from := range map[string]string{"limit": pair.limit, "limit-keeper": pair.keeper} {
			if err := os.Link(filepath.Join(from, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		out, code := p.limit(dir, "run", "--pool", "p", "true")
		if code != 125 || !strings.Contains(out, "of another version") || !strings.Contains(out, "install limit and limit-keeper of one release") {
			t.Errorf("limit of %s, limit-keeper of %s: exit %d\n%s", filepath.Base(pair.limit), filepath.Base(pair.keeper), code, out)
		}
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
