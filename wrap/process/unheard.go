package process

import (
	"slices"
	"syscall"
	"time"

	"limit/wrap/process/sigsource"
)

const (
	unheardFor = 5 * time.Second // how long a signal that is to end this process may wait for its receiver
	lastBreath = 2 * time.Second // how long killed commands may take to be gone
)

// guarded is receive. A signal that does not get the lock is unheard too: whoever has it hangs.
func (s *Supervisor) guarded(m sigsource.Signal) {
	if asksToEnd(m.Sig) && !m.Witnessed {
		defer time.AfterFunc(unheardFor, func() { s.giveUp(m.Sig) }).Stop()
	}
	s.receive(m)
}

// asksToEnd reports whether others send sig to end a process.
func asksToEnd(sig syscall.Signal) bool {
	return sig == syscall.SIGQUIT || slices.Contains(endRequests(), sig)
}

// ask notes that sig, which was put into Signals, is to end this process. The lock is held.
func (s *Supervisor) ask(sig syscall.Signal) {
	select {
	case <-s.asked:
	default:
		close(s.asked)
	}
	if asksToEnd(sig) {
		time.AfterFunc(unheardFor, func() { s.watchReceiver(sig, 10) })
	}
}

// watchReceiver gives up where Signals is never empty at so many looks: a receiver that lives empties it at once.
func (s *Supervisor) watchReceiver(sig syscall.Signal, looks int) {
	switch {
	case len(s.signals) == 0:
	case looks == 0:
		s.giveUp(sig)
	default:
		time.AfterFunc(tick, func() { s.watchReceiver(sig, looks-1) })
	}
}

// giveUp kills all commands, as far as the lock is to be had, and sends to unheard. What inherited a claim keeps that
// for as long as it lives, as it does where this process is killed.
func (s *Supervisor) giveUp(sig syscall.Signal) {
	var procs []*Process
	if s.mu.TryLock() {
		for _, p := range s.procs {
			if !p.c.apart() {
				procs = append(procs, p)
			}
		}
		s.mu.Unlock()
	}
	late := time.After(lastBreath)
	for _, p := range procs {
		p.Kill(Stopped)
	}
	for _, p := range procs {
		select {
		case <-p.done:
		case <-late:
		}
	}
	select {
	case s.unheard <- sig:
	default:
	}
}
