package wrap

import (
	"errors"

	"limit/backend"
	"limit/wrap/process"
)

// Conclude says how the use of the claim ends, for the history, where neither the store nor the claim's command does.
// The first word counts.
func (l *Life) Conclude(o backend.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.outcome.How == "" {
		l.outcome = o
	}
}

// note concludes from what the store has done to the claim, unless its command had ended before.
func (l *Life) note(err error) {
	if command := l.lastCommand(); command == nil || !isOver(command) {
		l.Conclude(outcomeOfDenial(err))
	}
}

// concluded is the outcome of the claim: what was concluded, with the end of its command.
func (l *Life) concluded() backend.Outcome {
	command := l.lastCommand()
	if command != nil && isOver(command) {
		o := outcomeOfProcess(command.Exit())
		l.Conclude(o)
		l.mu.Lock()
		l.outcome.Code, l.outcome.Signal = o.Code, o.Signal
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outcome
}

func (l *Life) lastCommand() Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.command
}

func isOver(p Process) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

func outcomeOfDenial(err error) backend.Outcome {
	var gaveUp *GaveUpError
	var cancelled *CancelledError
	var lost *LostError
	switch {
	case errors.As(err, &gaveUp):
		return backend.Outcome{How: backend.GaveUp, Reason: "no slot within " + backend.ShortDuration(gaveUp.Wait)}
	case errors.As(err, &cancelled):
		return backend.Outcome{How: backend.CancelledBy, Reason: cancelled.Reason}
	case errors.As(err, &lost):
		return backend.Outcome{How: backend.LostClaim, Reason: lost.Reason}
	default:
		return backend.Outcome{How: backend.Impossible, Reason: err.Error()}
	}
}

func outcomeOfProcess(e process.Exit) backend.Outcome {
	o := Exit{Code: e.Code, Signal: e.Signal}.Outcome()
	switch e.Reason {
	case process.TimedOut:
		o.How = backend.TimedOut
	case process.Lost:
		o.How, o.Reason = backend.LostClaim, "the store did not answer in time"
	}
	return o
}

// Outcome is how a claim ends whose use has ended so.
func (e Exit) Outcome() backend.Outcome {
	if e.Signal != 0 {
		return backend.Outcome{How: backend.Killed, Signal: SignalName(e.Signal)}
	}
	return backend.Outcome{How: backend.Exited, Code: &e.Code}
}
