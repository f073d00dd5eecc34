package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

// List writes a line for each run.
func List(w io.Writer, runs []journal.Listed, now time.Time) error {
	rows := [][]string{{"RUN", "NAME", "STARTED", "TOOK", "STATE", "STEPS"}}
	for _, r := range runs {
		rows = append(rows, []string{
			r.ID[:min(8, len(r.ID))], clean(r.Name), r.Started.Local().Format("2006-01-02 15:04:05"),
			took(r.Running, r.Started, r.Ended, now), r.State(), describeCounts(r.Counts),
		})
	}
	return table(w, rows)
}

func took(running bool, started time.Time, ended time.Duration, now time.Time) string {
	if running {
		return short(now.Sub(started))
	}
	return short(ended)
}

// Show writes a line for each step of a run.
func Show(w io.Writer, e *RunView) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "run %s of %s, %s, started %s on %s\n", e.ID, clean(e.File), e.State(),
		e.Started.Local().Format("2006-01-02 15:04:05"), clean(e.Host))
	if e.Retries != "" {
		fmt.Fprintf(out, "goes on with run %s\n", e.Retries)
	}
	fmt.Fprintln(out)
	blame := AttributeWaits(e.Run)
	rows := [][]string{{"STEP", "STATE", "ATTEMPTS", "WAITED", "TOOK", ""}}
	for i, s := range e.Steps {
		if s.Outcome.State == plan.Unselected {
			continue
		}
		rows = append(rows, showRow(e, s, blame[i]))
	}
	if err := table(out, rows); err != nil {
		return err
	}
	return out.Flush()
}

// state is a step's state as a word, and why it is that.
func (e *RunView) state(s *journal.Step) (state, why string) {
	state, why = s.Outcome.State.String(), s.Outcome.Reason
	switch {
	case s.Runs() && e.Running:
		state = "running"
	case s.Runs():
		state = "unknown"
		why = "its run was killed while it ran"
	case s.Outcome.State == plan.Pending && e.live() && e.Granted > 0:
		why = e.Standing(s)
		if e.Waits(s) {
			state = "waiting"
		}
	case s.Outcome.Earlier:
		state = "done before"
	case s.Outcome.Tolerated:
		state = "tolerated"
	}
	return state, why
}

func showRow(e *RunView, s *journal.Step, blame [][]journal.Wait) []string {
	state, why := e.state(s)
	a := s.Last()
	if a == nil {
		return []string{clean(s.ID), state, "", "", "", clean(why)}
	}
	if why == "" && a.Ended && (a.Code != 0 || a.Reason != "") {
		why = how(a)
	}
	ran := short(a.End - a.Start)
	if !a.Ended {
		ran = ""
		if e.Running {
			ran = short(e.now - a.Start)
		}
	}
	var waits []string
	for _, w := range blame[len(blame)-1] {
		if w.Long >= worthTelling {
			waits = append(waits, clean(w.Limit)+" "+short(w.Long))
		}
	}
	waited := short(a.Start - a.Ready)
	if len(waits) > 0 {
		waited += " (" + strings.Join(waits, ", ") + ")"
	}
	return []string{clean(s.ID), state, fmt.Sprint(a.Number), waited, ran, clean(why)}
}

