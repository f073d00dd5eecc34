package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"limit/backend"
)

// Op names what a Request asks for.
type Op string

// The requests. Stop ends the request of another number early, as ending a context does.
const (
	OpOpen      Op = "open"
	OpEnter     Op = "enter"
	OpResume    Op = "resume"  // of a claim that an earlier agent has entered: its ID, and the PID of its command
	OpGiveUp    Op = "give up" // a claim that an earlier agent has kept
	OpAside     Op = "aside"
	OpUp        Op = "up"
	OpStarted   Op = "started"
	OpRelease   Op = "release"
	OpObstacles Op = "obstacles"
	OpSnapshot  Op = "snapshot"
	OpChanges   Op = "changes"
	OpSettings  Op = "settings"
	OpWrite     Op = "write"
	OpCancel    Op = "cancel"
	OpDrop      Op = "drop"
	OpBump      Op = "bump"
	OpHistory   Op = "history"
	OpNames     Op = "namespaces"
	OpHealth    Op = "health"
	OpStop      Op = "stop"
)

// Request is what the wrapper sends. Entry is the number of the request that has entered the claim.
type Request struct {
	Number   int64                  `json:"n"`
	Op       Op                     `json:"op"`
	Options  Rare[Options]          `json:"options,omitzero"`
	Hello    Rare[Hello]            `json:"hello,omitzero"` // with open
	Claim    *backend.Claim         `json:"claim,omitempty"`
	Enter    backend.EnterOptions   `json:"enter"`
	Entry    int64                  `json:"entry,omitempty"`
	PID      int                    `json:"pid,omitempty"`
	Outcome  Rare[backend.Outcome]  `json:"outcome,omitzero"` // with release
	ID       string                 `json:"id,omitempty"`
	Reason   string                 `json:"reason,omitempty"`
	Priority int32                  `json:"priority,omitempty"`
	Settings Rare[backend.Settings] `json:"settings,omitzero"`
	Revision int64                  `json:"revision,omitempty"`
	Timeout  time.Duration          `json:"timeout,omitempty"` // what is left of the context; 0: no bound
}

// Message is what the keeper sends: an answer (Done), or an Event of the claim that request Number entered, or a
// change, each with a new Deadline if there is one, or that alone (number 0).
type Message struct {
	Number  int64          `json:"n"`
	Done    bool           `json:"done,omitempty"`
	Error   Rare[Failure]  `json:"error,omitzero"`
	Hello   Rare[Hello]    `json:"hello,omitzero"` // with Options, the answer to open: those in force
	Options Rare[Options]  `json:"options,omitzero"`
	Claim   *backend.Claim `json:"claim,omitempty"`
	Event   *Event         `json:"event,omitempty"`
	Change  bool           `json:"change,omitempty"`
	backend.Survey
	Obstacles Rare[backend.Obstacles] `json:"obstacles,omitzero"`
	Snapshot  Rare[backend.Snapshot]  `json:"snapshot,omitzero"`
	Settings  Rare[backend.Settings]  `json:"settings,omitzero"`
	OK        bool                    `json:"ok,omitempty"`
	Revision  int64                   `json:"revision,omitempty"`
	Pasts     Rare[[]backend.Past]    `json:"pasts,omitzero"`
	Names     []string                `json:"names,omitempty"` // of namespaces
	Health    Rare[Health]            `json:"health,omitzero"`
	Deadline  time.Duration           `json:"deadline,omitempty"`
}

// protocol is the version of this conversation. It is raised with every change that the other side has to know.
// Commands
// that run under an agent at the upgrade to another protocol cannot come back to it, and end at their last moment.
const protocol = 3

// Hello is how wrapper and keeper greet each other: two that do not speak alike refuse to work together. The
// first releases said nothing.
type Hello struct {
	Protocol int      `json:"protocol"`
	Features []string `json:"features,omitempty"` // see backend.Features
}

// NewHello is that of this program.
func NewHello() *Hello { return &Hello{protocol, backend.Features()} }

// Check fails where the other side's greeting is not as ours. other says which side that is.
func (h *Hello) Check(other string) error {
	ours := NewHello()
	if h == nil {
		h = &Hello{Protocol: 1}
	}
	if h.Protocol == ours.Protocol && slices.Equal(h.Features, ours.Features) {
		return nil
	}
	return NotServed("%s is of another version: %s, and here %s; install limit and limit-keeper of one release "+
		"together",
		other, h, ours)
}

// Speaks fails where the other side does not speak as this one. That is enough for a wrapper whose agent was replaced
// by one of another release: what it asks for has begun already.
func (h *Hello) Speaks(other string) error {
	if h != nil && h.Protocol == protocol {
		return nil
	}
	return h.Check(other)
}

func (h *Hello) String() string {
	text := fmt.Sprintf("protocol %d", h.Protocol)
	if len(h.Features) > 0 {
		text += " with " + strings.Join(h.Features, ", ")
	}
	return text
}

