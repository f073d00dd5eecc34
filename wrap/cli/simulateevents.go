package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"limit/backend"
	"limit/wrap"
)

// eventClaims puts claims together from event streams.
type eventClaims struct {
	by    map[string]*backend.Past
	order []string
	last  time.Time // of all events
}

func (e *eventClaims) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	asks := false
	decoder := json.NewDecoder(f)
	for line := 1; ; line++ {
		var event wrap.Event
		err := decoder.Decode(&event)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && line > 1 { // the last line is being written
			break
		}
		if err != nil {
			return fmt.Errorf("%s: event %d: %w; give a file that limit run --events has written", name, line, err)
		}
		asks = asks || event.Event == wrap.EventGranted && (event.Runs > 0 || len(event.Pools) > 0)
		e.take(event)
	}
	if !asks {
		return fmt.Errorf("%s has no granted claim that says what it asks for; an older limit did not write that", name)
	}
	return nil
}

// take takes one event in. A claim that was granted more than once, as one of a command that is run again, counts as it
// was granted last, as in the history.
func (e *eventClaims) take(event wrap.Event) {
	if event.Time.After(e.last) {
		e.last = event.Time
	}
	if event.Claim == "" {
		return
	}
	p := e.by[event.Claim]
	if p == nil {
		if event.Event != wrap.EventQueued && event.Event != wrap.EventGranted {
			return
		}
		p = &backend.Past{ID: event.Claim, RunID: event.Run}
		e.by[event.Claim] = p
		e.order = append(e.order, event.Claim)
	}
	switch event.Event {
	case wrap.EventQueued, wrap.EventGranted:
		p.Pools, p.Runs, p.Tags, p.Priority = event.Pools, event.Runs, event.Tags, event.Priority
		if event.Event == wrap.EventQueued {
			p.Ended = event.Time // for now, as the next: when it came, or was granted
			return
		}
		switch {
		case !p.Ended.IsZero():
			p.Waited += event.Time.Sub(p.Ended)
		case event.Waited != nil:
			p.Waited = time.Duration(*event.Waited * float64(time.Second))
		}
		p.Granted, p.Held, p.Ended = true, -1, event.Time
	case wrap.EventReleased:
		if p.Granted && p.Held < 0 {
			p.Held = event.Time.Sub(p.Ended)
			p.Ended = event.Time
		}
	case wrap.EventCancelled:
		if !p.Granted && p.Waited == 0 {
			p.Waited, p.Ended = event.Time.Sub(p.Ended), event.Time
		}
	}
}

// pasts are the claims, those that the streams leave open as if they ended with the last event.
func (e *eventClaims) pasts() []backend.Past {
	var pasts []backend.Past
	for _, id := range e.order {
		p := *e.by[id]
		switch {
		case p.Held < 0:
			p.Held, p.Ended = e.last.Sub(p.Ended), e.last
		case !p.Granted && p.Waited == 0:
			p.Waited, p.Ended = e.last.Sub(p.Ended), e.last
		}
		pasts = append(pasts, p)
	}
	return pasts
}
