package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"limit/backend/etcd/boot"
	"limit/backend/etcd/fence"
	"limit/backend/etcd/keeper"
)

// agent keeps claims for wrappers: for those of a host, as its configuration says, over one connection to etcd. A
// keeper is the same for one wrapper, which says what to do.
type agent struct {
	kill Kill

	mu     sync.Mutex
	config *keeper.AgentConfig // nil: the wrapper says
	base   *Store              // whose client all share; nil: nobody has opened a store yet
	kept   map[string]*kept    // by namespace
}

func newAgent(kill Kill) *agent { return &agent{kill: kill, kept: map[string]*kept{}} }

// Agent serves the wrappers that connect until ctx ends. reload gives the configuration anew.
func Agent(ctx context.Context, l *net.UnixListener, config keeper.AgentConfig, reload <-chan keeper.AgentConfig, kill Kill, log *slog.Logger) error {
	a := newAgent(kill)
	a.config = &config
	var err error
	if a.base, err = open(ctx, a.options(), nil); err != nil {
		return err
	}
	defer a.base.Close()
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	serving.Go(func() {
		<-ctx.Done()
		l.Close()
	})
	serving.Go(func() { a.reload(ctx, reload, log) })
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
		serving.Go(func() { a.serve(ctx, conn, log) })
	}
}

// serve serves one connection.
func (a *agent) serve(ctx context.Context, conn *net.UnixConn, log *slog.Logger) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	peer, err := peerOf(conn)
	if err != nil {
		log.Warn("it cannot be known who connects", "error", err)
		conn.Close()
		return
	}
	if err := newServer(conn, a, peer).serve(ctx); err != nil && ctx.Err() == nil {
		log.Debug("a connection has failed", "uid", peer.UID, "pid", peer.PID, "error", err)
	}
}

// reload takes each new configuration. Who may do what, and the endpoints, hold at once, the rest with the next agent:
// the claims that it keeps hang on the connection that it has.
func (a *agent) reload(ctx context.Context, configs <-chan keeper.AgentConfig, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case config := <-configs:
			a.mu.Lock()
			a.config.Policy, a.config.Options.Endpoints = config.Policy, config.Options.Endpoints
			a.base.client.SetEndpoints(config.Options.Endpoints...)
			a.mu.Unlock()
			log.Info("the configuration was read again", "endpoints", config.Options.Endpoints)
		}
	}
}

// options are those of the sessions: a wrapper may ask for half the TTL between TERM and KILL.
func (a *agent) options() Options {
	o := a.config.Options.WithDefaults()
	o.Grace = o.TTL / 2
	return o
}

// allow fails where the configuration does not let a user do what is asked for.
func (a *agent) allow(peer keeper.Peer, namespace string, r *keeper.Request) error {
	if a.config == nil {
		return nil
	}
	a.mu.Lock()
	policy := a.config.Policy
	a.mu.Unlock()
	return policy.Allow(peer, namespace, r)
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
	defer a.mu.Unlock()
	k := a.kept[asked.Namespace]
	if k == nil {
		s, err := a.storeOf(ctx, asked)
		if err != nil {
			return err
		}
		k = &kept{store: s, servers: map[*server]struct{}{}}
		s.renewed = k.renewed
		a.kept[asked.Namespace] = k
	}
	k.join(v)
	v.kept, v.store = k, k.store.with(asked)
	return nil
}

// admit fails for a wrapper that this agent does not serve, and puts the agent's options in place of those that are
// not the wrapper's to choose.
func (a *agent) admit(v *server, asked *Options) error {
	if uid := os.Geteuid(); uid != 0 && uid != v.peer.UID {
		return fmt.Errorf("this agent runs as the user %d and cannot end the commands of the user %d; run it as root, or one for each user",
			uid, v.peer.UID)
	}
	o := a.options()
	if len(asked.Endpoints) > 0 && !slices.Equal(hostsOf(*asked), hostsOf(o)) {
		return fmt.Errorf("this agent keeps claims on %s, not on %s; use --agent none for that", o, asked)
	}
	if err := a.allow(v.peer, asked.Namespace, &keeper.Request{Op: keeper.OpOpen}); err != nil {
		return err
	}
	o.Namespace, o.Grace, o.WarnOnLost, o.ConnectTimeout = asked.Namespace, min(asked.Grace, o.Grace), asked.WarnOnLost, asked.ConnectTimeout
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

// leave ends the part of a wrapper, and with the last one that of the agent in the namespace.
func (a *agent) leave(v *server) {
	a.mu.Lock()
	last := v.kept.leave(v)
	if last {
		delete(a.kept, v.store.options.Namespace)
	}
	a.mu.Unlock()
	if last {
		v.kept.close()
	}
}

// kept is a store that is kept for wrappers.
type kept struct {
	store *Store

	mu       sync.Mutex
	deadline time.Duration // as last renewed
	servers  map[*server]struct{}

	fencing sync.Mutex
	fence   *fence.Fence // nil: not started
}

func (k *kept) join(v *server) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.servers[v] = struct{}{}
	if k.deadline > boot.Now() {
		v.owe(k.deadline)
	}
}

func (k *kept) leave(v *server) (last bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.servers, v)
	return len(k.servers) == 0
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
		k.tellFence(fence.Order{Deadline: deadline})
	}
	k.tellFence(fence.Order{Command: c})
}
