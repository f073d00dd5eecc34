package cli

import (
	"github.com/urfave/cli/v2"

	"limit/backend/etcd/keeper"
)

func (p *program) agentCommand() *cli.Command {
	return &cli.Command{
		Name:  "agent",
		Usage: "keep one session on etcd for all limit commands of this machine",
		Description: `Serves the limit commands of this machine at a Unix socket: they need no connection to
etcd, no lease and no credentials of their own. backend.etcd in limit.yaml says which etcd; agent there says
who may do what. It runs until INT or TERM, and reads limit.yaml again after HUP. Commands run on when it
ends; the next agent takes over. 'limit help agent' says more.

EXAMPLES:
   systemctl enable --now limit-agent.socket
   limit agent --check

EXIT STATUS: 0; 125 limit itself failed.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "make the socket at `PATH` (" + keeper.DefaultSocket + ")"},
			&cli.BoolFlag{Name: "check", Usage: "look at the configuration, say what the agent would do, and end"},
		},
		Action: p.agent,
	}
}
