// Package dag runs the steps of a step file: a plan decides (package plan), the loop here owns the processes and
// the claims and decides nothing, a console and reports tell what happens (package report), and a journal
// keeps it (package journal).
//
// The loop is one goroutine that everything is reported to: ends of commands, answers of the store, signals, time. A
// step without pools makes no call to a store. The claims of a step are nested in that of the run, which
// waits in the run queue first. Steps run in process groups of their own; they hold open the descriptors of their claims
// and of the journal's lock, so that neither is free while a step lives whose limit was killed.
package dag

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"limit/backend"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/report"
	"limit/wrap/dag/stepfile"
	"limit/wrap/process"
)

// Run is one run of a dag.
type Run struct {
	File       *stepfile.File
	Plan       plan.Options // ClaimPools is decided by the store's settings
	Backend    backend.Backend
	Namespace  string
	Supervisor *process.Supervisor
	Messages   *wrap.Messages
	Events     *wrap.Events // nil: none
	Console    *report.Console
	Journal    *journal.Writer
	Record     *journal.Run

	Claim backend.Claim // of the run; Pools are added where the run holds them
	Wait  time.Duration // give up waiting for the run queue or a pool after this; 0: never
	Env   []string      // of the steps, before what the file adds
	Mask  *Mask         // of the secrets
}

// settle bounds what the store may take to give a claim back.
const settle = 10 * time.Second

// Do waits in the run queue, runs the steps, and gives everything back. It returns how limit is to end; an error says
// why limit itself failed. The Record tells the rest.
func (r *Run) Do(ctx context.Context) (wrap.Exit, error) {
	r.emit(wrap.Event{Event: wrap.EventRunStarted})
	exit, err := r.do(ctx)
	r.Record.Ended, r.Record.Finished = time.Since(r.Record.Started), true
	r.Record.Code = exit.Code
	finished := wrap.Event{Event: wrap.EventRunFinished, Reason: r.Record.Reason, ExitCode: &exit.Code}
	if exit.Signal != 0 {
		r.Record.Signal = wrap.SignalName(exit.Signal)
		r.Record.Code = 128 + int(exit.Signal)
		finished.ExitCode, finished.Signal = nil, r.Record.Signal
	}
	if err != nil {
		r.Record.Reason = r.Mask.String(err.Error())
	}
	r.Journal.Finish(r.Record)
	r.Journal.Flush()
	r.emit(finished)
	return exit, errors.Join(err, r.Journal.Err())
}

func (r *Run) do(ctx context.Context) (wrap.Exit, error) {
	settings, err := r.settings(ctx)
	if err != nil {
		return wrap.Exit{Code: wrap.CodeFailed}, err
	}
	p, err := plan.New(r.File, r.Plan)
	if err != nil {
		return wrap.Exit{Code: CodeUsage}, err
	}
	entry, end, err := r.enter(ctx)
	if entry == nil {
		return end, err
	}
	defer r.release(ctx, entry)
	null, err := os.Open(os.DevNull)
	if err != nil {
		return wrap.Exit{Code: wrap.CodeFailed}, err
	}
	defer null.Close()
	l := newLoop(r, p, entry, settings, null)
	l.run(ctx)
	return l.exit(), nil
}

// CodeUsage is the exit code for a call or a file that is wrong; CodeStepFailed for a run with a failed step.
const (
	CodeStepFailed = 1
	CodeUsage      = 2
)

// settings reads those of the store and decides who claims the pools: with granularity run, the run does.
func (r *Run) settings(ctx context.Context) (backend.Settings, error) {
	settings, ok, err := r.Backend.Settings(ctx)
	if err != nil {
		return settings, fmt.Errorf("reading the limits: %w", err)
	}
	if !ok {
		settings = backend.NewSettings()
	}
	r.Plan.ClaimPools = settings.Granularity != backend.GranularityRun
	if r.Plan.ClaimPools {
		return settings, nil
	}
	for i, s := range r.File.Steps {
		if _, done := r.Plan.Done[i]; done || r.Plan.Selected != nil && !r.Plan.Selected[i] {
			continue
		}
		for name, slots := range s.Pools {
			if r.Claim.Pools == nil {
				r.Claim.Pools = map[string]int{}
			}
			r.Claim.Pools[name] = max(r.Claim.Pools[name], slots)
		}
	}
	return settings, nil
}

