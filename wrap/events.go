package wrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"limit/backend"
)

// The events, one JSON object a line. The zero values of fields are left out, but for those that are pointers.
const (
	EventQueued      = "queued"
	EventBlocked     = "blocked"
	EventGranted     = "granted"
	EventStarted     = "started"
	EventExited      = "exited"
	EventReleased    = "released"
	EventLost        = "lost"
	EventCancelled   = "cancelled"
	EventSkipped     = "skipped"
	EventNotRun      = "not_run"
	EventRetrying    = "retrying"
	EventRunStarted  = "run_started"
	EventRunFinished = "run_finished"
)

// Event is one line of an event stream. Events.Emit fills in Time and Mono.
type Event struct {
	Time      time.Time       `json:"time"` // RFC 3339, nanoseconds
	Mono      float64         `json:"mono"` // seconds on CLOCK_MONOTONIC
	Event     string          `json:"event"`
	Run       string          `json:"run"`
	Step      string          `json:"step,omitempty"`
	Attempt   int             `json:"attempt,omitempty"` // from 1
	Claim     string          `json:"claim,omitempty"`
	PID       int             `json:"pid,omitempty"`
	ExitCode  *int            `json:"exit_code,omitempty"`
	Signal    string          `json:"signal,omitempty"` // SIGTERM
	BlockedBy []backend.Block `json:"blocked_by,omitempty"`
	Waited    *float64        `json:"waited,omitempty"` // seconds from queued to granted
	Token     int64           `json:"token,omitempty"`
	Reason    string          `json:"reason,omitempty"`

	// What the claim asks for, of queued and granted, so that it can be replayed.
	Pools    map[string]int    `json:"pools,omitempty"`
	Runs     int               `json:"runs,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
	Priority int32             `json:"priority,omitempty"`
}

// Asking returns the event with what a claim asks for.
func (e Event) Asking(c backend.Claim) Event {
	e.Pools, e.Runs, e.Tags, e.Priority = c.Pools, c.Runs, c.Tags, c.Priority
	return e
}

// Events writes an event stream. Its methods may be called by several goroutines, and on a nil
// *Events, which writes nothing.
type Events struct {
	mu     sync.Mutex
	w      io.Writer
	file   *os.File // to be closed
	fifo   bool     // that file is
	outlet *Outlet  // that w is, after Queue
	failed func(error)
}

// OpenEvents appends to the named file, or writes to stderr where it is "-", or returns nil where it is "". failed is
// called once, at the first write that fails (a full disk does not stop a command); nothing more is written then.
func OpenEvents(name string, stderr io.Writer, failed func(error)) (*Events, error) {
	switch name {
	case "":
		return nil, nil
	case "-":
		return &Events{w: stderr, failed: failed}, nil
	}
	access, fifo := os.O_WRONLY, false
	if info, err := os.Stat(name); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		access, fifo = os.O_RDWR, true // does not wait for a reader: the FIFO keeps what there is room for
	}
	f, err := os.OpenFile(name, access|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("opening the events file: %w", err)
	}
	return &Events{w: f, file: f, fifo: fifo, failed: failed}, nil
}

// Emit writes one event, stamped with the time at the call.
func (e *Events) Emit(event Event) {
	if e == nil {
		return
	}
	event.Time, event.Mono = time.Now(), Monotonic().Seconds()
	line, err := json.Marshal(event)
	if err != nil { // no field of an Event can fail
		panic(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.w == nil {
		return
	}
	if _, err := e.w.Write(append(line, '\n')); err != nil {
		e.w = nil
		if e.failed != nil {
			e.failed(fmt.Errorf("writing events: %w; no more events are written", err))
		}
	}
}

// Queue lets Emit return at once from now on, however slow the stream's reader is. Drain writes what is left.
func (e *Events) Queue() {
	if e != nil {
		e.outlet = NewOutlet(e.w)
		e.w = e.outlet
	}
}

// Drain ends what Queue began, as Outlet.Close does, and closes the file that OpenEvents has opened.
func (e *Events) Drain(patience time.Duration, hurry <-chan struct{}) error {
	if e == nil {
		return nil
	}
	err := e.outlet.Close(patience, hurry)
	if err == nil && e.unread(patience, hurry) {
		err = ErrUnread
	}
	if errors.Is(err, ErrUnread) && e.file != nil && !e.fifo {
		err = ErrHangs
	}
	if err == nil && e.file != nil {
		err = (&Files{Hurry: hurry}).Try(e.file.Close)
	}
	if err != nil {
		return fmt.Errorf("writing events: %w", err)
	}
	return nil
}

// unread waits until a FIFO's reader has read all, and reports whether it has not in time: what is in a FIFO goes with
// its last writer.
func (e *Events) unread(patience time.Duration, hurry <-chan struct{}) bool {
	if !e.fifo {
		return false
	}
	late := time.After(patience)
	for {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(e.file.Fd()), Events: unix.POLLIN}}, 0); err != nil || n == 0 {
			return false
		}
		select {
		case <-hurry:
			return true
		case <-late:
			return true
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Monotonic reads CLOCK_MONOTONIC.
func Monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
