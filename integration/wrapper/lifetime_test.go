//go:build linux

package wrapper

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func lifetimeCases() []testCase {
	return []testCase{
		{48, "a daemon does not keep the slot but with --hold-tree it does", anything, daemon},
		{49, "killed with SIGKILL the slot is kept while the command runs", slots, wrapperKilled},
		{50, "a stopped wrapper keeps its slot", slots, wrapperStopped},
		{51, "a descendant with a session of its own dies too", timeouts, ownSessionDies},
		{52, "no zombies and process 1 reaps and ends on TERM", anything, reaps},
		{53, "one in another one", anything, nested},
		{54, "in and around flock timeout nohup xargs tini sudo", anything, inAndAround},
		{55, "it costs nothing while the command runs and leaves the directory", anything, idle},
	}
}

func daemon(b *bench) {
	out, said := b.piped()
	p := b.start(b.L("sh", "-c", "setsid sh -c 'echo $$; exec sleep 60 </dev/null 2>/dev/null' & exit 5"), func(c *exec.Cmd) { c.Stdout = out })
	pid, _ := strconv.Atoi(said.next())
	b.killAtEnd(pid)
	if r := p.wait(10 * time.Second); r.code() != 5 {
		b.Errorf("%s, want 5", r)
	}
	if !alive(pid) {
		b.Errorf("the daemon is gone")
	}
	b.slotFree(5 * time.Second)
	if !b.w.has(limitOnly) {
		return
	}
	for _, whom := range []string{"daemon", "wrapper"} {
		heldTree(b, whom)
	}
}

// heldTree has a daemon, twice removed from the command, keep the slot until TERM is sent to it or to the wrapper.
func heldTree(b *bench, whom string) {
	out, said := b.piped()
	p := b.start(b.with([]string{"--hold-tree"}, "sh", "-c", "(setsid sh -c 'echo $$; exec sleep 60 </dev/null 2>/dev/null' &) & exit 5"), func(c *exec.Cmd) { c.Stdout = out })
	pid, _ := strconv.Atoi(said.next())
	b.killAtEnd(pid)
	select {
	case <-p.done:
		b.Errorf("with --hold-tree it ended before the daemon: %s", p.result())
	case <-time.After(300 * time.Millisecond):
	}
	b.slotTaken("a daemon of a command with --hold-tree lives")
	if whom == "daemon" {
		syscall.Kill(pid, syscall.SIGTERM)
	} else {
		p.kill(syscall.SIGTERM)
	}
	if r := p.wait(5 * time.Second); r.code() != 5 || alive(pid) {
		b.Errorf("with --hold-tree, after TERM to the %s: %s, want 5; the daemon lives: %v", whom, r, alive(pid))
	}
	b.slotFree(5 * time.Second)
}

func wrapperKilled(b *bench) {
	rec := b.record(b.w.argv(b), ownSession, 10)
	rec.kill(syscall.SIGKILL)
	rec.wait(patience)
	if !alive(rec.command) {
		return // it may as well have died with the wrapper
	}
	b.slotTaken("the command runs, whose wrapper was killed")
	rec.stdin.Close()
	b.eventually("the command is gone", patience, func() bool { return !alive(rec.command) })
	b.slotFree(5 * time.Second)
}

func wrapperStopped(b *bench) {
	rec := b.record(b.w.argv(b), ownSession, 10)
	rec.kill(syscall.SIGSTOP)
	b.eventually("it is stopped", patience, func() bool { return stopped(rec.pid()) })
	b.slotTaken("the command runs, whose wrapper is stopped")
	rec.kill(syscall.SIGCONT)
	if _, end := rec.finish(); end.code() != 0 {
		b.Errorf("after STOP and CONT: %s", end)
	}
	b.slotFree(5 * time.Second)
	if b.w.has(timeouts) { // the time goes on while it is stopped
		p := b.start(append(b.w.timeout(b, "0.5", "1"), "sleep", "60"), ownSession)
		b.eventually("the command runs", patience, func() bool { return len(children(p.pid())) > 0 })
		p.kill(syscall.SIGSTOP)
		time.Sleep(600 * time.Millisecond)
		p.kill(syscall.SIGCONT)
		if r := p.wait(5 * time.Second); r.code() != 124 {
			b.Errorf("stopped past its timeout: %s", r)
		}
	}
}

