package dag

import "golang.org/x/sys/unix"

func pipeCloseOnExec(fds *[2]int) error { return unix.Pipe2(fds[:], unix.O_CLOEXEC) }
