//go:build linux

package soak

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A wrapper and its keeper stand in for each other: when one is killed or stopped, the other ends the command in time.
// Nobody can when both are gone or stopped for longer than the TTL while the command runs: that is beyond a process of
// a user, and what the token is for. So it is not drawn: of each call, one of the two is hit, and never the other.

// spared remembers which of the two that is.
type spared struct {
	mu  sync.Mutex
	hit map[*Call]bool // true: the wrapper may be, false: the keeper
}

// mayHit reports whether a call's wrapper (or its keeper) may be hit, and sees to it that the other is not from now on.
func (s *spared) mayHit(c *Call, wrapper bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hit == nil {
		s.hit = map[*Call]bool{}
	}
	before, known := s.hit[c]
	if known && before != wrapper {
		return false
	}
	s.hit[c] = wrapper
	return true
}

// asWrapper lets a role that picks wrappers, with or without their commands, pick those whose keeper was spared.
func (f *fleet) asWrapper(who Role) Role { return f.only(who, true) }

// asKeeper is the same for keepers.
func (f *fleet) asKeeper(who Role) Role { return f.only(who, false) }

func (f *fleet) only(who Role, wrapper bool) Role {
	return func(r *rand.Rand, field *Field) (*Call, []int) {
		c, pids := who(r, field)
		if c == nil || !f.spared.mayHit(c, wrapper) {
			return nil, nil
		}
		return c, pids
	}
}

// keeperAndCommand are a keeper and what it guards.
func keeperAndCommand(r *rand.Rand, f *Field) (*Call, []int) {
	c := f.Pick(r, func(c *Call) bool { return c.Keeper() > 0 && c.Command() > 0 })
	if c == nil {
		return nil, nil
	}
	return c, []int{c.Keeper(), c.Command()}
}

// runningKeeper is the keeper of a claim that is held.
func runningKeeper(r *rand.Rand, f *Field) (*Call, []int) {
	c, pids := keeperAndCommand(r, f)
	if c == nil {
		return nil, nil
	}
	return c, pids[:1]
}

// waitersKeeper is the keeper of a claim that waits.
func waitersKeeper(r *rand.Rand, f *Field) (*Call, []int) {
	c := f.Pick(r, func(c *Call) bool { return c.Keeper() > 0 && c.Command() == 0 })
	if c == nil {
		return nil, nil
	}
	return c, []int{c.Keeper()}
}

// gatesKeeper is the process that grants while anybody waits.
func (f *fleet) gatesKeeper(_ *rand.Rand, field *Field) (*Call, []int) {
	gate := f.gate()
	if gate == 0 {
		return nil, nil
	}
	for _, c := range field.Calls(nil) {
		if c.Keeper() == gate {
			return c, []int{gate}
		}
	}
	return nil, nil
}

// processFaults kill and stop processes of calls. A stop lasts up to two TTLs, so that some outlast the lease.
func (f *fleet) processFaults() []Fault {
	kills := Lane{"kills", 3500 * time.Millisecond}
	stops := Lane{"stops", 3500 * time.Millisecond}
	const longest = 2 * etcdTTL
	return []Fault{
		Kill("kill wrapper", 4, kills, f.asWrapper(Wrapper)),
		Kill("kill wrapper and command", 2, kills, f.asWrapper(Both)),
		Kill("kill command", 3, kills, Command),
		Kill("kill keeper", 4, kills, f.asKeeper(runningKeeper)),
		Kill("kill keeper and command", 2, kills, f.asKeeper(keeperAndCommand)),
		Kill("kill waiter", 3, kills, f.asWrapper(Waiter)),
		Kill("kill waiter's keeper", 3, kills, f.asKeeper(waitersKeeper)),
		Kill("kill gatekeeper", 3, kills, f.asKeeper(f.gatesKeeper)),
		Stop("stop wrapper", 4, stops, unix.SIGSTOP, longest, f.asWrapper(Wrapper)),
		Stop("^Z wrapper", 2, stops, unix.SIGTSTP, longest, f.asWrapper(Wrapper)),
		Stop("stop command", 2, stops, unix.SIGSTOP, longest, Command),
		Stop("stop keeper", 4, stops, unix.SIGSTOP, longest, f.asKeeper(runningKeeper)),
		Stop("stop waiter", 3, stops, unix.SIGSTOP, longest, f.asWrapper(Waiter)),
		Stop("stop waiter's keeper", 3, stops, unix.SIGSTOP, longest, f.asKeeper(waitersKeeper)),
		Stop("stop gatekeeper", 3, stops, unix.SIGSTOP, longest, f.asKeeper(f.gatesKeeper)),
	}
}

// isKeeper tells a keeper by its command line: limit __keeper, or, as it is released, limit-keeper.
func isKeeper(line string) bool {
	program, rest, _ := strings.Cut(line, "\x00")
	return filepath.Base(program) == "limit-keeper" || strings.HasPrefix(rest, "__keeper")
}
