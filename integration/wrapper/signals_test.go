//go:build linux

package wrapper

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func signalCases() []testCase {
	return []testCase{
		{26, "every signal sent to it alone reaches the command once", anything, everySignalOnce},
		{27, "CHLD URG and faults are not handed on", anything, notHandedOn},
		{28, "TERM arrives after a flood of INT", anything, flood},
		{29, "a signal ends the waiting within 100 ms", slots, signalWhileWaiting},
		{30, "a signal at any moment is neither lost nor kept", anything, signalAnyMoment},
		{31, "a store that hangs at release can be left", limitOnly, storeHangs},
		{32, "TERM then KILL after the grace and CONT for the stopped", timeouts, termThenKill},
		{33, "the command signals its parent or its group without an echo", anything, noEcho},
		{34, "a cancelled CI job leaves nothing", anything, ciCancel},
	}
}

func TestASignalToTheGroupOrToEveryProcessReachesTheCommandOnce(t *testing.T) {
	t.Parallel()
	signalToAllOnce(newBench(t, limit(limitBinary(t))))
}

func TestATERMThatIsHandedOnStartsTheGrace(t *testing.T) {
	t.Parallel()
	handedOnThenKill(newBench(t, limit(limitBinary(t))))
}

func everySignalOnce(b *bench) {
	signals := []int{1, 2, 3, 15, 10, 12, 14, 13, 18, 27, 28, 29, 30, 24, 26}
	for n := 35; n <= 64; n++ {
		signals = append(signals, n)
	}
	r := b.record(b.w.argv(b), ownSession, signals...)
	for _, n := range signals {
		if !r.running() {
			b.Fatalf("the wrapper is gone before signal %d: %s", n, r.result())
		}
		r.kill(syscall.Signal(n))
		r.expect(n, 2*time.Second)
	}
	counts, _ := r.finish()
	for n, count := range counts {
		b.Errorf("signal %d came %d times too often", n, count)
	}
}

func signalToAllOnce(b *bench) {
	require(b, "pkill")
	once := b.w.argv(b)
	twice := append(slices.Clone(once), append(slices.Clone(once[:4]), "--")...)
	for _, argv := range [][]string{once, twice} {
		signals := []int{1, 2, 15, 10, 28, 40}
		r := b.record(argv, ownSession, signals...)
		for _, n := range signals {
			syscall.Kill(-r.pid(), syscall.Signal(n))
			r.expect(n, patience)
			r.expectNothing(150 * time.Millisecond) // an echo would be a second one
			exec.Command("pkill", fmt.Sprintf("-%d", n), "-s", fmt.Sprint(r.pid())).Run()
			r.expect(n, patience)
			r.expectNothing(150 * time.Millisecond)
		}
		if counts, end := r.finish(); len(counts) != 0 || end.code() != 0 {
			b.Errorf("%q: signals came too often: %v; %s", argv, counts, end)
		}
	}
}

func handedOnThenKill(b *bench) {
	p := b.start(append(b.w.argv(b, "--grace", "0.5"), "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"), ownSession)
	b.eventually("the command runs", patience, func() bool { return strings.Contains(p.so(), "up") })
	p.kill(syscall.SIGTERM)
	if r := p.wait(patience); r.status.Signal() != syscall.SIGKILL || !strings.Contains(r.err, "killed") {
		b.Errorf("%s; want it killed after the grace, and a line that says so", r)
	}
}

func notHandedOn(b *bench) {
	quiet := []int{int(syscall.SIGCHLD), int(syscall.SIGURG)}
	r := b.record(b.w.argv(b), ownSession, append(quiet, int(syscall.SIGUSR1))...)
	for _, n := range quiet {
		r.kill(syscall.Signal(n))
	}
	r.kill(syscall.SIGUSR1)
	r.expect(int(syscall.SIGUSR1), 2*time.Second)
	counts, end := r.finish()
	if len(counts) != 0 || end.code() != 0 {
		b.Errorf("the command got %v; %s", counts, end)
	}
	faults := []int{int(syscall.SIGSEGV), int(syscall.SIGBUS), int(syscall.SIGFPE), int(syscall.SIGILL)}
	for _, n := range faults {
		r := b.record(b.w.argv(b), ownSession, append(faults, int(syscall.SIGUSR1), int(syscall.SIGTERM))...) // a fault of limit ends it
		r.kill(syscall.Signal(n))
		syscall.Kill(r.command, syscall.SIGUSR1)
		if counts, _ := r.finish(); counts[n] != 0 {
			b.Errorf("the command got the fault %d of the wrapper", n)
		}
		b.slotFree(5 * time.Second)
	}
}

