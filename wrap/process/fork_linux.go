//go:build linux && (amd64 || arm64)

package process

import (
	"syscall"
	"unsafe"

	"limit/wrap/process/inherited"
)

// launch is all that the child needs between fork and exec, laid out before the fork: the child shares the memory of this
// process until exec (vfork) and may neither allocate nor grow its stack.
//
// syscall.ForkExec does not do: it resets ignored signals, replaces all descriptors above 2, and
// knows neither LISTEN_PID nor scripts without a #! line.
type launch struct {
	path      *byte
	argv      []*byte // ends with nil
	shell     *byte   // /bin/sh, for a file that is no program
	shellArgv []*byte
	env       []*byte
	listen    []byte // where in env the digits of LISTEN_PID go; nil: nowhere
	dir       *byte  // nil: stay
	std       [3]int // descriptor to become this one, or one of the constants below
	keep      []int
	group     bool
	session   bool
	ignored   uint64 // signals to ignore; all others are at their default
	blocked   uint64
	limit     *[2]uint64 // RLIMIT_NOFILE, soft and hard; nil: stays
	action    kernelSigaction
	failed    syscall.Errno // why the child could not exec
}

const (
	asItIs = -1
	closed = -2
)

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

// rawVfork is clone(CLONE_VFORK|CLONE_VM|SIGCHLD) that returns twice, first in the child.
func rawVfork() (pid uintptr, errno syscall.Errno)

// fork starts c. The Supervisor's lock is held: nobody else waits for the child meanwhile.
func fork(c *Command, in *inherited.State) (pid int, err error) {
	l, err := newLaunch(c, in)
	if err != nil {
		return 0, err
	}
	syscall.ForkLock.Lock()
	child, errno := vforkExec(l)
	afterFork()
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return 0, errno
	}
	if l.failed != 0 {
		syscall.Wait4(int(child), nil, 0, nil)
		return 0, l.failed
	}
	return int(child), nil
}

func newLaunch(c *Command, in *inherited.State) (*launch, error) {
	l := &launch{group: c.Group, session: c.Session, ignored: in.Ignored, blocked: in.Blocked}
	var err error
	if l.path, err = syscall.BytePtrFromString(c.Path); err != nil {
		return nil, err
	}
	if l.argv, err = syscall.SlicePtrFromStrings(c.Args); err != nil {
		return nil, err
	}
	env, listen := listenEnv(c.Env)
	if l.env, err = syscall.SlicePtrFromStrings(env); err != nil {
		return nil, err
	}
	if listen >= 0 {
		l.listen = unsafe.Slice(l.env[listen], len(env[listen]))[len(listenPID):]
	}
	if c.Dir != "" {
		if l.dir, err = syscall.BytePtrFromString(c.Dir); err != nil {
			return nil, err
		}
	}
	l.shell, _ = syscall.BytePtrFromString("/bin/sh")
	l.shellArgv = append([]*byte{l.shell, l.path}, l.argv[min(1, len(l.argv)-1):]...)
	l.setFiles(c, in)
	l.limit = originalLimit(in)
	return l, nil
}

func (l *launch) setFiles(c *Command, in *inherited.State) {
	for fd, f := range c.std() {
		switch {
		case f != nil:
			l.std[fd] = int(f.Fd())
		case in.Closed[fd]:
			l.std[fd] = closed
		default:
			l.std[fd] = asItIs
		}
	}
	for _, f := range c.Keep {
		l.keep = append(l.keep, int(f.Fd()))
	}
}

// originalLimit returns the limit of descriptors to restore in the child: the runtime raises the soft limit of this
// process to one below the hard one. A limit that was set otherwise meanwhile (prlimit) stays.
func originalLimit(in *inherited.State) *[2]uint64 {
	var now syscall.Rlimit
	if !in.Known || syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now) != nil {
		return nil
	}
	if now.Max != in.Hard || now.Cur != in.Hard-1 || in.Soft >= now.Cur {
		return nil
	}
	return &[2]uint64{in.Soft, in.Hard}
}
