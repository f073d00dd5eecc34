//go:build !slim

package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/wrap/serve"
)

func (p *program) serve(c *cli.Context) error {
	if c.NArg() > 0 {
		return usageError(c, "no operand is taken")
	}
	if c.IsSet("print") {
		text, ok := serve.Monitoring(c.String("print"))
		if !ok {
			return usageError(c, "flag --print: %q is not one of dashboard, alerts", c.String("print"))
		}
		_, err := p.Out.Write(text)
		return err
	}
	if (c.String("tls-cert") == "") != (c.String("tls-key") == "") {
		return usageError(c, "--tls-cert and --tls-key go together")
	}
	runs, err := p.runsDir(c)
	if err != nil {
		return err
	}
	return p.using(c, storeOptions{look: !c.Bool("allow-changes")}, func(s *store) error {
		ctx, stop := p.untilInterrupted(c.Context)
		defer stop()
		views := &views{p: p, s: s, runs: runs, changes: c.Bool("allow-changes")}
		o := views.options()
		o.Hosts = c.StringSlice("host")
		if c.Bool("allow-changes") {
			o.Token = rand.Text()
		}
		return p.serveAt(ctx, c, o)
	})
}

// serveAt listens where the flags say, and serves until ctx ends.
func (p *program) serveAt(ctx context.Context, c *cli.Context, o serve.Options) error {
	listener, err := listen(ctx, c.String("listen"))
	if err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	scheme, proxy := "http", listener.Addr().Network() == "unix"
	o.Proxy = o.Proxy || proxy
	if cert := c.String("tls-cert"); cert != "" {
		scheme, o.TLS = "https", true
		if listener, err = serve.TLS(listener, cert, c.String("tls-key")); err != nil {
			return err
		}
	}
	at := scheme + "://" + listener.Addr().String() + "/"
	switch {
	case proxy:
		at = c.String("listen")
	case o.Status == nil:
		at += "metrics"
	}
	p.messages(c).Info("serving %s", at)
	if o.Token != "" {
		fmt.Fprintf(p.Out, "%s?token=%s\n", at, o.Token)
	}
	daemon.SdNotify(false, daemon.SdNotifyReady) // nobody listens where systemd has not started it
	defer daemon.SdNotify(false, daemon.SdNotifyStopping)
	return serve.Serve(ctx, listener, o)
}

// listen listens at an address; after unix: that is the path of a socket, which whoever may use that directory can
// connect to.
func listen(ctx context.Context, address string) (net.Listener, error) {
	if path, unix := strings.CutPrefix(address, unixPrefix); unix {
		if err := removeSocket(path); err != nil {
			return nil, err
		}
		return (&net.ListenConfig{}).Listen(ctx, "unix", path)
	}
	address, err := listenAddress(address)
	if err != nil {
		return nil, err
	}
	return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
}

// unixPrefix begins the address of a Unix socket.
const unixPrefix = "unix:"

// removeSocket removes a socket that nobody serves any more.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is there, and is no socket", path)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return fmt.Errorf("%s is served by somebody already", path)
	}
	return os.Remove(path)
}

// metrics is a snapshot as OpenMetrics text; of a store that does not answer, that.
func (s *store) metrics(ctx context.Context) (string, error) {
	snapshot, err := s.Snapshot(ctx)
	switch {
	case err == nil:
		return metricsText(snapshot, s.namespace, time.Now()), nil
	case errors.Is(err, backend.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded):
		return (&exposition{}).gauge("limit_up", "1 where the store answers.").value(0, "namespace", s.namespace).end(),
			nil
	}
	return "", err
}

// serveMetrics serves metrics alone, until INT or TERM.
func (p *program) serveMetrics(c *cli.Context) error {
	return p.onlyLooking(c, func(s *store) error {
		ctx, stop := p.untilInterrupted(c.Context)
		defer stop()
		return p.serveAt(ctx, c, serve.Options{Metrics: s.metrics, Proxy: true}) // a scraper may use any name
	})
}
