package wrap

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Outlet writes to something whose reader may be slow, or gone, from a goroutine of its own: its methods
// never wait for the reader, but for Flush and Close.
type Outlet struct {
	w io.Writer

	mu     sync.Mutex
	change sync.Cond // something was queued, written, or the reader's turn has come
	queue  []entry
	bytes  int // of text in queue
	lost   int // bytes of text that found no room
	lent   bool
	busy   bool      // an entry is being written
	moved  time.Time // when the reader last took something, or something was queued after a pause
	failed error
	closed bool
	done   chan struct{}
}

// entry is one thing to write.
type entry struct {
	text  []byte
	later func(io.Writer) error
	lend  chan struct{} // closed when all before it is written; then nothing is until TakeBack
}

const (
	outletRoom  = 16 << 20    // bytes of text that may wait for the reader
	outletPiece = 16 << 10    // how much is written at once: to see that a slow reader reads
	outletStall = time.Second // a reader that takes nothing for so long does not read
)

// NewOutlet returns an Outlet to w. Its owner calls Close.
func NewOutlet(w io.Writer) *Outlet {
	o := &Outlet{w: w, done: make(chan struct{})}
	o.change.L = &o.mu
	go o.run()
	return o
}

// Write queues a copy of p. Where there is no room left for it, it is lost, and Close says so.
func (o *Outlet) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch last := len(o.queue) - 1; {
	case o.closed || len(p) == 0:
	case o.bytes+len(p) > outletRoom:
		o.lost += len(p)
	case last >= 0 && o.queue[last].text != nil:
		o.queue[last].text = append(o.queue[last].text, p...)
		o.bytes += len(p)
	default:
		o.add(entry{text: append([]byte(nil), p...)})
		o.bytes += len(p)
	}
	return len(p), nil
}

// Prompt returns a writer for messages that stand before what others write to the same place next: it waits until they
// are written. A reader that does not read costs promptness once, and nothing as long as earlier text waits for it.
func (o *Outlet) Prompt() io.Writer { return prompt{o} }

type prompt struct{ o *Outlet }

// promptness is how long a message waits to be written.
const promptness = 100 * time.Millisecond

func (p prompt) Write(b []byte) (int, error) {
	p.o.WriteWithin(promptness, b)
	return len(b), nil
}

// WriteWithin is Write that waits until p is written, but no longer than d, and not at all where earlier text waits.
func (o *Outlet) WriteWithin(d time.Duration, p []byte) {
	ready := o.Idle()
	o.Write(p)
	if ready {
		o.flushWithin(d)
	}
}

// flushWithin is Flush that does not wait longer.
func (o *Outlet) flushWithin(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	late := false
	timer := time.AfterFunc(d, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		late = true
		o.change.Broadcast()
	})
	defer timer.Stop()
	for !o.idle() && !late {
		o.change.Wait()
	}
}

// Later queues a function that writes when its turn has come: what it writes needs no room until then.
func (o *Outlet) Later(write func(io.Writer) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.add(entry{later: write})
	}
}

// Lend gives what the Outlet writes to away, once all that is queued is written: then the channel is closed, and
// nothing is written until TakeBack.
func (o *Outlet) Lend() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := entry{lend: make(chan struct{})}
	o.add(e)
	return e.lend
}

// TakeBack ends Lend, also one whose turn has not come.
func (o *Outlet) TakeBack() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lent = false
	for i, e := range o.queue {
		if e.lend != nil {
			o.queue = append(o.queue[:i], o.queue[i+1:]...)
			break
		}
	}
	o.change.Broadcast()
}

// Idle reports whether all is written.
func (o *Outlet) Idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.idle()
}

func (o *Outlet) idle() bool { return len(o.queue) == 0 && !o.busy || o.failed != nil }

// Moves reports whether the reader reads: false when it is gone, or has taken nothing for a second of what there is.
func (o *Outlet) Moves() bool { return o.Err() == nil && o.stalled() < outletStall }

// stalled is how long the reader has taken nothing.
func (o *Outlet) stalled() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.idle() || o.lent {
		return 0
	}
	return time.Since(o.moved)
}

// Err is why nothing is written any more, or nil.
func (o *Outlet) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// Flush waits until all is written, or nothing can be any more.
func (o *Outlet) Flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.idle() {
		o.change.Wait()
	}
}

// Close writes what is queued and ends. It waits for as long as the reader reads; one that takes nothing for patience,
// or for a second once hurry is closed (nil: never), is waited for no longer. The error says what was not written.
func (o *Outlet) Close(patience time.Duration, hurry <-chan struct{}) error {
	o.mu.Lock()
	o.closed = true
	o.change.Broadcast()
	o.mu.Unlock()
	poll := time.NewTicker(outletStall / 20)
	defer poll.Stop()
	for {
		select {
		case <-o.done:
			return o.result()
		case <-hurry:
			hurry, patience = nil, min(patience, outletStall)
		case <-poll.C:
			if o.stalled() > patience {
				return o.result() // the goroutine stays in its write until this process exits: nothing ends that
			}
		}
	}
}

// ErrUnread says that the reader took not all there was.
var ErrUnread = errors.New("nobody reads it")

func (o *Outlet) result() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.failed != nil:
		return o.failed
	case !o.idle():
		return ErrUnread
	case o.lost > 0:
		return fmt.Errorf("%w: %d bytes had no room", ErrUnread, o.lost)
	}
	return nil
}

// add queues an entry. The lock is held, as in the other lower-case methods above.
func (o *Outlet) add(e entry) {
	if len(o.queue) == 0 && !o.busy {
		o.moved = time.Now()
	}
	o.queue = append(o.queue, e)
	o.change.Broadcast()
}

// run writes what is queued, in order.
func (o *Outlet) run() {
	defer close(o.done)
	for {
		e, ok := o.next()
		if !ok {
			return
		}
		var err error
		if e.later != nil {
			err = e.later(pieces{o})
		} else {
			_, err = pieces{o}.Write(e.text)
		}
		o.mu.Lock()
		o.busy = false
		if o.failed == nil {
			o.failed = err
		}
		o.change.Broadcast()
		o.mu.Unlock()
	}
}

// next waits for an entry; false when there will be none. After a failure entries are dropped.
func (o *Outlet) next() (entry, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for o.lent || len(o.queue) == 0 && !o.closed {
			o.change.Wait()
		}
		if len(o.queue) == 0 {
			return entry{}, false
		}
		e := o.queue[0]
		o.queue[0] = entry{}
		o.queue = o.queue[1:]
		o.bytes -= len(e.text)
		switch {
		case e.lend != nil:
			o.lent = true
			close(e.lend)
		case o.failed == nil:
			o.busy = true
			return e, true
		}
		o.change.Broadcast()
	}
}

// pieces is an Outlet's writer in pieces, each of which shows that the reader reads.
type pieces struct{ o *Outlet }

func (p pieces) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		n, err := p.o.w.Write(b[:min(len(b), outletPiece)])
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
		p.o.mu.Lock()
		p.o.moved = time.Now()
		p.o.mu.Unlock()
	}
	return written, nil
}
