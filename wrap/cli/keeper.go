package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/backend/etcd/fence"
	"limit/backend/etcd/keeper"
	"limit/config"
	"limit/wrap/process"
)

// connectEtcd opens a store on etcd, kept by a process of its own.
func (p *program) connectEtcd(ctx context.Context, cfg *config.Config, o storeOptions) (backend.Backend, error) {
	e := cfg.Backend.Etcd
	program, err := keeperProgram(p.env)
	if err != nil {
		return nil, fmt.Errorf("finding the program that keeps claims on etcd: %w", err)
	}
	client, err := keeper.Start(ctx, program, keeper.Options{
		Endpoints: e.Endpoints, Namespace: cfg.Namespace,
		TLS:      keeper.TLS{CA: e.CA, Cert: e.Cert, Key: e.Key, ServerName: e.ServerName},
		Username: e.Username, PasswordFile: e.PasswordFile,
		TTL: o.ttl, Grace: o.grace, WarnOnLost: o.warnOnLost, ConnectTimeout: o.timeout, ThirdGuard: fenceProgram(),
	})
	if err != nil {
		return nil, err
	}
	if p.supervisor != nil {
		p.supervisor.Exclude(client.PID())
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
