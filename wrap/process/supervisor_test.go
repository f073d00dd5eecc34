//go:build linux

package process

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"limit/integration/until"
)

// supervisor returns a Supervisor for one test. Tests of this file cannot run in parallel: children and signals belong
// to a program.
func supervisor(t *testing.T) *Supervisor {
	t.Helper()
	s, err := NewSupervisor(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		signal.Reset()
	})
	return s
}

// script is a command of sh whose output the test reads.
func script(t *testing.T, text string) (Command, *bufio.Reader) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return Command{Path: "/bin/sh", Args: []string{"sh", "-c", text}, Env: os.Environ(), Stdout: w}, bufio.NewReader(r)
}

func start(t *testing.T, s *Supervisor, c Command) *Process {
	t.Helper()
	p, err := s.Start(c)
	if err != nil {
		t.Fatalf("%q: %v", c.Args, err)
	}
	t.Cleanup(func() {
		p.Kill(Stopped)
		<-p.Done()
	})
	return p
}

func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("reading what the command says: %v", err)
	}
	return strings.TrimSpace(s)
}

func await(t *testing.T, p *Process, d time.Duration) Exit {
	t.Helper()
	select {
	case <-p.Done():
		return p.Exit()
	case <-time.After(d):
		t.Fatalf("%q is not done after %v", p.c.Args, d)
		panic("unreachable")
	}
}

// TestTheWitnessIsReaped: what an ended program leaves is a zombie for good where process 1 of a container reaps
// nothing.
func TestTheWitnessIsReaped(t *testing.T) {
	for range 10 {
		s, err := NewSupervisor(nil)
		if err != nil {
			t.Fatal(err)
		}
		command, out := script(t, "echo up; exec sleep 60")
		command.Forward = true
		p := start(t, s, command)
		line(t, out)
		var witness int
		until.That(t, 10*time.Second, "there is a witness", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			witness = s.echoes.witness
			return witness != 0
		})
		syscall.Kill(p.pid, syscall.SIGTERM)
		await(t, p, 10*time.Second)
		s.Close()
		s.ReapHelpers()
		if err := syscall.Kill(witness, 0); err != syscall.ESRCH {
			t.Fatalf("the witness %d is there: %v", witness, err)
		}
	}
	signal.Reset()
}

func alive(pid int) bool { i := find(pid); return i.pid != 0 && !i.dead() }

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestASignalThatNobodyReceivesEndsTheCommands: who should receive it hangs, in a call that nothing ends.
func TestASignalThatNobodyReceivesEndsTheCommands(t *testing.T) {
	unheard := make(chan syscall.Signal, 1)
	s, err := NewSupervisor(unheard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); signal.Reset() })
	command, out := script(t, "trap '' TERM; echo ready; while :; do sleep 1; done")
	command.Group = true
	p := start(t, s, command)
	line(t, out)
	sender, _ := script(t, "kill $PPID") // what this process sends itself does not count
	sender.Group = true
	start(t, s, sender)
	select {
	case sig := <-unheard:
		if sig != syscall.SIGTERM {
			t.Errorf("it leaves by %v, want SIGTERM", sig)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a signal that nobody receives has no effect")
	}
	select {
	case <-s.Asked():
	default:
		t.Error("it does not say that it was asked to end")
	}
	await(t, p, 10*time.Second)
}

func TestACommandEndsAsItEnded(t *testing.T) {
	s := supervisor(t)
	for _, c := range []struct {
		text   string
		code   int
		signal syscall.Signal
	}{
		{"exit 0", 0, 0}, {"exit 255", 255, 0}, {"kill -TERM $$", 0, syscall.SIGTERM}, {"kill -KILL $$", 0, syscall.SIGKILL},
	} {
		command, _ := script(t, c.text)
		got := await(t, start(t, s, command), 10*time.Second)
		if got.Code != c.code || got.Signal != c.signal || got.Reason != Ended || got.Killed {
			t.Errorf("%s: %+v", c.text, got)
		}
	}
}