// table writes rows in columns.
func table(w io.Writer, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], wrap.Cells(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-wrap.Cells(cell)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Steps writes what there is to choose in a step file: parameters and steps.
func Steps(w io.Writer, f *stepfile.File) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, strings.TrimSuffix(clean(f.Name)+": "+clean(firstLine(f.Description)), ": "))
	if len(f.Params) > 0 {
		rows := [][]string{{"PARAMETER", "DEFAULT", "CHOICES", "DESCRIPTION"}}
		for _, p := range f.Params {
			value := "(required)"
			if p.Value != nil {
				value = *p.Value
			}
			rows = append(rows, []string{clean(p.Name), clean(value), clean(strings.Join(p.Choices, ", ")),
				clean(firstLine(p.Description))})
		}
		fmt.Fprintln(out)
		if err := table(out, rows); err != nil {
			return err
		}
	}
	rows := [][]string{{"STEP", "DESCRIPTION"}}
	for i, s := range f.Steps {
		if i > 0 && f.Steps[i-1].Base == s.Base {
			continue
		}
		name, combinations := clean(s.Base), 1
		for ; i+combinations < len(f.Steps) && f.Steps[i+combinations].Base == s.Base; combinations++ {
		}
		if len(s.Matrix) > 0 {
			name += fmt.Sprintf(" (%d)", combinations)
		}
		about := s.Description
		if about == "" {
			about = s.Run
		}
		rows = append(rows, []string{name, wrap.Cut(clean(firstLine(about)), 100)})
	}
	fmt.Fprintln(out)
	if err := table(out, rows); err != nil {
		return err
	}
	return out.Flush()
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// Plan writes what a simulation says: order, critical path, which limits bind, and the time.
func Plan(w io.Writer, r *journal.Run, durations []time.Duration, known int) error {
	out := bufio.NewWriter(w)
	rows := [][]string{{"START", "STEP", "TAKES", "WAITS", "NEEDS"}}
	for _, b := range bars(r, AttributeWaits(r)) {
		waited := ""
		if b.attempt.Start > b.attempt.Ready {
			waited = short(b.attempt.Start - b.attempt.Ready)
		}
		needs := make([]string, len(b.step.Needs))
		for i, n := range b.step.Needs {
			needs[i] = r.Steps[n].ID
		}
		rows = append(rows, []string{short(b.attempt.Start), clean(b.step.ID), short(durations[b.step.Index]), waited,
			clean(strings.Join(shorten(needs, 4), ", "))})
	}
	if err := table(out, rows); err != nil {
		return err
	}
	writePlanNotes(out, r, known)
	return out.Flush()
}

func writePlanNotes(out io.Writer, r *journal.Run, known int) {
	fmt.Fprintln(out)
	for _, s := range r.Steps {
		switch {
		case s.Outcome.State == plan.Pending:
			fmt.Fprintf(out, "never starts: %s: its pools are paused\n", clean(s.ID))
		case s.Outcome.State == plan.Failed:
			fmt.Fprintf(out, "never starts: %s: %s\n", clean(s.ID), clean(s.Outcome.Reason))
		}
	}
	blame := AttributeWaits(r)
	writeCriticalPath(out, r, blame)
	writeWaited(out, r, blame)
	switch {
	case known == 0:
		fmt.Fprintf(out, "predicted time: %s, were each step to take 1s (no earlier run is known)\n", short(r.Ended))
	case known < len(r.Steps):
		fmt.Fprintf(out, "predicted time: %s, from earlier runs of %d of %d steps\n", short(r.Ended), known,
			len(r.Steps))
	default:
		fmt.Fprintf(out, "predicted time: %s, from earlier runs\n", short(r.Ended))
	}
}

// Simulated is a simulation as if it had happened. What waits for pools is told as such.
func Simulated(f *stepfile.File, slots int, pools map[string]int, spans []plan.Span, p *plan.Plan) *journal.Run {
	r := journal.NewRun(f)
	r.Max, r.PoolLimits = slots, pools
	for _, span := range spans {
		a := r.Steps[span.Step].Attempt(span.Attempt)
		a.Ready, a.Start, a.End, a.Ended = span.Ready, span.Start, span.End, true
		r.Ended = max(r.Ended, span.End)
	}
	for i, s := range r.Steps {
		s.Outcome = p.Outcome(i)
	}
	blame := AttributeWaits(r)
	for i, s := range r.Steps {
		for n := range s.Attempts {
			poolWait(s, &s.Attempts[n], blame[i][n])
		}
	}
	return r
}

// poolWait blames an attempt's pools for what the executor's limits do not explain.
func poolWait(s *journal.Step, a *journal.Attempt, blamed []journal.Wait) {
	rest := a.Start - a.Ready
	for _, w := range blamed {
		rest -= w.Long
	}
	for _, name := range sortedKeys(s.Pools) {
		if rest > 0 {
			a.Waits = append(a.Waits, journal.Wait{Limit: "pool:" + name, From: a.Ready, Long: rest})
		}
	}
}
