//go:build !linux

package process

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Stderr fails: it cannot be reached here.
func (o *Other) Stderr() (*os.File, error) { return nil, errors.ErrUnsupported }

// closeAllOnExec lets a program that this process becomes, or starts, inherit no descriptor but the first three.
func closeAllOnExec() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	for fd := 3; fd < int(min(limit.Cur, 1<<16)); fd++ {
		unix.CloseOnExec(fd)
	}
	return nil
}

// Caller returns the parent of this process. Where a script calls from a subshell, that is the subshell.
func Caller() int { return os.Getppid() }

// CommandLine returns nothing: it cannot be seen here.
func CommandLine(int) []string { return nil }
