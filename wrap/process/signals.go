package process

import (
	"os/signal"
	"slices"
	"syscall"

	"limit/wrap/process/inherited"
	"limit/wrap/process/sigsource"
)

// jobControl are the signals that are taken while a command with Forward runs, and are at their default otherwise. TTIN
// and TTOU are left alone always: a process that catches TTOU and writes would try again for ever.
func jobControl() []syscall.Signal {
	return []syscall.Signal{syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGWINCH}
}

// heeded are those of them that HeedStop lets come from Signals.
func heeded() []syscall.Signal { return []syscall.Signal{syscall.SIGTSTP, syscall.SIGCONT} }

func (s *Supervisor) ignored(sig syscall.Signal) bool { return inherited.Has(s.in.Ignored, int(sig)) }

// forwardOnly are the signals that are taken while a command with Forward runs: those of job control, and those that
// were ignored when this process started. The latter are ignored until then, or ForkExec would not hand that on.
func (s *Supervisor) forwardOnly() []syscall.Signal {
	return append(jobControl(), slices.DeleteFunc(ending(),
		func(sig syscall.Signal) bool { return !s.ignored(sig) })...)
}

// always are the signals that are taken from the start.
func (s *Supervisor) always() []syscall.Signal {
	return slices.Concat(slices.DeleteFunc(ending(), s.ignored), sigsource.Faults(), []syscall.Signal{syscall.SIGCHLD})
}

// ignoreInherited ignores what was ignored at the start: the runtime has installed handlers meanwhile.
func (s *Supervisor) ignoreInherited() {
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		if s.ignored(sig) && !slices.Contains(keptByRuntime(), sig) {
			signal.Ignore(sig)
		}
	}
}

// deliveredByTerminal reports whether the kernel has sent m to the command too: the terminal's signals go to a whole
// group. But of a terminal that is closed (HUP, then CONT) the leader of the session alone hears.
func deliveredByTerminal(m sigsource.Signal, sessionLeader bool) bool {
	if m.Code != sigsource.Kernel || !sigsource.FromTerminal(m.Sig) {
		return false
	}
	return !(sessionLeader && (m.Sig == syscall.SIGHUP || m.Sig == syscall.SIGCONT))
}

// receive decides what becomes of a signal: to the command, to Signals, or nowhere.
func (s *Supervisor) receive(m sigsource.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.forward
	switch {
	case m.Sig == 0:
		s.settle()
	case m.Witnessed:
		s.witnessed(m)
	case m.Sig == syscall.SIGCHLD:
		s.reap()
	case m.SentByProcess() && m.PID == s.self:
		// of our own making: SIGPIPE of a message that nobody reads
	case p == nil:
		s.hear(m.Sig)
	case deliveredByTerminal(m, s.leader):
		p.note(m.Sig)
	case m.PID > 0 && m.SentByProcess() && s.descends(m.PID):
		// the command signals its parent or its group: it is not to hear itself
	case slices.Contains(sigsource.Faults(), m.Sig):
		p.fault = m.Sig
		p.beginStop(Stopped, now()+p.c.Grace)
	default:
		p.note(m.Sig) // now: a command that has it already may end before it is handed on
		s.hear(m.Sig)
	}
}

// descends reports whether pid is a descendant of this process, but for those of Session.
func (s *Supervisor) descends(pid int) bool {
	for range 100 {
		if p := s.procs[pid]; p != nil {
			return !p.c.apart()
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
	job := slices.Contains(jobControl(), sig)
	switch {
	case job && (!s.heedStop || sig == syscall.SIGWINCH):
	case s.ignored(sig):
	case inherited.Has(s.in.Blocked, int(sig)):
		s.deferred = append(s.deferred, sig)
	default:
		if len(s.signals) == 0 {
			clear(s.unread[:])
		}
		if s.unread[sig] < 2 {
			s.unread[sig]++
			s.signals <- sig // has room for two of each
			if job {
				s.toStop.Store(sig == syscall.SIGTSTP)
			} else {
				s.ask(sig)
			}
		}
	}
}

// handOver sends to the command what was deferred and what nobody has read.
func (s *Supervisor) handOver(p *Process) {
	for _, sig := range s.deferred {
		p.handOn(sig)
	}
	s.deferred = nil
	for {
		select {
		case sig := <-s.signals:
			p.handOn(sig)
		default:
			return
		}
	}
}

// handOn sends the command a signal that was sent to this process. If that asks it to end, the grace begins: after it
// comes SIGKILL, as of timeout -k.
func (p *Process) handOn(sig syscall.Signal) {
	p.note(sig)
	p.send(sig)
	if slices.Contains(endRequests(), sig) && p.overdue == nil && !p.s.ignored(sig) {
		p.overdue = p.s.alarm(now()+p.c.Grace, func() { p.stop(Overdue, now()) })
	}
}

// endRequests are the signals by which others ask a command to end.
func endRequests() []syscall.Signal {
	return []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGABRT}
}

// note keeps in mind that this process was sent a signal while the command ran.
func (p *Process) note(sig syscall.Signal) { p.heard |= bit(sig) }

// told reports whether the command ended of what this process was sent, or was asked to end.
func (p *Process) told() bool {
	ends := bit(p.exit.Signal) | bit(syscall.SIGQUIT)
	for _, sig := range endRequests() {
		if !p.s.ignored(sig) {
			ends |= bit(sig)
		}
	}
	return p.heard&ends != 0
}

// bit is the place of a signal in a set; none for 0.
func bit(sig syscall.Signal) uint64 {
	if sig == 0 {
		return 0
	}
	return 1 << (sig - 1)
}
