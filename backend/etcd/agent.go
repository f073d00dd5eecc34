package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"limit/backend/etcd/boot"
	"limit/backend/etcd/fence"
	"limit/backend/etcd/keeper"
)

// agent keeps claims for wrappers: for those of a host, as its configuration says, over one connection to etcd. A
// keeper is the same for one wrapper, which says what to do.
type agent struct {
	kill    Kill
	log     *slog.Logger
	notes   *notes          // nil: nobody takes over from a keeper
	ctx     context.Context // until when an agent works; nil: a keeper ends with its wrapper
	idleFor time.Duration
	working sync.WaitGroup

	mu     sync.Mutex
	config *keeper.AgentConfig // nil: the wrapper says
	base   *Store              // whose client all share; nil: nobody has opened a store yet
	kept   map[string]*kept    // by namespace

	hook func(point string) // for tests: where to kill the agent
}

func newAgent(kill Kill) *agent {
	return &agent{kill: kill, idleFor: idleFor, log: slog.New(slog.DiscardHandler), kept: map[string]*kept{}}
}

// Agent serves the wrappers that connect until ctx ends. reload gives the configuration anew.
func Agent(ctx context.Context, l *net.UnixListener, config keeper.AgentConfig, reload <-chan keeper.AgentConfig,
	kill Kill, log *slog.Logger) error {
	return newAgent(kill).run(ctx, l, config, reload, log)
}

func (a *agent) run(ctx context.Context, l *net.UnixListener, config keeper.AgentConfig,
	reload <-chan keeper.AgentConfig, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	a.config, a.ctx, a.log = &config, ctx, log
	var err error
	if a.notes, err = openNotes(config.State); err != nil {
		return err
	}
	defer a.notes.close()
	if a.base, err = open(ctx, a.options(), nil); err != nil {
		return err
	}
	defer a.base.Close()
	defer func() {
		stop()
		a.working.Wait()
		a.park()
	}()
	if err := a.takeOver(); err != nil {
		return err
	}
	a.working.Go(func() {
		<-ctx.Done()
		l.Close()
	})
	a.working.Go(func() { a.reload(ctx, reload) })
	for {
		conn, err := l.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("the agent's socket was closed: %w", err)
		case err != nil: // no descriptor is free for it, as a rule
			log.Warn("a connection was not accepted", "error", err)
			pause(ctx, lastPause)
			continue
		}
		a.working.Go(func() { a.serve(ctx, conn) })
	}
}

// maxRequest bounds what a user may have the agent read.
const maxRequest = 8 << 20

// serve serves one connection.
func (a *agent) serve(ctx context.Context, conn *net.UnixConn) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	peer, err := peerOf(conn)
	if err != nil {
		a.log.Warn("it cannot be known who connects", "error", err)
		conn.Close()
		return
	}
	v := newServer(conn, a, peer)
	v.line.Bound(maxRequest)
	if err := v.serve(ctx); err != nil && ctx.Err() == nil {
		a.log.Debug("a connection has failed", "uid", peer.UID, "pid", peer.PID, "error", err)
	}
}

// reload takes each new configuration. Who may do what, and the endpoints, hold at once, the rest with the next agent:
// the claims that it keeps hang on the connection that it has.
func (a *agent) reload(ctx context.Context, configs <-chan keeper.AgentConfig) {
	for {
		select {
		case <-ctx.Done():
			return
		case config := <-configs:
			a.mu.Lock()
			a.config.Policy, a.config.Options.Endpoints = config.Policy, config.Options.Endpoints
			a.base.client.SetEndpoints(config.Options.Endpoints...)
			a.mu.Unlock()
			a.log.Info("the configuration was read again", "endpoints", config.Options.Endpoints)
		}
	}
}

// options are those of the sessions: a wrapper may ask for half the TTL between TERM and KILL.
func (a *agent) options() Options {
	o := a.config.Options.WithDefaults()
	o.Grace = o.TTL / 2
	return o
}

// allow fails where the configuration does not let a wrapper do what it asks for.
func (a *agent) allow(v *server, r *keeper.Request) error {
	if a.config == nil {
		return nil
	}
	a.mu.Lock()
	policy := a.config.Policy
	a.mu.Unlock()
	if r.Claim != nil && !v.peer.Trusted() {
		r.Claim.User = strconv.Itoa(v.peer.UID) // nobody is somebody else
	}
	namespace := v.store.options.Namespace
	err := policy.Allow(v.peer, namespace, r, v.kept.isOf(v.peer.UID, r.ID))
	if err != nil {
		a.log.Warn("a request was refused", "uid", v.peer.UID, "pid", v.peer.PID, "namespace", namespace,
			"request", string(r.Op), "why", err.Error())
	}
	return err
}

