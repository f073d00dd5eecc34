// Package journal keeps what happened in runs of dags: one directory for each run, in it the journal, the step file as
// it was, and the logs.
//
// The journal is append-only, one JSON object a line, and flushed before any process starts: a run that was killed at
// any byte of it is read up to its last whole line, and a step that was running then, or whose end did not get into the
// journal, is known to have been started. While a run, or a process of one of its steps, lives, the journal is locked:
// the kernel says whether a run is over.
package journal

import (
	"strings"
	"time"

	"limit/backend"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

// Run is what is known of one run: the model that reports are made of.
type Run struct {
	ID       string
	Name     string
	File     string // absolute
	Hash     string // SHA-256 of the file's text
	Retries  string // id of the run it goes on with
	Host     string
	PID      int
	Params   map[string]string // with the defaults of the file; secrets are shown as ***
	Sealed   map[string]string // Params as the journal keeps them: with marks for secrets
	Selected []string          // ids; nil: all
	Given    Given
	Started  time.Time // by the wall clock

	Max       int // max_concurrent
	TagLimits []backend.TagLimit

	// Times are from Started, on the monotonic clock.
	Granted  time.Duration // the run queue let it in; 0: not yet
	Ended    time.Duration
	Finished bool
	Code     int    // exit code
	Signal   string // SIGTERM, where it ended by a signal
	Reason   string
	Waits    []Wait // for the run queue
	Pools    bool   // the run holds the pools of its steps, which claim none then

	PoolLimits map[string]int // of the pools of its steps, when it began; an unlimited one is not in it

	Steps []*Step // of the file, in its order
	byID  map[string]*Step
}

// Given is what the command line gave beside, in place of what the file says, and where the run was: a retry keeps it.
type Given struct {
	Tags      map[string]string `json:"tags,omitempty"`
	Priority  *int32            `json:"priority,omitempty"`
	Slots     int               `json:"j,omitempty"`
	FailMode  string            `json:"fail_mode,omitempty"`
	Failures  int               `json:"max_failures,omitempty"`
	Backend   string            `json:"backend,omitempty"`
	Namespace string            `json:"namespace,omitempty"`
}

// Seal stands around the marks that a journal has in place of secrets. No variable, parameter or output can hold it.
const Seal = "\x00"

// unsealed shows a text with marks as it may be shown.
func unsealed(text string) string {
	parts := strings.Split(text, Seal)
	for i := 1; i < len(parts); i += 2 {
		parts[i] = "***"
	}
	return strings.Join(parts, "")
}

// Step is a step of a run.
type Step struct {
	*stepfile.Step      // secrets are shown as ***
	Hidden         bool // there are some
	Outcome        plan.Outcome
	Attempts       []Attempt
	Outputs        []stepfile.Var
	Weight         time.Duration // expected duration; 0: unknown
	Rerun          bool          // had been started in the run that this one goes on with, its end was not known
	Checked        time.Duration // when its condition was started; 0: not yet
	Passed         time.Duration // when that was met; 0: not yet
	Settled        time.Duration
	Blocked        *Blocked // what it waits for; nil: nothing that is known
}

// Blocked is what blocks steps from some time on, until they are told of anew or go on.
type Blocked struct {
	Steps   []string // ids
	Since   time.Duration
	Blocks  []backend.Block
	InStore bool   // they wait for their pools
	Behind  string // then: the step whose claim is in the store, which is one of them or stands there in their place
}

// Checks reports whether the step's condition runs.
func (s *Step) Checks() bool {
	return s.Checked > 0 && s.Passed == 0 && s.Outcome.State == plan.Pending && len(s.Attempts) == 0
}

// Runs reports whether the step's command runs.
func (s *Step) Runs() bool {
	a := s.Last()
	return s.Outcome.State == plan.Pending && a != nil && !a.Ended
}

// Again is when the step's next attempt is due, after one that has failed; 0: none is.
func (s *Step) Again() time.Duration {
	a := s.Last()
	if s.Outcome.State != plan.Pending || a == nil || !a.Ended || a.Code == 0 && a.Reason == "" {
		return 0
	}
	return a.End + s.Retry.After(a.Number)
}

// Attempt is one execution of a step's command.
type Attempt struct {
	Number            int // from 1
	Ready, Start, End time.Duration
	Ended             bool
	PID               int
	Code, Signal      int
	Reason            string
	Waits             []Wait // between Ready and Start
	Log               string // the name of its log in the run's directory; "" where it wrote nothing
}

// Wait is time spent waiting for one limit.
type Wait struct {
	Limit string        `json:"l"`
	From  time.Duration `json:"f"`
	Long  time.Duration `json:"d"`
	By    string        `json:"b,omitempty"` // who held it, by name
}

// NewRun returns a Run with the steps of a file.
func NewRun(f *stepfile.File) *Run {
	r := &Run{Name: f.Name, Steps: make([]*Step, len(f.Steps)), TagLimits: f.Executor.TagLimits}
	all := make([]Step, len(f.Steps))
	for i, s := range f.Steps {
		all[i].Step = s
		r.Steps[i] = &all[i]
	}
	return r
}

// Leave marks the steps that are not selected as no part of the run.
func (r *Run) Leave() {
	if r.Selected == nil {
		return
	}
	for _, s := range r.Steps {
		s.Outcome = plan.Outcome{State: plan.Unselected}
	}
	for _, id := range r.Selected {
		if s := r.step(id); s != nil {
			s.Outcome = plan.Outcome{}
		}
	}
}

// Last returns the step's last attempt, or nil.
func (s *Step) Last() *Attempt {
	if len(s.Attempts) == 0 {
		return nil
	}
	return &s.Attempts[len(s.Attempts)-1]
}

// Took is how long the last attempt ran.
func (s *Step) Took() time.Duration {
	if a := s.Last(); a != nil && a.Ended {
		return a.End - a.Start
	}
	return 0
}

// Counts are how many steps have ended how.
type Counts struct{ Total, Succeeded, Failed, Tolerated, Skipped, NotRun, Earlier, Running int }

// Done is the number of steps that are final.
func (c Counts) Done() int {
	return c.Succeeded + c.Failed + c.Tolerated + c.Skipped + c.NotRun + c.Earlier
}

// Count counts the steps, those left out that are not selected.
func (r *Run) Count() Counts {
	var c Counts
	for _, s := range r.Steps {
		c.Total++
		switch o := s.Outcome; {
		case o.State == plan.Unselected:
			c.Total--
		case o.Earlier:
			c.Earlier++
		case o.State == plan.Succeeded:
			c.Succeeded++
		case o.State == plan.Failed && o.Tolerated:
			c.Tolerated++
		case o.State == plan.Failed:
			c.Failed++
		case o.State == plan.Skipped:
			c.Skipped++
		case o.State == plan.NotRun:
			c.NotRun++
		case s.Last() != nil && !s.Last().Ended:
			c.Running++
		}
	}
	return c
}

// step finds a step by id.
func (r *Run) step(id string) *Step {
	if r.byID == nil {
		r.byID = make(map[string]*Step, len(r.Steps))
		for _, s := range r.Steps {
			r.byID[s.ID] = s
		}
	}
	return r.byID[id]
}

// Attempt returns the step's attempt of a number, made where it is not there.
func (s *Step) Attempt(number int) *Attempt {
	for i := range s.Attempts {
		if s.Attempts[i].Number == number {
			return &s.Attempts[i]
		}
	}
	s.Attempts = append(s.Attempts, Attempt{Number: number})
	return s.Last()
}
