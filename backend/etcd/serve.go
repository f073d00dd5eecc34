package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"limit/backend"
	"limit/backend/etcd/boot"
	"limit/backend/etcd/fence"
	"limit/backend/etcd/keeper"
)

// Kill is how to kill what belongs to a command.
type Kill = fence.Kill

// claimVariable marks what belongs to the command of a claim: the wrapper puts it into its environment.
const claimVariable = "LIMIT_CLAIM_ID="

// KeeperMain is the whole of a keeper's process: it serves the wrapper at the other end of descriptor 3 until that goes
// away. Signals do not end it: whoever stops the wrapper or its command ends both, and then this.
func KeeperMain(ctx context.Context, kill Kill) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	closeInherited()
	file := os.NewFile(keeper.Descriptor, "wrapper")
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		return fmt.Errorf("descriptor %d is no socket: %w; this verb is for limit itself", keeper.Descriptor, err)
	}
	// The end of the process disconnects from etcd; its client takes milliseconds for that.
	return newServer(conn, newAgent(kill), keeper.Peer{PID: os.Getppid(), UID: os.Geteuid()}).serve(ctx)
}

// server serves one wrapper.
type server struct {
	agent   *agent
	peer    keeper.Peer
	line    *keeper.Line
	kept    *kept  // nil: the wrapper has opened none yet
	store   *Store // that of kept, with the options of the wrapper
	unlike  error  // the wrapper is of another release: it must not write limits, of which it may not know all
	working sync.WaitGroup

	sending sync.Mutex
	owed    atomic.Int64  // the last moment that the wrapper is to be told; 0: none
	owing   chan struct{} // it is owed

	mu       sync.Mutex
	charges  map[int64]*charge            // by the number of the request that entered it
	requests map[int64]context.CancelFunc // under way
}

func newServer(conn io.ReadWriteCloser, a *agent, peer keeper.Peer) *server {
	return &server{agent: a, peer: peer, line: keeper.NewLine(conn), owing: make(chan struct{}, 1),
		charges: map[int64]*charge{}, requests: map[int64]context.CancelFunc{}}
}

// serve serves the wrapper until its end of the connection is closed. Then it stops the commands of claims that were
// not released, releases these, and passes on the gate.
func (v *server) serve(ctx context.Context) error {
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	v.working.Go(func() { v.pay(serving) })
	var err error
	for err == nil {
		var r keeper.Request
		if err = v.line.Receive(&r); err == nil {
			v.take(serving, r)
		}
	}
	cancel() // the requests, too
	v.working.Wait()
	if !v.agent.ending() {
		v.orphaned(ctx)
	}
	if k := v.kept; k != nil {
		v.agent.part(k, func() { delete(k.servers, v) })
	}
	v.line.Close()
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return fmt.Errorf("reading from the wrapper: %w", err)
}

// send sends a message, and with it the last moment that is owed: a claim is never told of before the moment until
// which it is good.
func (v *server) send(m keeper.Message) {
	v.sending.Lock()
	defer v.sending.Unlock()
	m.Deadline = time.Duration(v.owed.Swap(0))
	if m.Number != 0 || m.Deadline != 0 {
		v.line.Send(m) // a wrapper that is gone is noticed by reading
	}
}

// owe lets the wrapper be told of a new last moment. A wrapper that is stopped reads nothing: whoever renews the lease
// must not wait for it.
func (v *server) owe(deadline time.Duration) {
	v.owed.Store(int64(deadline))
	select {
	case v.owing <- struct{}{}:
	default:
	}
}

func (v *server) pay(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.owing:
			v.send(keeper.Message{})
		}
	}
}

