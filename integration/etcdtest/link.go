package etcdtest

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Link is a TCP proxy in front of a member: a network between one client and one server that a test can cut in both
// directions or in one, slow down and reset.
type Link struct {
	listener net.Listener
	target   string

	up, down *lane // to the server; to the client

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	done  bool
	wait  sync.WaitGroup
}

// NewLink listens on a port of its own until the test ends.
func NewLink(t testing.TB, target string) *Link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{listener: listener, target: target, conns: map[net.Conn]struct{}{}, up: newLane(), down: newLane()}
	l.wait.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

// Address is where clients connect to.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Cut makes the link silent in both directions without closing anything, as a cable does.
func (l *Link) Cut() {
	l.up.set(true)
	l.down.set(true)
}

// CutUp loses what the client sends: it goes on to hear the server. Connections stay.
func (l *Link) CutUp() { l.up.set(true) }

// CutDown loses what the server sends: it goes on to hear the client.
func (l *Link) CutDown() { l.down.set(true) }

// Mend lets bytes pass again, those that have waited first.
func (l *Link) Mend() {
	l.up.set(false)
	l.down.set(false)
}

// Slow delays every byte in both directions by latency and up to jitter more; order is kept. Zero and zero: not any
// more.
func (l *Link) Slow(latency, jitter time.Duration) {
	l.up.slow(latency, jitter)
	l.down.slow(latency, jitter)
}

// Reset breaks all connections with a TCP reset, as a server's machine that starts anew does.
func (l *Link) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.Close()
	}
}

func (l *Link) close() {
	l.listener.Close()
	l.mu.Lock()
	l.done = true
	for c := range l.conns {
		c.Close()
	}
	l.mu.Unlock()
	l.up.end()
	l.down.end()
	l.wait.Wait()
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.wait.Go(func() { l.serve(client) })
	}
}

func (l *Link) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !l.register(client, server) {
		return
	}
	defer l.forget(client, server)
	var both sync.WaitGroup
	both.Go(func() { l.up.carry(server, client) })
	both.Go(func() { l.down.carry(client, server) })
	both.Wait()
}

func (l *Link) register(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		l.conns[c] = struct{}{}
	}
	return !l.done
}

func (l *Link) forget(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		delete(l.conns, c)
	}
}

// lane is one direction of a link.
type lane struct {
	ended chan struct{}

	mu              sync.Mutex
	flow            chan struct{} // closed while bytes may pass
	cut             bool
	latency, jitter time.Duration
}

func newLane() *lane {
	l := &lane{ended: make(chan struct{}), flow: make(chan struct{})}
	close(l.flow)
	return l
}

func (l *lane) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case cut && !l.cut:
		l.flow = make(chan struct{})
	case !cut && l.cut:
		close(l.flow)
	}
	l.cut = cut
}

func (l *lane) slow(latency, jitter time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latency, l.jitter = latency, jitter
}

func (l *lane) end() { close(l.ended) }

// delay is how long the bytes that come now are on their way.
func (l *lane) delay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.jitter > 0 {
		return l.latency + rand.N(l.jitter)
	}
	return l.latency
}

// parcel is bytes that are on their way.
type parcel struct {
	bytes []byte
	due   time.Time // zero: at once
}

// inFlight is how many parcels of one connection are on their way at most.
const inFlight = 64

// carry takes from one connection what comes, and gives it to the other when it is due and the lane is not cut, until
// one of them ends.
func (l *lane) carry(to, from net.Conn) {
	parcels := make(chan parcel, inFlight)
	var delivering sync.WaitGroup
	delivering.Go(func() { l.deliver(to, from, parcels) })
	for {
		buffer := make([]byte, 16<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			p := parcel{bytes: buffer[:n]}
			if delay := l.delay(); delay > 0 {
				p.due = time.Now().Add(delay)
			}
			parcels <- p
		}
		if err != nil {
			break
		}
	}
	close(parcels)
	delivering.Wait()
}

// deliver writes until no more parcels come; what cannot be delivered is thrown away.
func (l *lane) deliver(to, from net.Conn, parcels <-chan parcel) {
	defer to.Close()
	defer from.Close()
	for p := range parcels {
		if !l.pass(p) {
			break
		}
		if _, err := to.Write(p.bytes); err != nil {
			break
		}
	}
	from.Close() // ends the reader, whose parcels nobody waits for
	for range parcels {
	}
}

// pass waits until a parcel is due and the lane open; false: the link is closed.
func (l *lane) pass(p parcel) bool {
	if !p.due.IsZero() {
		select {
		case <-time.After(time.Until(p.due)):
		case <-l.ended:
			return false
		}
	}
	l.mu.Lock()
	flow := l.flow
	l.mu.Unlock()
	select {
	case <-flow:
		return true
	case <-l.ended:
		return false
	}
}
