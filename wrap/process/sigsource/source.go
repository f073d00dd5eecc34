// Package sigsource receives the signals of this process with their source: the kernel (a terminal) or a process.
// Package os/signal keeps that to itself, and only the source tells ^C, which the terminal has sent to the command too,
// from kill -INT, which the command must be sent.
//
// On linux/amd64 and linux/arm64 the signals have a handler of their own in assembly: a few instructions that write
// what the kernel says to a pipe. The handler touches nothing of the Go runtime, whose handlers stay in force for all
// other signals. Elsewhere, and with the build tag portable, it is os/signal; then Signal.PID is 0, and Signal.Code is
// a guess.
//
// The assembly relies on two habits of the runtime: each thread has an alternate signal stack, and the runtime does not
// look at a signal's disposition after its start. They were tried with Go 1.26; the tests of package inherited fail
// with a Go version that is not in its list.
package sigsource

import "syscall"

// Signal is a signal that this process received.
type Signal struct {
	Sig  syscall.Signal
	Code int32 // Kernel, User, or another si_code of sigaction(2)
	PID  int   // of the sender; 0: not known, or outside of this PID namespace

	Witnessed bool // the witness received it, not this process: see Watch
}

// Values of Signal.Code.
const (
	User   = 0    // kill(2)
	Kernel = 0x80 // the kernel itself: a terminal, a timer
)

// SentByProcess reports whether a process sent the signal.
func (m Signal) SentByProcess() bool { return m.Code <= User }

// FromTerminal reports whether a terminal sends sig, to all of its foreground group at once.
func FromTerminal(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGWINCH:
		return true
	}
	return false
}

// Faults are the signals by which the kernel reports a fault of the program. Taking them leaves those to the runtime,
// and receives what processes send.
func Faults() []syscall.Signal { return append(portableFaults(), systemFaults()...) }

func portableFaults() []syscall.Signal {
	return []syscall.Signal{
		syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSYS,
	}
}
