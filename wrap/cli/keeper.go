package cli

import (
	"context"
	"fmt"
	"time"

	"limit/backend"
	"limit/backend/etcd/keeper"
	"limit/config"
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
		TTL: o.ttl, Grace: o.grace, WarnOnLost: o.warnOnLost, ConnectTimeout: o.timeout,
	})
	if err != nil {
		return nil, err
	}
	if p.supervisor != nil {
		p.supervisor.Disown(client.PID())
	}
	return client, nil
}

// storeOptions are what a verb asks of the store that it opens.
type storeOptions struct {
	ttl, grace time.Duration // 0: the defaults
	warnOnLost bool
	timeout    time.Duration // set by connect
}
