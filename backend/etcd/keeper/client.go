package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"limit/backend"
	"limit/backend/etcd/boot"
)

// Client is the store as the wrapper sees it: every method is a request to the keeper. It implements backend.Backend.
type Client struct {
	options Options
	line    *Line
	pid     int             // of the keeper's process; 0: there is none
	reap    func(kill bool) // waits for the keeper's process, having killed it or not; nil: there is none
	agent   string          // where an agent listens that may come back; "": a keeper that has gone has gone
	alarm   *boot.Alarm
	done    chan struct{} // closed when the keeper has gone
	life    context.Context
	end     context.CancelFunc
	working sync.WaitGroup

	posting sync.Mutex // requests go out one by one, and none while an agent is told again of those under way

	mu       sync.Mutex
	number   int64
	calls    map[int64]call
	entries  map[int64]*entry
	changes  map[int64]chan struct{}
	deadline time.Duration // until when the lease is good, as last told; 0: never told
	closing  bool
	givenUp  []string
	silent   bool // no renewal was told in time: the keeper may be stopped, and nobody waits for it any more
}

// call is a request under way.
type call struct {
	request Request
	answer  chan *Message
}

var _ backend.Backend = (*Client)(nil)
var _ backend.Historian = (*Client)(nil)

// Connect speaks to a keeper over conn and opens its store.
func Connect(ctx context.Context, conn io.ReadWriteCloser, o Options) (*Client, error) {
	return connect(ctx, NewLine(conn), o, "")
}

// DefaultSocket is where an agent listens, and is looked for.
const DefaultSocket = "/run/limit/agent.sock"

// Dial speaks to the agent that listens at path. Which servers of etcd, with which credentials, is the agent's to
// know: endpoints that are given have to be its own. The options that are in force are the client's afterwards.
func Dial(ctx context.Context, path string, o Options) (*Client, error) {
	return dialAgent(ctx, path, o, true)
}

// TryDial is Dial for an agent that may not be there: that is ErrNotServed.
func TryDial(ctx context.Context, path string, o Options) (*Client, error) {
	return dialAgent(ctx, path, o, false)
}

func dialAgent(ctx context.Context, path string, o Options, wait bool) (*Client, error) {
	o = Options{Endpoints: o.Endpoints, Namespace: o.Namespace, Grace: o.Grace, WarnOnLost: o.WarnOnLost,
		ConnectTimeout: o.ConnectTimeout}
	bound, cancel := context.WithTimeout(ctx, o.WithDefaults().ConnectTimeout)
	defer cancel()
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		conn, err := dial(bound, path)
		if err == nil {
			c, err := connect(bound, NewLine(conn), o, path)
			if err != nil && bound.Err() != nil && ctx.Err() == nil {
				err = unanswered(path, err)
			}
			return c, err
		}
		if !wait {
			return nil, NotServed("no agent listens at %s: %v", path, err)
		}
		select {
		case <-time.After(retry):
		case <-bound.Done():
			return nil, unanswered(path, err)
		}
	}
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

func unanswered(path string, err error) error {
	return fmt.Errorf("%w: %w", backend.ErrUnreachable, silence(path, err))
}

// silence says that an agent does not answer, and why.
func silence(path string, err error) error {
	var dialing *net.OpError
	if errors.As(err, &dialing) {
		err = dialing.Err // the path is said
	}
	advice := "is 'limit agent' running there?"
	if path == DefaultSocket {
		advice = "see systemctl status limit-agent"
	}
	return fmt.Errorf("the agent at %s does not answer: %w; %s", path, err, advice)
}

func connect(ctx context.Context, line *Line, o Options, agent string) (*Client, error) {
	alarm, err := boot.NewAlarm()
	if err != nil {
		line.Close()
		return nil, err
	}
	c := &Client{options: o.WithDefaults(), line: line, agent: agent, alarm: alarm, done: make(chan struct{}),
		calls: map[int64]call{}, entries: map[int64]*entry{}, changes: map[int64]chan struct{}{}}
	c.life, c.end = context.WithCancel(context.Background())
	c.working.Go(c.receive)
	c.working.Go(c.guard)
	m, err := c.call(ctx, c.open())
	if err == nil {
		err = m.Hello.V.Check("the process that keeps the claims (limit-keeper)")
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	c.inForce(m)
	return c, nil
}

func (c *Client) open() Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.options
	return Request{Op: OpOpen, Options: Rare[Options]{V: &o}, Hello: Rare[Hello]{V: NewHello()}}
}

