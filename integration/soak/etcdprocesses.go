//go:build linux

package soak

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// keeperAndCommand are a keeper and what it guards.
func keeperAndCommand(r *rand.Rand, f *Field) (*Call, []int) {
	c := f.Pick(r, func(c *Call) bool { return c.Keeper() > 0 && c.Command() > 0 })
	if c == nil {
		return nil, nil
	}
	return c, []int{c.Keeper(), c.Command()}
}

// wrapperAndKeeper are all that guards a command but for the fence.
func wrapperAndKeeper(r *rand.Rand, f *Field) (*Call, []int) {
	c, pids := keeperAndCommand(r, f)
	if c == nil {
		return nil, nil
	}
	return c, []int{pids[0], c.PID}
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
		Kill("kill wrapper", 4, kills, Wrapper),
		Kill("kill wrapper and command", 2, kills, Both),
		Kill("kill command", 3, kills, Command),
		Kill("kill keeper", 4, kills, runningKeeper),
		Kill("kill keeper and command", 2, kills, keeperAndCommand),
		Kill("kill wrapper and keeper", 2, kills, wrapperAndKeeper),
		Kill("kill waiter", 3, kills, Waiter),
		Kill("kill waiter's keeper", 3, kills, waitersKeeper),
		Kill("kill gatekeeper", 3, kills, f.gatesKeeper),
		Stop("stop wrapper", 4, stops, unix.SIGSTOP, longest, Wrapper),
		Stop("^Z wrapper", 2, stops, unix.SIGTSTP, longest, Wrapper),
		Stop("stop command", 2, stops, unix.SIGSTOP, longest, Command),
		Stop("stop keeper", 4, stops, unix.SIGSTOP, longest, runningKeeper),
		Stop("stop wrapper and keeper", 2, stops, unix.SIGSTOP, longest, wrapperAndKeeper),
		Stop("stop waiter", 3, stops, unix.SIGSTOP, longest, Waiter),
		Stop("stop waiter's keeper", 3, stops, unix.SIGSTOP, longest, waitersKeeper),
		Stop("stop gatekeeper", 3, stops, unix.SIGSTOP, longest, f.gatesKeeper),
	}
}

// isKeeper tells a keeper by its command line: limit __keeper, or, as it is released, limit-keeper.
func isKeeper(line string) bool {
	program, rest, _ := strings.Cut(line, "\x00")
	return filepath.Base(program) == "limit-keeper" || strings.HasPrefix(rest, "__keeper")
}
