// Package stepfile reads step files: the steps of a dag, what they need, and the limits of its executor.
//
// Parse reports every error of a file at once, each with its place. What it returns is
// expanded: each combination of a matrix is a Step of its own, ids are resolved to indices,
// defaults are filled in and ${{ }} expressions are replaced. It runs nothing.
package stepfile

import (
	"time"

	"limit/backend"
)

// File is a step file, read and found valid.
type File struct {
	Path        string // as given
	Source      []byte
	Name        string
	Description string
	Tags        map[string]string // of the run
	Priority    int32             // of the run
	Params      []Param
	Env         []Var
	EnvFiles    []string // paths of files with further variables
	Secrets     []Secret
	Timeout     time.Duration
	Executor    Executor
	Steps       []*Step // in the order of the file; combinations of a matrix one after the other

	OnFailure, OnExit *Step // commands for the end of the run, nil for none

	byID   map[string]int
	byBase map[string][]int
}

// Param is a value that --param sets; the environment of steps has it as PARAM_<NAME>.
type Param struct {
	Name        string
	Value       *string // nil: required and not given
	Description string
	Choices     []string // nil: any value
}

// Secret is a variable that must be set, and whose value is not shown.
type Secret struct {
	Name string
	File string // its value is what this file has, without the end of its last line; "": the environment has it
}

// Var is one variable of an environment, or one key of a matrix.
type Var struct{ Name, Value string }

// Executor bounds the steps of one run.
type Executor struct {
	MaxConcurrent int // slots; 0: the number of CPUs
	TagLimits     []backend.TagLimit
}

// Step is one node of the dag.
type Step struct {
	Index  int    // in File.Steps
	ID     string // extract[acme]
	Base   string // extract: its name in the file
	Matrix []Var  // of a combination

	Description string

	Run   string
	If    string
	When  When
	Needs []int // indices of its direct needs, ascending, each once

	Pools    map[string]int
	Tags     map[string]string
	Slots    int // of max_concurrent
	Priority int32

	Env     []Var
	Dir     string // absolute
	Shell   []string
	Timeout time.Duration // 0: none
	Grace   time.Duration
	Retry   Retry

	ContinueOnError Tolerance
	Console         bool
}

// When says which outcomes of its direct needs let a step run.
type When int

const (
	OnSuccess When = iota // all succeeded, or were skipped
	OnFailure             // one failed, or was not run because one before it failed
	Always
)

// Retry says whether and when a failed step is tried again.
type Retry struct {
	Max       int // further attempts
	Delay     time.Duration
	MaxDelay  time.Duration // 0: none
	Backoff   Backoff
	ExitCodes []int // nil: all
}

// Backoff says how the delay grows from attempt to attempt.
type Backoff int

const (
	Constant    Backoff = iota
	Linear              // Delay, 2·Delay, 3·Delay
	Exponential         // Delay, 2·Delay, 4·Delay
)

// Wanted reports whether a step that has failed for the given time (1 is the first) with this exit code is tried again.
func (r Retry) Wanted(attempt, code int) bool {
	return attempt <= r.Max && (r.ExitCodes == nil || contains(r.ExitCodes, code))
}

// After returns the delay after the given attempt, 1 being the first.
func (r Retry) After(attempt int) time.Duration {
	d := r.Delay
	for i := 1; i < attempt && (r.MaxDelay == 0 || d < r.MaxDelay); i++ {
		switch {
		case r.Backoff == Linear:
			d += r.Delay
		case r.Backoff == Exponential && d < maxDelay:
			d *= 2
		}
	}
	if r.MaxDelay > 0 && d > r.MaxDelay {
		return r.MaxDelay
	}
	return min(d, maxDelay)
}

// maxDelay keeps an exponential back-off without max_delay from overflowing.
const maxDelay = 24 * time.Hour

// Tolerance says which failures of a step count as success for those that need it.
type Tolerance struct {
	All   bool
	Codes []int
}

// Allows reports whether a failure with this exit code is tolerated.
func (t Tolerance) Allows(code int) bool { return t.All || contains(t.Codes, code) }

func contains(codes []int, code int) bool {
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}

// resolve returns the indices that a name stands for: one step, or all combinations of a matrix.
func (f *File) resolve(name string) []int {
	if i, ok := f.byID[name]; ok {
		return []int{i}
	}
	return f.byBase[name]
}