// take begins one request; those that may take long are answered by a goroutine each.
func (v *server) take(ctx context.Context, r keeper.Request) {
	switch r.Op {
	case keeper.OpStop:
		v.mu.Lock()
		cancel := v.requests[r.Entry]
		v.mu.Unlock()
		if cancel != nil {
			cancel()
		}
		return
	case keeper.OpGiveUp:
		if v.store == nil {
			return
		}
		if c := v.kept.comeBack(v, r.ID, true); c != nil {
			v.working.Go(func() { c.orphaned(v.agent.ctx) })
		}
		return
	case keeper.OpOpen:
		opening, cancel := bounded(ctx, r)
		defer cancel()
		m, err := v.open(opening, r)
		v.answer(r, err, m)
		return
	}
	if err := v.check(&r); err != nil {
		v.answer(r, err, keeper.Message{})
		return
	}
	if r.Op == keeper.OpResume { // before what comes next, which may be about the claim
		m, err := v.resume(r)
		v.answer(r, err, m)
		return
	}
	requesting, cancel := bounded(ctx, r)
	v.mu.Lock()
	v.requests[r.Number] = cancel
	v.mu.Unlock()
	v.working.Go(func() {
		defer v.finished(r.Number, cancel)
		m, err := v.do(requesting, r)
		if r.Op != keeper.OpEnter || err != nil {
			v.answer(r, err, m)
		}
	})
}

// bounded is the context of a request.
func bounded(ctx context.Context, r keeper.Request) (context.Context, context.CancelFunc) {
	if r.Timeout > 0 {
		return context.WithTimeout(ctx, r.Timeout)
	}
	return context.WithCancel(ctx)
}

func (v *server) finished(number int64, cancel context.CancelFunc) {
	cancel()
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.requests, number)
}

// check fails for a request that cannot be or must not be carried out.
func (v *server) check(r *keeper.Request) error {
	if v.store == nil {
		return errors.New("the first request has to be open")
	}
	if r.Op == keeper.OpEnter && r.Claim == nil || r.Op == keeper.OpWrite && r.Settings.V == nil {
		return fmt.Errorf("the request %q lacks what it is about", r.Op)
	}
	v.mu.Lock()
	used := v.requests[r.Number] != nil || v.charges[r.Number] != nil
	v.mu.Unlock()
	if used || r.Number <= 0 {
		return fmt.Errorf("%d is no number for another request", r.Number)
	}
	if r.Op == keeper.OpWrite && v.unlike != nil {
		return v.unlike
	}
	return v.agent.allow(v, r)
}

func (v *server) answer(r keeper.Request, err error, m keeper.Message) {
	m.Number, m.Done, m.Error.V = r.Number, true, keeper.Fail(err)
	v.send(m)
}

// open finds the store that the wrapper asks for. The answer says what is in force.
func (v *server) open(ctx context.Context, r keeper.Request) (m keeper.Message, err error) {
	m.Hello.V = keeper.NewHello()
	const other = "the limit that asks this limit-keeper"
	v.unlike = r.Hello.V.Check(other)
	err = v.unlike
	if v.agent.config != nil {
		err = r.Hello.V.Speaks(other)
	}
	if err != nil {
		return m, err
	}
	if v.store != nil || r.Options.V == nil {
		return m, errors.New("open comes once, and with options")
	}
	if err := v.agent.open(ctx, v, *r.Options.V); err != nil {
		return m, err
	}
	o := v.store.options
	m.Options.V = &keeper.Options{Endpoints: o.Endpoints, Namespace: o.Namespace, TTL: o.TTL, Grace: o.Grace}
	return m, nil
}

// do carries a request out.
func (v *server) do(ctx context.Context, r keeper.Request) (m keeper.Message, err error) {
	s := v.store
	switch r.Op {
	case keeper.OpEnter:
		return m, v.enter(ctx, r)
	case keeper.OpAside, keeper.OpUp, keeper.OpObstacles, keeper.OpStarted, keeper.OpRelease:
		return v.onCharge(ctx, r)
	case keeper.OpSnapshot:
		m.Snapshot.V, err = s.Snapshot(ctx)
	case keeper.OpChanges:
		return m, v.changes(ctx, r)
	case keeper.OpSettings:
		var found stored
		found, m.Revision, err = s.readSettings(ctx)
		m.Settings.V, m.OK = &found.Settings, m.Revision != 0
	case keeper.OpWrite:
		var was stored
		if was, m.Revision, err = s.readSettings(ctx); err == nil && m.Revision == r.Revision {
			m.OK, err = s.writeSettings(ctx, was, *r.Settings.V, r.Revision)
		}
	case keeper.OpCancel:
		err = s.Cancel(ctx, r.ID, r.Reason)
	case keeper.OpDrop:
		err = s.Drop(ctx, r.ID)
	case keeper.OpBump:
		err = s.Bump(ctx, r.ID, r.Priority)
	case keeper.OpHistory:
		var pasts []backend.Past
		pasts, err = s.History(ctx)
		m.Pasts.V = &pasts
	case keeper.OpNames:
		m.Names, err = s.Namespaces(ctx)
	case keeper.OpHealth:
		if m.Health.V, err = s.Health(ctx); err == nil {
			m.Health.V.Agent = v.kept.agency()
		}
	default:
		err = fmt.Errorf("this keeper does not know %q; it is of another version than the wrapper", r.Op)
	}
	return m, err
}

