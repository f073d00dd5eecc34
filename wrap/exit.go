package wrap

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"limit/wrap/process"
)

// Exit codes of limit itself; every other one is the command's.
const (
	CodeBusy      = 75  // no slot: busy, gave up waiting, or cancelled while waiting
	CodeLost      = 76  // the slot was lost while the command ran, and it was stopped
	CodeTimeout   = 124 // --timeout
	CodeFailed    = 125 // limit itself failed
	CodeCannotRun = 126 // the command cannot be executed
	CodeNotFound  = 127 // there is no such command
)

// Exit is how limit ends: with a code, or by a signal as the command did.
type Exit struct {
	Code   int
	Signal syscall.Signal
	Told   bool // a signal asked the command to end
}

// Patience is how long the last events and messages wait for a reader that does not read, when all else is done. Who
// has sent a signal does not want to wait.
func (e Exit) Patience() time.Duration {
	if e.Told || e.Signal != 0 {
		return 200 * time.Millisecond
	}
	return 2 * time.Second
}

// String is exited 3, was killed by SIGTERM.
func (e Exit) String() string {
	if e.Signal != 0 {
		return "was killed by " + SignalName(e.Signal)
	}
	return fmt.Sprintf("exited %d", e.Code)
}

// exitOf decides the end of limit by that of the command.
func exitOf(e process.Exit) Exit {
	switch {
	case e.Reason == process.TimedOut:
		return Exit{Code: CodeTimeout, Told: e.Told}
	case e.Reason == process.Lost:
		return Exit{Code: CodeLost, Told: e.Told}
	case e.Signal != 0:
		return Exit{Signal: e.Signal, Told: e.Told}
	default:
		return Exit{Code: e.Code, Told: e.Told}
	}
}

// Signals beyond those that have a name of their own are real-time signals.
const (
	sigRTMin = 34 // as the C library counts: the kernel's first two are its own
	sigRTMax = 64
)

// SignalName returns SIGTERM for 15, SIGRTMIN+1 for 35.
func SignalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	if sig == sigRTMin {
		return "SIGRTMIN"
	}
	return fmt.Sprintf("SIGRTMIN+%d", int(sig)-sigRTMin)
}

// ParseSignal reads TERM, SIGTERM, 15, RTMIN+3.
func ParseSignal(s string) (syscall.Signal, error) {
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	n, base := 0, 0
	if rest, ok := strings.CutPrefix(name, "RTMIN"); ok {
		if base = sigRTMin; rest == "" {
			return sigRTMin, nil
		}
		name = strings.TrimPrefix(rest, "+")
	}
	if _, err := fmt.Sscanf(name+" ", "%d ", &n); err != nil || base+n < 1 || base+n > sigRTMax ||
		fmt.Sprint(n) != name {
		return 0, fmt.Errorf("%q is not a signal; use a name such as TERM or INT, or a number from 1 to %d", s,
			sigRTMax)
	}
	return syscall.Signal(base + n), nil
}
