// Package dag runs the steps of a step file: a plan decides (package plan), the loop here owns the processes and
// the claims and decides nothing, a console and reports tell what happens (package report), and a journal
// keeps it (package journal).
//
// The loop is one goroutine that everything is reported to: ends of commands, answers of the store, signals, time. A
// step without pools makes no call to a store. The claims of a step are nested in that of the run, which waits in the
// run queue first. Steps run in process groups of their own; they hold open the descriptors of their claims and of the
// journal's lock, so that neither is free while a step lives whose limit was killed.
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

	Report     func() error // writes the reports, before the file's on_failure and on_exit; nil: none
	ReportPath string       // of the page, "" for none

	Terminal bool  // there is one, for steps with console
	LogLimit int64 // of a step's log, in bytes; 0: none

	files  wrap.Files // for what is done in the run's directory
	outage *outage
	ended  chan wrap.News // the run's claim is cancelled or lost
}

// Do waits in the run queue, runs the steps, and gives everything back. It returns how limit is to end; an error says
// why limit itself failed. The Record tells the rest.
func (r *Run) Do(ctx context.Context) (wrap.Exit, error) {
	r.files.Hurry = r.Supervisor.Asked()
	r.emit(wrap.Event{Event: wrap.EventRunStarted})
	exit, err := r.do(ctx)
	r.finish(exit)
	finished := wrap.Event{Event: wrap.EventRunFinished, Reason: r.Record.Reason, ExitCode: &exit.Code}
	if exit.Signal != 0 {
		finished.ExitCode, finished.Signal = nil, r.Record.Signal
	}
	if err != nil {
		r.Record.Reason = r.Mask.String(err.Error())
	}
	r.Journal.Finish(r.Record)
	incomplete := r.Journal.Complete(journalPatience, r.Supervisor.Asked())
	r.emit(finished)
	return exit, errors.Join(err, incomplete)
}

// journalPatience is how long a file system that does not answer may take over the end of the journal.
const journalPatience = 15 * time.Second

// finish notes the end in the record.
func (r *Run) finish(exit wrap.Exit) {
	r.Record.Ended, r.Record.Finished = time.Since(r.Record.Started), true
	r.Record.Code = exit.Code
	if exit.Signal != 0 {
		r.Record.Signal = wrap.SignalName(exit.Signal)
		r.Record.Code = 128 + int(exit.Signal)
	}
}

func (r *Run) do(ctx context.Context) (wrap.Exit, error) {
	if err := r.claimPools(ctx); err != nil {
		return wrap.Exit{Code: wrap.CodeFailed}, err
	}
	p, err := plan.New(r.File, r.Plan)
	if err != nil {
		return wrap.Exit{Code: CodeUsage}, err
	}
	q := r.queue()
	q.Begin(ctx)
	defer q.Release()
	switch exit, err := q.Await(ctx); {
	case err != nil:
		return wrap.Exit{Code: wrap.CodeFailed}, err
	case exit != nil:
		r.Record.Reason = r.Mask.String(q.Reason)
		return *exit, nil
	}
	r.Claim = q.Held() // it knows now in which run it is nested
	null, err := os.Open(os.DevNull)
	if err != nil {
		return wrap.Exit{Code: wrap.CodeFailed}, err
	}
	defer null.Close()
	l := newLoop(r, p, q, null)
	defer l.shut()
	l.run(ctx)
	exit := l.exit()
	r.finish(exit)
	if r.Report != nil {
		err = r.Report()
	}
	exit, failed := l.finally(exit)
	q.Conclude(exit.Outcome())
	return exit, errors.Join(err, failed, l.lost)
}

// CodeUsage is the exit code for a call or a file that is wrong; CodeStepFailed for a run with a failed step.
const (
	CodeStepFailed = 1
	CodeUsage      = 2
)

// claimPools reads the settings of the store and decides who claims the pools: with granularity run, the run does.
func (r *Run) claimPools(ctx context.Context) error {
	settings, ok, err := r.Backend.Settings(ctx)
	if err != nil {
		return fmt.Errorf("reading the limits: %w", err)
	}
	if !ok {
		settings = backend.NewSettings()
	}
	r.Record.PoolLimits = PoolLimits(r.File, settings)
	r.Plan.ClaimPools = settings.Granularity != backend.GranularityRun
	if r.Plan.ClaimPools {
		return nil
	}
	for i, s := range r.File.Steps {
		if _, done := r.Plan.Done[i]; done || r.Plan.Selected != nil && !r.Plan.Selected[i] {
			continue
		}
		for name, slots := range s.Pools {
			if r.Claim.Pools == nil {
				r.Claim.Pools = map[string]int{}
			}
			if most := r.Claim.Pools[name]; slots == backend.AllSlots || most != backend.AllSlots && slots > most {
				r.Claim.Pools[name] = slots
			}
		}
	}
	return backend.CheckPools(r.Claim.Pools)
}

// PoolLimits are the limits of the pools that the steps of a file need, those left out that are unlimited.
func PoolLimits(f *stepfile.File, settings backend.Settings) map[string]int {
	limits := map[string]int{}
	for _, s := range f.Steps {
		for name := range s.Pools {
			if pool, _ := settings.Pool(name); pool.Limit != backend.Unlimited {
				limits[name] = pool.Limit
			}
		}
	}
	return limits
}

// queue is the claim of the run, with the journal's part in its waiting.
func (r *Run) queue() *wrap.Queue {
	waits := newWaits(time.Since(r.Record.Started))
	r.outage = &outage{messages: r.Messages, claims: map[*claim]struct{}{}}
	r.ended = make(chan wrap.News, 2) // a claim is cancelled once, and lost once
	return &wrap.Queue{
		Life: wrap.Life{Backend: r.Backend, Claim: r.Claim, Wait: r.Wait,
			Options: backend.EnterOptions{WatchBlocks: true}},
		Signals: r.Supervisor.Signals(), Messages: r.Messages, Emit: r.emit, Busy: wrap.BusyWait,
		BusyExitCode: wrap.CodeBusy, Runs: "the steps",
		Also: func(n wrap.News) {
			r.outage.hearRun(n)
			now := time.Since(r.Record.Started)
			switch n.Kind {
			case wrap.Blocked:
				waits.blocked(now, n.Blocks)
			case wrap.Granted:
				r.Record.Granted, r.Record.Waits = now, waits.end(now)
				r.Record.Pools = !r.Plan.ClaimPools && len(r.Claim.Pools) > 0
				r.Journal.Granted(r.Record)
			case wrap.Cancelled, wrap.Lost:
				r.ended <- n
			}
		},
	}
}

// emit writes an event of the run itself.
func (r *Run) emit(e wrap.Event) {
	if r.Events == nil {
		return
	}
	e.Run, e.Claim = r.Claim.ID, r.Claim.ID
	r.Events.Emit(r.Mask.event(e))
}

// ancestors are the claims that those of the steps are nested in.
func (r *Run) ancestors() []string {
	return append(append([]string(nil), r.Claim.Ancestors...), r.Claim.ID)
}

// died is the end by a signal.
func died(sig syscall.Signal) wrap.Exit { return wrap.Exit{Signal: sig} }
