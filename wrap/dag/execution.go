package dag

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"

	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
	"limit/wrap/process"
)

// execution is one command of a step that runs: an attempt, or its condition.
type execution struct {
	step      int
	condition bool
	attempt   *journal.Attempt
	process   *process.Process
	capture   *capture // nil: the step has the terminal
	claim     *claim
}

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
			e.Claim, e.Token = c.Claim.ID, c.Held().Grant.Token
		}
		l.emit(a.Step, e)
	}
}

// start starts a command. What cannot be started has failed, with the code a shell would give.
func (l *loop) start(a plan.Action) {
	s := l.record.Steps[a.Step]
	e := &execution{step: a.Step, condition: a.Kind == plan.Check}
	script := s.Run
	if e.condition {
		script = s.If
	} else {
		e.attempt, e.claim = s.Attempt(a.Attempt), l.claims[a.Step]
	}
	if err := l.fork(e, s, a.Attempt, script); err != nil {
		exit := plan.Exit{Code: process.StartCode(err), Reason: l.mask.String("cannot be started: " + err.Error())}
		l.finish(e, exit, nil)
		return
	}
	l.active[a.Step] = e
	l.claim.Attach(e.process)
	if e.claim != nil {
		e.claim.AttachCommand(e.process)
	}
	if l.decided {
		e.process.Stop(process.Stopped)
	}
	if !e.condition {
		e.attempt.PID = e.process.PID()
		l.emit(a.Step, wrap.Event{Event: wrap.EventStarted, Attempt: a.Attempt, PID: e.attempt.PID})
		l.r.Console.Started(s, e.attempt)
	}
	l.open++
	go l.await(e)
}

// fork starts the process with its output in a pipe, or on the terminal.
func (l *loop) fork(e *execution, s *journal.Step, attempt int, script string) error {
	command := l.command(s, attempt, script, e.claim)
	path, err := l.find(s, command.Env)
	if err != nil {
		return err
	}
	command.Path = path
	if s.Console && !e.condition {
		l.r.Console.Lend()
		command.Stdin, command.Stdout, command.Stderr = nil, nil, nil
		command.Group = false // in the group that the terminal's signals go to
	} else {
		name := s.ID
		if e.condition {
			name += "?"
		}
		e.capture, err = newCapture(l.journal.Dir, name, attempt, l.mask, l.r.Console.Live(s, e.condition), l.buffers)
		if err != nil {
			return err
		}
		command.Stdout, command.Stderr = e.capture.writer, e.capture.writer
	}
	e.process, err = l.r.Supervisor.Start(command)
	if err != nil {
		l.notStarted(e)
		if info, statErr := os.Stat(s.Dir); statErr != nil || !info.IsDir() {
			return fmt.Errorf("its directory %s is not there: %w", s.Dir, err)
		}
		return err
	}
	if e.capture != nil {
		e.capture.start()
	}
	return nil
}

// notStarted undoes what was made ready for a command.
func (l *loop) notStarted(e *execution) {
	if e.capture != nil {
		e.capture.abandon()
		return
	}
	l.r.Console.TakeBack()
}

// await waits for the command to end, and for what it has printed.
func (l *loop) await(e *execution) {
	<-e.process.Done()
	if e.capture != nil {
		e.capture.stop()
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
	if e.capture == nil {
		l.r.Console.TakeBack()
	}
	l.finish(e, exit, e.capture)
	l.act(ctx, nil)
}

// finish records the end of an attempt, or of a condition, and asks the plan what follows.
func (l *loop) finish(e *execution, exit plan.Exit, c *capture) {
	s := l.record.Steps[e.step]
	now := l.now()
	if e.condition {
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
		if outputs, err = l.outputs(s, e.attempt.Number); err != nil && exit.Code == 0 {
			exit.Code, exit.Reason = 1, l.mask.String(err.Error())
		}
	}
	a := e.attempt
	a.End, a.Ended, a.Code, a.Signal, a.Reason = now, true, exit.Code, exit.Signal, exit.Reason
	s.Outputs = outputs
	if c != nil && c.wrote > 0 {
		a.Log = journal.LogName(s.ID, a.Number)
	}
	if c != nil && c.failed != nil {
		l.r.Messages.Error("keeping the output of step %s: %v", s.ID, c.failed)
	}
	l.journal.End(s.ID, a, outputs)
	l.exited(e, exit)
	l.todo = append(l.todo, l.plan.Finished(e.step, exit, now)...)
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
	l.emit(a.Step, wrap.Event{Event: wrap.EventRetrying, Attempt: a.Attempt, Reason: fmt.Sprintf("%s; again in %s", describeExit(a.Exit), a.Delay)})
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