// enter waits in the run queue. A nil entry says that the run ends before it began.
func (r *Run) enter(ctx context.Context) (backend.Entry, wrap.Exit, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		entry backend.Entry
		err   error
	}
	answers := make(chan answer, 1)
	r.emit(wrap.Event{Event: wrap.EventQueued})
	go func() {
		entry, err := r.Backend.Enter(ctx, r.Claim, backend.EnterOptions{WatchBlocks: true})
		answers <- answer{entry, err}
	}()
	for {
		select {
		case sig := <-r.Supervisor.Signals():
			cancel()
			if a := <-answers; a.err == nil {
				r.release(ctx, a.entry)
			}
			return nil, wrap.Exit{Signal: sig}, nil
		case a := <-answers:
			if a.err != nil {
				return nil, wrap.Exit{Code: wrap.CodeFailed}, a.err
			}
			end, err := r.await(a.entry)
			if end != nil {
				r.release(ctx, a.entry)
				return nil, *end, err
			}
			return a.entry, wrap.Exit{}, nil
		}
	}
}

// await reads the events of the run's claim until it is held.
func (r *Run) await(entry backend.Entry) (*wrap.Exit, error) {
	waits := newWaits(time.Since(r.Record.Started))
	var giveUp <-chan time.Time
	if r.Wait > 0 {
		giveUp = time.After(r.Wait)
	}
	for {
		select {
		case sig := <-r.Supervisor.Signals():
			return &wrap.Exit{Signal: sig}, nil
		case <-giveUp:
			return &wrap.Exit{Code: wrap.CodeBusy}, fmt.Errorf("no run slot within %s", r.Wait)
		case e := <-entry.Events():
			now := time.Since(r.Record.Started)
			switch e.Kind {
			case backend.Granted:
				r.Record.Granted, r.Record.Waits = now, waits.end(now)
				r.Record.Pools = !r.Plan.ClaimPools && len(r.Claim.Pools) > 0
				r.Journal.Granted(now, r.Record.Waits, r.Record.Pools)
				waited := now.Seconds()
				r.emit(wrap.Event{Event: wrap.EventGranted, Token: entry.Claim().Grant.Token, Waited: &waited})
				return nil, nil
			case backend.Blocked:
				waits.blocked(now, e.Blocks)
				r.emit(wrap.Event{Event: wrap.EventBlocked, BlockedBy: e.Blocks})
				r.Console.Queued(e.Blocks)
			case backend.Cancelled:
				r.emit(wrap.Event{Event: wrap.EventCancelled, Reason: e.Reason})
				return &wrap.Exit{Code: wrap.CodeBusy}, fmt.Errorf("cancelled while waiting: %s", e.Reason)
			case backend.Refused:
				return &wrap.Exit{Code: wrap.CodeFailed}, e.Err
			case backend.Lost:
				return &wrap.Exit{Code: wrap.CodeFailed}, fmt.Errorf("lost its place in the queue: %s", e.Reason)
			}
		}
	}
}

// release gives a claim back. A signal ends the waiting for a store that hangs: the claim frees itself.
func (r *Run) release(ctx context.Context, entry backend.Entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- entry.Release(ctx) }()
	select {
	case err := <-done:
		if err != nil {
			r.Messages.Error("releasing the run's claim: %v; it frees itself", err)
			return
		}
	case <-r.Supervisor.Signals():
		r.Messages.Error("interrupted while releasing the run's claim; it frees itself")
		return
	}
	r.emit(wrap.Event{Event: wrap.EventReleased})
}

// emit writes an event of the run itself.
func (r *Run) emit(e wrap.Event) {
	if r.Events == nil {
		return
	}
	e.Run, e.Claim = r.Claim.RunID, r.Claim.ID
	e.Reason = r.Mask.String(e.Reason)
	r.Events.Emit(e)
}

// ancestors are the claims that those of the steps are nested in.
func (r *Run) ancestors() []string {
	return append(append([]string(nil), r.Claim.Ancestors...), r.Claim.ID)
}

// died is the end by a signal.
func died(sig syscall.Signal) wrap.Exit { return wrap.Exit{Signal: sig} }
