package dag

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/report"
	"limit/wrap/dag/stepfile"
	"limit/wrap/process"
)

// execution is one command of a step that runs: an attempt, or its condition.
type execution struct {
	step      int            // -1: none, but a command of the file for its end
	real      *stepfile.Step // of which the record's is the masked one
	number    int            // of the attempt
	condition bool
	console   bool // it has the terminal
	attempt   *journal.Attempt
	process   *process.Process
	capture   *capture // nil: the step has the terminal
	printed   printed  // when it has ended
	claim     *claim
	inputs    string // the directory of what it was handed, if any
}

// suspend stops the command for as long as limit is stopped. The terminal has reached one of its own group.
func (e *execution) suspend() {
	if !e.console {
		e.process.Suspend()
	}
}

// suspended reports whether a command takes part in no more until it is continued. A step's that ends gives its slots
// back first.
func (e *execution) suspended() bool { return e.console || e.process.Suspended() }

// prepare notes in the journal that an attempt is about to start.
func (l *loop) prepare(a plan.Action) {
	l.starts = append(l.starts, a)
	delete(l.blockedBy, a.Step)
	s := l.record.Steps[a.Step]
	now := l.now()
	if a.Kind == plan.Check {
		s.Checked = now
		l.journal.Check(s.ID, now)
		return
	}
	attempt := s.Attempt(a.Attempt)
	attempt.Ready, attempt.Start = l.ready[a.Step], now
	if c := l.claims[a.Step]; c != nil {
		attempt.Waits = c.waited(now)
	}
	l.journal.Start(s.ID, attempt)
	if l.r.Events != nil {
		waited := (now - attempt.Ready).Seconds()
		e := wrap.Event{Event: wrap.EventGranted, Attempt: a.Attempt, Waited: &waited}
		if c := l.claims[a.Step]; c != nil {
			held := c.Held()
			e.Claim, e.Token = held.ID, held.Grant.Token
			e = e.Asking(held)
		}
		l.emit(a.Step, e)
	}
}

// start starts a command; one that is to have the terminal when that is lent to it.
func (l *loop) start(a plan.Action) {
	s := l.record.Steps[a.Step]
	e := &execution{step: a.Step, real: l.r.File.Steps[a.Step], number: a.Attempt, condition: a.Kind == plan.Check}
	if !e.condition {
		e.attempt, e.claim = s.Attempt(a.Attempt), l.claims[a.Step]
		e.console = s.Console && l.r.Terminal
	}
	if !e.console {
		l.begin(e)
		return
	}
	lent, ends := l.r.Console.Lend(), l.halted
	if l.decided {
		ends = nil // it runs after the cancel
	}
	l.open++
	go func() {
		select { // a terminal that is not read does not keep the run from being stopped
		case <-lent:
		case <-ends:
		}
		l.post(message{kind: terminalLent, exec: e})
	}()
}

// begin starts a command now. What cannot be started has failed, with the code a shell would give.
func (l *loop) begin(e *execution) {
	s := l.record.Steps[e.step]
	if e.console && (l.closed || l.decided && s.When == stepfile.OnSuccess) {
		l.r.Console.TakeBack()
		l.finish(e, plan.Exit{Code: 1, Reason: l.record.Reason, Final: true})
		return
	}
	if err := l.fork(e, s); err != nil {
		exit := plan.Exit{Code: process.StartCode(err), Reason: l.mask.String("cannot be started: " + err.Error())}
		l.finish(e, exit)
		return
	}
	l.active[e.step] = e
	l.claim.Attach(e.process)
	if e.claim != nil {
		e.claim.AttachCommand(e.process)
	}
	if l.suspending {
		e.suspend()
	}
	if !e.condition {
		e.attempt.PID = e.process.PID()
		l.emit(e.step, wrap.Event{Event: wrap.EventStarted, Attempt: e.number, PID: e.attempt.PID})
		l.r.Console.Started(s, e.attempt)
	}
	l.open++
	go l.await(e)
}

// fork starts the process: with its output in a pipe, in a session of its own, where what wants a terminal fails at
// once as it does under cron; or on the terminal.
func (l *loop) fork(e *execution, s *journal.Step) error {
	command, err := l.command(e, s)
	if err == nil {
		err = l.reach(s.Dir)
	}
	if err == nil {
		command.Path, err = l.find(s, command.Env)
	}
	switch {
	case err != nil:
	case e.console:
		command.Stdin = nil
		command.Group, command.Session = false, false // in the group that the terminal's signals go to
	default:
		if e.capture, err = l.capture(e, s); err == nil {
			command.Stdout, command.Stderr = e.capture.writer, e.capture.writer
		}
	}
	if err == nil {
		e.process, err = l.r.Supervisor.Start(command)
	}
	if err != nil {
		l.notStarted(e)
		return err
	}
	if e.capture != nil {
		e.capture.start()
	}
	return nil
}

// reach fails unless a step's directory is there: a file system that does not answer would hold up the start for ever.
func (l *loop) reach(dir string) error {
	err := l.r.files.Try(func() error {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		return err
	})
	switch {
	case errors.Is(err, wrap.ErrHangs):
		return fmt.Errorf("its directory %s: %w", dir, err)
	case err != nil:
		return fmt.Errorf("its directory %s is not there: %w", dir, err)
	}
	return nil
}