// open gives a wrapper the store of the namespace it asks for.
func (a *agent) open(ctx context.Context, v *server, asked Options) error {
	asked = asked.WithDefaults()
	if a.config != nil {
		if err := a.admit(v, &asked); err != nil {
			return err
		}
	}
	a.mu.Lock()
	k := a.kept[asked.Namespace]
	if k == nil {
		s, err := a.storeOf(ctx, asked)
		if err != nil {
			a.mu.Unlock()
			return err
		}
		k = a.keep(s)
		close(k.ready)
	}
	k.join(v)
	a.mu.Unlock()
	v.kept = k
	select {
	case <-k.ready:
		v.store = k.store.with(asked)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the agent is still taking over from the one before it: %w", context.Cause(ctx))
	}
}

// keep makes the agent keep a store. a.mu is held.
func (a *agent) keep(s *Store) *kept {
	k := &kept{agent: a, store: s, ready: make(chan struct{}),
		servers: map[*server]struct{}{}, charges: map[string]*charge{}}
	s.stays = a.config != nil
	s.renewed, s.hook, s.log = k.renewed, a.hook, a.log.With("namespace", s.options.Namespace)
	a.kept[s.options.Namespace] = k
	return k
}

// admit fails for a wrapper that this agent does not serve, and puts the agent's options in place of those that are
// not the wrapper's to choose.
func (a *agent) admit(v *server, asked *Options) error {
	if uid := os.Geteuid(); uid != 0 && uid != v.peer.UID {
		return keeper.NotServed("this agent runs as the user %d and cannot end the commands of the user %d; "+
			"run it as root, or one for each user", uid, v.peer.UID)
	}
	o := a.options()
	if len(asked.Endpoints) > 0 && !slices.Equal(hostsOf(*asked), hostsOf(o)) {
		return keeper.NotServed("this agent keeps claims on %s, not on %s; use --agent none for that", o, asked)
	}
	o.Namespace, o.Grace = asked.Namespace, min(asked.Grace, o.Grace)
	o.WarnOnLost, o.ConnectTimeout = asked.WarnOnLost, asked.ConnectTimeout
	*asked = o
	return nil
}

// hostsOf are the servers of the options in an order.
func hostsOf(o Options) []string {
	hosts := slices.Clone(o.Hosts())
	slices.Sort(hosts)
	return hosts
}

// storeOf makes the store of a namespace. a.mu is held.
func (a *agent) storeOf(ctx context.Context, asked Options) (*Store, error) {
	if a.config == nil {
		return open(ctx, asked, nil)
	}
	o := a.options()
	o.Namespace = asked.Namespace
	return newStore(o, a.base.files, a.base.client), nil
}

// idleFor is how long an agent keeps what it has for a namespace beyond the last command: its lease is most of what a
// short command costs etcd.
const idleFor = 30 * time.Second

// part lets a wrapper or a claim leave a store. With the last of them a keeper forgets the store, an agent somewhat
// later.
func (a *agent) part(k *kept, leave func()) {
	k.mu.Lock()
	leave()
	if a.config != nil && k.unused() {
		if k.idle == nil {
			k.idle = time.AfterFunc(a.idleFor, func() { a.forget(k) })
		}
		k.idle.Reset(a.idleFor)
	}
	k.mu.Unlock()
	if a.config == nil {
		a.forget(k)
	}
}

// forget forgets a store that nobody uses.
func (a *agent) forget(k *kept) {
	a.mu.Lock()
	k.mu.Lock()
	used := !k.unused() || a.ending()
	k.mu.Unlock()
	if used {
		a.mu.Unlock()
		return
	}
	delete(a.kept, k.store.options.Namespace)
	n := k.store.latestSession()
	last := n != nil && n.uncountIdle() // before the next session of the namespace notes its lease
	a.mu.Unlock()
	k.close()
	if last {
		ctx, cancel := context.WithTimeout(context.Background(), cleaning)
		defer cancel()
		n.revoke(ctx)
	}
}

// park ends an agent's part in what it keeps, and leaves the claims to the next.
func (a *agent) park() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.kept {
		k.store.gate.close()
		for _, c := range k.charges {
			c.park()
		}
		if n := k.store.session; n != nil {
			n.park()
		}
		if k.fence != nil {
			k.fence.Leave()
		}
	}
}

// identify tells a process from others of its number, where another agent will have to.
func (a *agent) identify(pid int) fence.Process {
	if a.notes == nil {
		return fence.Process{PID: pid}
	}
	return fence.Identify(pid)
}

