package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/backend/etcd/fence"
	"limit/backend/etcd/keeper"
	"limit/backend/local"
	"limit/config"
	"limit/wrap"
	"limit/wrap/process"
)

// connectEtcd opens a store on etcd, through the agent of this machine, or else kept by a process of its own.
func (p *program) connectEtcd(ctx context.Context, cfg *config.Config, o storeOptions) (backend.Backend, error) {
	options := etcdOptions(cfg)
	options.TTL, options.Grace, options.WarnOnLost, options.ConnectTimeout = o.ttl, o.grace, o.warnOnLost, o.timeout
	switch path := cfg.Backend.Etcd.Agent; path {
	case config.NoAgent:
	case "":
		// Nobody has named this agent. Where it is not for us everything works as if none were installed.
		client, err := keeper.TryDial(ctx, keeper.DefaultSocket, options)
		if !errors.Is(err, keeper.ErrNotServed) {
			return backendOf(client, err)
		}
	default:
		return backendOf(keeper.Dial(ctx, path, options))
	}
	program, err := keeperProgram(p.env)
	if err != nil {
		return nil, fmt.Errorf("finding the program that keeps claims on etcd: %w", err)
	}
	options.ThirdGuard = fenceProgram()
	client, err := keeper.Start(ctx, program, options)
	if err != nil {
		return nil, err
	}
	if p.supervisor != nil {
		p.supervisor.Exclude(client.PID())
	}
	return client, nil
}

// etcdOptions are what a configuration says of etcd.
func etcdOptions(cfg *config.Config) keeper.Options {
	e := cfg.Backend.Etcd
	o := keeper.Options{
		Endpoints: e.Endpoints, Namespace: cfg.Namespace,
		TLS:      keeper.TLS{CA: e.CA, Cert: e.Cert, Key: e.Key, ServerName: e.ServerName},
		Username: e.Username, PasswordFile: e.PasswordFile,
	}
	if cfg.StateDir != "" {
		o.SeenDir = filepath.Join(cfg.StateDir, local.SeenName)
	}
	return o
}

// agentOf is the socket of the agent that a store is used through, "" for none.
func agentOf(b backend.Backend) string {
	if client, ok := b.(interface{ Agent() string }); ok {
		return client.Agent()
	}
	return ""
}

// warnOfAgent tells which flags have no effect, as the lease is that of an agent.
func (s *store) warnOfAgent(c *cli.Context, messages *wrap.Messages) {
	client, ok := s.Backend.(*keeper.Client)
	if !ok || client.Agent() == "" {
		return
	}
	ttl, grace := client.InForce()
	if asked, ok := durationOf(c, "ttl"); ok && asked != ttl {
		messages.Info("--ttl has no effect: the lease is that of the agent at %s, whose agent.ttl is %s",
			client.Agent(), ttl)
	}
	if asked, ok := durationOf(c, "grace"); ok && asked > grace {
		messages.Info("--grace is cut to %s where the claim is lost: half the agent.ttl of the agent at %s", grace,
			client.Agent())
	}
}

// backendOf keeps a nil client from being a store.
func backendOf(client *keeper.Client, err error) (backend.Backend, error) {
	if err != nil {
		return nil, err
	}
	return client, nil
}

// fenceVerb is the verb by which a keeper starts the third guard of its commands.
const fenceVerb = "__fence"

func (p *program) fenceCommand() *cli.Command {
	return &cli.Command{
		Name:   fenceVerb,
		Hidden: true,
		Action: func(c *cli.Context) error { return fence.Main(c.Context, process.KillTree) },
	}
}

// fenceProgram is this program itself, which starts sooner than one with the etcd client. Where it cannot be found
// there is none.
func fenceProgram() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, fenceVerb}
}

// storeOptions are what a verb asks of the store that it opens.
type storeOptions struct {
	ttl, grace time.Duration // 0: the defaults
	warnOnLost bool
	look       bool          // nothing is made, and need not be written
	timeout    time.Duration // set by connect
}
