// Package fleet drives the binary against real etcd servers: what becomes of a command when its wrapper, its keeper or
// its network fails.
package fleet

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"limit/integration/binary"
	"limit/integration/children"
	"limit/integration/etcdtest"
	"limit/integration/until"
)

func TestMain(m *testing.M) { os.Exit(binary.Run(m)) }

// run is one limit run.
type run struct {
	*exec.Cmd
	out   bytes.Buffer
	ended chan struct{}
}

// start starts limit in a process group of its own, as a shell with job control does. What is left of it ends with the
// test.
func start(t *testing.T, endpoints []string, args ...string) *run {
	t.Helper()
	backend := "etcd://" + strings.ReplaceAll(strings.Join(endpoints, ","), "http://", "")
	r := &run{Cmd: exec.Command(binary.Path(t), append([]string{"run", "--backend", backend, "--namespace", namespace(t),
		"--ttl", "5s", "--grace", "1s", "--pool", "p"}, args...)...), ended: make(chan struct{})}
	r.Stdout, r.Stderr = &r.out, &r.out
	r.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.WaitDelay = time.Second
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() {
		syscall.Kill(-r.Process.Pid, syscall.SIGCONT)
		r.Process.Kill()
		<-r.ended
		if t.Failed() {
			t.Logf("%s:\n%s", strings.Join(args, " "), r.out.String())
		}
	})
	return r
}

func namespace(t *testing.T) string { return strings.ReplaceAll(t.Name(), "/", "-") }

func (r *run) wait(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-r.ended:
		return r.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("not ended within %s:\n%s", within, r.out.String())
		return 0
	}
}

// victim is a run whose command ignores TERM and has a descendant in a session of its own.
type victim struct {
	*run
	pids   []int // of the command and the descendant
	keeper int
	fence  int
}

func startVictim(t *testing.T, endpoints []string) *victim {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(dir, "victim")
	if err := os.WriteFile(script, []byte(`#!/bin/sh
cd "${0%/*}"
trap "" TERM
setsid sh -c 'trap "" TERM; echo $$ > second; while :; do sleep 1; done' &
echo $$ > first
while :; do sleep 1; done
`), 0o755); err != nil {
		t.Fatal(err)
	}
	v := &victim{run: start(t, endpoints, "--", script)}
	t.Cleanup(func() {
		for _, pid := range v.pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	for _, name := range []string{"first", "second"} {
		v.pids = append(v.pids, await(t, 10*time.Second, "the command writes "+name, func() int {
			text, _ := os.ReadFile(filepath.Join(dir, name))
			pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			return pid
		}))
	}
	v.keeper = await(t, time.Second, "there is a keeper", func() int { return childOf(v.Process.Pid, "__keeper") })
	v.fence = await(t, 10*time.Second, "there is a third guard, under its own name", func() int {
		fence := childOf(v.keeper, "__fence")
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", fence)); string(name) != "claim-fence\n" {
			return 0
		}
		return fence
	})
	t.Cleanup(func() { syscall.Kill(v.keeper, syscall.SIGKILL) }) // it may be stopped
	return v
}

// await polls the outside world until it has an answer but 0.
func await(t *testing.T, within time.Duration, what string, look func() int) int {
	t.Helper()
	found := 0
	until.That(t, within, what, func() bool {
		found = look()
		return found != 0
	})
	return found
}

// childOf finds the child of a process that was started with a verb.
func childOf(parent int, verb string) int {
	for _, child := range children.Of(parent) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
		if strings.Contains(string(line), verb) {
			return child
		}
	}
	return 0
}

const bound = 5*time.Second + 2*time.Second // TTL + 2 s

// crowded is what a crowded machine may add to it: all of these tests run at once. The soak measures the bound itself.
const crowded = 3 * time.Second

// Whatever fails, when the slot is given to another nothing of the command lives, and that is within TTL + 2 s.
func TestNothingOfACommandLivesWhenItsSlotIsGivenAway(t *testing.T) {
	givenAway(t, []fault{
		{"the wrapper is killed", func(v *victim, _ []*etcdtest.Link) { v.Process.Kill() }, -1},
		{"the keeper is killed", func(v *victim, _ []*etcdtest.Link) { syscall.Kill(v.keeper, syscall.SIGKILL) }, 76},
		{"the keeper is stopped", func(v *victim, _ []*etcdtest.Link) { syscall.Kill(v.keeper, syscall.SIGSTOP) }, 76},
		{"the network is cut", func(_ *victim, links []*etcdtest.Link) { cut(links) }, 76},
		{"the network is cut and the wrapper stopped", func(v *victim, links []*etcdtest.Link) {
			syscall.Kill(v.Process.Pid, syscall.SIGSTOP)
			cut(links)
		}, -1},
		{"the network is cut and the wrapper killed", func(v *victim, links []*etcdtest.Link) {
			cut(links)
			v.Process.Kill()
		}, -1},
	})
}

