//go:build !linux || (!amd64 && !arm64)

package process

import (
	"syscall"

	"golang.org/x/sys/unix"

	"limit/wrap/process/inherited"
)

// fork starts c the way of the Go library, which falls short of fork_linux.go: signals other than HUP and INT
// that were ignored are not in the command, standard descriptors that were closed are /dev/null, LISTEN_PID stays, and
// Keep needs free descriptors from 100 on in this process.
func fork(c *Command, _ *inherited.State) (pid int, err error) {
	files := make([]uintptr, 0, 128)
	for fd, f := range c.std() {
		if f != nil {
			files = append(files, f.Fd())
		} else {
			files = append(files, uintptr(fd))
		}
	}
	const none = ^uintptr(0) // stays closed
	for fd := 3; fd < keepFrom+len(c.Keep); fd++ {
		switch flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); {
		case fd >= keepFrom:
			files = append(files, c.Keep[fd-keepFrom].Fd())
		case err == nil && flags&syscall.FD_CLOEXEC == 0:
			files = append(files, uintptr(fd))
		default:
			files = append(files, none)
		}
	}
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: c.Group && !c.Session, Setsid: c.Session}}
	pid, err = syscall.ForkExec(c.Path, c.Args, attr)
	if err == syscall.ENOEXEC {
		pid, err = syscall.ForkExec("/bin/sh", append([]string{"/bin/sh", c.Path}, c.Args[1:]...), attr)
	}
	return pid, err
}
