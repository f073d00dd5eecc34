//go:build unix

package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Command is how to start a keeper: the program itself with the verb that calls etcd.KeeperMain.
type Command struct {
	Path string
	Args []string // with the program's name
	Env  []string
}

// oneProcessor lets the goroutines of a keeper take turns on one thread: it waits for answers nearly all of its time,
// and to wake threads for each that comes was an eighth of the processor's time that a run on etcd takes.
const oneProcessor = "GOMAXPROCS=1"

// Descriptor is where the keeper finds its end of the socket pair.
const Descriptor = 3

// Start starts a keeper in a session of its own, with nothing of ours open but the socket, and opens the store of the
// options. ctx bounds the start alone.
func Start(ctx context.Context, command Command, o Options) (*Client, error) {
	for _, file := range []*string{&o.TLS.CA, &o.TLS.Cert, &o.TLS.Key, &o.PasswordFile} {
		if *file == "" {
			continue
		}
		absolute, err := filepath.Abs(*file) // the keeper is in another directory
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", *file, err)
		}
		*file = absolute
	}
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, fmt.Errorf("speaking to the process that keeps the claims: %w", err)
	}
	pid, err := spawn(command, theirs)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("starting the process that keeps the claims: %w", err)
	}
	c, err := Connect(ctx, conn, o)
	if err != nil {
		conn.Close()
		wait(pid, true) // it keeps nothing yet, and may be waiting for a server
		return nil, err
	}
	c.pid = pid
	c.reap = func(kill bool) { wait(pid, kill) }
	return c, nil
}

// pair returns a connected pair of sockets, closed at exec.
func pair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "keeper"), os.NewFile(uintptr(fds[1]), "wrapper"), nil
}

// spawn uses fork and exec alone: os/exec and os.Process would contend with a wrapper that waits for all its children.
func spawn(command Command, theirs *os.File) (pid int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	return syscall.ForkExec(command.Path, command.Args, &syscall.ProcAttr{
		Dir:   "/",
		Env:   append([]string{oneProcessor}, command.Env...), // of two of a name the first counts
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), theirs.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}

// wait reaps the keeper, unless somebody who waits for all children has.
func wait(pid int, kill bool) {
	if kill {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}
