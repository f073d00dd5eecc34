//go:build linux && (amd64 || arm64) && !portable

package sigsource

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// witnessed marks a report of the witness, in the place of a signal's number.
const witnessed = 1 << 16

// witness is all that the child needs, laid out before the fork.
type witness struct {
	parent   int
	report   int
	ownGroup bool
	name     [16]byte
	title    unsafe.Pointer // of the arguments, to overwrite; nil: they are not in one piece
	length   uintptr
	set      uint64
	info     [16]uint64 // siginfo_t
	record   [4]int32
}

// Watch starts a witness: a copy of this process that does nothing but report each signal that it is sent, with
// Witnessed set. It is in the process group of this process, or in one of its own. Whoever signals a whole group,
// control group or tree signals it too, and whoever means this process alone does not. It holds no files, and dies with
// this process. The caller reaps it.
//
// It is forked, not executed, since it must be there before the command can know its signals, and cost next to nothing.
// It bears another name, so that who looks for the name of this process does not find it.
func (c *Source) Watch(ownGroup bool) (pid int, err error) {
	w := &witness{parent: os.Getpid(), report: c.write, ownGroup: ownGroup, set: ^uint64(0)}
	copy(w.name[:], "(signals)")
	w.title, w.length = arguments()
	var errno syscall.Errno
	WithMask(^uint64(0), func() { pid, errno = forkWitness(w) })
	if errno != 0 {
		return 0, errno
	}
	return pid, nil
}

// arguments returns where the kernel put the arguments of this process.
func arguments() (start unsafe.Pointer, length uintptr) {
	if len(os.Args) == 0 {
		return nil, 0
	}
	for _, arg := range os.Args {
		length += uintptr(len(arg)) + 1
	}
	last := os.Args[len(os.Args)-1]
	first := unsafe.Pointer(unsafe.StringData(os.Args[0]))
	if uintptr(unsafe.Pointer(unsafe.StringData(last)))+uintptr(len(last))+1 != uintptr(first)+length {
		return nil, 0
	}
	return first, length
}

// forkWitness forks. All signals are blocked. The child has this thread alone: from the fork on it makes system calls
// and nothing else, as the runtime does not work there.
//
//go:nosplit
//go:noinline
//go:norace
//go:nocheckptr
func forkWitness(w *witness) (int, syscall.Errno) {
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if pid != 0 || errno != 0 {
		return int(pid), errno
	}
	syscall.RawSyscall6(syscall.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0, 0)
	if parent, _, _ := syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0); parent != uintptr(w.parent) {
		exitWitness()
	}
	closeRange(0, uintptr(w.report)-1)
	closeRange(uintptr(w.report)+1, 1<<20)
	if w.ownGroup {
		syscall.RawSyscall(syscall.SYS_SETPGID, 0, 0, 0)
	}
	syscall.RawSyscall6(syscall.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&w.name)), 0, 0, 0, 0)
	for i := uintptr(0); i < w.length; i++ {
		at := (*byte)(unsafe.Add(w.title, i))
		*at = 0
		if i < uintptr(len(w.name)) {
			*at = w.name[i]
		}
	}
	for {
		sig, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&w.set)),
			uintptr(unsafe.Pointer(&w.info)), 0, 8, 0, 0)
		if errno != 0 {
			continue // EINTR: it was stopped and continued
		}
		w.record[0] = int32(sig) | witnessed
		w.record[1] = int32(w.info[1])
		w.record[2] = int32(w.info[2])
		_, _, errno = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(w.report), uintptr(unsafe.Pointer(&w.record)), 16)
		if errno == syscall.EPIPE || errno == syscall.EBADF {
			exitWitness()
		}
	}
}

//go:nosplit
//go:norace
func exitWitness() {
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// closeRange closes descriptors, one by one where the kernel is older than 5.9.
//
//go:nosplit
//go:norace
func closeRange(first, last uintptr) {
	if _, _, errno := syscall.RawSyscall(unix.SYS_CLOSE_RANGE, first, last, 0); errno == 0 {
		return
	}
	for fd := first; fd <= last && fd < 1<<16; fd++ {
		syscall.RawSyscall(syscall.SYS_CLOSE, fd, 0, 0)
	}
}
