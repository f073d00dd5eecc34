package keeper

import (
	"sync"

	"limit/backend"
)

// Mailbox is the Events of an Entry: a channel that takes any number of events without blocking
// whoever posts. Events posted after Close are dropped.
type Mailbox struct {
	out  chan backend.Event
	done chan struct{}

	mu      sync.Mutex
	queue   []backend.Event
	closed  bool
	pumping bool
	pump    sync.WaitGroup
}

// NewMailbox returns an empty one.
func NewMailbox() *Mailbox {
	return &Mailbox{out: make(chan backend.Event, 16), done: make(chan struct{})}
}

// Events is where the owner reads.
func (m *Mailbox) Events() <-chan backend.Event { return m.out }

// Post adds an event behind those posted before.
func (m *Mailbox) Post(e backend.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if len(m.queue) == 0 && !m.pumping {
		select {
		case m.out <- e:
			return
		default:
		}
	}
	m.queue = append(m.queue, e)
	if !m.pumping {
		m.pumping = true
		m.pump.Go(m.deliver)
	}
}

// deliver hands on what did not fit into the channel.
func (m *Mailbox) deliver() {
	for {
		m.mu.Lock()
		if len(m.queue) == 0 {
			m.pumping = false
			m.mu.Unlock()
			return
		}
		e := m.queue[0]
		m.queue = m.queue[1:]
		m.mu.Unlock()
		select {
		case m.out <- e:
		case <-m.done:
			return
		}
	}
}

// Close ends delivery and waits for it.
func (m *Mailbox) Close() {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.done)
	}
	m.mu.Unlock()
	m.pump.Wait()
}
