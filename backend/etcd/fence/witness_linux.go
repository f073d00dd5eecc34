package fence

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"limit/backend/proc"
)

// Witness sees a process that is no child of ours, and never mistakes another of the same number for it.
type Witness struct {
	pid int

	mu sync.Mutex
	fd int // of the process; -1: it was gone already
}

// Watch returns a witness of a process.
func Watch(pid int) *Witness {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		fd = -1
	}
	return &Witness{pid: pid, fd: fd}
}

// WatchSame returns a witness of a process, if that is still the one that it was.
func WatchSame(p Process) *Witness {
	w := Watch(p.PID)
	if w.fd >= 0 && Identify(p.PID) != p {
		w.Close()
	}
	return w
}

// Identify tells a process from all others that have or had its number. A process that this one does not see is
// the zero Process.
func Identify(pid int) Process {
	p := proc.Of(pid)
	if p.PID == 0 {
		return Process{}
	}
	return Process{pid, strconv.FormatUint(p.Start, 10)}
}

// Alive reports whether the process has not ended.
func (w *Witness) Alive() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fd < 0 {
		return false
	}
	return !proc.Ended(w.fd)
}

// Signal sends a signal to the process, if it has not ended.
func (w *Witness) Signal(sig syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fd >= 0 {
		unix.PidfdSendSignal(w.fd, sig, nil, 0) // gone is what was wanted
	}
}

// Close ends the watching.
func (w *Witness) Close() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fd >= 0 {
		unix.Close(w.fd)
		w.fd = -1
	}
}

// Stopped reports whether a process is stopped by a signal.
func Stopped(pid int) bool {
	state := proc.Of(pid).State
	return state == 'T' || state == 't'
}

// rename gives this process another name than its program has, so that a signal sent by name to limit does not reach
// it.
func rename(name string) {
	os.WriteFile("/proc/self/comm", []byte(name), 0) // without /proc it keeps its program's
}

// As lets do act with the rights of a user, so that the kernel spares what the user may not signal. It does nothing
// where this process has not the right to be that user.
func As(uid int, do func()) {
	if uid == os.Geteuid() {
		do()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread, which alone becomes the user, ends with the goroutine
		if _, _, failed := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); failed == 0 {
			do()
		}
	}()
	<-done
}