// Event is a backend.Event as it travels, with the claim as it stands after it.
type Event struct {
	Kind backend.EventKind `json:"kind"`
	backend.Obstacles
	Reason string        `json:"reason,omitempty"`
	Err    Rare[Failure] `json:"err,omitzero"`
	KillBy time.Duration `json:"kill_by,omitempty"` // on the boot clock; 0: none
}

// Rare is a field that few messages have. Package json learns what type it is with the first that does, where it
// would else take apart at every start what may be in any message; that is most of what a short conversation costs.
type Rare[T any] struct{ V *T } // nil: the message has none

// MarshalJSON writes what there is.
func (r Rare[T]) MarshalJSON() ([]byte, error) { return json.Marshal(r.V) }

// UnmarshalJSON reads it.
func (r *Rare[T]) UnmarshalJSON(data []byte) error {
	r.V = new(T)
	return json.Unmarshal(data, r.V)
}

// Failure is an error as it travels: those that the contract names keep their type.
type Failure struct {
	Text        string                   `json:"text"`
	Unreachable bool                     `json:"unreachable,omitempty"`
	Held        bool                     `json:"held,omitempty"`
	NotServed   bool                     `json:"not_served,omitempty"`
	Ended       bool                     `json:"ended,omitempty"` // the request's context has
	Busy        *backend.BusyError       `json:"busy,omitempty"`
	Impossible  *backend.ImpossibleError `json:"impossible,omitempty"`
	NotFound    *backend.NotFoundError   `json:"not_found,omitempty"`
}

// Fail makes a Failure of an error, nil of nil.
func Fail(err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Text: err.Error(), Unreachable: errors.Is(err, backend.ErrUnreachable),
		Held:      errors.Is(err, backend.ErrHeld),
		NotServed: errors.Is(err, ErrNotServed),
		Ended: errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) &&
			!errors.Is(err, backend.ErrUnreachable)}
	errors.As(err, &f.Busy)
	errors.As(err, &f.Impossible)
	errors.As(err, &f.NotFound)
	return f
}

// Err is the error again.
func (f *Failure) Err() error {
	switch {
	case f == nil:
		return nil
	case f.Busy != nil:
		return f.Busy
	case f.Impossible != nil:
		return f.Impossible
	case f.NotFound != nil:
		return f.NotFound
	case f.Held:
		return backend.ErrHeld
	case f.Unreachable:
		return &remoteError{f.Text, backend.ErrUnreachable}
	case f.NotServed:
		return &remoteError{f.Text, ErrNotServed}
	case f.Ended:
		return &remoteError{f.Text, context.Canceled}
	}
	return errors.New(f.Text)
}

// ErrNotServed says that this is no agent for who asks: none is there, or one of another version, of another etcd, or
// of another user.
var ErrNotServed = errors.New("not served by this agent")

// NotServed is an error that is ErrNotServed, in its own words.
func NotServed(format string, args ...any) error {
	return &remoteError{fmt.Sprintf(format, args...), ErrNotServed}
}

// remoteError says what the keeper said, and is what it was.
type remoteError struct {
	text string
	is   error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.is }

// Line writes and reads JSON objects, one a line. Several may write at once.
type Line struct {
	mu  sync.Mutex // of out
	out *json.Encoder
	in  *json.Decoder

	which sync.Mutex
	conn  io.ReadWriteCloser

	max   int64 // bytes of an object that is received, or a little more
	bound *io.LimitedReader
}

// NewLine speaks over conn.
func NewLine(conn io.ReadWriteCloser) *Line {
	bound := &io.LimitedReader{R: conn}
	return &Line{conn: conn, out: json.NewEncoder(conn), in: json.NewDecoder(bound), max: math.MaxInt64, bound: bound}
}

// Bound ends the connection where the other side sends an object of more bytes.
func (l *Line) Bound(max int64) { l.max = max }

// Replace goes on over the connection of another line. Whoever calls it is the one who receives.
func (l *Line) Replace(by *Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.which.Lock()
	defer l.which.Unlock()
	l.conn.Close()
	l.conn, l.out, l.in, l.bound = by.conn, by.out, by.in, by.bound
}

// Send writes one object.
func (l *Line) Send(v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.out.Encode(v); err != nil {
		return fmt.Errorf("writing to the keeper's socket: %w", err)
	}
	return nil
}

// Receive reads one object; io.EOF when the other side has gone.
func (l *Line) Receive(v any) error {
	l.bound.N = l.max
	return l.in.Decode(v)
}

// CloseWrite says that nothing more comes; false where the connection cannot say so.
func (l *Line) CloseWrite() bool {
	l.which.Lock()
	defer l.which.Unlock()
	half, ok := l.conn.(interface{ CloseWrite() error })
	if ok {
		half.CloseWrite()
	}
	return ok
}

// Close closes the connection.
func (l *Line) Close() error {
	l.which.Lock()
	defer l.which.Unlock()
	return l.conn.Close()
}
