//go:build !linux || (!amd64 && !arm64) || portable

package sigsource

import (
	"errors"
	"math/bits"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Without a handler of its own Source does not know who sent a signal: what a
// terminal could have sent counts as sent by it when this process is in its foreground.

// Source receives signals. There is one in a program.
type Source struct {
	ch   chan os.Signal
	done chan struct{}
}

// New returns a Source that has taken no signals yet.
func New() (*Source, error) {
	return &Source{ch: make(chan os.Signal, 128), done: make(chan struct{})}, nil
}

// Take routes signals to Receive.
func (c *Source) Take(signals ...syscall.Signal) {
	for _, sig := range signals {
		signal.Notify(c.ch, sig)
	}
}

// GiveBack undoes Take.
func (c *Source) GiveBack(signals ...syscall.Signal) {
	for _, sig := range signals {
		signal.Reset(sig)
	}
}

// Tick does nothing here: it is for the reports of a witness.
func (c *Source) Tick() {}

// Watch is not supported here.
func (c *Source) Watch(bool) (pid int, err error) { return 0, errors.ErrUnsupported }

// Receive calls each for every signal until Close, and settled when it has done so for all that came.
func (c *Source) Receive(_ uint64, each func(Signal), settled func()) {
	for {
		select {
		case s := <-c.ch:
			sig := s.(syscall.Signal)
			m := Signal{Sig: sig}
			if FromTerminal(sig) && inForeground() {
				m.Code = Kernel
			}
			each(m)
			settled()
		case <-c.done:
			return
		}
	}
}

// Close ends Receive.
func (c *Source) Close() {
	signal.Stop(c.ch)
	close(c.done)
}

func (c *Source) byDefault(sig syscall.Signal, f func()) {
	signal.Reset(sig)
	f()
	signal.Notify(c.ch, sig)
}

// freshAnswer is longer than awake takes to answer, shorter than a shell is stopped.
const freshAnswer = 2 * time.Millisecond

// StopBy stops this process by sig unless awake says that it is not to. What it says is old if this process was stopped
// meanwhile, and continued: then it is asked again.
func (c *Source) StopBy(sig syscall.Signal, awake func() bool) (done bool) {
	for raised := false; !raised; {
		asked := time.Now()
		if awake() {
			break
		}
		c.byDefault(sig, func() {
			if raised = time.Since(asked) < freshAnswer; raised {
				Raise(sig) // returns when we are continued
			}
		})
	}
	return true
}

// inForeground reports whether this process is in the foreground group of its terminal.
func inForeground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

// Ignore has this process ignore the signals of a set (bit n-1: signal n), as far as the runtime lets it.
func Ignore(set uint64) {
	for ; set != 0; set &= set - 1 {
		signal.Ignore(syscall.Signal(bits.TrailingZeros64(set) + 1))
	}
}

// SetDefault gives sig back to the runtime, which dies of it as the default is; of QUIT and its like it would print its
// stacks first: those are ignored, and SetDefault returns having done nothing else.
func SetDefault(sig syscall.Signal) {
	switch sig {
	case syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGSEGV,
		syscall.SIGBUS, syscall.SIGFPE:
		signal.Ignore(sig)
	default:
		signal.Reset(sig)
	}
}
