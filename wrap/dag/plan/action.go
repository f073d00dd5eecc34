package plan

import "time"

// ActionKind is what a runner is to do, or to tell.
type ActionKind int

const (
	// To do.
	Check     ActionKind = iota // run the step's condition; report Checked
	Start                       // run its command; report Finished
	Enter                       // enter its claim into the store; report Granted, or Refused
	Yield                       // put its claim aside in the store
	Reacquire                   // put it back; report Reacquired
	Release                     // give its claim back, held or waiting
	Terminate                   // stop its command or condition; it is still reported

	// To tell.
	Queued   // the step is ready and waits
	Retrying // an attempt has failed and another follows
	Settled  // the step is final: Outcome
)

// Action is one thing to do or to tell, in order.
type Action struct {
	Kind    ActionKind
	Step    int
	Attempt int
	Delay   time.Duration // of Retrying
	Exit    Exit          // of Retrying: how the attempt ended
}

// Exit is how a command has ended.
type Exit struct {
	Code   int    // 128+N for signal N
	Signal int    // that ended it; 0: none
	Reason string // why it counts as failed whatever its code: timed out, slot lost; "" where the code decides
	Final  bool   // not to be tried again or tolerated: cancelled
}

// Outcome is how a step has ended.
type Outcome struct {
	State     State
	Exit      Exit   // of Succeeded and Failed: of the last attempt
	Tolerated bool   // a failure that counts as success for those that need it
	Earlier   bool   // settled by an earlier run
	Reason    string // of Skipped and NotRun; of Failed where not the exit code says all
}

// State is a step's state at the end.
type State int

const (
	Pending    State = iota
	Succeeded        // exit code 0
	Failed           // after its last attempt
	Skipped          // by its condition, or because nothing happened that it is there for; satisfies those that need it
	NotRun           // a step that it needs failed, or the run was stopped
	Unselected       // not part of the run; satisfies those that need it
)

func (s State) String() string {
	return [...]string{"pending", "succeeded", "failed", "skipped", "not_run", "unselected"}[s]
}

// satisfies reports whether a need that ended so lets its dependants run.
func (o Outcome) satisfies() bool {
	switch o.State {
	case Failed:
		return o.Tolerated
	case NotRun:
		return false
	default:
		return true
	}
}