// daemonized starts argv around a command that leaves a descendant with a session and a parent of its own, which
// ignores TERM.
func (b *bench) daemonized(argv []string) (p *program, pid int) {
	b.Helper()
	out, said := b.piped()
	argv = append(argv, "sh", "-c", `(setsid sh -c 'trap "" TERM; echo $$; while :; do sleep 0.1; done' </dev/null 2>/dev/null &); exec sleep 60`)
	p = b.start(argv, func(c *exec.Cmd) { c.Stdout = out; ownSession(c) })
	pid, err := strconv.Atoi(said.next())
	if err != nil {
		b.Fatalf("%v", err)
	}
	b.killAtEnd(pid)
	return p, pid
}

func ownSessionDies(b *bench) {
	p, pid := b.daemonized(b.w.timeout(b, "0.5", "0.3"))
	if r := p.wait(10 * time.Second); r.code() != 124 {
		b.Errorf("timed out: %s", r)
	}
	if alive(pid) {
		b.Errorf("timed out: a descendant with a session of its own lives")
	}
	if !b.w.has(limitOnly) {
		return
	}
	for _, verb := range [][]string{{"cancel"}, {"cancel", "--force"}} {
		p, pid := b.daemonized(b.with([]string{"--grace", "0.3s"}))
		id := b.heldID()
		b.limit(append(verb, id)...)
		r := p.wait(10 * time.Second)
		if alive(pid) {
			b.Errorf("after %v: a descendant with a session of its own lives; %s", verb, r)
		}
		if len(verb) == 2 && r.code() != 76 {
			b.Errorf("after %v: %s, want 76", verb, r)
		}
	}
}

// heldID is the id of the one claim that is held.
func (b *bench) heldID() string {
	b.Helper()
	status := b.limit("status", "--json")
	_, rest, found := strings.Cut(status, `"held"`)
	_, rest, found2 := strings.Cut(rest, `"id"`)
	parts := strings.SplitN(rest, `"`, 3)
	if !found || !found2 || len(parts) < 3 {
		b.Fatalf("no claim is held: %s", status)
	}
	return parts[1]
}

func reaps(b *bench) {
	out, said := b.piped()
	stdin, feed, err := os.Pipe()
	if err != nil {
		b.Fatalf("%v", err)
	}
	p := b.start(b.L("sh", "-c", "for i in 1 2 3 4 5; do (sh -c : &); done; echo up; read x; exit 0"), func(c *exec.Cmd) { c.Stdout, c.Stdin = out, stdin })
	stdin.Close()
	said.next()
	b.eventually("the orphans are reaped", patience, func() bool { return len(zombies(p.pid())) == 0 })
	feed.Close()
	p.wait(patience)

	p = b.start(b.inNamespace(b.L("sh", "-c", "for i in 1 2 3 4 5; do (sh -c : &); done; echo up; exec sleep 60")...), func(c *exec.Cmd) { c.Stdout = out })
	said.next()
	inside := children(p.pid())
	if len(inside) != 1 {
		b.Fatalf("process 1 of the namespace: %v", inside)
	}
	b.eventually("process 1 reaps", patience, func() bool { return len(zombies(inside[0])) == 0 })
	began := time.Now()
	syscall.Kill(inside[0], syscall.SIGTERM)
	r := p.wait(patience)
	if took := time.Since(began); r.code() != 143 || took > time.Second {
		b.Errorf("TERM to process 1: %s after %v, want 143 within 1s", r, took)
	}
}

