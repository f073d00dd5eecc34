package report

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"limit/backend"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// listedJSON is a run for programs. Durations are in seconds.
type listedJSON struct {
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	File     string         `json:"file"`
	State    string         `json:"state"`     // one of journal.States
	ExitCode *int           `json:"exit_code"` // null: it has none
	Signal   string         `json:"signal,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Started  time.Time      `json:"started"`
	Took     float64        `json:"took"`
	Counts   map[string]int `json:"counts"`
}

type shownJSON struct {
	listedJSON
	Host          string            `json:"host"`
	PID           int               `json:"pid"`
	Retries       string            `json:"retries,omitempty"`
	Dir           string            `json:"dir"`
	Params        map[string]string `json:"params"`
	MaxConcurrent int               `json:"max_concurrent"`
	Steps         []stepJSON        `json:"steps"`
}

type stepJSON struct {
	ID          string            `json:"id"`
	Description string            `json:"description,omitempty"`
	State       string            `json:"state"` // as show has it
	Reason      string            `json:"reason,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Pools       map[string]int    `json:"pools,omitempty"`
	Needs       []string          `json:"needs"`
	BlockedBy   []backend.Block   `json:"blocked_by,omitempty"`
	Attempts    []attemptJSON     `json:"attempts"`
}

type attemptJSON struct {
	Number   int        `json:"attempt"`
	PID      int        `json:"pid,omitempty"`
	Ready    float64    `json:"ready"`
	Start    float64    `json:"start"`
	End      *float64   `json:"end"` // null: it has not ended, or that is not known
	ExitCode *int       `json:"exit_code"`
	Signal   string     `json:"signal,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Waits    []waitJSON `json:"waits,omitempty"`
	Log      string     `json:"log,omitempty"`
}

type waitJSON struct {
	Limit  string  `json:"limit"`
	Waited float64 `json:"waited"`
}

// StateOf is the first word of a run's state, such as failed of failed (1).
func StateOf(l journal.Listed) string {
	word, _, _ := strings.Cut(l.State(), " ")
	return word
}

func listed(l journal.Listed, now time.Time) listedJSON {
	c := l.Counts
	out := listedJSON{ID: l.ID, Name: l.Name, File: l.File, State: StateOf(l), Signal: l.Signal, Reason: l.Reason,
		Started: l.Started, Took: l.Ended.Seconds(),
		Counts: map[string]int{"total": c.Total, "succeeded": c.Succeeded, "failed": c.Failed, "tolerated": c.Tolerated,
			"skipped": c.Skipped,
			"not_run": c.NotRun, "done_before": c.Earlier, "running": c.Running}}
	if l.Finished && l.Signal == "" {
		out.ExitCode = &l.Code
	}
	if l.Running {
		out.Took = now.Sub(l.Started).Seconds()
	}
	return out
}

// ListJSON is List for programs: an array.
func ListJSON(w io.Writer, runs []journal.Listed, now time.Time) error {
	out := []listedJSON{}
	for _, r := range runs {
		out = append(out, listed(r, now))
	}
	return indented(w, out)
}

// ShowJSON is Show for programs: an object.
func ShowJSON(w io.Writer, l *RunView) error {
	out := shownJSON{listedJSON: listed(l.Listed(), l.Started.Add(l.now)), Host: l.Host, PID: l.PID, Retries: l.Retries,
		Dir: l.Dir, Params: l.Params,
		MaxConcurrent: l.Max, Steps: []stepJSON{}}
	blame := AttributeWaits(l.Run)
	for i, s := range l.Steps {
		if s.Outcome.State == plan.Unselected {
			continue
		}
		state, why := l.state(s)
		step := stepJSON{ID: s.ID, Description: s.Description, State: state, Reason: why, Tags: s.Tags, Pools: s.Pools,
			Needs: []string{}, Attempts: []attemptJSON{}}
		for _, n := range s.Needs {
			step.Needs = append(step.Needs, l.Steps[n].ID)
		}
		if l.Waits(s) {
			step.BlockedBy = l.blocks(s)
		}
		for n, a := range s.Attempts {
			step.Attempts = append(step.Attempts, attemptOf(a, blame[i][n]))
		}
		out.Steps = append(out.Steps, step)
	}
	return indented(w, out)
}

func attemptOf(a journal.Attempt, waits []journal.Wait) attemptJSON {
	out := attemptJSON{Number: a.Number, PID: a.PID, Ready: a.Ready.Seconds(), Start: a.Start.Seconds(),
		Reason: a.Reason, Log: a.Log}
	if a.Ended {
		end := a.End.Seconds()
		out.End = &end
		if a.Signal != 0 {
			out.Signal = signalName(a.Signal)
		} else {
			out.ExitCode = &a.Code
		}
	}
	for _, w := range waits {
		out.Waits = append(out.Waits, waitJSON{w.Limit, w.Long.Seconds()})
	}
	return out
}

func indented(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