// inForce takes the options that are in force from the answer to open.
func (c *Client) inForce(m *Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := m.Options.V; o != nil {
		c.options.Endpoints, c.options.TTL, c.options.Grace = o.Endpoints, o.TTL, o.Grace
	}
}

// PID is the process id of the keeper that Start has started.
func (c *Client) PID() int { return c.pid }

// Agent is the path of the socket of the agent that is used, "" for none.
func (c *Client) Agent() string { return c.agent }

// InForce is how long the lease lasts and how long commands have to end: an agent has a say in both.
func (c *Client) InForce() (ttl, grace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.options.TTL, c.options.Grace
}

// String is etcd://h1:2379,h2:2379.
func (c *Client) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.options.String()
}

// String is etcd://h1:2379,h2:2379.
func (o Options) String() string { return "etcd://" + strings.Join(o.Hosts(), ",") }

// Hosts are the endpoints without http:// or https://.
func (o Options) Hosts() []string {
	hosts := make([]string, len(o.Endpoints))
	for i, e := range o.Endpoints {
		_, host, found := strings.Cut(e, "://")
		if !found {
			host = e
		}
		hosts[i] = host
	}
	return hosts
}

// errGone says that the keeper's process has ended. It is put into words when they are asked for, as runs without a
// keeper have this package too.
var errGone error = gone{}

type gone struct{}

func (gone) Error() string {
	return backend.ErrUnreachable.Error() + ": the process that keeps the claims has ended"
}

func (gone) Unwrap() error { return backend.ErrUnreachable }

// patience is how long the answer to a request may still come after its context has ended.
const patience = 4 * time.Second

// post sends a request and returns where its answer will come.
func (c *Client) post(ctx context.Context, r Request, with func(number int64)) (int64, chan *Message, error) {
	if deadline, ok := ctx.Deadline(); ok {
		r.Timeout = max(time.Until(deadline), 1)
	}
	answer := make(chan *Message, 1)
	c.posting.Lock()
	defer c.posting.Unlock()
	c.mu.Lock()
	c.number++
	r.Number = c.number
	if c.calls == nil {
		c.mu.Unlock()
		return 0, nil, errGone
	}
	c.calls[r.Number] = call{r, answer}
	if with != nil {
		with(r.Number)
	}
	c.mu.Unlock()
	err := c.line.Send(r)
	if c.agent != "" {
		err = nil // it is sent again when the agent is there
	}
	return r.Number, answer, err
}

// call sends a request and waits for the answer, also after ctx has ended, for the keeper to end what it has begun.
func (c *Client) call(ctx context.Context, r Request) (*Message, error) {
	number, answer, err := c.post(ctx, r, nil)
	if err != nil {
		return nil, c.orGone(err)
	}
	return c.wait(ctx, number, answer)
}

func (c *Client) wait(ctx context.Context, number int64, answer chan *Message) (*Message, error) {
	var impatient <-chan time.Time
	ended := ctx.Done()
	for {
		select {
		case m := <-answer:
			return m, m.Error.V.Err()
		case <-c.done:
			select {
			case m := <-answer:
				return m, m.Error.V.Err()
			default:
				return nil, errGone
			}
		case <-ended:
			ended, impatient = nil, time.After(patience)
			c.line.Send(Request{Op: OpStop, Entry: number}) // a keeper that is gone has closed done
		case <-impatient:
			return nil, context.Cause(ctx)
		}
	}
}

func (c *Client) orGone(err error) error {
	select {
	case <-c.done:
		return errGone
	default:
		return err
	}
}

