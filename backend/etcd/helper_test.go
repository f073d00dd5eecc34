package etcd

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"limit/backend"
	"limit/integration/etcdtest"
	"limit/integration/until"
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
}

func TestMain(m *testing.M) {
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
	s, err := open(ctx, t.Options, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	s.hook = func(point string) {
		if point != t.Crash {
			return
		}
		if t.Skip--; t.Skip < 0 {
			fmt.Println("crash", point)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if t.Settings != 0 {
		return s.ChangeSettings(ctx, func(settings *backend.Settings, _ bool) error {
			settings.Pools = map[string]backend.Pool{"p": {Limit: t.Settings}}
			return nil
		})
	}
	e, err := s.Enter(ctx, t.Claim, backend.EnterOptions{NoWait: t.NoWait})
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
			if event.Kind == backend.Granted && t.Aside {
				t.Aside = false
				if err := e.StandAside(ctx); err != nil {
					return err
				}
				if err := e.StandUp(ctx); err != nil {
					return err
				}
			}
		case <-ended:
			return e.Release(ctx)
		}
	}
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
