package process

import (
	"syscall"
	"time"

	"limit/wrap/process/inherited"
)

// noteStop notes that a command has stopped; followStop does what is to be done about it, when all that came with it is
// known.
func (s *Supervisor) noteStop(p *Process, sig syscall.Signal) {
	if p != s.forward {
		return
	}
	s.handedStop = false
	if sig != syscall.SIGTTIN && sig != syscall.SIGTTOU {
		sig = syscall.SIGTSTP
	}
	if !inherited.Has(s.in.Blocked, int(sig)) {
		s.stopped = sig
	}
}

// followStop stops this process when its command with Forward has stopped, so that the shell sees the job
// stop and gives its prompt. ^Z comes here too: the terminal sends TSTP to both, this process takes no notice, and a
// command that catches it decides alone.
//
// It never stops by SIGSTOP: the kernel drops TSTP, TTIN and TTOU where no shell is there to continue us (an orphaned
// process group: cron, setsid), and that is right, since whoever continues the command later does not know of us.
func (s *Supervisor) followStop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped == 0 {
		return
	}
	p := s.forward
	awake := func() bool { // who ends a command has to stay awake; and whoever kills its tree stops it first
		return p == nil || p.stopping || stateOf(p.pid) == running
	}
	// Asked before StopBy asks again: while that has the default action in force, any ^Z stops who has to stay awake.
	if awake() || s.source.StopBy(s.stopped, awake) {
		s.stopped = 0
	}
}

// passContinue hands on a SIGCONT that this process received. `fg` sends it to the whole group, kill -CONT to us alone:
// in the first case the command has it already. But where a stop signal was handed on that has not taken effect yet,
// the command is to have it after that.
func (s *Supervisor) passContinue(p *Process) {
	continued := wasContinued(p.pid)
	if s.handedStop || !continued || stateOf(p.pid) == stopped {
		p.send(syscall.SIGCONT)
	}
	s.handedStop = false
}

// HeedStop lets SIGTSTP (^Z) and SIGCONT come from Signals, for one who runs commands with Group: a terminal does not
// reach those. TSTP is to suspend them and then call StopSelf, CONT to take back a suspension that has not come to that
// yet. The returned function gives the signals back to their default.
func (s *Supervisor) HeedStop() (giveBack func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if inherited.Has(s.in.Ignored, int(syscall.SIGTSTP)) {
		return func() {}
	}
	s.heedStop = true
	s.source.Take(heeded()...)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.heedStop = false
		s.source.GiveBack(heeded()...)
	}
}

// StopSelf stops this process as SIGTSTP does, and returns when it is continued; at once where no shell could do that,
// or where it was continued since the last SIGTSTP came.
func (s *Supervisor) StopSelf() {
	for !s.source.StopBy(syscall.SIGTSTP, func() bool { return !s.toStop.Load() }) {
		time.Sleep(time.Millisecond) // signals that came before are received first
	}
}