func TestNothingOfACommandLivesThoughWrapperAndKeeperFail(t *testing.T) {
	givenAway(t, []fault{
		{"both guards are killed", both(syscall.SIGKILL, syscall.SIGKILL), -1},
		{"both guards are stopped", both(syscall.SIGSTOP, syscall.SIGSTOP), -1},
		{"the wrapper is killed, the keeper stopped", both(syscall.SIGKILL, syscall.SIGSTOP), -1},
		{"the wrapper is stopped, the keeper killed", both(syscall.SIGSTOP, syscall.SIGKILL), -1},
		{"all of this name are killed", byName(syscall.SIGKILL), -1},
		{"all of this name are stopped", byName(syscall.SIGSTOP), -1},
		{"the third guard is killed and the wrapper stopped", func(v *victim, links []*etcdtest.Link) {
			syscall.Kill(v.fence, syscall.SIGKILL)
			syscall.Kill(v.Process.Pid, syscall.SIGSTOP)
			cut(links)
		}, -1},
	})
}

// fault is what happens to a run.
type fault struct {
	name string
	do   func(v *victim, links []*etcdtest.Link)
	exit int // of the wrapper; -1: it was killed, or is stopped
}

func cut(links []*etcdtest.Link) {
	for _, l := range links {
		l.Cut()
	}
}

// givenAway lets another command wait for the slot while each of these faults happens.
func givenAway(t *testing.T, faults []fault) {
	c := etcdtest.Start(t, etcdtest.Options{})
	var all sync.WaitGroup
	for _, fault := range faults {
		all.Go(func() {
			t.Run(fault.name, func(t *testing.T) {
				links, endpoints := c.NewLinks(t)
				v := startVictim(t, endpoints)
				probe := fmt.Sprintf("for pid in %d %d; do if grep -q '^State:[[:space:]]*[^ZX[:space:]]' /proc/$pid/status 2>/dev/null; then echo OVERLAP $pid; fi; done; echo started", v.pids[0], v.pids[1])
				next := start(t, c.Direct(), "-c", probe)
				since := time.Now()
				fault.do(v, links)
				code := next.wait(t, bound+5*time.Second)
				took := time.Since(since)
				t.Logf("the next command ended %s after the fault", took.Round(time.Millisecond))
				if out := next.out.String(); code != 0 || strings.Contains(out, "OVERLAP") || !strings.Contains(out, "started") {
					t.Errorf("the next command: exit %d\n%s", code, out)
				}
				if took > bound+crowded {
					t.Errorf("the slot was free after %s, bound %s", took, bound)
				}
				if fault.exit >= 0 {
					if code := v.wait(t, 5*time.Second); code != fault.exit {
						t.Errorf("the wrapper exits %d, want %d:\n%s", code, fault.exit, v.out.String())
					}
				}
				for _, l := range links {
					l.Mend()
				}
			})
		})
	}
	all.Wait()
}

// both sends a signal to the wrapper and one to the keeper.
func both(wrapper, keeper syscall.Signal) func(*victim, []*etcdtest.Link) {
	return func(v *victim, _ []*etcdtest.Link) {
		syscall.Kill(v.keeper, keeper)
		syscall.Kill(v.Process.Pid, wrapper)
	}
}

// byName does what pkill does with the program's name, to the processes of this run alone.
func byName(sig syscall.Signal) func(*victim, []*etcdtest.Link) {
	return func(v *victim, _ []*etcdtest.Link) {
		for _, pid := range []int{v.Process.Pid, v.keeper, v.fence} {
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			if program, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", v.Process.Pid)); bytes.Contains(name, bytes.TrimSpace(program)) {
				defer syscall.Kill(pid, sig)
			}
		}
	}
}

// A wrapper that is stopped keeps its slot for as long as its command lives.
func TestAStoppedWrapperKeepsItsSlotPastTheTTL(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	var all sync.WaitGroup
	for name, stop := range map[string]func(r *run) error{
		"SIGSTOP of the wrapper alone": func(r *run) error { return syscall.Kill(r.Process.Pid, syscall.SIGSTOP) },
		"^Z, which stops the job":      func(r *run) error { return syscall.Kill(-r.Process.Pid, syscall.SIGTSTP) },
	} {
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				mark := filepath.Join(t.TempDir(), "go")
				r := start(t, c.Direct(), "-c", "echo up > "+mark+".up; while ! [ -e "+mark+" ]; do sleep 0.05; done; exit 42")
				await(t, 10*time.Second, "the command is up", func() int {
					if _, err := os.Stat(mark + ".up"); err != nil {
						return 0
					}
					return 1
				})
				if err := stop(r); err != nil {
					t.Fatal(err)
				}
				<-time.After(bound) // the lease would have ended by now
				if code := start(t, c.Direct(), "--if-busy", "fail", "-c", "true").wait(t, 10*time.Second); code != 75 {
					t.Errorf("another asks for the slot: exit %d, want 75", code)
				}
				if err := os.WriteFile(mark, nil, 0o644); err != nil {
					t.Fatal(err)
				}
				// More than one CONT may be needed on a busy machine: see the ledger of integration/soak. What is
				// tested is the slot.
				until.That(t, 10*time.Second, "a continued wrapper ends", func() bool {
					syscall.Kill(-r.Process.Pid, syscall.SIGCONT)
					select {
					case <-r.ended:
						return true
					case <-time.After(200 * time.Millisecond):
						return false
					}
				})
				if code := r.wait(t, time.Second); code != 42 {
					t.Errorf("continued, it exits %d, want 42:\n%s", code, r.out.String())
				}
			})
		})
	}
	all.Wait()
}
