package process

import (
	"errors"
	"slices"
	"syscall"
	"time"
)

// hasEnded notes that the command was reaped. The lock is held, as in all lower-case methods here unless they say
// otherwise.
func (p *Process) hasEnded(status syscall.WaitStatus, usage syscall.Rusage) {
	s := p.s
	delete(s.procs, p.pid)
	p.exit.Ended, p.exit.Usage = time.Now(), usage
	if status.Signaled() {
		p.exit.Signal, p.exit.Core = status.Signal(), status.CoreDump()
	} else {
		p.exit.Code = status.ExitStatus()
	}
	if p.fault != 0 {
		p.exit.Signal = p.fault
	}
	p.exit.Told = p.told()
	p.gone = true
	close(p.ended)
	s.suspensions.remove(s, p)
	if s.forward == p {
		s.forward = nil
		s.source.GiveBack(s.forwardOnly()...)
		s.unwatch()
	}
	switch {
	case p.stopping: // end goes on from here
	case p.c.HoldTree:
		p.stopTimers()
		s.held = p
	default:
		p.finish()
	}
}

// finish closes Done.
func (p *Process) finish() {
	p.stopTimers()
	p.finished = true
	close(p.done)
}

func (p *Process) stopTimers() {
	if p.timeout != nil {
		p.timeout.Stop()
	}
	p.stopBy.cancel()
	p.overdue.cancel()
}

// stop begins to end the command, or brings forward when it is killed. It takes the lock.
func (p *Process) stop(why Reason, killAt time.Duration) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.beginStop(why, killAt)
}

func (p *Process) beginStop(why Reason, killAt time.Duration) {
	switch {
	case p.finished:
	case why == Released && p.other != nil && !p.stopping:
		delete(p.s.procs, p.pid)
		p.exit.Reason = why
		p.finish()
	case !p.stopping:
		p.stopping = true
		p.stopTimers()
		if !p.gone {
			p.exit.Reason = why
		}
		p.killAt = killAt
		if p.c.Stopping != nil {
			p.c.Stopping()
		}
		p.s.tasks.Go(p.end)
	case killAt < p.killAt:
		p.killSooner(killAt)
	}
}

// killSooner brings the kill forward.
func (p *Process) killSooner(killAt time.Duration) {
	p.killAt = killAt
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// end sees the command out: the signal, the grace, the kill, until nothing is left. It takes the lock.
func (p *Process) end() {
	first := p.c.Signal
	if first == 0 {
		first = syscall.SIGTERM
	}
	if p.untilKill() > 0 {
		p.signalAll(p.firstSignals(first)...) // a stopped command dies of the first only when continued
		p.awaitEnd()
	}
	for pause := time.Millisecond; p.anyLeft(); pause = min(2*pause, time.Second) {
		p.noteKilled()
		p.signalAll(syscall.SIGKILL)
		p.tellUnkillable()
		p.pause(pause)
	}
	p.s.mu.Lock()
	p.finish()
	p.s.mu.Unlock()
}

// firstSignals are first, unless the whole command has been sent it already, and CONT. It takes the lock.
func (p *Process) firstSignals(first syscall.Signal) []syscall.Signal {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.toldAll(first) {
		return []syscall.Signal{syscall.SIGCONT}
	}
	return []syscall.Signal{first, syscall.SIGCONT}
}

// awaitEnd returns when nothing of the command is left or when it is to be killed.
func (p *Process) awaitEnd() {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left := p.untilKill()
		switch {
		case left <= 0:
			return
		case !p.hasGone():
			p.pause(min(left, tick)) // the machine may sleep meanwhile
		case !p.anyLeft():
			return
		default:
			// The command is gone, its descendants are not: nothing tells of those who are not our children.
			p.pause(min(pause, left))
		}
	}
}

// pause waits for the end of the command, for a change of killAt, or for d.
func (p *Process) pause(d time.Duration) {
	ended := p.ended
	if p.hasGone() {
		ended = nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ended:
	case <-p.poke:
	case <-t.C:
	}
}

func (p *Process) untilKill() time.Duration {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.killAt - now()
}

func (p *Process) hasGone() bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.gone
}

// noteKilled notes that the command itself had to be killed.
func (p *Process) noteKilled() {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if !p.gone {
		p.exit.Killed = true
	}
}

// anyLeft reports whether the command or a process of its group or tree lives. It takes the lock.
func (p *Process) anyLeft() bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return !p.gone || p.treeLeft()
}

// tellUnkillable calls Unkillable for each process that is left and may not be signalled, once. It takes the lock.
func (p *Process) tellUnkillable() {
	p.s.mu.Lock()
	members, _ := p.members()
	p.s.mu.Unlock()
	for _, m := range members {
		known := slices.Contains(p.unkillable, m.identity())
		if p.c.Unkillable != nil && !known && errors.Is(m.signal(0), syscall.EPERM) {
			p.unkillable = append(p.unkillable, m.identity())
			p.c.Unkillable(m.pid)
		}
	}
}

// treeLeft reports whether anything of the group or tree lives, processes that this one may not signal included.
//
// /proc is read while processes fork and exit: one that is made after the list was read, by one that exits before its
// turn, is not seen. But then a child of ours has exited (orphans are children of ours), and nobody else reaps it: only
// when nothing is seen and there is nothing to reap is nothing left.
func (p *Process) treeLeft() bool {
	for {
		found, unsure := p.members()
		for _, m := range found {
			if m.signal(0) != syscall.ESRCH {
				return true
			}
		}
		if unsure {
			return true // soon it can be told
		}
		if !p.s.reapAll() {
			return false
		}
	}
}

// signalAll sends signals to the whole of the command. It takes the lock.
func (p *Process) signalAll(signals ...syscall.Signal) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	early := p.other == nil
	if early {
		p.send(signals[0]) // before looking for the others, which takes milliseconds
	}
	members, _ := p.members()
	for i, sig := range signals {
		if i > 0 || !early {
			p.send(sig)
		}
		for _, m := range members {
			if p.gone || m.pid != p.pid && !(p.c.ownGroup() && m.group == p.pid) {
				m.signal(sig)
			}
		}
	}
}

// send signals the command, with its group where it has one. When the command is reaped its number may be that of a
// stranger soon: then it does nothing.
func (p *Process) send(sig syscall.Signal) {
	switch {
	case p.gone:
	case p.other != nil:
		p.other.signal(sig)
	default:
		syscall.Kill(p.target(), sig)
	}
}

// target is the command for kill(2), its group where it has one of its own.
func (p *Process) target() int {
	if p.c.ownGroup() {
		return -p.pid
	}
	return p.pid
}
