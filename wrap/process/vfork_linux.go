//go:build linux && (amd64 || arm64)

package process

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Everything in this file runs in the child of a vfork, on the stack of the thread that forked, which sleeps until exec:
// no allocation, no write barrier, no growing of the stack, no call but of system calls. All signals are blocked until
// the last step, so that no handler of this process runs there.

// vforkExec returns in the parent alone. The parent must call afterFork next.
//
//go:noinline
//go:norace
//go:nocheckptr
func vforkExec(l *launch) (pid uintptr, errno syscall.Errno) {
	beforeFork()
	pid, errno = rawVfork()
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	if l.failed = childPrepare(l); l.failed == 0 {
		l.failed = childExec(l)
	}
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 127, 0, 0)
	}
}

//go:nosplit
//go:norace
//go:nocheckptr
func childPrepare(l *launch) syscall.Errno {
	var errno syscall.Errno
	switch {
	case l.session:
		_, _, errno = syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
	case l.group:
		_, _, errno = syscall.RawSyscall(syscall.SYS_SETPGID, 0, 0, 0)
	}
	if errno != 0 {
		return errno
	}
	if l.dir != nil {
		if _, _, errno = syscall.RawSyscall(syscall.SYS_CHDIR, uintptr(unsafe.Pointer(l.dir)), 0, 0); errno != 0 {
			return errno
		}
	}
	if errno = childStandard(l); errno != 0 {
		return errno
	}
	if errno = childKeep(l); errno != 0 {
		return errno
	}
	if l.limit != nil {
		syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, syscall.RLIMIT_NOFILE, uintptr(unsafe.Pointer(l.limit)), 0, 0, 0)
	}
	if len(l.listen) > 0 {
		childListen(l.listen)
	}
	childSignals(l)
	return 0
}

// childStandard puts descriptors 0 to 2 in place: first those that are to move out of the way of each other.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childStandard(l *launch) syscall.Errno {
	for i := 0; i < 3; i++ {
		if l.std[i] >= 0 && l.std[i] < 3 && l.std[i] != i {
			fd, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(l.std[i]), unix.F_DUPFD_CLOEXEC, 3)
			if errno != 0 {
				return errno
			}
			l.std[i] = int(fd)
		}
	}
	for i := 0; i < 3; i++ {
		var errno syscall.Errno
		switch {
		case l.std[i] == asItIs:
		case l.std[i] == closed:
			syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(i), 0, 0)
		case l.std[i] == i:
			_, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(i), syscall.F_SETFD, 0)
		default:
			_, _, errno = syscall.RawSyscall(syscall.SYS_DUP3, uintptr(l.std[i]), uintptr(i), 0)
		}
		if errno != 0 {
			return errno
		}
	}
	return 0
}

// childKeep copies the files to keep to keepFrom and above; lower where the limit of descriptors leaves no room there.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childKeep(l *launch) syscall.Errno {
	for i := 0; i < len(l.keep); i++ {
		_, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(l.keep[i]), syscall.F_DUPFD, keepFrom)
		if errno == syscall.EINVAL {
			_, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(l.keep[i]), syscall.F_DUPFD, 3)
		}
		if errno != 0 {
			return errno
		}
	}
	return 0
}

// childListen writes the digits of this child's own process id, followed by the end of the string.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childListen(digits []byte) {
	pid, _, _ := syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
	length := 0
	for rest := pid; rest > 0; rest /= 10 {
		length++
	}
	for i := length - 1; i >= 0; i-- {
		digits[i] = byte('0' + pid%10)
		pid /= 10
	}
	digits[length] = 0
}

// childSignals sets what is ignored and what is blocked.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childSignals(l *launch) {
	for sig := uintptr(1); sig <= 64; sig++ {
		l.action.handler = sigDefault
		if l.ignored&(1<<(sig-1)) != 0 {
			l.action.handler = sigIgnore
		}
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&l.action)), 0, 8, 0, 0)
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&l.blocked)), 0, 8, 0, 0)
}

// childExec returns when the file cannot be executed. A file that is no program is a script of /bin/sh, as in
// execvp(3).
//
//go:nosplit
//go:norace
//go:nocheckptr
func childExec(l *launch) syscall.Errno {
	_, _, errno := syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(l.path)),
		uintptr(unsafe.Pointer(&l.argv[0])), uintptr(unsafe.Pointer(&l.env[0])))
	if errno == syscall.ENOEXEC {
		_, _, errno = syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(l.shell)),
			uintptr(unsafe.Pointer(&l.shellArgv[0])), uintptr(unsafe.Pointer(&l.env[0])))
	}
	return errno
}
