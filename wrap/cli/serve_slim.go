//go:build slim

package cli

import (
	"fmt"
	"syscall"

	"github.com/urfave/cli/v2"
)

// serverName is the program that serves, in the directory of this one: a limit with everything. HTTP is not linked into
// this one, as every start would pay for it.
const serverName = "limit-serve"

// serve and serveMetrics become that program, with the same arguments.
func (p *program) serve(*cli.Context) error        { return p.become(serverName) }
func (p *program) serveMetrics(*cli.Context) error { return p.become(serverName) }

func (p *program) become(name string) error {
	path, err := companion(name)
	if err == nil {
		err = syscall.Exec(path, p.args, p.env)
	}
	return fmt.Errorf("starting %s: %w", name, err)
}
