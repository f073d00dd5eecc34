package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// When events are sent.
const (
	leastPause = 250 * time.Millisecond // between two looks at the store
	restFactor = 10                     // a look that takes long is followed by a pause of so many times as long
	heartbeat  = 15 * time.Second       // a comment, by which proxies see that the stream lives
	retryPause = 2 * time.Second        // before a store that does not answer is asked again
	maxReaders = 256
)

// hub looks at the store once for all readers of events, while there are any.
type hub struct {
	status  func(context.Context) (any, error)
	follow  func(context.Context) (<-chan struct{}, error)
	working sync.WaitGroup

	mu      sync.Mutex
	readers map[chan []byte]struct{} // each takes the last event that it has not sent yet
	last    []byte
	stop    context.CancelFunc
}

func newHub(status func(context.Context) (any, error), follow func(context.Context) (<-chan struct{}, error)) *hub {
	return &hub{status: status, follow: follow, readers: map[chan []byte]struct{}{}}
}

// join adds a reader; false where there are too many.
func (h *hub) join(ctx context.Context) (chan []byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.readers) >= maxReaders {
		return nil, false
	}
	reader := make(chan []byte, 1)
	h.readers[reader] = struct{}{}
	if h.last != nil {
		reader <- h.last
	}
	if h.stop == nil {
		var running context.Context
		running, h.stop = context.WithCancel(context.WithoutCancel(ctx))
		h.working.Go(func() { h.run(running) })
	}
	return reader, true
}

// leave removes a reader. Nobody looks at the store for nobody.
func (h *hub) leave(reader chan []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, reader)
	if len(h.readers) == 0 {
		h.stop()
		h.stop, h.last = nil, nil
	}
}

// wait returns when nobody looks at the store any more. All readers have left.
func (h *hub) wait() { h.working.Wait() }

// run looks at the store after each change, until ctx ends.
func (h *hub) run(ctx context.Context) {
	for {
		changes, err := h.follow(ctx)
		if err == nil {
			err = h.forward(ctx, changes)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			h.send(ctx, "unreachable", map[string]string{"error": err.Error()})
		}
		if !pause(ctx, retryPause) {
			return
		}
	}
}

func (h *hub) forward(ctx context.Context, changes <-chan struct{}) error {
	for range changes {
		began := time.Now()
		status, err := h.status(ctx)
		if err != nil {
			return err
		}
		h.send(ctx, "status", status)
		if !pause(ctx, max(leastPause, restFactor*time.Since(began))) {
			return nil
		}
	}
	return nil
}

// send gives an event to all readers. One that has not taken the last does not need that any more.
func (h *hub) send(ctx context.Context, name string, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		name, data = "unreachable", []byte(`{"error":"the state cannot be encoded"}`)
	}
	event := fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, bytes.ReplaceAll(data, []byte("\n"), nil))
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return // its readers have left; those of another run are not to see it
	}
	h.last = event
	for reader := range h.readers {
		select {
		case <-reader:
		default:
		}
		reader <- event
	}
}

// serve sends the state at once and after each change, as server-sent events.
func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	reader, ok := h.join(r.Context())
	if !ok {
		Fail(w, Faultf(http.StatusServiceUnavailable, "%d pages follow the state already", maxReaders))
		return
	}
	defer h.leave(reader)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	out := Flushing(w)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	text := []byte("retry: 2000\n\n")
	for {
		if _, err := out.Write(text); err != nil {
			return
		}
		select {
		case text = <-reader:
		case <-beat.C:
			text = []byte(": \n\n")
		case <-r.Context().Done():
			return
		}
	}
}

// Flushing is an answer of a Raw handler that is sent part by part: each may take as long as an answer.
func Flushing(w http.ResponseWriter) io.Writer { return flushing{w, http.NewResponseController(w)} }

type flushing struct {
	w   io.Writer
	out *http.ResponseController
}

func (f flushing) Write(b []byte) (int, error) {
	f.out.SetWriteDeadline(time.Now().Add(answerTimeout))
	n, err := f.w.Write(b)
	if err == nil {
		err = f.out.Flush()
	}
	return n, err
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
