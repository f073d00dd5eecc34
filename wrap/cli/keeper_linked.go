//go:build !slim

package cli

import (
	"os"

	"github.com/urfave/cli/v2"

	"limit/backend/etcd"
	"limit/backend/etcd/keeper"
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

// keeperProgram is this program itself.
func keeperProgram(env []string) (keeper.Command, error) {
	self, err := os.Executable()
	return keeper.Command{Path: self, Args: []string{"limit", keeperVerb}, Env: env}, err
}
