//go:build linux && !cgo && (amd64 || arm64) && !portable

package inherited

//lint:file-ignore U1000 the assembly uses these

import "syscall"

// entry is what the assembly keeps, in this order.
type entry struct {
	ignored, blocked uint64
	closed           uint64 // bit n: descriptor n
}

// atEntry returns what was read before the runtime started.
func atEntry() *entry

// AtStart returns what this program inherited.
func AtStart() State {
	e := atEntry()
	s := State{Known: true, Ignored: e.ignored, Blocked: e.blocked}
	for fd := range s.Closed {
		s.Closed[fd] = e.closed&(1<<fd) != 0
	}
	return s
}

// need is a limit below which the runtime would give up with a traceback, or may do so: the assembly ends the program
// with the message and status 125, or looks whether the tasks can be had.
type need struct {
	resource, least uint64
	message         string
}

// needs was found by trying; the last one is empty.
var needs = [...]need{
	{syscall.RLIMIT_AS, 1468006 << 10,
		"limit: too little address space is allowed; raise the limit (ulimit -v 1468006)\n"},
	{syscall.RLIMIT_DATA, 131072 << 10,
		"limit: too little memory for data is allowed; raise the limit (ulimit -d 131072)\n"},
	{tasks, 512, "limit: too few processes are allowed; limit needs room for 8 more processes and threads " +
		"than this user has: raise the limit (ulimit -u) or end some\n"},
	{},
}

const (
	tasks       = 6 // RLIMIT_NPROC, which package syscall lacks
	tasksNeeded = 8 // threads, the command, and some more
	taskFlags   = syscall.CLONE_VM | syscall.CLONE_FS | syscall.CLONE_FILES | syscall.CLONE_SIGHAND |
		syscall.CLONE_THREAD | syscall.CLONE_SYSVSEM | syscall.CLONE_VFORK
)
