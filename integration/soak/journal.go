//go:build linux

package soak

import "golang.org/x/sys/unix"

// now is CLOCK_MONOTONIC in nanoseconds.
func now() int64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// journal is what happened when, in one epoch.
type journal struct{}

// killed notes that processes of a call were killed: the signal was sent after begun, and they were dead by ended.
func (j *journal) killed(call int, begun, ended int64) {}
