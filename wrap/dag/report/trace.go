package report

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// traceEvent is one of Chrome's Trace Event Format. Times are in microseconds.
type traceEvent struct {
	Name     string         `json:"name"`
	Category string         `json:"cat,omitempty"`
	Phase    string         `json:"ph"`
	Time     float64        `json:"ts"`
	Duration float64        `json:"dur,omitempty"`
	Process  int            `json:"pid"`
	Thread   int            `json:"tid"`
	Colour   string         `json:"cname,omitempty"`
	Args     map[string]any `json:"args,omitempty"`
}

// The two processes that a trace shows: what ran, a thread for each slot, and what waited.
const (
	traceRan    = 1
	traceWaited = 2
)

// Trace writes the run as a Chrome trace, for chrome://tracing or Perfetto. Attempts are on as many threads as ran at
// once; waits for limits are a process of their own.
func Trace(w io.Writer, r *journal.Run) error {
	out := bufio.NewWriter(w)
	t := &tracer{out: out}
	t.raw("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n")
	t.add(traceEvent{Name: "process_name", Phase: "M", Process: traceRan, Args: map[string]any{"name": r.Name}})
	t.add(traceEvent{Name: "process_name", Phase: "M", Process: traceWaited,
		Args: map[string]any{"name": "waiting for limits"}})
	blame := AttributeWaits(r)
	ran, waited := &lanes{}, &lanes{}
	for _, b := range bars(r, blame) {
		t.attempt(r, b, ran.take(b.attempt.Start, b.end))
		if b.attempt.Start > b.attempt.Ready {
			lane := waited.take(b.attempt.Ready, b.attempt.Start)
			at := b.attempt.Ready
			for _, s := range segments(b.waits, b.attempt.Start-b.attempt.Ready) {
				t.add(traceEvent{Name: s.limit, Category: "wait", Phase: "X", Time: micro(at), Duration: micro(s.long),
					Process: traceWaited,
					Thread:  lane, Args: map[string]any{"step": b.step.ID}})
				at += s.long
			}
		}
	}
	t.raw("\n]}\n")
	if t.err != nil {
		return t.err
	}
	return out.Flush()
}

type tracer struct {
	out   *bufio.Writer
	count int
	err   error
}

func (t *tracer) raw(s string) { t.out.WriteString(s) }

func (t *tracer) add(e traceEvent) {
	text, err := json.Marshal(e)
	if err != nil {
		t.err = fmt.Errorf("writing the trace: %w", err)
		return
	}
	if t.count > 0 {
		t.raw(",\n")
	}
	t.count++
	t.out.Write(text)
}

func (t *tracer) attempt(r *journal.Run, b bar, lane int) {
	args := map[string]any{"attempt": b.attempt.Number, "exit_code": b.attempt.Code}
	if len(b.step.Pools) > 0 {
		args["pools"] = b.step.Pools
	}
	if len(b.step.Tags) > 0 {
		args["tags"] = b.step.Tags
	}
	if b.attempt.Reason != "" {
		args["reason"] = b.attempt.Reason
	}
	colour := ""
	if b.attempt.Code != 0 || b.attempt.Reason != "" {
		colour = "terrible"
	}
	t.add(traceEvent{Name: b.step.ID, Category: "step", Phase: "X", Time: micro(b.attempt.Start),
		Duration: micro(b.end - b.attempt.Start),
		Process:  traceRan, Thread: lane, Colour: colour, Args: args})
}

func micro(d time.Duration) float64 { return float64(d) / 1e3 }

// bar is one attempt on a timeline.
type bar struct {
	step    *journal.Step
	attempt *journal.Attempt
	end     time.Duration // that of the run where the attempt's is not known
	waits   []journal.Wait
}

// bars are the attempts in the order of their starts.
func bars(r *journal.Run, blame [][][]journal.Wait) []bar {
	var all []bar
	for i, s := range r.Steps {
		if s.Outcome.State == plan.Unselected {
			continue
		}
		for n := range s.Attempts {
			a := &s.Attempts[n]
			end := a.End
			if !a.Ended {
				end = max(r.Ended, a.Start)
			}
			all = append(all, bar{s, a, end, blame[i][n]})
		}
	}
	slices.SortStableFunc(all, func(a, b bar) int {
		return cmp.Or(cmp.Compare(a.attempt.Start, b.attempt.Start), cmp.Compare(a.step.Index, b.step.Index))
	})
	return all
}

// lanes gives things that overlap lanes of their own.
type lanes struct{ free []time.Duration }

// take returns the first lane, from 1, that is free at from, and uses it until to.
func (l *lanes) take(from, to time.Duration) int {
	for i, until := range l.free {
		if until <= from {
			l.free[i] = to
			return i + 1
		}
	}
	l.free = append(l.free, to)
	return len(l.free)
}

// segment is a part of a wait that one limit is blamed for.
type segment struct {
	limit string
	long  time.Duration
}

// unblamed is what a wait is called that no limit explains: the plan and the machine.
const unblamed = "starting"

// segments spreads a wait over the limits that are blamed for it. Where they overlap they share it; what is not
// explained comes last.
func segments(waits []journal.Wait, total time.Duration) []segment {
	var sum time.Duration
	for _, w := range waits {
		sum += w.Long
	}
	scale := 1.0
	if sum > total && sum > 0 {
		scale = float64(total) / float64(sum)
	}
	var out []segment
	rest := total
	for _, w := range waits {
		long := min(rest, time.Duration(float64(w.Long)*scale))
		if long <= 0 {
			continue
		}
		rest -= long
		if n := len(out); n > 0 && out[n-1].limit == w.Limit {
			out[n-1].long += long
			continue
		}
		out = append(out, segment{w.Limit, long})
	}
	if rest > 0 {
		out = append(out, segment{unblamed, rest})
	}
	return out
}
