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
		Action: func(*cli.Context) error {
			return fmt.Errorf("this limit was built slim; its keeper is %s",
				keeperName)
		},
	}
}

func keeperProgram(env []string) (keeper.Command, error) {
	path, err := companion(keeperName)
	return keeper.Command{Path: path, Args: []string{keeperName}, Env: env}, err
}

// companion is the path of a program that is installed in the directory of this one.
func companion(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w; it comes with limit and belongs into the same directory", err)
	}
	return path, nil
}