func TestManyCommandsAtOnceAllEnd(t *testing.T) {
	s := supervisor(t)
	var all []*Process
	for i := range 200 {
		command, _ := script(t, fmt.Sprintf("exit %d", i))
		command.Group = true
		all = append(all, start(t, s, command))
	}
	for i, p := range all {
		if got := await(t, p, 20*time.Second); got.Code != i {
			t.Errorf("command %d ended with %+v", i, got)
		}
	}
}

func TestStartSaysWhyThereIsNoCommand(t *testing.T) {
	s := supervisor(t)
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		command Command
		code    int
	}{
		{Command{Path: dir + "/none"}, CodeNotFound},
		{Command{Path: broken}, CodeNotFound},
		{Command{Path: dir}, CodeNotExecutable},
		{Command{Path: "/bin/true", Dir: dir + "/none"}, CodeNotFound},
		{Command{Path: "/bin/true", Args: []string{"nul\x00in it"}}, CodeNotExecutable},
	} {
		_, err := s.Start(c.command)
		if err == nil || StartCode(err) != c.code {
			t.Errorf("%+v: %v, want an error with code %d", c.command, err, c.code)
		}
	}
	if len(s.procs) != 0 {
		t.Errorf("%d commands are left", len(s.procs))
	}
}

func TestFilesToKeepAreInheritedAtHighNumbers(t *testing.T) {
	s := supervisor(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	command, out := script(t, "readlink /proc/self/fd/100")
	command.Keep = []*os.File{file}
	start(t, s, command)
	if got := line(t, out); got != file.Name() {
		t.Errorf("descriptor 100 of the command is %s, want %s", got, file.Name())
	}
}

func TestFilesAreKeptEvenWhereTheLimitOfDescriptorsIsLow(t *testing.T) {
	s := supervisor(t)
	command, out := script(t, "ulimit -Sn; [ -e /proc/self/fd/100 ] && echo kept")
	command.Keep = []*os.File{os.Stderr}
	start(t, s, command)
	if want := os.Getenv(softLimit); want != "" {
		if limit, kept := line(t, out), line(t, out); limit != want || kept != "kept" {
			t.Errorf("limit %s, descriptor 100 %s; want %s and kept", limit, kept, want)
		}
		return
	}
	again := exec.Command("sh", "-c", "ulimit -Sn 40; exec \"$0\" -test.run '^"+t.Name()+"$'", os.Args[0])
	again.Env = append(os.Environ(), softLimit+"=40")
	if output, err := again.CombinedOutput(); err != nil {
		t.Errorf("behind ulimit -Sn 40: %v\n%s", err, output)
	}
}

// softLimit is the variable by which that test knows that it runs under a limit.
const softLimit = "LIMIT_TEST_SOFT_LIMIT"

func TestStopSignalsTheGroupAndKillsWhatIgnoresIt(t *testing.T) {
	s := supervisor(t)
	command, out := script(t, `sh -c 'trap "" TERM; echo $$; sleep 60; sleep 60' & wait`)
	command.Group, command.Grace = true, 300*time.Millisecond
	p := start(t, s, command)
	stubborn := number(t, line(t, out))
	began := time.Now()
	p.Stop(Stopped)
	got := await(t, p, 10*time.Second)
	took := time.Since(began)
	if got.Signal != syscall.SIGTERM || got.Reason != Stopped || got.Killed {
		t.Errorf("the command: %+v, want it dead of SIGTERM", got)
	}
	if alive(stubborn) {
		t.Errorf("process %d, which ignores SIGTERM, is alive when Done is closed", stubborn)
	}
	if took < 300*time.Millisecond || took > 2*time.Second {
		t.Errorf("took %v, want the grace of 300ms and little more", took)
	}
}

func TestStopDoesNotWaitForTheGraceWhenAllIsGone(t *testing.T) {
	s := supervisor(t)
	command, out := script(t, "echo up; sleep 60 & wait")
	command.Group, command.Grace = true, time.Minute
	p := start(t, s, command)
	line(t, out)
	p.Stop(Stopped)
	await(t, p, 10*time.Second)
}

func TestAStoppedCommandDiesOfTheFirstSignal(t *testing.T) {
	s := supervisor(t)
	command, out := script(t, "echo up; kill -STOP $$")
	command.Group, command.Grace = true, time.Minute
	p := start(t, s, command)
	line(t, out)
	until.That(t, 10*time.Second, "the command is stopped", func() bool { return stateOf(p.pid) == stopped })
	p.Stop(Stopped)
	if got := await(t, p, 10*time.Second); got.Signal != syscall.SIGTERM {
		t.Errorf("%+v, want it dead of SIGTERM", got)
	}
}

func TestTheTimeoutEndsACommandAndIsTheReason(t *testing.T) {
	s := supervisor(t)
	command, _ := script(t, "trap '' TERM; sleep 60; sleep 60")
	command.Group, command.Timeout, command.Grace = true, 100*time.Millisecond, 100*time.Millisecond
	got := await(t, start(t, s, command), 10*time.Second)
	if got.Reason != TimedOut || !got.Killed || got.Signal != syscall.SIGKILL {
		t.Errorf("%+v, want TimedOut and killed", got)
	}
}

func TestByTheDeadlineNothingLivesThoughItLeftGroupAndParents(t *testing.T) {
	s := supervisor(t)
	command, out := script(t, `(setsid sh -c 'trap "" TERM; echo $$; sleep 60; sleep 60' &) ; sleep 60`)
	command.Group, command.Grace, command.Mark = true, 200*time.Millisecond, "LIMIT_TEST_MARK=1"
	command.Env = append(command.Env, command.Mark)
	p := start(t, s, command)
	daemon := number(t, line(t, out))
	deadline := time.Now().Add(500 * time.Millisecond)
	p.StopBy(deadline)
	got := await(t, p, 10*time.Second)
	if got.Reason != Lost || alive(daemon) {
		t.Errorf("%+v, daemon alive: %v; want Lost and dead", got, alive(daemon))
	}
	if late := time.Since(deadline); late > 5*time.Second { // of 120 s; the machine may be busy
		t.Errorf("done %v after the deadline", late)
	}
}

func TestADeadlineCanBeTakenBackUntilItHasBegun(t *testing.T) {
	s := supervisor(t)
	command, out := script(t, "echo up; read x")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	command.Stdin, command.Grace = r, time.Second
	p := start(t, s, command)
	line(t, out)
	p.StopBy(time.Now().Add(time.Hour))
	p.StopBy(time.Now().Add(time.Minute))
	if !p.CancelStop() {
		t.Error("CancelStop found no deadline")
	}
	if p.CancelStop() {
		t.Error("a second CancelStop found one")
	}
	w.Close()
	if got := await(t, p, 10*time.Second); got.Reason != Ended {
		t.Errorf("%+v, want it ended by itself", got)
	}
}

func TestHoldTreeWaitsForDaemons(t *testing.T) {
	s := supervisor(t)
	release := filepath.Join(t.TempDir(), "release")
	if err := syscall.Mkfifo(release, 0o600); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd() // a command with Forward takes this process to /
	if err != nil {
		t.Fatal(err)
	}
	defer os.Chdir(dir)
	command, _ := script(t, `(setsid sh -c 'read x <"$0"' `+release+` &); exit 3`)
	command.Forward, command.HoldTree = true, true
	p := start(t, s, command)
	<-p.Ended()
	select {
	case <-p.Done():
		t.Error("Done before the daemon is gone")
	case <-time.After(200 * time.Millisecond):
	}
	if err := os.WriteFile(release, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	if got := await(t, p, 10*time.Second); got.Code != 3 {
		t.Errorf("%+v, want code 3", got)
	}
}

func TestAProcessWithASessionOfItsOwnIsApart(t *testing.T) {
	s := supervisor(t)
	keeper, up := script(t, "echo up; sleep 60")
	keeper.Session = true
	k := start(t, s, keeper)
	line(t, up)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	defer os.Chdir(dir)
	command, _ := script(t, "exit 0")
	command.Forward, command.HoldTree = true, true
	await(t, start(t, s, command), 10*time.Second)
	command, up = script(t, "echo up; sleep 60")
	command.Forward = true
	p := start(t, s, command)
	line(t, up)
	p.Kill(Lost)
	await(t, p, 10*time.Second)
	if !alive(k.pid) {
		t.Error("the keeper was killed with the command")
	}
}

func TestADisownedChildIsNoPartOfACommand(t *testing.T) {
	s := supervisor(t)
	child, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "60"}, &syscall.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(child, syscall.SIGKILL)
	s.Exclude(child)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	defer os.Chdir(dir)
	command, _ := script(t, "exit 0")
	command.Forward, command.HoldTree = true, true
	await(t, start(t, s, command), 10*time.Second)
	command, up := script(t, "echo up; sleep 60")
	command.Forward = true
	p := start(t, s, command)
	line(t, up)
	p.Kill(Lost)
	await(t, p, 10*time.Second)
	if !alive(child) {
		t.Error("the disowned child was killed with the command")
	}
}

func TestKillTreeFindsDescendantsAndMarkedProcesses(t *testing.T) {
	s := supervisor(t)
	command, out := script(t, `
		(setsid sh -c 'echo $$; exec sleep 60' &)
		sh -c 'echo $$; sleep 60' &
		wait; sleep 60`)
	command.Mark = "LIMIT_TEST_MARK=2"
	command.Env = append(command.Env, command.Mark)
	p := start(t, s, command)
	first, second := number(t, line(t, out)), number(t, line(t, out))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := KillTree(ctx, p.PID(), command.Mark); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{p.PID(), first, second} {
		if alive(pid) {
			t.Errorf("process %d lives", pid)
		}
	}
	if got := await(t, p, 10*time.Second); got.Signal != syscall.SIGKILL {
		t.Errorf("%+v, want SIGKILL", got)
	}
}

func TestAFileOpenForWritingIsTriedAgain(t *testing.T) {
	s := supervisor(t)
	path := filepath.Join(t.TempDir(), "tool")
	data, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { writer.Close() })
	if got := await(t, start(t, s, Command{Path: path}), 10*time.Second); got.Code != 0 {
		t.Errorf("%+v, want success", got)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	s := supervisor(t)
	command, out := script(t, `for i in 1 2 3 4 5; do (sh -c 'echo $$' &); done; wait; sleep 60`)
	command.Group = true
	start(t, s, command)
	for range 5 {
		pid := number(t, line(t, out))
		until.That(t, 10*time.Second, fmt.Sprintf("orphan %d is gone", pid), func() bool { return find(pid).pid == 0 })
	}
}

// A command that leaves a daemon is looked at just while its processes fork and exit.
func TestADaemonInTheMakingIsNotOverlooked(t *testing.T) {
	s := supervisor(t)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	defer os.Chdir(dir)
	for range 100 {
		command, out := script(t, `((( (setsid sh -c 'echo $$; exec sleep 60' &) &) &) &) & exit 3`)
		command.Forward, command.HoldTree = true, true
		p := start(t, s, command)
		command.Stdout.Close()
		daemon := number(t, line(t, out))
		select {
		case <-p.Done():
			t.Fatalf("Done though the daemon %d lives: %v", daemon, alive(daemon))
		case <-time.After(2 * time.Millisecond):
		}
		p.Kill(Stopped)
		await(t, p, 10*time.Second)
		if alive(daemon) {
			t.Fatalf("the daemon %d lives after Kill", daemon)
		}
	}
}

func TestKillTreeCatchesWhatForksMeanwhile(t *testing.T) {
	s := supervisor(t)
	// Each generation makes the next and exits at once.
	hydra := filepath.Join(t.TempDir(), "hydra")
	if err := os.WriteFile(hydra, []byte("#!/bin/sh\n[ -e $0.stop ] || $0 &\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(hydra+".stop", nil, 0o600)
	command, out := script(t, hydra+"; echo up; sleep 60")
	command.Mark = "LIMIT_TEST_MARK=3"
	command.Env = append(command.Env, command.Mark)
	p := start(t, s, command)
	line(t, out)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := KillTree(ctx, p.PID(), command.Mark); err != nil {
		t.Fatal(err)
	}
	await(t, p, 10*time.Second)
	all, _ := processes(command.Mark)
	for _, i := range all {
		if i.marked {
			t.Errorf("process %+v lives", i)
		}
	}
}
