package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"limit/backend"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// Why explains why a step waits, or that it does not: what it needs and where that stands, which limits of the executor
// are in its way and which steps hold them since when. What it waits for in the store, the store knows.
func (l *RunView) Why(w io.Writer, s *journal.Step) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s of %s, run %s, %s\n", clean(s.ID), clean(l.Name), shortRun(l.ID), l.Standing(s))
	switch {
	case s.Outcome.State == plan.NotRun:
		l.writeCulprits(out, s)
	case s.Outcome.State != plan.Pending || !l.live() || l.Granted == 0:
	case s.Runs():
		fmt.Fprintf(out, "  it holds %s\n", clean(l.asks(s)))
	case len(l.open(s)) > 0:
		l.writeNeeds(out, s)
	case s.Blocked != nil && !s.Blocked.InStore && !l.delayed(s):
		l.writeBlocks(out, s)
	}
	return out.Flush()
}

// asks are the slots that a step asks of, or holds in, the executor, and the pools that it holds while it runs.
func (l *RunView) asks(s *journal.Step) string {
	asks := []string{fmt.Sprintf("%d of %d slots (max_concurrent)", s.Slots, l.Max)}
	if s.If != "" && s.Passed == 0 && !s.Runs() {
		return fmt.Sprintf("1 of %d slots (max_concurrent) for its condition", l.Max)
	}
	for _, t := range l.TagLimits {
		if value, ok := s.Tags[t.Key]; ok && t.Matches(t.Key, value) {
			name := "step-tag:" + t.Key
			if t.Value != nil || t.PerValue {
				name += "=" + value
			}
			asks = append(asks, fmt.Sprintf("1 of %d of %s", t.Limit, name))
		}
	}
	if s.Console {
		asks = append(asks, "the terminal")
	}
	for _, name := range sortedKeys(s.Pools) {
		whose := ""
		if l.Pools {
			whose = " (the run holds it)"
		}
		asks = append(asks, fmt.Sprintf("%s of pool:%s%s", backend.SlotsText(s.Pools[name]), name, whose))
	}
	return strings.Join(asks, ", ")
}

// writeNeeds tells of the needs that are open where they stand.
func (l *RunView) writeNeeds(out io.Writer, s *journal.Step) {
	open := l.open(s)
	if done := len(s.Needs) - len(open); done > 0 {
		fmt.Fprintf(out, "  %d of the %d steps that it needs are done\n", done, len(s.Needs))
	}
	l.writeSteps(out, open)
}

// writeCulprits tells of the steps that failed so that a step was not run.
func (l *RunView) writeCulprits(out io.Writer, s *journal.Step) {
	seen := map[int]bool{}
	var failed []*journal.Step
	for work := slices.Clone(s.Needs); len(work) > 0; work = work[1:] {
		need := l.Steps[work[0]]
		if seen[need.Index] {
			continue
		}
		seen[need.Index] = true
		switch o := need.Outcome; {
		case o.State == plan.Failed && !o.Tolerated:
			failed = append(failed, need)
		case o.State == plan.NotRun:
			work = append(work, need.Needs...)
		}
	}
	l.writeSteps(out, failed)
}

// writeBlocks tells of the limits of the executor that are in a step's way, and of the steps that hold them.
func (l *RunView) writeBlocks(out io.Writer, s *journal.Step) {
	fmt.Fprintf(out, "  asks %s\n", clean(l.asks(s)))
	for _, b := range l.blocks(s) {
		fmt.Fprintf(out, "  %s\n", wrap.BlockLine(b, l.Started.Add(l.now)))
		var by []*journal.Step
		for _, id := range b.By {
			if holder := l.Step(id); holder != nil {
				by = append(by, holder)
			}
		}
		l.writeSteps(out, by)
	}
}

// mostSteps is how many steps are listed.
const mostSteps = 20

func (l *RunView) writeSteps(out io.Writer, steps []*journal.Step) {
	var rows [][]string
	for i, s := range steps {
		if i == mostSteps && len(steps) > mostSteps+1 {
			rows = append(rows, []string{fmt.Sprintf("    and %d more", len(steps)-i), ""})
			break
		}
		rows = append(rows, []string{"    " + clean(s.ID), l.Standing(s)})
	}
	if len(rows) > 0 {
		table(out, rows) // a failure of the buffer shows when it is flushed
	}
}