// ending reports whether this is an agent that ends: it leaves its claims to the next.
func (a *agent) ending() bool { return a.ctx != nil && a.ctx.Err() != nil }

// kept is a store that is kept for wrappers.
type kept struct {
	agent *agent
	store *Store
	ready chan struct{} // closed when what an earlier agent has left is taken over

	mu       sync.Mutex
	deadline time.Duration // as last renewed
	servers  map[*server]struct{}
	charges  map[string]*charge // by the id of the claim
	idle     *time.Timer        // forgets it; nil: it was never unused

	fencing sync.Mutex
	fence   *fence.Fence // nil: not started
}

// charge makes the charge of a request to enter, or finds the one that an agent has died over, and its wrapper asks
// for again.
func (k *kept) charge(v *server, r keeper.Request) (*charge, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.charges[r.Claim.ID]
	switch {
	case c == nil:
	case c.away && c.note.UID == v.peer.UID:
		c.away = false
		return c, nil
	default:
		return nil, fmt.Errorf("claim %s has entered already; an id is for one claim", r.Claim.ID)
	}
	o := v.store.options
	c = newCharge(k, v.store, claimNote{
		Namespace: o.Namespace,
		Options:   Options{Grace: o.Grace, WarnOnLost: o.WarnOnLost, ConnectTimeout: o.ConnectTimeout},
		Claim:     *r.Claim, Enter: r.Enter, Since: boot.Now(), UID: v.peer.UID, Wrapper: k.agent.identify(v.peer.PID),
	})
	k.charges[r.Claim.ID] = c
	return c, nil
}

// comeBack finds the charge of a wrapper that comes back: one that has entered, or that it has given up.
func (k *kept) comeBack(v *server, id string, given bool) *charge {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.charges[id]
	if c == nil || !c.away || !c.note.Entered && !given || c.note.UID != v.peer.UID {
		return nil
	}
	c.away = false
	return c
}

// isOf reports whether a claim is kept here for a user.
func (k *kept) isOf(uid int, id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.charges[id]
	return c != nil && c.note.UID == uid
}

// agency is what an agent tells of itself; nil for a keeper of one wrapper.
func (k *kept) agency() *keeper.Agency {
	if k.agent.config == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return &keeper.Agency{Version: k.agent.config.Version, Claims: len(k.charges)}
}

// unused reports whether nobody uses the store. k.mu is held.
func (k *kept) unused() bool { return len(k.servers) == 0 && len(k.charges) == 0 }

func (k *kept) join(v *server) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.servers[v] = struct{}{}
	if k.deadline > boot.Now() {
		v.owe(k.deadline)
	}
}

func (k *kept) close() {
	k.fencing.Lock()
	if k.fence != nil {
		k.fence.Close()
	}
	k.fencing.Unlock()
	k.store.gate.close()
}

// renewed tells the wrappers and the fence of a new last moment.
func (k *kept) renewed(n *session) {
	if n == nil {
		k.agent.notes.forgetLease(k.store.options.Namespace)
		return
	}
	deadline := n.deadline()
	k.mu.Lock()
	k.deadline = deadline
	for v := range k.servers {
		v.owe(deadline)
	}
	k.mu.Unlock()
	k.fencing.Lock()
	defer k.fencing.Unlock()
	k.tellFence(fence.Order{Deadline: deadline})
	k.agent.notes.lease(leaseNote{Namespace: k.store.options.Namespace,
		Lease: n.lease, TTL: n.store.options.TTL, Sent: n.answeredAt(),
		Takeover: fence.Takeover{Last: deadline, Fence: k.fence.PID()}})
}

// tellFence gives an order. A fence that does not take it does not know what it is to guard: it is ended, and the next
// command has another. k.fencing is held.
func (k *kept) tellFence(o fence.Order) {
	if k.fence != nil && k.fence.Send(o) != nil {
		k.fence.Close()
		k.fence = nil
	}
}

// fenceIn tells the third guard of a command. It is started with the first. Without one the two others remain: a
// machine that starts no more processes is no reason to end a command.
func (k *kept) fenceIn(c fence.Command) {
	k.fencing.Lock()
	defer k.fencing.Unlock()
	if k.fence == nil {
		program := k.store.options.ThirdGuard
		if c.PID == 0 || len(program) == 0 {
			return
		}
		f, err := fence.Start(program)
		if err != nil {
			return
		}
		k.fence = f
		k.mu.Lock()
		deadline := k.deadline
		k.mu.Unlock()
		k.tellFence(fence.Order{Deadline: deadline, File: k.agent.notes.leasePath(k.store.options.Namespace)})
	}
	k.tellFence(fence.Order{Command: c})
}
