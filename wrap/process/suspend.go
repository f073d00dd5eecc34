package process

import (
	"fmt"
	"os"
	"syscall"
)

// Suspend stops the command by SIGSTOP, its whole group where it has one, until Continue: while this process is to be
// stopped itself. One that is being ended is left to go on.
func (p *Process) Suspend() {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if !p.gone && !p.stopping {
		p.s.suspensions.add(p.s, p)
		p.send(syscall.SIGSTOP)
	}
}

// Suspended reports whether the command has stopped; not where it ends, or has ended.
func (p *Process) Suspended() bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return !p.gone && !p.stopping && stateOf(p.pid) == stopped
}

// Continue undoes Suspend.
func (p *Process) Continue() {
	p.Signal(syscall.SIGCONT)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.s.suspensions.remove(p.s, p)
}

// suspensions are the commands that are suspended, and a process that continues them if this one is killed meanwhile:
// they are in sessions of their own, which no shell knows of, and would keep their slots for good. Where there is no
// shell to do that they stay as they are. The Supervisor's lock is held for all methods.
type suspensions struct {
	of   map[*Process]bool
	pid  int      // of who continues them; 0: there is none
	list *os.File // what is written there is continued once it is closed
}

// continuer reads whom to signal, a line each, until this process has ended.
const continuer = `while read -r p; do set -- "$@" "$p"; done; for p in "$@"; do kill -s CONT -- "$p"; done`

func (u *suspensions) add(s *Supervisor, p *Process) {
	if u.of == nil {
		u.of = map[*Process]bool{}
	}
	if u.pid == 0 {
		u.start(s)
	}
	u.of[p] = true
	if u.list != nil {
		fmt.Fprintln(u.list, p.target())
	}
}

func (u *suspensions) start(s *Supervisor) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return
	}
	defer theirs.Close()
	pid, err := syscall.ForkExec("/bin/sh", []string{"(continues)", "-c", continuer}, &syscall.ProcAttr{
		Dir: "/", Files: []uintptr{theirs.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		ours.Close()
		return
	}
	u.pid, u.list = pid, ours
	s.apart[pid] = true
}

func (u *suspensions) remove(s *Supervisor, p *Process) {
	delete(u.of, p)
	if len(u.of) == 0 && u.pid != 0 {
		s.endHelper(u.pid)
		u.list.Close()
		*u = suspensions{}
	}
}

// endHelper ends a child that is no command. ReapHelpers reaps it at the latest.
func (s *Supervisor) endHelper(pid int) {
	syscall.Kill(pid, syscall.SIGKILL)
	s.helpers[pid] = true
}

// ReapHelpers waits for children of this package's own that were ended. It comes last in a program: in a container
// process 1 may reap nothing.
func (s *Supervisor) ReapHelpers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for pid := range s.helpers {
		for {
			if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
				break
			}
		}
	}
}
