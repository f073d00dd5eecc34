//go:build slim

package cli

import "github.com/urfave/cli/v2"

// agent becomes the program that has the etcd client.
func (p *program) agent(*cli.Context) error { return p.become(serverName) }
