package dag

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
	"limit/wrap/process"
)

// finally runs the file's commands for the end of a run: on_failure where it has not succeeded, then on_exit. They run
// after a timeout and a cancel too. One that fails makes a failure of a run that was none.
func (l *loop) finally(exit wrap.Exit) (wrap.Exit, error) {
	f := l.r.File
	commands := []*stepfile.Step{f.OnFailure, f.OnExit}
	if exit == (wrap.Exit{}) {
		commands = commands[1:]
	}
	var failed error
	for _, c := range commands {
		if c == nil || l.closed {
			continue
		}
		if err := l.conclude(c); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.ID, err))
		}
	}
	if failed != nil && exit == (wrap.Exit{}) {
		exit.Code = CodeStepFailed
	}
	return exit, failed
}

// conclude runs one of them.
func (l *loop) conclude(c *stepfile.Step) error {
	s := &journal.Step{Step: l.mask.shown(c)}
	e := &execution{step: -1, real: c, number: 1, attempt: s.Attempt(1)}
	e.attempt.Start = l.now()
	if err := l.fork(e, s); err != nil {
		return fmt.Errorf("cannot be started: %w", err)
	}
	l.claim.Attach(e.process)
	l.sitOut(e)
	l.claim.Detach(e.process)
	e.printed = e.capture.stop(&l.r.files)
	exit, a := exitOf(e.process.Exit(), 0), e.attempt
	a.End, a.Ended, a.Code, a.Signal, a.Reason = max(l.ends(e), a.Start), true, exit.Code, exit.Signal, exit.Reason
	if e.printed.had > 0 {
		a.Log = journal.LogName(c.ID+"+", 1)
	}
	l.leave(s, e)
	l.r.Console.Concluded(s, a)
	l.r.Console.Flush()
	if exit.Code == 0 && exit.Reason == "" {
		return nil
	}
	return errors.New(describeExit(exit))
}

// sitOut waits for the end of a command; signals, the end of its time and the loss of the run's slot end it.
func (l *loop) sitOut(e *execution) {
	for {
		select {
		case <-e.process.Done():
			return
		case <-l.late:
			l.closed, l.late = true, nil
			e.process.Stop(process.Stopped)
		case sig := <-l.r.Supervisor.Signals():
			switch sig {
			case syscall.SIGTSTP:
				e.suspend()
				l.r.Supervisor.StopSelf()
				e.process.Continue()
			case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
				l.closed = true
				e.process.Kill(process.Stopped)
			}
		case <-l.r.ended: // the claim's Life stops it
			l.closed = true
		}
	}
}

// ending is what those commands learn of the run.
func (l *loop) ending() []string {
	var failed []string
	for i, s := range l.r.File.Steps {
		if o := l.plan.Outcome(i); o.State == plan.Failed && !o.Tolerated {
			failed = append(failed, s.ID)
		}
	}
	return []string{
		"LIMIT_STATUS=" + strconv.Itoa(l.record.Code),
		"LIMIT_FAILED_STEPS=" + strings.Join(failed, "\n"),
		"LIMIT_REPORT=" + l.r.ReportPath,
	}
}
