package local

import (
	"time"

	"limit/backend"
)

const (
	firstRetry = 100 * time.Millisecond // after a state that cannot be read or written; then twice as long, at most
	lastRetry  = 2500 * time.Millisecond
)

// trouble is that a claim's goroutine cannot read or write the state: a full disk, a newer format, a lock that is held.
// What was to be done is kept meanwhile, and the owner of a claim that waits is told once of it, and once that it is
// over.
type trouble struct {
	waits bool // until the retry; nothing is tried before
	told  bool
	after time.Duration // the last pause
	retry timer
}

// failed notes an error and sets the time of the next try.
func (e *entry) failed(err error) {
	t := &e.trouble
	t.waits = true
	t.after = min(max(2*t.after, firstRetry), lastRetry)
	t.retry.set(jitter(t.after))
	if !t.told && !e.over && e.ctx.Err() == nil && e.Claim().Grant == nil {
		t.told = true
		e.emit(backend.Event{Kind: backend.Unreachable, Reason: err.Error()})
	}
}

// recovered is called when the state was read, and written where that was necessary.
func (e *entry) recovered() {
	t := &e.trouble
	t.after = 0
	if t.told {
		t.told = false
		e.emit(backend.Event{Kind: backend.Reachable})
	}
}
