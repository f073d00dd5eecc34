//go:build !linux

package fence

import "syscall"

// Witness sees a process that is no child of ours. Without descriptors of processes, one that ended and whose number
// was given to another at once would be taken for it.
type Witness struct{ pid int }

// Watch returns a witness of a process.
func Watch(pid int) *Witness { return &Witness{pid} }

// WatchSame returns a witness of a process.
func WatchSame(p Process) *Witness { return Watch(p.PID) }

// Identify knows no more than the number here.
func Identify(pid int) Process { return Process{PID: pid} }

// Alive reports whether the process has not ended.
func (w *Witness) Alive() bool { return syscall.Kill(w.pid, 0) != syscall.ESRCH }

// Signal sends a signal to the process.
func (w *Witness) Signal(sig syscall.Signal) { syscall.Kill(w.pid, sig) }

// Close ends the watching.
func (w *Witness) Close() {}

// Stopped is not known here: TERM is then left to the wrapper.
func Stopped(int) bool { return false }

// rename is not possible here.
func rename(string) {}

// As lets do act with the rights of this process, if they are those of the user: there is no agent for others here.
func As(uid int, do func()) {
	if uid == syscall.Geteuid() {
		do()
	}
}
