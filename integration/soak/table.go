//go:build linux

package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// FaultCount is how many faults were injected.
func (r Result) FaultCount() int {
	total := 0
	for _, n := range r.Faults {
		total += n
	}
	return total
}

// proves reports whether calls were granted and histories judged, and, where the store has any, faults were injected.
func (r Result) proves(faults bool) bool {
	return r.Acquisitions > 0 && r.Histories > 0 && (r.FaultCount() > 0 || !faults)
}

// line is the progress.
func (r Result) line() string {
	return fmt.Sprintf("soak %s seed %d %s: %d acquisitions, %d faults, %d overlaps, %d leaks, longest stall %s of "+
		"%s, %d histories",
		r.Store, r.Seed, r.Took.Round(time.Second), r.Acquisitions, r.FaultCount(), r.Overlaps+r.OverLimits, r.Leaks,
		r.Stall.Length.Round(time.Millisecond), r.StallBound, r.Histories)
}

// String is the table.
func (r Result) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) }
	row("store", r.Store)
	row("seed", r.Seed)
	row("time", r.Took.Round(time.Second))
	row("calls of limit", r.Calls)
	row("acquisitions", r.Acquisitions)
	row("faults", r.FaultCount())
	for _, kind := range slices.Sorted(maps.Keys(r.Faults)) {
		row("  "+kind, r.Faults[kind])
	}
	row("overlaps (a slot given to two)", r.Overlaps)
	row("slots of the dying (not overlaps)", r.Late)
	row("moments over a limit", r.OverLimits)
	row("tokens out of order", r.Disorder)
	row("leaks", r.Leaks)
	row("longest stall", fmt.Sprintf("%s of %s (beside %s of faults)", r.Stall.Length.Round(time.Millisecond),
		r.StallBound, r.Stall.Faulty.Round(time.Millisecond)))
	row("longest stall, faults counted", r.Stall.Whole.Round(time.Millisecond))
	row("machine too busy to start a process", r.Busy.Round(time.Millisecond))
	row("histories checked by porcupine", fmt.Sprintf("%d (%d operations), illegal %d, too long to check %d",
		r.Histories, r.Operations, r.Illegal, r.Unchecked))
	row("calls that ended as none may", r.Surprises)
	w.Flush()
	return b.String()
}
