package process

import (
	"runtime"
	"syscall"
	"time"

	"limit/wrap/process/inherited"
)

// followStop stops this process when its command with Forward has stopped, so that the shell sees the job
// stop and gives its prompt. ^Z comes here too: the terminal sends TSTP to both, this process takes no notice, and a
// command that catches it decides alone.
//
// It never stops by SIGSTOP: the kernel drops TSTP, TTIN and TTOU where no shell is there to continue us (an orphaned process
// group: cron, setsid), and that is right, since whoever continues the command later does not know of us.
func (s *Supervisor) followStop(p *Process, sig syscall.Signal) {
	if p != s.forward || p.stopping { // who ends a command has to stay awake; and whoever kills its tree stops it first
		return
	}
	if sig != syscall.SIGTTIN && sig != syscall.SIGTTOU {
		sig = syscall.SIGTSTP
	}
	if inherited.Has(s.in.Blocked, int(sig)) {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for raised := false; !raised; {
		asked := time.Now()
		if stateOf(p.pid) == running {
			return // continued already
		}
		// What has stopped the command may have stopped us too, just now, and until the shell continued both: then the answer
		// is old, and stopping would be once too often. That happens up to the last moment: a TSTP that came to the whole group
		// and was not taken yet stops us as soon as the default action is in force.
		s.catch.byDefault(sig, func() {
			if raised = time.Since(asked) < freshAnswer; raised {
				raise(sig) // returns when we are continued
			}
		})
	}
}

// freshAnswer is longer than /proc takes to answer, shorter than a shell is stopped.
const freshAnswer = 2 * time.Millisecond

// passContinue hands on a SIGCONT that this process received. `fg` sends it to the whole group, kill -CONT to us alone: in
// the first case the command has it already.
func (p *Process) passContinue() {
	if stateOf(p.pid) == stopped || !wasContinued(p.pid) {
		p.send(syscall.SIGCONT)
	}
}
