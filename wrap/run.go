package wrap

import (
	"context"
	"errors"
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
	Namespace string

	Busy         Busy
	BusyExitCode int                 // where no slot is to be had; CodeBusy as a rule
	Wait         time.Duration       // give up waiting after this; 0: never
	MinHold      time.Duration       // keep the claim at least so long after its grant
	WarnOnLost   bool                // let the command run on when the claim is lost
	RunUnreached bool                // run the command without a claim where the store is unreachable
	Unreached    error               // why there is no Backend
	Settle       time.Duration       // bound on what the store may take to release; 0: DefaultSettle
	OnEntered    func(backend.Entry) // see Queue
}

// Do enters the claim, waits, runs the command, and gives the claim back. It returns how limit is to end, and an error where that is
// to be explained: an Exit with a code of its own and a nil error has been explained already.
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
		return r.withoutStore(r.Unreached)
	}
	q := &Queue{
		Life: Life{Backend: r.Backend, Claim: r.Claim, Wait: r.Wait, WarnOnLost: r.WarnOnLost, Settle: r.Settle,
			Options: backend.EnterOptions{WatchBlocks: r.Events != nil}},
		Signals: r.Signals, Messages: r.Messages, Emit: r.emit, OnEntered: r.OnEntered,
		Busy: r.Busy, BusyExitCode: r.BusyExitCode, Runs: "the command",
	}
	q.Begin(ctx)
	defer q.Release()
	switch exit, err := q.Await(ctx); {
	case err != nil:
		return r.withoutStore(err)
	case exit != nil:
		return *exit, nil
	}
	command := r.Command
	command.Env = Environment(command.Env, q.Held(), r.Namespace)
	command.Mark = EnvClaimID + "=" + q.Claim.ID
	if f := q.Inherit(); f != nil {
		command.Keep = append(command.Keep, f)
	}
	exit, err := r.command(command, q)
	r.waitMinHold(q)
	return exit, err
}

// withoutStore runs the command without a claim, if that was asked for and the store cannot be reached.
func (r *Run) withoutStore(err error) (Exit, error) {
	if !r.RunUnreached || !errors.Is(err, backend.ErrUnreachable) {
		return Exit{Code: CodeFailed}, err
	}
	r.Messages.Error("%v; running without a slot, as --if-unreachable run asks for", err)
	command := r.Command
	command.Env = Unclaimed(command.Env)
	return r.command(command, nil)
}

// command runs a command to its end and decides the end of limit. q is its claim, or nil.
func (r *Run) command(command process.Command, q *Queue) (Exit, error) {
	command.Unkillable = r.Messages.Unkillable
	p, err := r.Start(command)
	if err != nil {
		exit := Exit{Code: process.StartCode(err)}
		if q != nil {
			q.Conclude(backend.Outcome{How: backend.NotStarted, Code: &exit.Code})
		}
		return exit, err
	}
	if q != nil {
		q.AttachCommand(p)
	}
	r.emit(Event{Event: EventStarted, PID: p.PID()})
	r.Messages.Debug("started %s, pid %d", r.Claim.Name, p.PID())
	r.supervise(p, q)
	exited := Event{Event: EventExited, PID: p.PID()}
	exited.setExit(Exit{Code: p.Exit().Code, Signal: p.Exit().Signal})
	r.emit(exited)
	r.reportExit(p.Exit())
	return exitOf(p.Exit()), nil
}

// supervise waits for the command to end.
func (r *Run) supervise(p Process, q *Queue) {
	for {
		select {
		case <-p.Done():
			return
		case <-p.Left():
			if q != nil {
				q.AttachTree(p)
			}
		case <-r.Signals:
			// The command has ended, --hold-tree waits for its descendants: they are to end too.
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
	rest := r.MinHold - time.Since(q.granted)
	if rest <= 0 {
		return
	}
	r.Messages.Debug("keeping the slot for %s more", rest.Truncate(time.Millisecond))
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Signals:
	case <-q.Ending():
	}
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
