package wrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"limit/backend"
	"limit/wrap/process"
)

// Run is one command and the claim it runs under.
type Run struct {
	Backend  backend.Backend // nil: it could not be opened, for Unreached
	Start    func(process.Command) (Process, error)
	Signals  <-chan syscall.Signal // those that no command takes
	Messages *Messages
	Events   *Events // nil: none

	Claim     backend.Claim   // waiting; ID and RunID are set
	Command   process.Command // Env without the claim's variables, Keep empty
	Runs      string          // what Command is, for people; "": the command
	Namespace string

	Busy         Busy
	BusyExitCode int                 // where no slot is to be had; CodeBusy as a rule
	Wait         time.Duration       // give up waiting after this; 0: never
	MinHold      time.Duration       // keep the claim at least so long after its grant
	Retries      int                 // run the command again after a failure, so many times at most
	RetryDelay   time.Duration       // after the failure; the slots are given back for what MinHold leaves of it
	WarnOnLost   bool                // let the command run on when the claim is lost
	RunUnreached bool                // run the command without a claim where the store is unreachable
	Unreached    error               // why there is no Backend
	Settle       time.Duration       // bound on what the store may take to release; 0: DefaultSettle
	OnEntered    func(backend.Entry) // see Queue
}

// Do enters the claim, waits, runs the command, and gives the claim back. It returns how limit is to end, and an error
// where that is to be explained: an Exit with a code of its own and a nil error has been explained already.
func (r *Run) Do(ctx context.Context) (Exit, error) {
	r.emit(Event{Event: EventRunStarted})
	exit, err := r.do(ctx)
	finished := Event{Event: EventRunFinished}
	finished.setExit(exit)
	r.emit(finished)
	return exit, err
}

func (r *Run) do(ctx context.Context) (Exit, error) {
	if r.Backend == nil {
		return r.withoutStore(ctx, r.Unreached)
	}
	q := &Queue{
		Life: Life{Backend: r.Backend, Claim: r.Claim, Wait: r.Wait, WarnOnLost: r.WarnOnLost, Settle: r.Settle,
			Options: backend.EnterOptions{WatchBlocks: r.Events != nil}},
		Signals: r.Signals, Messages: r.Messages, Emit: r.emit, OnEntered: r.OnEntered,
		Busy: r.Busy, BusyExitCode: r.BusyExitCode, Runs: cmp.Or(r.Runs, "the command"),
	}
	q.Begin(ctx)
	defer q.Release()
	switch exit, err := q.Await(ctx); {
	case err != nil:
		return r.withoutStore(ctx, err)
	case exit != nil:
		return *exit, nil
	}
	exit, err := r.attempts(ctx, q)
	r.waitMinHold(q)
	return exit, err
}

// withoutStore runs the command without a claim, if that was asked for and the store cannot be reached.
func (r *Run) withoutStore(ctx context.Context, err error) (Exit, error) {
	if !r.RunUnreached || !errors.Is(err, backend.ErrUnreachable) {
		return Exit{Code: CodeFailed}, err
	}
	r.Messages.Error("%v; running without a slot, as --if-unreachable run asks for", err)
	return r.attempts(ctx, nil)
}

// command is the command of an attempt under q's claim, or under none.
func (r *Run) command(q *Queue, attempt int) process.Command {
	command := r.Command
	command.Unkillable, command.Stay = r.Messages.Unkillable, r.Retries > 0
	if q == nil {
		command.Env = Unclaimed(command.Env)
	} else {
		command.Env = Environment(command.Env, q.Held(), r.Namespace)
		command.Mark = EnvClaimID + "=" + q.Claim.ID
		if f := q.Inherit(); f != nil {
			command.Keep = append(command.Keep, f)
		}
	}
	if r.Retries > 0 {
		command.Env = Setenv(command.Env, []string{EnvAttempt + "=" + strconv.Itoa(attempt)})
	}
	return command
}

// attempt runs the command to its end and decides the end of limit. again is true for a failure of the command's own,
// which another attempt may mend.
func (r *Run) attempt(q *Queue, number int) (exit Exit, again bool, err error) {
	if sig := r.reach(); sig != 0 {
		return Exit{Signal: sig}, false, nil
	}
	p, err := r.Start(r.command(q, number))
	if err != nil {
		exit = Exit{Code: process.StartCode(err)}
		if q != nil {
			q.Conclude(backend.Outcome{How: backend.NotStarted, Code: &exit.Code})
		}
		return exit, false, err
	}
	if q != nil {
		q.AttachCommand(p)
	}
	r.emit(Event{Event: EventStarted, PID: p.PID(), Attempt: r.shown(number)})
	r.Messages.Debug("started %s, pid %d", r.Claim.Name, p.PID())
	signalled := r.supervise(p, q)
	end := p.Exit()
	exited := Event{Event: EventExited, PID: p.PID(), Attempt: r.shown(number)}
	if !end.Unknown {
		exited.setExit(Exit{Code: end.Code, Signal: end.Signal})
	}
	r.emit(exited)
	r.reportExit(end)
	failed := end.Reason == process.TimedOut || end.Reason == process.Ended && end.Status() != 0
	again = failed && !end.Told && !signalled && number <= r.Retries
	if again && q != nil {
		q.Detach(p)
	}
	return exitOf(end), again, nil
}

