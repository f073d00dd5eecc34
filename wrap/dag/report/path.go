package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

// Link is an attempt on the way that made a run as long as it was, with what let it start.
type Link struct {
	Step    *journal.Step
	Attempt *journal.Attempt
	// whose slot it got when the attempt before it ended, or when somebody else's did; "": a need let it start
	Limit  string
	Waited time.Duration // for that, where nobody of this run held it
}

// CriticalPath is the way that made the run long: from its last end back through whatever let each attempt start, a
// need or a slot. It returns the links, the first to start first.
func CriticalPath(r *journal.Run, blame [][][]journal.Wait) []Link {
	asks := map[string]func(*journal.Step) int{}
	for _, l := range executorLimits(r) {
		asks[l.name] = l.ask
	}
	var at *Link
	for _, s := range r.Steps {
		for n := range s.Attempts {
			if a := &s.Attempts[n]; a.Ended && (at == nil || a.End > at.Attempt.End) {
				at = &Link{Step: s, Attempt: a}
			}
		}
	}
	var way []Link
	for seen := map[*journal.Attempt]bool{}; at != nil && !seen[at.Attempt]; {
		seen[at.Attempt] = true
		before := releasedBy(r, asks, at, blame[at.Step.Index])
		if before == nil {
			before = neededBy(r, at)
		}
		way = append([]Link{*at}, way...)
		at = before
	}
	return way
}

// releasedBy finds the attempt whose slot an attempt got that waited for one, and notes the limit.
func releasedBy(r *journal.Run, asks map[string]func(*journal.Step) int, at *Link, blame [][]journal.Wait) *Link {
	var before *Link
	for n := range at.Step.Attempts {
		if &at.Step.Attempts[n] != at.Attempt {
			continue
		}
		for _, w := range blame[n] {
			ask := asks[w.Limit]
			if pool, ok := strings.CutPrefix(w.Limit, "pool:"); ok {
				ask = func(s *journal.Step) int { return s.Pools[pool] }
			}
			if ask == nil || w.Long <= 0 {
				continue
			}
			found := lastEnd(r, ask, at)
			switch {
			case found != nil && (before == nil || found.Attempt.End > before.Attempt.End):
				before, at.Limit, at.Waited = found, w.Limit, 0
			case found == nil && before == nil && w.Long >= worthTelling && w.Long > at.Waited:
				at.Limit, at.Waited = w.Limit, w.Long
			}
		}
	}
	return before
}

// lastEnd is the attempt with a share of a limit that ended last before another started, and while that waited.
func lastEnd(r *journal.Run, ask func(*journal.Step) int, at *Link) *Link {
	var last *Link
	for _, s := range r.Steps {
		if ask(s) == 0 {
			continue
		}
		for n := range s.Attempts {
			a := &s.Attempts[n]
			if a != at.Attempt && a.Ended && a.End <= at.Attempt.Start && a.End > at.Attempt.Ready &&
				(last == nil || a.End > last.Attempt.End) {
				last = &Link{Step: s, Attempt: a}
			}
		}
	}
	return last
}

// neededBy is the attempt before of the same step, or the last attempt of the need that ended last.
func neededBy(r *journal.Run, at *Link) *Link {
	var last *Link
	for n := range at.Step.Attempts {
		if a := &at.Step.Attempts[n]; a.Number < at.Attempt.Number {
			last = &Link{Step: at.Step, Attempt: a}
		}
	}
	if last != nil {
		return last
	}
	seen := map[int]bool{}
	for work := at.Step.Needs; len(work) > 0; {
		n := work[len(work)-1]
		work = work[: len(work)-1 : len(work)-1]
		s := r.Steps[n]
		if a := s.Last(); a != nil && a.Ended {
			if last == nil || a.End > last.Attempt.End {
				last = &Link{Step: s, Attempt: a}
			}
		} else if !seen[n] { // skipped, or done before: what it needed may have run
			seen[n] = true
			work = append(work, s.Needs...)
		}
	}
	return last
}

// arrow is what stands before a link that is not the first.
func (l Link) arrow() string {
	switch {
	case l.Limit == "":
		return "→"
	case l.Waited > 0:
		return fmt.Sprintf("–%s %s→", clean(l.Limit), short(l.Waited))
	default:
		return "–" + clean(l.Limit) + "→"
	}
}

func (l Link) took() time.Duration { return l.Attempt.End - l.Attempt.Start }

// lasted is how much of the run the way explains.
func lasted(way []Link) time.Duration {
	var sum time.Duration
	for _, l := range way {
		sum += l.took() + l.Waited
	}
	return sum
}

// NeedsPath is the longest way through the steps that ran by needs alone, by what they took: no number of slots makes
// the run shorter.
func NeedsPath(r *journal.Run) ([]*journal.Step, time.Duration) {
	weights := make([]time.Duration, len(r.Steps))
	for i, s := range r.Steps {
		weights[i] = s.Took()
	}
	way, total := plan.CriticalPath(fileOf(r), weights, func(i int) bool { return r.Steps[i].Took() == 0 })
	steps := make([]*journal.Step, len(way))
	for i, at := range way {
		steps[i] = r.Steps[at]
	}
	return steps, total
}

// fileOf is the run's steps as a file.
func fileOf(r *journal.Run) *stepfile.File {
	f := &stepfile.File{Steps: make([]*stepfile.Step, len(r.Steps))}
	for i, s := range r.Steps {
		f.Steps[i] = s.Step
	}
	return f
}

// writeCriticalPath writes both ways; that of the needs where it is another one.
func writeCriticalPath(w io.Writer, r *journal.Run, blame [][][]journal.Wait) {
	way := CriticalPath(r, blame)
	needs, least := NeedsPath(r)
	if len(way) < 2 && len(needs) < 2 {
		return
	}
	texts := make([]string, len(way))
	same := len(way) == len(needs)
	for i, l := range way {
		texts[i] = clean(l.Step.ID) + " " + short(l.took())
		if i > 0 || l.Waited > 0 {
			texts[i] = l.arrow() + " " + texts[i]
		}
		same = same && l.Step == needs[i]
	}
	fmt.Fprintf(w, "critical path: %s (%s of %s)\n", strings.Join(shorten(texts, shownPath), " "), short(lasted(way)),
		short(r.Ended))
	if same {
		return
	}
	texts = texts[:0]
	for _, s := range needs {
		texts = append(texts, clean(s.ID)+" "+short(s.Took()))
	}
	fmt.Fprintf(w, "by needs alone: %s (%s, however many slots)\n", strings.Join(shorten(texts, shownPath), " → "),
		short(least))
}