// capture makes what reads a command's output.
func (l *loop) capture(e *execution, s *journal.Step) (*capture, error) {
	name := s.ID
	switch {
	case e.condition:
		name += "?"
	case e.step < 0:
		name += "+" // no step's name has that in it
	}
	path := filepath.Join(l.journal.Dir, filepath.FromSlash(journal.LogName(name, e.number)))
	var live *report.Live
	if !e.condition {
		live = l.r.Console.Live(s, path)
	}
	return newCapture(path, l.mask, l.r.LogLimit, live, l.buffers)
}

// notStarted undoes what was made ready for a command.
func (l *loop) notStarted(e *execution) {
	if e.capture != nil {
		e.capture.abandon()
	}
	if e.console {
		l.r.Console.TakeBack()
	}
}

// await waits for the command to end, and for what it has printed.
func (l *loop) await(e *execution) {
	<-e.process.Done()
	if e.capture != nil {
		e.printed = e.capture.stop(&l.r.files)
	}
	l.post(message{kind: commandEnded, step: e.step, exec: e})
}

// ended takes the end of a command to the plan.
func (l *loop) ended(ctx context.Context, e *execution) {
	delete(l.active, e.step)
	l.claim.Detach(e.process)
	s := l.record.Steps[e.step]
	exit := exitOf(e.process.Exit(), s.Timeout)
	if exit.Final && l.record.Reason != "" {
		exit.Reason = l.record.Reason
	}
	if e.console {
		l.r.Console.TakeBack()
	}
	l.finish(e, exit)
	l.act(ctx, nil)
}

// ends is when a command has ended, by the run's clock: however late that is dealt with.
func (l *loop) ends(e *execution) time.Duration {
	if e.process == nil {
		return l.now()
	}
	return max(e.process.Exit().Ended.Sub(l.record.Started), 0)
}

// finish records the end of an attempt, or of a condition, and asks the plan what follows.
func (l *loop) finish(e *execution, exit plan.Exit) {
	s := l.record.Steps[e.step]
	now := l.now()
	if e.condition {
		l.leave(s, e)
		if exit.Code == 0 && exit.Reason == "" {
			s.Passed = now
			l.journal.Passed(s.ID, now)
		}
		l.todo = append(l.todo, l.plan.Checked(e.step, exit, now)...)
		return
	}
	var outputs []stepfile.Var
	if e.process != nil {
		var err error
		if outputs, err = l.outputs(e, s); err != nil && exit.Code == 0 {
			exit.Code, exit.Reason = 1, l.mask.String(err.Error())
		}
	}
	a := e.attempt
	a.End, a.Ended, a.Code, a.Signal, a.Reason = max(l.ends(e), a.Start), true, exit.Code, exit.Signal, exit.Reason
	s.Outputs = outputs
	if e.printed.had > 0 {
		a.Log = journal.LogName(s.ID, a.Number)
	}
	l.leave(s, e)
	l.journal.End(s.ID, a, l.sealed(outputs))
	l.exited(e, exit)
	l.todo = append(l.todo, l.plan.Finished(e.step, exit, now)...)
}

// errOutputLost keeps a run that lost something from ending as if all were well.
var errOutputLost = errors.New("not all that the steps have printed could be kept")

// leave notes what has become of a command's output, and keeps the capture of one that has left others behind, who
// print on.
func (l *loop) leave(s *journal.Step, e *execution) {
	if e.printed.left {
		l.left = append(l.left, e.capture)
	}
	if e.printed.fault != nil {
		l.lost = errOutputLost
		l.r.Messages.Error("keeping the output of step %s: %v", s.ID, e.printed.fault)
	}
}

func (l *loop) exited(e *execution, exit plan.Exit) {
	if l.r.Events == nil {
		return
	}
	event := wrap.Event{Event: wrap.EventExited, Attempt: e.attempt.Number, PID: e.attempt.PID, Reason: exit.Reason}
	if exit.Signal != 0 {
		event.Signal = wrap.SignalName(syscall.Signal(exit.Signal))
	} else {
		event.ExitCode = &exit.Code
	}
	l.emit(e.step, event)
}

// retrying tells of an attempt that failed and will be followed by another.
func (l *loop) retrying(a plan.Action) {
	s := l.record.Steps[a.Step]
	l.emit(a.Step, wrap.Event{Event: wrap.EventRetrying, Attempt: a.Attempt,
		Reason: fmt.Sprintf("%s; again in %s", describeExit(a.Exit), a.Delay)})
	l.r.Console.Retrying(s, s.Last(), a.Delay)
}

// settled records and tells how a step has ended.
func (l *loop) settled(a plan.Action) {
	s := l.record.Steps[a.Step]
	o := l.plan.Outcome(a.Step)
	o.Reason = l.mask.String(o.Reason)
	s.Outcome, s.Settled = o, l.now()
	if o.State == plan.Unselected {
		return
	}
	if !o.Earlier { // those stand in the journal from its beginning
		l.journal.Settled(s.ID, o, s.Settled)
	}
	switch o.State {
	case plan.Skipped:
		l.emit(a.Step, wrap.Event{Event: wrap.EventSkipped, Reason: o.Reason})
	case plan.NotRun:
		l.emit(a.Step, wrap.Event{Event: wrap.EventNotRun, Reason: o.Reason})
	}
	l.r.Console.Settled(s)
}

// firstLine is what people are shown of a script.
func firstLine(script string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(script), "\n")
	return wrap.Shorten(line, 200)
}
