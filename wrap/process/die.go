package process

import (
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"limit/wrap/process/sigsource"
)

// DieOf ends this process by sig, without a core file, so that its parent sees what it would have seen of
// the command. Where no signal can do that (process 1 of a container, or a harmless one) it returns
// 128+sig, the code to exit with.
func DieOf(sig syscall.Signal) int {
	forbidCore()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sigsource.SetDefault(sig)
	sigsource.Raise(sig)
	return 128 + int(sig)
}

// survivePipe keeps the runtime from dying of a write to a standard output or error that nobody reads.
func survivePipe() { signal.Ignore(syscall.SIGPIPE) }

func isSessionLeader() bool {
	sid, err := unix.Getsid(0)
	return err == nil && sid == unix.Getpid()
}
