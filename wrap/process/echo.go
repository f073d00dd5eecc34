package process

import (
	"slices"
	"syscall"
	"time"

	"limit/wrap/process/sigsource"
)

// A signal may be sent to this process alone, which hands it on, or to all of a process group, a control group
// (systemd's default) or a tree: then the command has it already. A witness shows which: another process of the same
// group, which reports what it is sent. So a signal waits this long, and then until the witness has answered a marker:
// what it was sent before, it has reported before. Equal signals that come meanwhile are one, as they are while they
// are pending: timeout(1) signals its child and then its group.
const echoWindow = 50 * time.Millisecond

// seenFor is how long after its witness this process may receive a signal: the machine may be busy.
const seenFor = time.Second

// answerFor is how long the witness may take to answer.
const answerFor = 5 * time.Second

// marker is what the witness is sent to answer: of several signals it reports the one with the highest number last.
const marker = syscall.Signal(64)

// echoes are the signals that this process and its witness have received of late. The Supervisor's lock is held for all
// of it.
type echoes struct {
	witness int               // its process id; 0: there is none
	marked  time.Duration     // when it was sent the marker that it has not answered; 0: it has. On the clock of now
	waiting []arrival         // received by this process, in order
	seen    [65]time.Duration // when the witness received it and this process had not; on the clock of now
}

// arrival is a signal that waits.
type arrival struct {
	sig syscall.Signal
	at  time.Duration
	all bool // the witness received it too
}

// isRealTime reports whether sig is queued: two of it are two.
func isRealTime(sig syscall.Signal) bool { return sig >= 32 }

// received notes a signal of this process, and reports whether it is a new one.
func (e *echoes) received(sig syscall.Signal) bool {
	if !isRealTime(sig) && slices.ContainsFunc(e.waiting, func(a arrival) bool { return a.sig == sig }) {
		return false
	}
	all := e.seen[sig] > 0 && now()-e.seen[sig] < seenFor
	e.seen[sig] = 0
	e.waiting = append(e.waiting, arrival{sig, now(), all})
	return true
}

// reported notes a signal of the witness.
func (e *echoes) reported(sig syscall.Signal) {
	i := slices.IndexFunc(e.waiting, func(a arrival) bool { return a.sig == sig && !a.all })
	if i < 0 {
		e.seen[sig] = now()
		return
	}
	e.waiting[i].all = true
}

// due removes and returns the signals that had waited long enough at a time.
func (e *echoes) due(at time.Duration) (due []arrival) {
	for len(e.waiting) > 0 && at-e.waiting[0].at >= echoWindow {
		due = append(due, e.waiting[0])
		e.waiting = e.waiting[1:]
	}
	return due
}

// watch starts a witness, where there is none yet. Without one all signals are handed on but those that a terminal
// sent.
func (s *Supervisor) watch(ownGroup bool) {
	if s.echoes.witness != 0 {
		return
	}
	pid, err := s.source.Watch(ownGroup)
	if err != nil {
		return
	}
	s.echoes = echoes{witness: pid}
	s.apart[pid] = true
}

// unwatched is how long a command runs before there is a witness: one that is over sooner does not pay for it, and one
// that catches signals is hardly ready for them.
const unwatched = 2 * time.Millisecond

// watchFor starts a witness in the group of p, if that still runs. It takes the lock.
func (s *Supervisor) watchFor(p *Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forward == p {
		s.watch(false)
	}
}

// unwatch ends the witness. Signals that wait are forgotten: they were for a command that has ended.
func (s *Supervisor) unwatch() {
	if pid := s.echoes.witness; pid != 0 {
		s.echoes = echoes{}
		s.endHelper(pid)
	}
}

// unwitnessed notes that a child has ended; if it was the witness, what waits is taken as it is.
func (s *Supervisor) unwitnessed(pid int) {
	if pid != s.echoes.witness {
		return
	}
	waiting := s.echoes.waiting
	s.echoes = echoes{}
	for _, a := range waiting {
		s.take(a)
	}
}

// hear has a signal wait for its echo. Without a witness it is taken at once. So is CONT: this process may stop in the
// meantime, as its command has, and passContinue finds out whether the command has it. CONT discards stop signals that
// wait, as the kernel discards those that are pending.
func (s *Supervisor) hear(sig syscall.Signal) {
	switch pid := s.echoes.witness; {
	case pid == 0:
		s.take(arrival{sig: sig})
		return
	case sig == syscall.SIGCONT:
		syscall.Kill(pid, sig) // whatever stopped this process may have stopped the witness
		s.echoes.waiting = slices.DeleteFunc(s.echoes.waiting, func(a arrival) bool { return a.sig == syscall.SIGTSTP })
		s.take(arrival{sig: sig})
		return
	}
	if s.echoes.received(sig) {
		time.AfterFunc(echoWindow, s.source.Tick)
	}
}

// witnessed deals with a report of the witness.
func (s *Supervisor) witnessed(m sigsource.Signal) {
	switch {
	case !m.SentByProcess() || m.PID != s.self:
		s.echoes.reported(m.Sig)
	case m.Sig == marker:
		s.takeDue(s.echoes.marked)
		s.echoes.marked = 0
	}
}

// settle has the signals taken that have waited long enough, once the witness has answered for them; one that is
// stopped does not.
func (s *Supervisor) settle() {
	e := &s.echoes
	if len(e.waiting) == 0 {
		return
	}
	switch {
	case e.witness == 0 || stateOf(e.witness) == stopped || e.marked > 0 && now()-e.marked > answerFor:
		e.marked = 0
		s.takeDue(now())
		return
	case e.marked == 0:
		e.marked = now()
		syscall.Kill(e.witness, marker)
	}
	time.AfterFunc(echoWindow, s.source.Tick) // for what came after the marker, or where it is not answered
}

// takeDue takes the signals that had waited long enough at a time.
func (s *Supervisor) takeDue(at time.Duration) {
	for _, a := range s.echoes.due(at) {
		s.take(a)
	}
}

// take hands a signal to the command, unless that has it. Where no command with Forward runs, it is for the caller.
func (s *Supervisor) take(a arrival) {
	p := s.forward
	switch {
	case p == nil:
		if a.all {
			s.told[a.sig] = now()
		}
		s.offer(a.sig)
	case a.sig == syscall.SIGCONT:
		if !a.all || s.handedStop {
			s.passContinue(p)
		}
	case !a.all:
		s.handedStop = s.handedStop || a.sig == syscall.SIGTSTP
		p.handOn(a.sig)
	}
}

// toldAll reports whether every process of the commands was sent sig a moment ago, by whoever signalled this process:
// it is not to come twice.
func (s *Supervisor) toldAll(sig syscall.Signal) bool {
	at := s.told[sig]
	return at > 0 && now()-at < time.Second
}
