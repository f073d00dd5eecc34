package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"limit/integration/children"
)

// resident is the resident set of a wrapper, in MiB, while its command runs (waiting is 0), or of the last of so many
// that wait behind it. of measures it, from the wrapper's process and the number of those that wait.
func resident(waiting int, of func(b *bench, pid, waiting int) (float64, error)) measurement {
	return func(b *bench) (float64, error) {
		n := waiting
		if b.smoke {
			n = min(n, 8)
		}
		last := b.command("limit", "run", "-q", "--pool", "p", "--", "sleep", "60")
		if err := last.Start(); err != nil {
			return 0, err
		}
		defer end(last)
		if err := b.untilHeld(last.Process.Pid); err != nil {
			return 0, err
		}
		for range n {
			last = b.command("limit", "run", "-q", "--pool", "p", "--", "true")
			if err := last.Start(); err != nil {
				return 0, err
			}
			defer end(last)
		}
		if n > 0 {
			if err := b.untilWaiting("p", n); err != nil {
				return 0, err
			}
		}
		return of(b, last.Process.Pid, n)
	}
}

// withKeeper measures a wrapper with its keeper, if it has one.
func withKeeper(_ *bench, pid, _ int) (float64, error) { return residentOf(pid) }

// withShare measures a wrapper with its share of the agent.
func withShare(b *bench, pid, waiting int) (float64, error) {
	own, err := residentOf(pid)
	if err != nil {
		return 0, err
	}
	agent, err := residentOfOne(b.agent.Process.Pid)
	return own + agent/float64(waiting), err
}

// residentCtl is the resident set of an etcdctl that waits for a lock, in MiB.
func residentCtl(name string) measurement {
	return func(b *bench) (float64, error) {
		lock := func() (*exec.Cmd, error) {
			cmd := b.command(b.lock(name, "resident", "sleep", "5")...) // it waits for its command before it ends
			return cmd, cmd.Start()
		}
		holder, err := lock()
		if err != nil {
			return 0, err
		}
		defer end(holder)
		if err := b.untilLocks(name, 1); err != nil {
			return 0, err
		}
		waiter, err := lock()
		if err != nil {
			return 0, err
		}
		defer end(waiter)
		if err := b.untilLocks(name, 2); err != nil {
			return 0, err
		}
		return residentOf(waiter.Process.Pid)
	}
}

// untilLocks waits until so many hold or wait for the lock "resident".
func (b *bench) untilLocks(name string, n int) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, err := b.command(name, "--endpoints", b.server.address, "get", "--prefix", "--keys-only",
			"resident/").Output()
		if err != nil {
			return err
		}
		if strings.Count(string(out), "resident/") == n {
			return nil
		}
	}
	return fmt.Errorf("%d never came to the lock", n)
}

// residentOf is the resident set of a process, and of a keeper of claims that it has started, in MiB.
func residentOf(pid int) (float64, error) {
	total, err := residentOfOne(pid)
	if err != nil {
		return 0, err
	}
	for _, child := range children.Of(pid) {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child))
		if err != nil || string(comm) != "limit-keeper\n" {
			continue
		}
		more, err := residentOfOne(child)
		if err != nil {
			return 0, err
		}
		total += more
	}
	return total, nil
}

func residentOfOne(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(data), "VmRSS:")
	if !found {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	kilobytes, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kilobytes / 1024, err
}

// end ends a command and waits for it.
func end(cmd *exec.Cmd) {
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
}
