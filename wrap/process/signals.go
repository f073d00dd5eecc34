package process

import (
	"math/bits"
	"syscall"

	"limit/wrap/process/inherited"
)

// sent is a signal that this process received.
type sent struct {
	sig  syscall.Signal
	code int32 // codeKernel, codeUser, …
	pid  int   // of the sender; 0: not known, or outside of this PID namespace
}

// jobControl are the signals that are taken while a command with Forward runs, and are at their default otherwise. TTIN and
// TTOU are left alone always: a process that catches TTOU and writes would try again for ever.
func jobControl() []syscall.Signal {
	return []syscall.Signal{syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGWINCH}
}

func lowest(set uint64) int { return bits.TrailingZeros64(set) + 1 }

// fromTerminalKind tells whether a terminal sends sig, to all of its foreground group at once.
func fromTerminalKind(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGWINCH:
		return true
	}
	return false
}

// deliveredByTerminal tells whether the kernel has sent m to the command too: the terminal's signals go to a whole group.
// But of a terminal that is closed (HUP, then CONT) the leader of the session alone hears.
func deliveredByTerminal(m sent, sessionLeader bool) bool {
	if m.code != codeKernel || !fromTerminalKind(m.sig) {
		return false
	}
	return !(sessionLeader && (m.sig == syscall.SIGHUP || m.sig == syscall.SIGCONT))
}

// receive decides what becomes of a signal: to the command, to Signals, or nowhere.
func (s *Supervisor) receive(m sent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.forward
	switch {
	case m.sig == syscall.SIGCHLD:
		s.reap()
	case m.code <= codeUser && m.pid == s.self:
		// of our own making: SIGPIPE of a message that nobody reads
	case p == nil:
		s.offer(m.sig)
	case deliveredByTerminal(m, s.leader):
	case m.pid > 0 && m.code <= codeUser && s.descends(m.pid):
		// the command signals its parent or its group: it is not to hear itself
	case m.sig == syscall.SIGCONT:
		s.passContinue(p)
	default:
		s.handedStop = s.handedStop || m.sig == syscall.SIGTSTP
		p.send(m.sig)
	}
}

// descends tells whether pid is a descendant of this process, but for those of Session.
func (s *Supervisor) descends(pid int) bool {
	for range 100 {
		if p := s.procs[pid]; p != nil {
			return !p.c.Session
		}
		if s.apart[pid] {
			return false
		}
		parent := parentOf(pid)
		if parent == s.self {
			return true
		}
		if parent <= 1 {
			return false
		}
		pid = parent
	}
	return false
}

// offer puts sig into Signals. What was ignored at the start stays ignored, what was blocked waits for the
// command. Signals of job control come late: they were taken for a command that has ended meanwhile.
func (s *Supervisor) offer(sig syscall.Signal) {
	switch {
	case sig == syscall.SIGTSTP || sig == syscall.SIGCONT || sig == syscall.SIGWINCH:
	case inherited.Has(s.in.Ignored, int(sig)):
	case inherited.Has(s.in.Blocked, int(sig)):
		s.deferred = append(s.deferred, sig)
	default:
		if len(s.signals) == 0 {
			clear(s.unread[:])
		}
		if s.unread[sig] < 2 {
			s.unread[sig]++
			s.signals <- sig // has room for two of each
		}
	}
}

// handOver sends to the command what was deferred and what nobody has read.
func (s *Supervisor) handOver(p *Process) {
	for _, sig := range s.deferred {
		p.send(sig)
	}
	s.deferred = nil
	for {
		select {
		case sig := <-s.signals:
			p.send(sig)
		default:
			return
		}
	}
}
