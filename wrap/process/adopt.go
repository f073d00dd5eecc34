package process

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"limit/backend/proc"
)

// Other is a process that this program has not started. It is never mistaken for a later one of the same number.
type Other struct {
	info
	exit     *os.File // tells of its end; nil: the system has no such thing, and it is asked now and then
	gone     chan struct{}
	closed   chan struct{}
	watching sync.WaitGroup
}

// Watch begins to wait for the end of a process. One that this program may not signal is refused: it could not be
// stopped.
func Watch(pid int) (*Other, error) {
	none := fmt.Errorf("there is no process %d", pid)
	if pid < 1 {
		return nil, none
	}
	o := &Other{info: find(pid), gone: make(chan struct{}), closed: make(chan struct{})}
	o.pid = pid
	o.exit, _ = proc.OpenExit(pid)
	switch err := o.signal(0); {
	case err == syscall.EPERM:
		err = fmt.Errorf("process %d may not be signalled by this user: it could not be stopped when its slots "+
			"are lost", pid)
		fallthrough
	case err != nil, o.dead():
		o.Close()
		if err == nil || err == syscall.ESRCH {
			err = none
		}
		return nil, err
	}
	o.watching.Go(o.watch)
	return o, nil
}

// PID is the number of the process.
func (o *Other) PID() int { return o.pid }

// Gone is closed when the process has ended.
func (o *Other) Gone() <-chan struct{} { return o.gone }

// Close ends the waiting.
func (o *Other) Close() {
	close(o.closed)
	if o.exit != nil {
		o.exit.Close()
	}
	o.watching.Wait()
}

func (o *Other) watch() {
	if o.exit != nil {
		if proc.AwaitExit(o.exit) {
			close(o.gone)
		}
		return
	}
	look := time.NewTicker(tick)
	defer look.Stop()
	for {
		select {
		case <-o.closed:
			return
		case <-look.C:
			if o.signal(0) == syscall.ESRCH || find(o.pid).dead() {
				close(o.gone)
				return
			}
		}
	}
}

// Adopt stands over a process that is no child of this one, as over a command: it is stopped by Stop and StopBy, with
// all that descends from it, and Done when it is gone. How it ended only its parent learns. Stop(Released) leaves it
// alone. Of c the fields count that say how a command ends. The caller keeps o until the Process is Done.
func (s *Supervisor) Adopt(o *Other, c Command) *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.add(o.pid, c)
	p.other, p.exit.Unknown, p.kin = o, true, map[info]bool{}
	s.tasks.Go(func() {
		select {
		case <-p.done:
		case <-o.gone:
			s.mu.Lock()
			defer s.mu.Unlock()
			if !p.gone && !p.finished {
				p.hasEnded(0, syscall.Rusage{})
			}
		}
	})
	return p
}

// Again starts this program once more, apart from who has called it: in a session of its own, without its terminal and
// its open files. Standard input and output are the socket; standard error and the directory stay until GoAway.
func Again(args, env []string, socket *os.File) (pid int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if err := closeAllOnExec(); err != nil {
		return 0, err
	}
	return syscall.ForkExec(self, args, &syscall.ProcAttr{
		Env: env, Files: []uintptr{socket.Fd(), socket.Fd(), 2}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
}

// GoAway leaves the directory and the standard streams that this process was started with.
func GoAway() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if err := unix.Dup2(int(null.Fd()), fd); err != nil {
			return os.NewSyscallError("dup2", err)
		}
	}
	return os.Chdir("/")
}
