//go:build linux

package soak

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Store is one store under test: how calls reach it, what can befall it, and what may be left of it.
type Store interface {
	Name() string // in the table

	// Clients are where calls come from, at least one; the workers are dealt out over them in turn. Called once.
	Clients() []*Client

	// Faults are what is drawn from. Kills and stops of processes are among them: take them from this package
	// (KillWrapper…).
	Faults() []Fault

	// Gatekeeper tells which of the wrappers decides for the others now; 0: nobody, or not known.
	Gatekeeper(wrappers []int) int

	// Leaks tells what is left in the store, a line each. It is asked when no process of any call lives and no fault is
	// at work, again and again for Settle until it is nothing.
	Leaks(ctx context.Context) []string

	Figures() Figures
}

// Figures are a store's numbers.
type Figures struct {
	Workers int           // how many calls are on their way at a time, about
	Pace    float64       // calls begun in a second, all workers together
	Epoch   time.Duration // from one quiet moment, in which everything is judged, to the next
	// who is admissible is granted within this, plus the time in which faults were at work meanwhile
	Stall   time.Duration
	Failing []string      // names of lanes: while their faults are at work, calls may end with 125 or 76
	Settle  time.Duration // how long after the last process is gone something may be left
}

// Client is a place that calls come from: a machine, or a clock of its own.
type Client struct {
	Name string
	// besides the test's own without LIMIT_*: LIMIT_BACKEND…; not LIMIT_NAMESPACE: there are several
	Env      []string
	Before   []string      // in front of limit: unshare --time …; it must exec, so that the pid is the wrapper's
	RunFlags []string      // of limit run, after "run": --ttl 5s
	Ahead    time.Duration // of its CLOCK_MONOTONIC before everybody's
	NoDag    bool          // no calls of limit dag
}

// in is the client in another namespace.
func (c *Client) in(namespace string) *Client {
	other := *c
	other.Env = append(slices.Clone(c.Env), "LIMIT_NAMESPACE="+namespace)
	return &other
}

// namespace is the one that the client's calls use.
func (c *Client) namespace() string {
	name := "default"
	for _, v := range c.Env {
		if n, ok := strings.CutPrefix(v, "LIMIT_NAMESPACE="); ok {
			name = n
		}
	}
	return name
}

// Fault is one kind of fault.
type Fault struct {
	Kind   string
	Weight int // how often it is drawn, against the others of its lane
	Lane   Lane
	// Do injects the fault and takes it back: when it returns, the world is whole again, also when ctx ends. It reports
	// false if there was nothing to hit, and is then not counted. The stall bound is extended by the time in which
	// faults were at work.
	Do func(ctx context.Context, r *rand.Rand, f *Field) bool
}

// Lane is a line of faults: those of one lane never are at work together, those of two are.
type Lane struct {
	Name  string
	Pause time.Duration // between two faults, on average
}
