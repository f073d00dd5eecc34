package main

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"time"
)

// socket is where the agent listens.
func (b *bench) socket() string { return filepath.Join(b.dir, "agent", "agent.sock") }

// startAgent starts one for the server and waits until it listens.
func (b *bench) startAgent() error {
	agent := b.command("limit", "agent", "--listen", b.socket())
	if err := agent.Start(); err != nil {
		return err
	}
	b.agent = agent
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("unix", b.socket()); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("the agent never listened at %s", b.socket())
}

// residentShare is the resident set of one of so many that wait, and its share of the agent, in MiB.
func residentShare(waiting int) measurement {
	return func(b *bench) (float64, error) {
		n := waiting
		if b.smoke {
			n = min(n, 8)
		}
		var all []*exec.Cmd
		defer func() {
			for i := range all {
				end(all[len(all)-1-i])
			}
		}()
		start := func(args ...string) (*exec.Cmd, error) {
			cmd := b.command(append([]string{"limit", "run", "-q", "--pool", "p", "--"}, args...)...)
			err := cmd.Start()
			if err == nil {
				all = append(all, cmd)
			}
			return cmd, err
		}
		holder, err := start("sleep", "60")
		if err == nil {
			err = b.untilHeld(holder.Process.Pid)
		}
		var waiter *exec.Cmd
		for i := 0; i < n && err == nil; i++ {
			waiter, err = start("true")
		}
		if err == nil {
			err = b.untilWaiting("p", n)
		}
		if err != nil {
			return 0, err
		}
		own, err := residentOf(waiter.Process.Pid)
		if err != nil {
			return 0, err
		}
		agent, err := residentOfOne(b.agent.Process.Pid)
		return own + agent/float64(n), err
	}
}