// receive takes what the keeper sends until it is gone; then every claim is lost by its last deadline.
func (c *Client) receive() {
	for {
		m := new(Message)
		if err := c.line.Receive(m); err == nil {
			c.take(m)
		} else if c.agent == "" || !c.reconnect(err) {
			break
		}
	}
	c.mu.Lock()
	entries, changes, deadline := c.entries, c.changes, c.deadline
	c.calls, c.changes = nil, nil
	c.mu.Unlock()
	close(c.done)
	for _, e := range entries {
		e.lose("the process that keeps it has ended", boot.At(deadline))
	}
	for _, ch := range changes {
		close(ch)
	}
}

func (c *Client) take(m *Message) {
	c.mu.Lock()
	e := c.entries[m.Number]
	if m.Deadline != 0 {
		c.deadline, c.silent = m.Deadline, false
		c.alarm.Set(c.fence())
		for _, e := range c.entries {
			e.confirm(boot.Now() < c.fence())
		}
	}
	switch {
	case m.Done:
		if call, ok := c.calls[m.Number]; ok {
			delete(c.calls, m.Number)
			if e != nil && m.Claim != nil {
				e.update(m.Claim)
			}
			call.answer <- m
		}
		if changes, ok := c.changes[m.Number]; ok && m.Error.V != nil {
			delete(c.changes, m.Number)
			close(changes)
		}
	case m.Change:
		if changes, ok := c.changes[m.Number]; ok {
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	}
	fresh := c.deadline == 0 || boot.Now() < c.fence()
	c.mu.Unlock()
	if m.Event != nil && e != nil {
		e.take(m, fresh)
	}
}

// slack lets the keeper be the first to tell that a claim is lost. arrears is what a wrapper needs to read what it was
// told; one that was stopped past the deadline has more to read, and may take longestArrears: the keeper has enforced
// the deadline meanwhile, and the lease ends no sooner than a second and a half after it.
const (
	slack          = 150 * time.Millisecond
	arrears        = 100 * time.Millisecond
	longestArrears = time.Second
)

// fence is when the claims count as lost if no renewal is told. c.mu is held.
func (c *Client) fence() time.Duration { return c.deadline - c.options.Grace + slack }

// guard tells the claims that they are lost when the keeper tells of no renewal: it may be stopped.
func (c *Client) guard() {
	for {
		select {
		case <-c.done:
			return
		case <-c.alarm.C:
		}
		late, deadline, patience := c.late()
		for begun := time.Now(); late && time.Since(begun) < patience; late, deadline, _ = c.late() {
			select {
			case <-c.done:
				return
			case <-time.After(arrears):
			}
		}
		c.mu.Lock()
		c.silent = late
		entries := slices.Collect(maps.Values(c.entries))
		c.mu.Unlock()
		for _, e := range entries {
			if late {
				e.lose(c.keeper()+" has told of no renewal", boot.At(deadline))
			}
		}
	}
}

// keeper names what keeps the claims.
func (c *Client) keeper() string {
	if c.agent == "" {
		return "the process that keeps it"
	}
	return "the agent at " + c.agent
}

// late reports whether the fence is reached by what was read so far, and how long to go on reading.
func (c *Client) late() (late bool, deadline, patience time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := boot.Now()
	patience = arrears
	if now >= c.deadline {
		patience = longestArrears
	}
	return c.deadline != 0 && now >= c.fence(), c.deadline, patience
}

// Enter lets the keeper put the claim before the limits.
func (c *Client) Enter(ctx context.Context, claim backend.Claim, o backend.EnterOptions) (backend.Entry, error) {
	e := &entry{c: c, mail: NewMailbox(), claim: claim}
	number, answer, err := c.post(ctx, Request{Op: OpEnter, Claim: &claim, Enter: o}, func(number int64) {
		e.number = number
		c.entries[number] = e
	})
	if err == nil {
		err = e.answered(c.wait(ctx, number, answer))
	}
	if err == nil && ctx.Err() != nil { // it came too late to be stopped
		err = context.Cause(ctx)
		settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err = errors.Join(err, e.Release(settle))
	}
	if err != nil {
		if errors.Is(err, backend.ErrUnreachable) || ctx.Err() != nil {
			c.giveUp(claim.ID)
		}
		c.forget(e.number)
		e.mail.Close()
		return nil, err
	}
	return e, nil
}

func (c *Client) forget(number int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, number)
}