func flood(b *bench) {
	r := b.record(b.w.argv(b), ownSession, 2, 15)
	for range 5000 {
		r.kill(syscall.SIGINT)
	}
	r.kill(syscall.SIGTERM)
	for {
		line, ok := r.said.within(2 * time.Second)
		if !ok {
			b.Fatalf("TERM has not arrived within 2s")
		}
		if line == "got 15" {
			break
		}
	}
	r.finish()
}

// waiting is how many claims wait, where that can be told.
func (b *bench) waiting() int {
	b.Helper()
	var status struct{ Waiting []any }
	if err := json.Unmarshal([]byte(b.limit("status", "--json")), &status); err != nil {
		b.Fatalf("status --json: %v", err)
	}
	return len(status.Waiting)
}

// queued starts a command behind a holder and waits until it is in the queue.
func (b *bench) queued(argv ...string) *program {
	b.Helper()
	p := b.start(b.L(argv...), ownGroup)
	if b.w.has(limitOnly) {
		b.eventually("it waits", patience, func() bool { return b.waiting() == 1 })
	} else {
		b.eventually("it waits", patience, func() bool { return waitsForLock(p.pid()) })
	}
	return p
}

// ownGroup puts a program into a process group of its own, whose parent is outside of it: TSTP does not stop a group
// that is orphaned, as that of a test in CI may be.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// waitsForLock reports whether a process waits for a lock of a file.
func waitsForLock(pid int) bool {
	locks, _ := os.ReadFile("/proc/locks")
	for line := range strings.Lines(string(locks)) {
		if fields := strings.Fields(line); len(fields) > 5 && fields[1] == "->" && fields[5] == fmt.Sprint(pid) {
			return true
		}
	}
	return false
}

func signalWhileWaiting(b *bench) {
	holder := b.start(b.L("sleep", "60"), nil)
	b.eventually("the slot is taken", patience, func() bool { return !b.w.free(b) })
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGPIPE, 35} {
		best := time.Hour
		for range 3 { // the machine may be busy: the best of three
			p := b.queued("touch", b.path("started"))
			sent := time.Now()
			p.kill(sig)
			r := p.wait(patience)
			best = min(best, time.Since(sent))
			if !r.status.Signaled() || r.status.Signal() != sig {
				b.Errorf("%v while waiting: %s", sig, r)
			}
			if b.w.has(limitOnly) && b.waiting() != 0 {
				b.Errorf("%v while waiting: the entry is still in the queue", sig)
			}
		}
		if best > 100*time.Millisecond {
			b.Errorf("%v while waiting: died after %v, want at most 100ms", sig, best)
		}
	}
	p := b.queued("touch", b.path("started"))
	p.kill(syscall.SIGTSTP) // job control is not disturbed
	b.eventually("it is stopped", patience, func() bool { return stopped(p.pid()) })
	p.kill(syscall.SIGCONT)
	p.kill(syscall.SIGTERM)
	p.wait(patience)
	holder.kill(syscall.SIGTERM)
	holder.wait(patience)
	if b.read("started") != "" {
		b.Errorf("a command has started")
	}
	if _, err := os.Stat(b.path("started")); err == nil {
		b.Errorf("a command has started though its wrapper was to end")
	}
}

