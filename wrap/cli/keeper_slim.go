//go:build slim

package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"limit/backend/etcd/keeper"
)

// keeperName is the program that keeps claims on etcd, in the directory of this one.
const keeperName = "limit-keeper"

// keeperCommand does what a limit that carries the keeper does with this verb; here it is another program's.
func (p *program) keeperCommand() *cli.Command {
	return &cli.Command{
		Name:   "__keeper",
		Hidden: true,
		Action: func(*cli.Context) error { return fmt.Errorf("this limit was built slim; its keeper is %s", keeperName) },
	}
}

func keeperProgram(env []string) (keeper.Command, error) {
	self, err := os.Executable()
	if err != nil {
		return keeper.Command{}, err
	}
	path := filepath.Join(filepath.Dir(self), keeperName)
	if _, err := os.Stat(path); err != nil {
		return keeper.Command{}, fmt.Errorf("%w; the two come in one archive and belong into one directory", err)
	}
	return keeper.Command{Path: path, Args: []string{keeperName}, Env: env}, nil
}
