package main

import (
	"fmt"
	"net"
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
