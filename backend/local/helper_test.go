package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"limit/backend"
	"limit/integration/until"
)

// patience is how long something that must happen may take.
const patience = 20 * time.Second

// The tests start this binary again as other processes: helper says what such a process does.
const helperVariable = "LIMIT_LOCAL_TEST_HELPER"

func TestMain(m *testing.M) {
	if what := os.Getenv(helperVariable); what != "" {
		os.Exit(helper(what, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// helper runs one of the processes that tests start. It speaks in lines on its standard output.
func helper(what string, args []string) int {
	err := fmt.Errorf("no helper %q", what)
	switch what {
	case "claim":
		err = helperClaim(args, false)
	case "run":
		err = helperClaim(args, true)
	case "crash":
		err = helperCrash(args)
	case "poor":
		err = helperPoor(args)
	case "visit":
		err = helperVisit(args)
	case "raise":
		err = helperRaise(args)
	}
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	return 0
}

// helperClaim (DIR POOL SLOTS [COMMAND…]) claims, runs the command with the claim's descriptor, and releases when its
// standard input ends; with wait, when the command has ended too.
func helperClaim(args []string, wait bool) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: args[0], Create: true, recheck: time.Hour})
	if err != nil {
		return err
	}
	slots, _ := strconv.Atoi(args[2])
	c := newClaim(args[1], slots)
	c.PID = os.Getpid()
	e, err := s.Enter(ctx, c, backend.EnterOptions{})
	if err != nil {
		return err
	}
	if e.Claim().Grant == nil {
		fmt.Println("waiting", c.ID)
	}
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	var command sync.WaitGroup
	for {
		select {
		case ev := <-e.Events():
			switch ev.Kind {
			case backend.Granted:
				if err := announce(e, args[3:], &command); err != nil {
					return err
				}
			case backend.Blocked:
			default:
				fmt.Println("event", ev.Kind, ev.Reason)
			}
			continue
		case <-ended:
		}
		if wait {
			command.Wait()
		}
		if err := e.Release(ctx); err != nil {
			return err
		}
		fmt.Println("released")
		return s.Close()
	}
}

// announce starts the command, if any, and says granted, with the command's number.
func announce(e backend.Entry, command []string, running *sync.WaitGroup) error {
	pid := 0
	if len(command) > 0 {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.ExtraFiles = []*os.File{e.Inherit()}
		if err := cmd.Start(); err != nil {
			return err
		}
		pid = cmd.Process.Pid
		e.Started(pid)
		running.Go(func() { cmd.Wait() })
	}
	fmt.Println("granted", e.Claim().Grant.Token, pid)
	return nil
}

// process is one that a test has started.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
}

// launch starts a helper. It is killed at the end of the test.
func launch(t testing.TB, what string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), lines: make(chan string, 64)}
	p.cmd.Env = append(os.Environ(), helperVariable+"="+what)
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		stdin.Close()
		stdout.Close()
		for range p.lines {
		}
		<-read
		p.cmd.Wait()
	})
	return p
}

// says waits for a line that begins with a word, and returns its fields.
func (p *process) says(word string) []string {
	p.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case line, open := <-p.lines:
		fields := strings.Fields(line)
		if !open || len(fields) == 0 || fields[0] != word {
			p.t.Fatalf("process %d said %q (open %t), want %s", p.cmd.Process.Pid, line, open, word)
		}
		return fields
	case <-timeout.C:
		p.t.Fatalf("process %d did not say %s within %s", p.cmd.Process.Pid, word, patience)
	}
	return nil
}

// quiet fails if the process has said anything.
func (p *process) quiet() {
	p.t.Helper()
	select {
	case line := <-p.lines:
		p.t.Fatalf("process %d said %q", p.cmd.Process.Pid, line)
	default:
	}
}

func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
}

// killPID kills a command that a helper has started.
func killPID(t testing.TB, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil || n < 2 {
		t.Fatalf("no process %q", pid)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		t.Fatal(err)
	}
}

// snapshot is what the store shows.
func snapshot(t testing.TB, s *Store) *backend.Snapshot {
	t.Helper()
	snap, err := s.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// eventually polls for something outside this process.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	until.That(t, patience, "there is "+what, ok)
}

// limitPool sets a pool's limit.
func limitPool(t testing.TB, s *Store, pool string, limit int) {
	t.Helper()
	err := s.ChangeSettings(context.Background(), func(st *backend.Settings, _ bool) error {
		if st.Pools == nil {
			st.Pools = map[string]backend.Pool{}
		}
		st.Pools[pool] = backend.Pool{Limit: limit}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// next is the next event of a claim but for what blocks it.
func next(t testing.TB, e backend.Entry) backend.Event {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case ev := <-e.Events():
			if ev.Kind != backend.Blocked {
				return ev
			}
		case <-timeout:
			t.Fatalf("nothing has happened to the claim within %s", patience)
		}
	}
}
