package etcdtest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Link is a TCP proxy in front of a member. Cut makes it silent in both directions without closing anything, as a cable does.
type Link struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	flow  chan struct{} // closed while bytes may pass
	cut   bool
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
	l := &Link{listener: listener, target: target, conns: map[net.Conn]struct{}{}, flow: make(chan struct{})}
	close(l.flow)
	l.wait.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

// Address is where clients connect to.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Cut stops all bytes.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.cut, l.flow = true, make(chan struct{})
	}
}

// Mend lets bytes pass again, those that have waited first.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		l.cut = false
		close(l.flow)
	}
}

// Reset closes all connections, as a server that dies does.
func (l *Link) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
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
	if l.cut {
		l.cut = false
		close(l.flow)
	}
	l.mu.Unlock()
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
	both.Go(func() { l.copy(server, client) })
	both.Go(func() { l.copy(client, server) })
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

func (l *Link) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.mu.Lock()
		flow := l.flow
		l.mu.Unlock()
		<-flow
		if _, werr := to.Write(buffer[:n]); werr != nil || err == io.EOF || err != nil {
			return
		}
	}
}