func signalAnyMoment(b *bench) {
	quick, slow := b.L("true"), b.L("sleep", "60")
	for i := range 1000 {
		argv := quick
		if i%2 == 0 {
			argv = slow
		}
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			b.Fatalf("%v", err)
		}
		delay := time.Duration(rand.Int64N(int64(8 * time.Millisecond)))
		for end := time.Now().Add(delay); time.Now().Before(end); {
			time.Sleep(50 * time.Microsecond)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(patience):
			cmd.Process.Kill()
			b.Fatalf("TERM %v after the start of %q was lost", delay, argv[len(argv)-2:])
		}
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		died := status.Signaled() && status.Signal() == syscall.SIGTERM || status.ExitStatus() == 128+int(syscall.SIGTERM)
		if !died && (i%2 == 0 || status.ExitStatus() != 0) {
			b.Fatalf("TERM %v after the start of %q: it ended with %v", delay, argv[len(argv)-2:], cmd.ProcessState)
		}
		if left := session(cmd.Process.Pid); len(left) != 0 {
			b.Fatalf("TERM %v after the start of %q: it ended with %v, but %d of its processes live", delay, argv[len(argv)-2:], cmd.ProcessState, len(left))
		}
	}
	b.slotFree(5 * time.Second)
}

func storeHangs(b *bench) {
	rec := b.record(b.w.argv(b), ownSession, 10)
	state, err := os.Open(b.path("store/default/state"))
	if err != nil {
		b.Fatalf("%v", err)
	}
	defer state.Close()
	if err := unix.Flock(int(state.Fd()), unix.LOCK_EX); err != nil {
		b.Fatalf("%v", err)
	}
	rec.stdin.Close()
	b.eventually("the command is gone", patience, func() bool { return !alive(rec.command) })
	select {
	case <-rec.done:
		b.Fatalf("the release does not hang: %s", rec.result())
	case <-time.After(200 * time.Millisecond):
	}
	began := time.Now()
	rec.kill(syscall.SIGTERM)
	select {
	case <-rec.done:
	case <-time.After(50 * time.Millisecond):
		rec.kill(syscall.SIGTERM)
	}
	rec.wait(5 * time.Second)
	if took := time.Since(began); took > time.Second {
		b.Errorf("left %v after the first of two signals", took)
	}
	unix.Flock(int(state.Fd()), unix.LOCK_UN)
	b.slotFree(5 * time.Second)
}

func termThenKill(b *bench) {
	best := time.Hour
	for range 3 { // the machine may be busy: the best of three
		argv := append(b.w.timeout(b, "0.5", "0.7"), "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
		r := b.start(argv, ownSession).wait(patience)
		if b.w.name == "limit" && r.code() != 124 || b.w.name != "limit" && r.code() != 137 {
			b.Errorf("a command that ignores TERM: %s", r)
		}
		best = min(best, r.took)
	}
	if off := best - 1200*time.Millisecond; off < -50*time.Millisecond || off > 200*time.Millisecond {
		b.Errorf("a command that ignores TERM is killed after %v, want 1.2s", best)
	}
	argv := append(b.w.timeout(b, "0.5", "30"), "sh", "-c", "kill -STOP $$; exit 3")
	if r := b.start(argv, ownSession).wait(patience); r.code() != 124 || r.took > 5*time.Second {
		b.Errorf("a stopped command: %s, want 124 soon after 0.5s", r)
	}
}

func noEcho(b *bench) {
	for _, whom := range []string{"parent", "group"} {
		b.write("echo.pl", `my ($whom) = @ARGV; my $n = 0; $SIG{TERM} = sub { $n++ };
			kill 'TERM', $whom eq 'parent' ? getppid() : 0;
			for (1..8) { select(undef, undef, undef, 0.05) } print "$n\n"; exit 5;`, 0o600)
		r := b.start(b.L("perl", b.path("echo.pl"), whom), ownSession).wait(patience)
		want := map[string]string{"parent": "0\n", "group": "1\n"}[whom]
		if r.code() != 5 || r.out != want {
			b.Errorf("TERM to its %s: %s; want exit 5 and that it counts %q", whom, r, want)
		}
	}
}

func ciCancel(b *bench) {
	// As a hosted runner cancels, ten times as fast: INT, 7.5 s, TERM, 2.5 s, KILL of all.
	rec := b.record(b.w.argv(b), ownSession, 2, 15)
	rec.kill(syscall.SIGINT)
	rec.expect(2, 750*time.Millisecond)
	rec.kill(syscall.SIGTERM)
	rec.expect(15, 750*time.Millisecond)
	for _, pid := range append(children(rec.pid()), rec.pid()) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	rec.wait(patience)
	b.eventually("the command is gone", patience, func() bool { return !alive(rec.command) })
	b.slotFree(5 * time.Second)
}
