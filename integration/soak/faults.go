//go:build linux

package soak

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// Role picks processes: the call, and those of its processes that a fault hits; nil if there is none now.
type Role func(r *rand.Rand, f *Field) (*Call, []int)

// Wrapper is limit itself, whose command runs.
func Wrapper(r *rand.Rand, f *Field) (*Call, []int) {
	c := f.Pick(r, func(c *Call) bool { return c.Command() > 0 })
	if c == nil {
		return nil, nil
	}
	return c, []int{c.PID}
}

// Command is the command alone.
func Command(r *rand.Rand, f *Field) (*Call, []int) {
	c, _ := Wrapper(r, f)
	if c == nil {
		return nil, nil
	}
	return c, []int{c.Command()}
}

// Both are limit and its command.
func Both(r *rand.Rand, f *Field) (*Call, []int) {
	c, _ := Wrapper(r, f)
	if c == nil {
		return nil, nil
	}
	return c, []int{c.Command(), c.PID}
}

// Waiter is limit while it has no command: it waits, begins, ends, looks or steers.
func Waiter(r *rand.Rand, f *Field) (*Call, []int) {
	c := f.Pick(r, func(c *Call) bool { return c.Command() == 0 })
	if c == nil {
		return nil, nil
	}
	return c, []int{c.PID}
}

// Gatekeeper is the waiter that decides for the others.
func Gatekeeper(_ *rand.Rand, f *Field) (*Call, []int) {
	calls := f.Calls(nil)
	pids := make([]int, len(calls))
	for i, c := range calls {
		pids[i] = c.PID
	}
	gate := f.Store.Gatekeeper(pids)
	for _, c := range calls {
		if c.PID == gate {
			return c, []int{gate}
		}
	}
	return nil, nil
}

// Kill is SIGKILL.
func Kill(kind string, weight int, lane Lane, who Role) Fault {
	return Fault{kind, weight, lane, func(_ context.Context, r *rand.Rand, f *Field) bool {
		c, pids := who(r, f)
		return c != nil && f.Kill(c, pids...)
	}}
}

// Stop is SIGSTOP, or TSTP as a terminal's ^Z is, and CONT after up to longest, mostly much less.
func Stop(kind string, weight int, lane Lane, sig unix.Signal, longest time.Duration, who Role) Fault {
	return Fault{kind, weight, lane, func(ctx context.Context, r *rand.Rand, f *Field) bool {
		c, pids := who(r, f)
		share := r.Float64()
		return c != nil && f.Stop(ctx, c, sig, time.Duration(float64(longest)*share*share*share), pids...)
	}}
}