// reach opens the file of the command, and returns a signal that came where its file system does not answer: a call
// that executes a file is ended by nothing.
func (r *Run) reach() syscall.Signal {
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		if fd, err := syscall.Open(r.Command.Path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC,
			0); err == nil {
			syscall.Close(fd)
		}
	}()
	select {
	case <-opened:
		return 0
	case sig := <-r.Signals:
		return sig
	}
}

// shown is the number of an attempt where there may be several, else 0.
func (r *Run) shown(attempt int) int {
	if r.Retries == 0 {
		return 0
	}
	return attempt
}

// attempts runs the command, and again after failures of its own. q is its claim, or nil. The end of the last attempt
// is that of limit, unless a signal comes between two.
func (r *Run) attempts(ctx context.Context, q *Queue) (Exit, error) {
	for number := 1; ; number++ {
		exit, again, err := r.attempt(q, number)
		if !again || q != nil && q.hasEnded() {
			return exit, err
		}
		next := fmt.Sprintf("attempt %d of %d follows in %s", number+1, r.Retries+1,
			backend.ShortDuration(r.RetryDelay))
		r.emit(Event{Event: EventRetrying, Attempt: number, Reason: exit.String() + "; " + next})
		r.Messages.Info("the command %s; %s", exit, next)
		end, err := r.untilNext(ctx, q)
		switch {
		case err != nil:
			r.Messages.Error("%v; the command is not run again", err)
			return exit, nil
		case end != nil && end.Signal != 0:
			return *end, nil
		case end != nil:
			return exit, nil
		}
	}
}

// untilNext waits until the command may be run again: nil, nil then. q gives its slots back meanwhile, but for what is
// left of MinHold.
func (r *Run) untilNext(ctx context.Context, q *Queue) (*Exit, error) {
	keep := r.RetryDelay
	if q != nil {
		keep = min(keep, q.stillHeld(r.MinHold))
	}
	if sig := r.pause(keep, q); sig != 0 {
		return &Exit{Signal: sig}, nil
	}
	switch {
	case q == nil:
		return nil, nil
	case q.hasEnded():
		return &Exit{Code: CodeBusy}, nil
	case q.stillHeld(r.MinHold) > 0:
		return nil, nil
	}
	return q.Again(ctx, r.RetryDelay-keep)
}

// supervise waits for the command to end, and reports whether a signal came for what it left behind.
func (r *Run) supervise(p Process, q *Queue) (signalled bool) {
	for {
		select {
		case <-p.Done():
			if q != nil {
				q.told()
			}
			return signalled
		case <-p.Left():
			if q != nil {
				q.AttachTree(p)
			}
		case <-r.Signals:
			// The command has ended, --hold-tree waits for its descendants: they are to end too.
			signalled = true
			p.Stop(process.Stopped)
		}
	}
}

// reportExit tells of an end that the command did not choose.
func (r *Run) reportExit(e process.Exit) {
	switch {
	case e.Reason == process.TimedOut && e.Killed:
		r.Messages.Info("timed out after %s, killed after %s more", r.Command.Timeout, r.Command.Grace)
	case e.Reason == process.TimedOut:
		r.Messages.Info("timed out after %s", r.Command.Timeout)
	case e.Reason == process.Overdue:
		r.Messages.Info("killed: it had not ended %s after the signal that was handed on", r.Command.Grace)
	case e.Signal != 0:
		r.Messages.Debug("killed by %s", SignalName(e.Signal))
	default:
		r.Messages.Debug("exited %d", e.Code)
	}
}

// waitMinHold keeps the claim until MinHold is over; a signal, or the claim's end, ends that.
func (r *Run) waitMinHold(q *Queue) {
	rest := q.stillHeld(r.MinHold)
	if rest <= 0 {
		return
	}
	r.Messages.Debug("keeping the slot for %s more", rest.Truncate(time.Millisecond))
	r.pause(rest, q)
}

// pause waits for d; a signal, which is returned, or the end of the claim ends that.
func (r *Run) pause(d time.Duration, q *Queue) syscall.Signal {
	var ending <-chan struct{}
	if q != nil {
		ending = q.Ending()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case sig := <-r.Signals:
		return sig
	case <-ending:
	}
	return 0
}

// emit writes an event of this run.
func (r *Run) emit(e Event) {
	e.Run, e.Claim = r.Claim.RunID, r.Claim.ID
	r.Events.Emit(e)
}

func (e *Event) setExit(exit Exit) {
	if exit.Signal != 0 {
		e.Signal = SignalName(exit.Signal)
		return
	}
	e.ExitCode = &exit.Code
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}
