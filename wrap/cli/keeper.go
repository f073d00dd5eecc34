package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/backend/etcd"
	"limit/backend/etcd/keeper"
	"limit/config"
	"limit/wrap/process"
)

// keeperVerb is the verb by which limit starts the process that keeps its claims on etcd.
const keeperVerb = "__keeper"

func (p *program) keeperCommand() *cli.Command {
	return &cli.Command{
		Name:   keeperVerb,
		Hidden: true,
		Action: func(c *cli.Context) error { return etcd.KeeperMain(c.Context, process.KillTree) },
	}
}

// connectEtcd opens a store on etcd, kept by a process of its own.
func (p *program) connectEtcd(ctx context.Context, cfg *config.Config, o storeOptions) (backend.Backend, error) {
	e := cfg.Backend.Etcd
	password, err := readPassword(e.PasswordFile)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the program that keeps claims on etcd: %w", err)
	}
	client, err := keeper.Start(ctx, keeper.Command{Path: self, Args: []string{"limit", keeperVerb}, Env: p.env}, keeper.Options{
		Endpoints: e.Endpoints, Namespace: cfg.Namespace,
		TLS:      keeper.TLS{CA: e.CA, Cert: e.Cert, Key: e.Key, ServerName: e.ServerName},
		Username: e.Username, Password: password,
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

func readPassword(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the password of etcd: %w", err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// storeOptions are what a verb asks of the store that it opens.
type storeOptions struct {
	ttl, grace time.Duration // 0: the defaults
	warnOnLost bool
	timeout    time.Duration // set by connect
}
