//go:build !linux

package etcd

import "syscall"

// witness sees a process that is no child of ours. Without descriptors of processes, one that ended and whose number was given to
// another at once would be taken for it.
type witness struct{ pid int }

func watchProcess(pid int) *witness { return &witness{pid} }

func (w *witness) alive() bool { return syscall.Kill(w.pid, 0) != syscall.ESRCH }

func (w *witness) signal(sig syscall.Signal) { syscall.Kill(w.pid, sig) }

func (w *witness) close() {}

// stoppedProcess is not known here: the keeper then leaves TERM to the wrapper.
func stoppedProcess(int) bool { return false }

// closeInherited has no list of descriptors to go by.
func closeInherited() {}
