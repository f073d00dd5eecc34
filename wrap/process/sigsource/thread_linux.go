package sigsource

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Raise sends sig to this thread: it takes effect before Raise returns.
func Raise(sig syscall.Signal) { unix.Tgkill(os.Getpid(), unix.Gettid(), sig) }

// WithMask runs f on a thread on which exactly the signals of mask are blocked (bit n-1: signal n).
func WithMask(mask uint64, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old := sigprocmask(unix.SIG_SETMASK, mask)
	defer sigprocmask(unix.SIG_SETMASK, old)
	f()
}

func sigprocmask(how uintptr, set uint64) (old uint64) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, how, uintptr(unsafe.Pointer(&set)), uintptr(unsafe.Pointer(&old)),
		8, 0, 0)
	return old
}

func systemFaults() []syscall.Signal { return []syscall.Signal{syscall.SIGSTKFLT} }