func nested(b *bench) {
	inner := quoted(b.w.argv(b))
	if b.w.has(limitOnly) {
		inner = strings.Replace(inner, "'p'", "'q'", 1)
	}
	if b.w.name == "flock" {
		inner = strings.Replace(inner, "/lock'", "/lock2'", 1)
	}
	b.want(b.sh("@L "+inner+" sh -c 'exit 9'"), 9, "")
	if r := b.sh("exec @L " + inner + " sh -c 'kill -TERM $$'"); !r.status.Signaled() || r.status.Signal() != syscall.SIGTERM {
		b.Errorf("killed by TERM inside two: %s", r)
	}
	t := b.shell()
	t.enter("@L " + inner + " " + catching(b, "INT"))
	t.expect(`up`)
	t.send(ctrlC)
	if n := t.expect(`count=(\d+)\.`)[1]; n != "1" {
		b.Errorf("the command counts %s SIGINT, want 1", n)
	}
	t.prompt()
	t.code("42")
}

func inAndAround(b *bench) {
	require(b, "flock", "timeout", "xargs", "tini", "sudo", "setsid", "dumb-init")
	for _, line := range []string{
		"@L flock @D/other sh -c 'exit 6'", "flock @D/other @L sh -c 'exit 6'",
		"@L timeout 30 sh -c 'exit 6'", "timeout 30 @L sh -c 'exit 6'",
		"@L nohup sh -c 'exit 6'", "nohup @L sh -c 'exit 6'",
		"@L tini -s -- sh -c 'exit 6'", "tini -s -- @L sh -c 'exit 6'",
		"@L dumb-init sh -c 'exit 6'", "dumb-init @L sh -c 'exit 6'",
		"@L setsid -w sh -c 'exit 6'", "setsid -w @L sh -c 'exit 6'",
		"@L sudo -n sh -c 'exit 6'", "sudo -n @L sh -c 'exit 6'",
	} {
		if r := b.sh(line); r.code() != 6 || strings.Contains(r.out, "goroutine") {
			b.Errorf("%s: %s", line, r)
		}
	}
	b.want(b.sh("seq 20 | xargs -P 8 -n 1 @L echo | sort -n | tr '\n' ' '"), 0, strings.Join(numbers(20), " ")+" ")
	began := time.Now()
	if r := b.sh("timeout 0.5 @L sleep 60"); r.code() != 124 || time.Since(began) > 5*time.Second {
		b.Errorf("inside timeout: %s", r)
	}
	if r := b.sh("@L timeout 0.5 sleep 60"); r.code() != 124 {
		b.Errorf("around timeout: %s", r)
	}
	b.slotFree(5 * time.Second)
}

func numbers(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(i + 1)
	}
	return all
}

// maxResident is in KiB. The program that is tested has the etcd client in it: 16 MiB, most of them pages of its file,
// where the released one has 8.
const maxResident = 20 << 10

func idle(b *bench) {
	rec := b.record(b.w.argv(b), func(c *exec.Cmd) {
		ownSession(c)
		c.Dir = b.dir
	}, 10)
	if b.w.has(limitOnly) {
		if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", rec.pid())); cwd != "/" {
			b.Errorf("it keeps the directory %s busy", cwd)
		}
	}
	if b.w.has(limitOnly) {
		if peak := peakResident(rec.pid()); peak == 0 || peak > maxResident {
			b.Errorf("resident memory %d KiB, want at most %d", peak, maxResident)
		}
		waits := b.queued("true")
		if peak := peakResident(waits.pid()); peak == 0 || peak > maxResident {
			b.Errorf("resident memory of a waiting one %d KiB, want at most %d", peak, maxResident)
		}
		waits.kill(syscall.SIGTERM)
		waits.wait(patience)
	}
	require(b, "strace")
	b.run("timeout", "11", "strace", "-f", "-q", "-ttt", "-o", b.path("trace"), "-p", strconv.Itoa(rec.pid()))
	var first float64
	for line := range strings.Lines(b.read("trace")) {
		var thread int
		var at float64
		fmt.Sscan(line, &thread, &at)
		if first == 0 {
			first = at
		}
		// Being attached to wakes all threads; what is under way in the end is shown as detached.
		if at > first+0.5 && !strings.Contains(line, "<detached") && !strings.Contains(line, "<unfinished") {
			b.Errorf("while the command runs the wrapper is awake:\n%s", b.read("trace"))
			break
		}
	}
	if first == 0 {
		b.Errorf("strace has seen nothing, not even its own coming")
	}
	rec.finish()
}