// Snapshot asks the keeper for one.
func (c *Client) Snapshot(ctx context.Context) (*backend.Snapshot, error) {
	m, err := c.call(ctx, Request{Op: OpSnapshot})
	if err != nil {
		return nil, err
	}
	return m.Snapshot.V, nil
}

// Changes asks the keeper to tell of each.
func (c *Client) Changes(ctx context.Context) (<-chan struct{}, error) {
	changes := make(chan struct{}, 1)
	number, answer, err := c.post(context.WithoutCancel(ctx), Request{Op: OpChanges},
		func(number int64) { c.changes[number] = changes })
	if err == nil {
		_, err = c.wait(ctx, number, answer)
	}
	if err != nil {
		c.endChanges(number)
		return nil, err
	}
	c.working.Go(func() {
		select {
		case <-ctx.Done():
			c.line.Send(Request{Op: OpStop, Entry: number})
			c.endChanges(number)
		case <-c.done:
		}
	})
	return changes, nil
}

func (c *Client) endChanges(number int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if changes, ok := c.changes[number]; ok {
		delete(c.changes, number)
		close(changes)
	}
}

// Settings asks for the limits in force.
func (c *Client) Settings(ctx context.Context) (backend.Settings, bool, error) {
	m, err := c.call(ctx, Request{Op: OpSettings})
	if err != nil {
		return backend.Settings{}, false, err
	}
	return *m.Settings.V, m.OK, nil
}

// ChangeSettings reads, changes, and lets the keeper write where nobody else has written in between.
func (c *Client) ChangeSettings(ctx context.Context, change func(*backend.Settings, bool) error) error {
	for {
		m, err := c.call(ctx, Request{Op: OpSettings})
		if err != nil {
			return err
		}
		if err := change(m.Settings.V, m.OK); err != nil {
			return err
		}
		written, err := c.call(ctx, Request{Op: OpWrite, Settings: m.Settings, Revision: m.Revision})
		if err != nil {
			return err
		}
		if written.OK {
			return nil
		}
	}
}

// Cancel asks a claim to go.
func (c *Client) Cancel(ctx context.Context, id, reason string) error {
	_, err := c.call(ctx, Request{Op: OpCancel, ID: id, Reason: reason})
	return err
}

// Drop removes a claim.
func (c *Client) Drop(ctx context.Context, id string) error {
	_, err := c.call(ctx, Request{Op: OpDrop, ID: id})
	return err
}

// Bump gives a waiting claim a new priority.
func (c *Client) Bump(ctx context.Context, id string, priority int32) error {
	_, err := c.call(ctx, Request{Op: OpBump, ID: id, Priority: priority})
	return err
}

// History asks for the claims that have ended.
func (c *Client) History(ctx context.Context) ([]backend.Past, error) {
	m, err := c.call(ctx, Request{Op: OpHistory})
	if err != nil {
		return nil, err
	}
	return *m.Pasts.V, nil
}

// Namespaces asks for the namespaces of the cluster.
func (c *Client) Namespaces(ctx context.Context) ([]string, error) {
	m, err := c.call(ctx, Request{Op: OpNames})
	if err != nil {
		return nil, err
	}
	return m.Names, nil
}

// Health asks how the cluster is.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	m, err := c.call(ctx, Request{Op: OpHealth})
	if err != nil {
		return nil, err
	}
	return m.Health.V, nil
}

func (c *Client) isSilent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silent
}

// Close ends the keeper and waits for it.
func (c *Client) Close() error {
	c.mu.Lock()
	again := c.closing
	c.closing = true
	c.mu.Unlock()
	if again {
		return nil
	}
	c.end()
	ended := false
	if c.line.CloseWrite() { // the keeper passes on the gate, then closes its end
		wait := patience
		if c.isSilent() {
			wait = 0
		}
		select {
		case <-c.done:
			ended = true
		case <-time.After(wait):
		}
	}
	err := c.line.Close()
	c.working.Wait()
	c.alarm.Stop()
	if c.reap != nil {
		c.reap(!ended) // its lease ends by itself
	}
	return err
}
