//go:build !linux || (!amd64 && !arm64)

package process

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Without a handler of its own (see catch_linux.go) the catcher does not know who sent a signal: what a
// terminal could have sent counts as sent by it when this process is in its foreground.

const (
	codeUser   = 0
	codeKernel = 0x80
)

type catcher struct {
	ch   chan os.Signal
	done chan struct{}
}

func newCatcher() (*catcher, error) {
	return &catcher{ch: make(chan os.Signal, 128), done: make(chan struct{})}, nil
}

func (c *catcher) take(signals ...syscall.Signal) {
	for _, sig := range signals {
		signal.Notify(c.ch, sig)
	}
}

func (c *catcher) giveBack(signals ...syscall.Signal) {
	for _, sig := range signals {
		signal.Reset(sig)
	}
}

func (c *catcher) receive(_ uint64, each func(sent), settled func()) {
	for {
		select {
		case s := <-c.ch:
			sig := s.(syscall.Signal)
			m := sent{sig: sig}
			if fromTerminalKind(sig) && inForeground() {
				m.code = codeKernel
			}
			each(m)
			settled()
		case <-c.done:
			return
		}
	}
}

func (c *catcher) close() {
	signal.Stop(c.ch)
	close(c.done)
}

func (c *catcher) byDefault(sig syscall.Signal, f func()) {
	signal.Reset(sig)
	f()
	signal.Notify(c.ch, sig)
}

// freshAnswer is longer than awake takes to answer, shorter than a shell is stopped.
const freshAnswer = 2 * time.Millisecond

// stopBy stops this process by sig unless awake says that it is not to. What it says is old if this process was stopped meanwhile, and
// continued: then it is asked again.
func (c *catcher) stopBy(sig syscall.Signal, awake func() bool) (done bool) {
	for raised := false; !raised; {
		asked := time.Now()
		if awake() {
			break
		}
		c.byDefault(sig, func() {
			if raised = time.Since(asked) < freshAnswer; raised {
				raise(sig) // returns when we are continued
			}
		})
	}
	return true
}

// inForeground tells whether this process is in the foreground group of its terminal.
func inForeground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

// setDefault gives sig back to the runtime, which dies of it as the default is; of QUIT and its like it would print its
// stacks first: those are ignored, and DieOf returns.
func setDefault(sig syscall.Signal) {
	switch sig {
	case syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE:
		signal.Ignore(sig)
	default:
		signal.Reset(sig)
	}
}
