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
	return newServer(conn, kill).serve(ctx) // the end of the process disconnects from etcd; its client takes milliseconds for that
}

func newServer(conn io.ReadWriteCloser, kill Kill) *server {
	return &server{line: keeper.NewLine(conn), kill: kill, charges: map[int64]*charge{}, requests: map[int64]context.CancelFunc{}}
}

// serve serves one wrapper until its end of the connection is closed. Then it stops the commands of claims that were
// not released, releases these, and passes on the gate.
func (v *server) serve(ctx context.Context) error {
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	for {
		var r keeper.Request
		if err = v.line.Receive(&r); err != nil {
			break
		}
		v.take(serving, r)
	}
	v.endRequests()
	v.working.Wait()
	v.orphaned(ctx)
	v.fencing.Lock()
	if v.fence != nil {
		v.fence.Close()
	}
	v.fencing.Unlock()
	if v.store != nil {
		v.store.gate.close()
	}
	v.line.Close()
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return fmt.Errorf("reading from the wrapper: %w", err)
}

// server is the keeper of one wrapper.
type server struct {
	line    *keeper.Line
	kill    Kill
	store   *Store
	working sync.WaitGroup

	fencing  sync.Mutex
	fence    *fence.Fence  // nil: not started
	deadline time.Duration // as last renewed

	mu       sync.Mutex
	charges  map[int64]*charge            // by the number of the request that entered it
	requests map[int64]context.CancelFunc // under way
	ended    bool
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
	case keeper.OpOpen:
		v.answer(r, v.open(ctx, r), keeper.Message{Hello: keeper.Rare[keeper.Hello]{V: keeper.NewHello()}})
		return
	}
	if v.store == nil {
		v.answer(r, errors.New("the first request has to be open"), keeper.Message{})
		return
	}
	requesting, cancel := context.WithCancel(ctx)
	if r.Timeout > 0 {
		requesting, cancel = context.WithTimeout(ctx, r.Timeout)
	}
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

func (v *server) finished(number int64, cancel context.CancelFunc) {
	cancel()
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.requests, number)
}

func (v *server) endRequests() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = true
	for _, cancel := range v.requests {
		cancel()
	}
}

func (v *server) answer(r keeper.Request, err error, m keeper.Message) {
	m.Number, m.Done, m.Error.V = r.Number, true, keeper.Fail(err)
	v.line.Send(m) // a wrapper that is gone is noticed by reading
}

func (v *server) open(ctx context.Context, r keeper.Request) error {
	if err := r.Hello.V.Check("the limit that started this limit-keeper"); err != nil {
		return err
	}
	if v.store != nil {
		return errors.New("the store is open already")
	}
	s, err := open(ctx, *r.Options.V, nil)
	if err != nil {
		return err
	}
	s.renewed = v.renewed
	v.store = s
	return nil
}

// renewed tells wrapper and fence of a new last moment.
func (v *server) renewed(deadline time.Duration) {
	v.line.Send(keeper.Message{Deadline: deadline})
	v.fencing.Lock()
	defer v.fencing.Unlock()
	v.deadline = deadline
	v.tellFence(v.lastMoment())
}

// tellFence gives an order. A fence that does not take it does not know what it is to guard: it is ended, and the next
// command has another. v.fencing is held.
func (v *server) tellFence(o fence.Order) {
	if v.fence != nil && v.fence.Send(o) != nil {
		v.fence.Close()
		v.fence = nil
	}
}

// lastMoment is when the commands have to be gone, if nothing is renewed. v.fencing is held.
func (v *server) lastMoment() fence.Order {
	return fence.Order{Deadline: v.deadline, Grace: v.store.options.Grace}
}

// fenceIn gives the third guard an order about a command. It is started with the first. Without one the two others
// remain: a machine that starts no more processes is no reason to end a command.
func (v *server) fenceIn(o fence.Order) {
	options := v.store.options
	v.fencing.Lock()
	defer v.fencing.Unlock()
	if v.fence == nil {
		if o.PID == 0 || len(options.ThirdGuard) == 0 || options.WarnOnLost || v.store.unfenced {
			return
		}
		f, err := fence.Start(options.ThirdGuard)
		if err != nil {
			return
		}
		v.fence = f
		v.tellFence(fence.Order{Wrapper: syscall.Getppid()})
		v.tellFence(v.lastMoment())
	}
	v.tellFence(o)
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
		m.Health.V, err = s.Health(ctx)
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
		v.line.Send(keeper.Message{Number: r.Number, Change: true})
	}
	return ctx.Err()
}

// enter enters a claim and forwards its events. One that is held at once has its first event before the answer.
func (v *server) enter(ctx context.Context, r keeper.Request) error {
	e, err := v.store.Enter(ctx, *r.Claim, r.Enter)
	if err != nil {
		return err
	}
	c := newCharge(v, r.Number, e)
	v.mu.Lock()
	v.charges[r.Number] = c
	v.mu.Unlock()
	select {
	case event := <-e.Events():
		c.forward(event)
	default:
	}
	c.start()
	claim := e.Claim()
	m := keeper.Message{Claim: &claim}
	if surveyed, ok := e.(backend.Surveyed); ok {
		m.Survey = surveyed.Survey()
	}
	v.answer(r, nil, m) // from here on it may be released
	return nil
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
		err = c.entry.StandAside(ctx)
	case keeper.OpUp:
		err = c.entry.StandUp(ctx)
	case keeper.OpObstacles:
		var o backend.Obstacles
		o, err = c.entry.Obstacles(ctx)
		m.Obstacles.V = &o
	case keeper.OpStarted:
		c.started(r.PID)
	case keeper.OpRelease:
		c.stop()
		if r.Outcome.V != nil {
			c.entry.Conclude(*r.Outcome.V)
		}
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
	v.charges = nil
	v.mu.Unlock()
	var ending sync.WaitGroup
	for _, c := range left {
		ending.Go(func() { c.orphaned(ctx) })
	}
	ending.Wait()
}

// wire makes an event travel: moments go on the boot clock.
func wire(event backend.Event) *keeper.Event {
	w := &keeper.Event{Kind: event.Kind, Obstacles: event.Obstacles, Reason: event.Reason, Err: keeper.Rare[keeper.Failure]{V: keeper.Fail(event.Err)}}
	if !event.KillBy.IsZero() {
		w.KillBy = max(1, boot.Now()+time.Until(event.KillBy))
	}
	return w
}
