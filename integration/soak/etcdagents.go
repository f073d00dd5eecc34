//go:build linux

package soak

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"limit/integration/binary"
	"limit/integration/until"
)

// agent is the limit agent of a machine, one after the other.
type agent struct {
	m     *machine
	dir   string // its socket, and what the next one takes over
	log   string
	t     testing.TB
	mu    sync.Mutex // one fault at a time
	cmd   *exec.Cmd
	ended chan struct{}
}

// newAgent gives a machine an agent that all its calls use.
func newAgent(t testing.TB, m *machine) *agent {
	t.Helper()
	a := &agent{m: m, dir: filepath.Join(t.TempDir(), "agent"), t: t}
	a.log = filepath.Join(t.TempDir(), "log")
	m.client.Env = append(m.client.Env, "LIMIT_AGENT="+a.socket())
	a.start()
	t.Cleanup(func() {
		a.end(syscall.SIGKILL)
		if text, _ := os.ReadFile(a.log); t.Failed() {
			t.Logf("what the agents of %s said at last:\n%s", m.client.Name, text[max(0, len(text)-4000):])
		}
	})
	return a
}

func (a *agent) socket() string { return filepath.Join(a.dir, "agent.sock") }

// start starts it and waits until it listens.
func (a *agent) start() {
	argv := append(slices.Clone(a.m.client.Before), binary.Path(a.t), "agent", "--listen", a.socket())
	a.cmd, a.ended = exec.Command(argv[0], argv[1:]...), make(chan struct{})
	a.cmd.Env = append(os.Environ(), a.m.mark, "LIMIT_CONFIG="+a.m.config)
	log, err := os.OpenFile(a.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err := errors.Join(err, os.MkdirAll(a.dir, 0o700)); err != nil {
		a.t.Error(err)
	}
	defer log.Close()
	a.cmd.Stderr = log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := a.cmd.Start(); err != nil {
		a.t.Error(err)
		close(a.ended)
		return
	}
	go func(cmd *exec.Cmd, ended chan struct{}) { cmd.Wait(); close(ended) }(a.cmd, a.ended)
	if !until.Within(10*time.Second, a.listens) {
		a.t.Errorf("the agent of %s does not listen", a.m.client.Name)
	}
}

func (a *agent) listens() bool {
	c, err := net.Dial("unix", a.socket())
	if err == nil {
		c.Close()
	}
	return err == nil
}

func (a *agent) end(sig syscall.Signal) {
	a.cmd.Process.Signal(sig)
	<-a.ended
}

// agentFaults befall the agent of a machine; the next one is started before it is over.
func (f *fleet) agentFaults() []Fault {
	lane := Lane{"agents", 4 * time.Second}
	fault := func(kind string, weight int, do func(ctx context.Context, r *rand.Rand, a *agent)) Fault {
		return Fault{kind, weight, lane, func(ctx context.Context, r *rand.Rand, _ *Field) bool {
			a := f.machines[r.IntN(len(f.machines))].agent
			a.mu.Lock()
			defer a.mu.Unlock()
			do(ctx, r, a)
			return true
		}}
	}
	away := func(sig syscall.Signal, least, most time.Duration) func(context.Context, *rand.Rand, *agent) {
		return func(ctx context.Context, r *rand.Rand, a *agent) {
			a.end(sig)
			rest(ctx, between(r, least, most))
			a.start()
		}
	}
	return []Fault{
		fault("agent restarted", 4, away(syscall.SIGTERM, 0, 500*time.Millisecond)),
		fault("agent killed and started", 4, away(syscall.SIGKILL, 0, time.Second)),
		fault("agent killed for longer than the fence", 2, away(syscall.SIGKILL, etcdFence, etcdTTL+3*time.Second)),
		fault("agent reads its rules again", 1, func(_ context.Context, _ *rand.Rand, a *agent) {
			a.cmd.Process.Signal(syscall.SIGHUP)
		}),
		fault("stop agent", 4, func(ctx context.Context, r *rand.Rand, a *agent) {
			a.cmd.Process.Signal(syscall.SIGSTOP)
			share := r.Float64()
			rest(ctx, time.Duration(2*float64(etcdTTL)*share*share))
			a.cmd.Process.Signal(syscall.SIGCONT)
		}),
	}
}
