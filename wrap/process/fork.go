package process

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"limit/wrap/process/inherited"
	"limit/wrap/process/sigsource"
)

// fork starts c. The Supervisor's lock is held: no other goroutine waits for the child or starts another meanwhile,
// which would inherit the files to keep.
//
// What this process was given and ForkExec would not hand on is set up around it: a mask for the thread, and
// descriptors that were closed. Signals to ignore are ignored by this process too, see ignoreInherited.
func fork(c *Command, in *inherited.State) (pid int, err error) {
	keep, err := inheritable(c.Keep)
	defer closeAll(keep)
	if err != nil {
		return 0, err
	}
	path, args := c.Path, c.Args
	if needsExec(c.Env, in) {
		if path, err = os.Executable(); err != nil {
			return 0, err
		}
		args = append([]string{c.Args[0], ExecVerb, strconv.FormatUint(in.Ignored, 16), c.Path}, c.Args...)
	}
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Files: files(c, in), Sys: systemAttributes(c)}
	start := func() {
		pid, err = syscall.ForkExec(path, args, attr)
		if err == syscall.ENOEXEC {
			pid, err = syscall.ForkExec(shell, shellArgs(path, args), attr)
		}
	}
	if in.Blocked != 0 {
		sigsource.WithMask(in.Blocked, start)
	} else {
		start()
	}
	return pid, err
}

const shell = "/bin/sh"

// shellArgs are those for a file that is no program: it is a script of /bin/sh, as in execvp(3).
func shellArgs(path string, args []string) []string {
	return append([]string{shell, path}, args[1:]...)
}

// files returns what descriptors 0 to 2 become.
func files(c *Command, in *inherited.State) []uintptr {
	const closed = ^uintptr(0)
	all := []uintptr{0, 1, 2}
	for fd, f := range [3]*os.File{c.Stdin, c.Stdout, c.Stderr} {
		switch {
		case f != nil:
			all[fd] = f.Fd()
		case in.Closed[fd]:
			all[fd] = closed
		}
	}
	return all
}

// inheritable duplicates files to descriptors that a child inherits: the first free ones from keepFrom on, lower where
// the limit of descriptors leaves no room there.
func inheritable(files []*os.File) (fds []int, err error) {
	for _, f := range files {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, keepFrom)
		if err != nil {
			fd, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD, 3)
		}
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}
