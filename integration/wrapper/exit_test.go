//go:build linux

package wrapper

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func exitCases() []testCase {
	return []testCase{
		{45, "exit codes are handed on verbatim", anything, exitCodes},
		{46, "it dies of the signal the command died of without a core", anything, diesOfSignal},
		{47, "set -e make xargs and time behave as without", anything, callers},
	}
}

func exitCodes(b *bench) {
	for code := range 256 {
		if code > 5 && code < 120 && code%10 != 0 {
			continue
		}
		if r := b.run(b.L("sh", "-c", fmt.Sprintf("exit %d", code))...); r.status.Signaled() || r.code() != code {
			b.Errorf("exit %d: %s", code, r)
		}
	}
}

func diesOfSignal(b *bench) {
	for _, sig := range []syscall.Signal{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31, 34, 35, 64} {
		r := b.start(b.L("sh", "-c", fmt.Sprintf("ulimit -c unlimited; kill -%d $$", sig)), func(c *exec.Cmd) {
			c.Args = append([]string{"sh", "-c", `ulimit -c unlimited; exec "$@"`, "sh"}, c.Args...)
			c.Path, c.Err = "/bin/sh", nil
		}).wait(patience)
		if !r.status.Signaled() || r.status.Signal() != sig {
			b.Errorf("the command is killed by %d (%v): %s", sig, sig, r)
		}
		if r.status.CoreDump() {
			b.Errorf("killed by %d: the wrapper dumps a core of its own", sig)
		}
	}
	b.inNamespace("sh", "-c", "kill -TERM $$") // tells whether there are namespaces at all
	for _, sig := range []string{"TERM", "KILL", "QUIT"} {
		want := map[string]int{"TERM": 143, "KILL": 137, "QUIT": 131}[sig]
		r := b.run(b.inNamespace(b.L("sh", "-c", "ulimit -c 0; kill -"+sig+" $$")...)...)
		if r.status.Signaled() || r.code() != want {
			b.Errorf("as process 1, the command killed by %s: %s; want exit %d", sig, r, want)
		}
	}
}

// inNamespace runs argv as process 1 of a PID namespace.
func (b *bench) inNamespace(argv ...string) []string {
	b.Helper()
	require(b, "unshare")
	prefix := []string{"unshare", "--pid", "--fork", "--mount-proc"}
	if r := b.run(append(prefix, "true")...); r.code() != 0 {
		b.Skipf("no PID namespaces here: %s", r)
	}
	return append(prefix, argv...)
}

func callers(b *bench) {
	b.want(b.sh("set -e; @L sh -c 'exit 3'; echo not reached"), 3, "")
	require(b, "make", "xargs", "bash")
	b.write("Makefile", b.text("all:\n\t@@L sh -c 'exit 3'\n"), 0o600)
	if r := b.run("make"); r.code() != 2 || !strings.Contains(r.err, "Error 3") {
		b.Errorf("make: %s", r)
	}
	b.want(b.sh("seq 6 | xargs -P 3 -n 1 @L sh -c 'exit $0'"), 123, "")
	b.want(b.sh("seq 6 | xargs -n 1 @L sh -c 'echo $0; exit 255' 2>/dev/null"), 124, "1\n")
	b.want(b.sh("seq 6 | xargs -n 1 @L sh -c 'kill -TERM $$' 2>/dev/null"), 125, "")
	r := b.run("bash", "-c", b.text(`TIMEFORMAT='%U'; time @L sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'`))
	var user float64
	if _, err := fmt.Sscan(r.err, &user); err != nil || user < 0.05 || r.took > patience/2 {
		b.Errorf("time: the command's use is not counted: %s", r)
	}
	began := time.Now()
	b.want(b.sh("@L sleep 60 & pid=$!; sleep 0.3; kill $pid; wait $pid"), 143, "")
	if took := time.Since(began); took > 10*time.Second {
		b.Errorf("kill and wait took %v", took)
	}
}

// TestWhereTheRuntimeWouldGiveUpOneLineSaysWhy: it would print a traceback and exit with 2, or die of SEGV.
func TestWhereTheRuntimeWouldGiveUpOneLineSaysWhy(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: another user's processes are started by root alone; run it as root")
	}
	b := newBench(t, limit(limitBinary(t)))
	file, err := os.Open(limitBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const nobodyElse = 64999 // a user without processes; root may have as many as it likes
	for limits, code := range map[string]int{
		"-u 1": 125, "-u 2": 125, "-u 6": 125, "-u 40": 0, "-u 600": 0,
		"-v 100000": 125, "-v 1200000": 125, "-v 1468006": 0,
		"-d 65536": 125, "-d 262144": 0,
		"-n 5": 125, "-n 40": 0,
	} {
		p := b.start([]string{"bash", "-c", "ulimit " + limits + "; exec /proc/self/fd/3 version"}, func(c *exec.Cmd) {
			c.Dir, c.ExtraFiles = "/", []*os.File{file}
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyElse, Gid: nobodyElse}}
		})
		r := p.wait(patience)
		advice := "ulimit " + limits[:2]
		oneLine := strings.HasPrefix(r.err, "limit: ") && strings.Count(r.err, "\n") == 1 &&
			strings.Contains(r.err, advice)
		if r.code() != code || oneLine != (code == 125) {
			t.Errorf("with ulimit %s: %s; want exit %d and one line with %q where that is 125", limits, r, code, advice)
		}
	}
}

// TestVerbsThatRunNothingDieOfSignalsWithoutATraceback: as other programs do.
func TestVerbsThatRunNothingDieOfSignalsWithoutATraceback(t *testing.T) {
	b := newBench(t, limit(limitBinary(t)))
	if err := unix.Mkfifo(b.path("steps.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	holder := b.start(b.L("sleep", "600"), nil)
	b.eventually("the slot is taken", patience, func() bool { return !b.w.free(b) })
	for _, verb := range [][]string{
		{"status", "--watch"}, {"wait", "--pool", "p"}, {"hold", "--pool", "p"}, {"dag", "plan", b.path("steps.yaml")},
	} {
		for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGSEGV} {
			p := b.start(append(b.w.argv(b)[:3:3], verb...), nil)
			b.eventually("it takes the signal", patience,
				func() bool { return hasPipe(p.pid()) && inState(p.pid(), 'S') })
			p.kill(sig)
			r := p.wait(patience)
			if !r.status.Signaled() || r.status.Signal() != sig || strings.Contains(r.err, "goroutine") {
				t.Errorf("%q, %v: %s", verb, sig, r)
			}
		}
	}
	holder.kill(syscall.SIGTERM)
}

// hasPipe reports whether a process has both ends of a pipe: its signals come through one.
func hasPipe(pid int) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	seen := map[string]int{}
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && strings.HasPrefix(to, "pipe:") {
			seen[to]++
		}
	}
	for _, ends := range seen {
		if ends > 1 {
			return true
		}
	}
	return false
}