// changes forwards changes until the request is stopped.
func (v *server) changes(ctx context.Context, r keeper.Request) error {
	changes, err := v.store.Changes(ctx)
	if err != nil {
		return err
	}
	v.answer(r, nil, keeper.Message{})
	for range changes {
		v.send(keeper.Message{Number: r.Number, Change: true})
	}
	return ctx.Err()
}

// enter enters a claim and forwards its events. One that is held at once has its first event before the answer.
func (v *server) enter(ctx context.Context, r keeper.Request) error {
	c, err := v.kept.charge(v, r)
	if err != nil {
		return err
	}
	c.attach(v, r.Number)
	if err := c.enter(ctx); err != nil {
		return err
	}
	v.mu.Lock()
	v.charges[r.Number] = c
	v.mu.Unlock()
	claim := c.entry.Claim()
	v.answer(r, nil, keeper.Message{Claim: &claim, Survey: c.entry.Survey()}) // from here on it may be released
	return nil
}

// seenAs is the process that the wrapper calls pid.
func (v *server) seenAs(pid int) int {
	if v.agent.config == nil {
		return pid
	}
	return seenAs(v.peer.PID, pid)
}

// resume gives a wrapper that comes back the claim that it has entered, as it stands.
func (v *server) resume(r keeper.Request) (m keeper.Message, err error) {
	c := v.kept.comeBack(v, r.ID, false)
	if c == nil {
		return m, &backend.NotFoundError{ID: r.ID}
	}
	v.mu.Lock()
	v.charges[r.Entry] = c
	v.mu.Unlock()
	if r.PID != 0 {
		c.started(v.seenAs(r.PID))
	}
	c.attach(v, r.Entry)
	claim := c.entry.Claim()
	m.Claim = &claim
	return m, nil
}

func (v *server) onCharge(ctx context.Context, r keeper.Request) (m keeper.Message, err error) {
	v.mu.Lock()
	c := v.charges[r.Entry]
	if r.Op == keeper.OpRelease {
		delete(v.charges, r.Entry)
	}
	v.mu.Unlock()
	if c == nil {
		return m, nil // released already
	}
	switch r.Op {
	case keeper.OpAside:
		if err = c.entry.Yield(ctx); err == nil {
			c.change(func(n *claimNote) { n.Held = false })
		}
	case keeper.OpUp:
		err = c.entry.Reacquire(ctx)
	case keeper.OpObstacles:
		var o backend.Obstacles
		o, err = c.entry.Obstacles(ctx)
		m.Obstacles.V = &o
	case keeper.OpStarted:
		c.started(v.seenAs(r.PID))
	case keeper.OpRelease:
		c.stop()
		if r.Outcome.V != nil {
			c.entry.Conclude(*r.Outcome.V)
		}
		defer c.finish()
		return m, c.entry.Release(ctx)
	}
	claim := c.entry.Claim()
	m.Claim = &claim
	return m, err
}

// orphaned ends what a wrapper has left behind, all claims at once.
func (v *server) orphaned(ctx context.Context) {
	v.mu.Lock()
	left := v.charges
	v.charges = map[int64]*charge{}
	v.mu.Unlock()
	var ending sync.WaitGroup
	for _, c := range left {
		ending.Go(func() { c.orphaned(ctx) })
	}
	ending.Wait()
}

// wire makes an event travel: moments go on the boot clock.
func wire(event backend.Event) *keeper.Event {
	w := &keeper.Event{Kind: event.Kind, Obstacles: event.Obstacles, Reason: event.Reason,
		Err: keeper.Rare[keeper.Failure]{V: keeper.Fail(event.Err)}}
	if !event.KillBy.IsZero() {
		w.KillBy = max(1, boot.Now()+time.Until(event.KillBy))
	}
	return w
}
