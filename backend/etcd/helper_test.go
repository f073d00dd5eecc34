package etcd

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"limit/backend"
	"limit/backend/etcd/fence"
	"limit/backend/etcd/keeper"
	"limit/integration/etcdtest"
	"limit/integration/until"
	"limit/wrap/process"
)

// helperVariable makes this test binary a process of the fleet in place of running tests.
const helperVariable = "LIMIT_ETCD_HELPER"

// task is what such a process is to do, in the variable as JSON.
type task struct {
	Options  Options
	Claim    backend.Claim
	NoWait   bool
	Aside    bool   // stand aside and up again once it is held
	Settings int    // change the limit of pool p to this first
	Crash    string // kill -9 itself at this point of the protocol
	Skip     int    // but not the first so many times

	Agent string        // be an agent that listens here, with its notes beside
	Idle  time.Duration // that agent's idleFor; 0: as in use
	Dial  string        // enter the claim with the agent that listens here
	PID   int           // of the command of the claim, once it is held
}

func TestMain(m *testing.M) {
	if os.Args[0] == "claim-fence" {
		if fence.Main(context.Background(), process.KillTree) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if text := os.Getenv(helperVariable); text != "" {
		if err := help(text); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// help enters the claim, says so on standard output, line by line, and releases it when standard input ends.
func help(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	ctx := context.Background()
	if t.Agent != "" {
		return helpAsAgent(ctx, &t)
	}
	if t.Dial != "" {
		c, err := keeper.Dial(ctx, t.Dial, t.Options)
		if err != nil {
			return err
		}
		defer c.Close()
		return t.hold(ctx, c)
	}
	s, err := open(ctx, t.Options, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	s.hook = t.hook
	if t.Settings != 0 {
		return s.ChangeSettings(ctx, func(settings *backend.Settings, _ bool) error {
			settings.Pools = map[string]backend.Pool{"p": {Limit: t.Settings}}
			return nil
		})
	}
	return t.hold(ctx, s)
}

// hold enters the claim and keeps it until standard input ends.
func (t *task) hold(ctx context.Context, b backend.Backend) error {
	e, err := b.Enter(ctx, t.Claim, backend.EnterOptions{NoWait: t.NoWait})
	if err != nil {
		return err
	}
	fmt.Println("entered")
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	for {
		select {
		case event := <-e.Events():
			fmt.Println(eventName(event.Kind), event.Reason)
			if event.Kind == backend.Granted && t.PID != 0 {
				e.Started(t.PID)
			}
			if event.Kind == backend.Granted && t.Aside {
				t.Aside = false
				if err := e.Yield(ctx); err != nil {
					return err
				}
				if err := e.Reacquire(ctx); err != nil {
					return err
				}
			}
		case <-ended:
			return e.Release(ctx)
		}
	}
}

// hook kills this process at the point that it is to crash at.
func (t *task) hook(point string) {
	if point != t.Crash {
		return
	}
	if t.Skip--; t.Skip < 0 {
		fmt.Println("crash", point)
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func helpAsAgent(ctx context.Context, t *task) error {
	os.Remove(t.Agent)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: t.Agent})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	a := newAgent(process.KillTree)
	a.hook = t.hook
	if t.Idle != 0 {
		a.idleFor = t.Idle
	}
	fmt.Println("listens")
	return a.run(ctx, l, keeper.AgentConfig{Options: t.Options, State: t.Agent + ".state"}, nil,
		slog.New(slog.DiscardHandler))
}

func eventName(k backend.EventKind) string {
	return [...]string{"granted", "blocked", "cancelled", "refused", "unreachable", "reachable", "lost"}[k]
}

// helper is such a process.
type helper struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines chan string
	ended chan struct{}
}

func start(t testing.TB, do task) *helper {
	t.Helper()
	text, err := json.Marshal(do)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), helperVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &helper{cmd: cmd, stdin: stdin, lines: make(chan string, 100), ended: make(chan struct{})}
	go func() {
		for scan := bufio.NewScanner(stdout); scan.Scan(); {
			h.lines <- scan.Text()
		}
		close(h.lines)
		cmd.Wait()
		close(h.ended)
	}()
	t.Cleanup(func() { h.kill() })
	return h
}

func (h *helper) kill() {
	h.cmd.Process.Kill()
	<-h.ended
}

// hears waits for a line that begins with the word.
func (h *helper) hears(t testing.TB, within time.Duration, word string) {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		select {
		case line, ok := <-h.lines:
			if !ok {
				t.Fatalf("the process ended before it said %q", word)
			}
			if strings.HasPrefix(line, word) {
				return
			}
			t.Logf("heard before %s: %s", word, line)
		case <-timer.C:
			t.Fatalf("the process did not say %q within %s", word, within)
		}
	}
}

func helperOptions(c *etcdtest.Cluster, namespace string) Options {
	return Options{Endpoints: c.Endpoints(), Namespace: namespace, TTL: 5 * time.Second, Grace: 500 * time.Millisecond}
}

// eventually polls the outside world.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	until.That(t, within, what, ok)
	return time.Since(start)
}

// fenceProgram is this test binary as the third guard.
var fenceProgram = []string{os.Args[0]}
