package cli

import (
	"cmp"
	"fmt"
	"net"
	"strings"

	"github.com/urfave/cli/v2"
)

// defaultServeAddress is where limit serve listens: loopback alone.
const defaultServeAddress = "127.0.0.1:7654"

func (p *program) serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "a web page of what holds, what waits and why; metrics; an API",
		Description: `Serves a page that follows the store: limits and their use, who holds, who waits and for what,
the history, what other limits would do, and the runs of dags of this user on this machine. /metrics is for
Prometheus, /api/v1/ is JSON, /healthz and /readyz are for supervisors; 'limit help serve' describes them. It
runs until INT or TERM.

Whoever can reach the address sees what 'limit status' shows. A port alone is of 127.0.0.1. With
--allow-changes the page can set, pause and unset limits, cancel and bump claims, for whoever opens the link
that is printed; it is another one each time.

EXAMPLES:
   limit serve
   limit serve --listen 8080 --allow-changes
   limit serve --listen unix:/run/limit/serve.sock

EXIT STATUS: 0; 125 limit itself failed.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: defaultServeAddress,
				Usage: "serve at `ADDR`: PORT, HOST:PORT, or unix:PATH " +
					"for a proxy on this machine"},
			&cli.StringSliceFlag{Name: "host", Usage: "answer to the `NAME` of this machine too; repeatable"},
			&cli.BoolFlag{Name: "allow-changes", Usage: "let those who have the printed link change limits and claims"},
			&cli.StringFlag{Name: "tls-cert", Usage: "`FILE` with the certificate, for https"},
			&cli.StringFlag{Name: "tls-key", Usage: "`FILE` with its key"},
			&cli.StringFlag{Name: "print",
				Usage: "print `dashboard|alerts`, for Grafana and for Prometheus, and serve nothing"},
			logDirFlag(),
		},
		Action: p.serve,
	}
}

// listenAddress makes a port alone one of loopback.
func listenAddress(s string) (string, error) {
	if !strings.Contains(s, ":") {
		s = ":" + s
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || port == "" {
		return "", fmt.Errorf("%q is no address; use PORT or HOST:PORT, with [] around an IPv6 host", s)
	}
	return net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port), nil
}
