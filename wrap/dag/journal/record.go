package journal

import (
	"encoding/json"
	"strconv"
	"time"

	"limit/backend"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

// version is that of the records; a reader refuses a newer one.
const version = 1

// head is the first record.
type head struct {
	Event     string             `json:"e"` // run
	Version   int                `json:"v"`
	ID        string             `json:"id"`
	Name      string             `json:"name"`
	File      string             `json:"file"`
	Hash      string             `json:"hash"`
	Retries   string             `json:"retries,omitempty"`
	Host      string             `json:"host"`
	PID       int                `json:"pid"`
	Params    map[string]string  `json:"params,omitempty"`
	Selected  []string           `json:"selected,omitempty"`
	Started   time.Time          `json:"started"`
	Max       int                `json:"max"`
	TagLimits []backend.TagLimit `json:"tag_limits,omitempty"`
	Given     *Given             `json:"given,omitempty"`
	Shown     []*stepfile.Step   `json:"shown,omitempty"` // those that have secrets in them, as they may be shown
}

// record is one of the others. One type reads them all.
type record struct {
	Event   string          `json:"e"` // granted, blocked, check, passed, start, end, settled, rerun, finish
	At      time.Duration   `json:"t,omitempty"`
	Step    string          `json:"s,omitempty"`
	Attempt int             `json:"n,omitempty"`
	PID     int             `json:"pid,omitempty"`
	Ready   time.Duration   `json:"r,omitempty"`
	State   string          `json:"st,omitempty"`
	Code    int             `json:"c,omitempty"`
	Signal  int             `json:"sig,omitempty"`
	Name    string          `json:"signal,omitempty"`
	Reason  string          `json:"why,omitempty"`
	OK      bool            `json:"ok,omitempty"`      // a tolerated failure
	Earlier bool            `json:"earlier,omitempty"` // settled by the run before
	Pools   bool            `json:"pools,omitempty"`   // of granted: the run holds the pools of its steps
	Limits  map[string]int  `json:"lim,omitempty"`     // of granted: of the pools
	Waits   []Wait          `json:"w,omitempty"`
	Outputs []stepfile.Var  `json:"out,omitempty"`
	Log     string          `json:"log,omitempty"`
	Steps   []string        `json:"ss,omitempty"` // of blocked: those that it is about
	Blocks  []backend.Block `json:"b,omitempty"`  // of blocked
	InStore bool            `json:"in,omitempty"` // of blocked
	Counts  *Counts         `json:"counts,omitempty"`
}

// appendStart is a start record: written by hand, as there are many of them.
func appendStart(b []byte, step string, attempt int, ready, at time.Duration, waits []Wait) []byte {
	b = append(b, `{"e":"start","s":`...)
	b = appendText(b, step)
	b = append(b, `,"n":`...)
	b = strconv.AppendInt(b, int64(attempt), 10)
	b = append(b, `,"r":`...)
	b = strconv.AppendInt(b, int64(ready), 10)
	b = append(b, `,"t":`...)
	b = strconv.AppendInt(b, int64(at), 10)
	if len(waits) > 0 {
		b = append(b, `,"w":`...)
		b = appendJSON(b, waits)
	}
	return append(b, "}\n"...)
}

// appendEnd is the end of an attempt.
func appendEnd(b []byte, step string, a *Attempt, outputs []stepfile.Var) []byte {
	b = append(b, `{"e":"end","s":`...)
	b = appendText(b, step)
	b = append(b, `,"n":`...)
	b = strconv.AppendInt(b, int64(a.Number), 10)
	b = append(b, `,"t":`...)
	b = strconv.AppendInt(b, int64(a.End), 10)
	if a.PID != 0 {
		b = append(b, `,"pid":`...)
		b = strconv.AppendInt(b, int64(a.PID), 10)
	}
	if a.Code != 0 {
		b = append(b, `,"c":`...)
		b = strconv.AppendInt(b, int64(a.Code), 10)
	}
	if a.Signal != 0 {
		b = append(b, `,"sig":`...)
		b = strconv.AppendInt(b, int64(a.Signal), 10)
	}
	if a.Reason != "" {
		b = append(b, `,"why":`...)
		b = appendText(b, a.Reason)
	}
	if a.Log != "" {
		b = append(b, `,"log":`...)
		b = appendText(b, a.Log)
	}
	if len(outputs) > 0 {
		b = append(b, `,"out":`...)
		b = appendJSON(b, outputs)
	}
	return append(b, "}\n"...)
}

// appendSettled is a step's outcome; outputs are those of one that an earlier run has settled: a retry reads one
// journal alone.
func appendSettled(b []byte, step string, o plan.Outcome, at time.Duration, outputs []stepfile.Var) []byte {
	b = append(b, `{"e":"settled","s":`...)
	b = appendText(b, step)
	b = append(b, `,"st":"`...)
	b = append(b, o.State.String()...)
	b = append(b, `","t":`...)
	b = strconv.AppendInt(b, int64(at), 10)
	if o.Tolerated {
		b = append(b, `,"ok":true`...)
	}
	if o.Earlier {
		b = append(b, `,"earlier":true`...)
	}
	if o.Reason != "" {
		b = append(b, `,"why":`...)
		b = appendText(b, o.Reason)
	}
	if len(outputs) > 0 {
		b = append(b, `,"out":`...)
		b = appendJSON(b, outputs)
	}
	return append(b, "}\n"...)
}

// appendText is a JSON string: plain ones, as ids are, without the encoder.
func appendText(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendJSON(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendJSON(b []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // none of the types can fail
		panic(err)
	}
	return append(b, text...)
}
