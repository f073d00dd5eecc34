//go:build !slim

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-multierror"
	"github.com/urfave/cli/v2"

	"limit/backend/etcd"
	"limit/backend/etcd/keeper"
	"limit/config"
	"limit/wrap"
	"limit/wrap/process"
)

func (p *program) agent(c *cli.Context) error {
	if c.NArg() > 0 {
		return usageError(c, "no operand is taken")
	}
	cfg, err := p.load(c)
	if err != nil {
		return err
	}
	resolved, err := agentConfig(cfg, agentSocket(c, cfg))
	if err != nil {
		return err
	}
	if c.Bool("check") {
		return p.printAgent(agentSocket(c, cfg), cfg, resolved)
	}
	return p.serveAgent(c, cfg, resolved)
}

// agentSocket is where the agent listens, unless systemd has made the socket.
func agentSocket(c *cli.Context, cfg *config.Config) string {
	path := cmp.Or(c.String("listen"), cfg.Agent.Listen, keeper.DefaultSocket)
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}

// agentConfig looks at all that the configuration names. Its error has each thing that is wrong.
func agentConfig(cfg *config.Config, socket string) (keeper.AgentConfig, error) {
	e := cfg.Backend.Etcd
	if e == nil {
		return keeper.AgentConfig{}, fmt.Errorf("an agent is for etcd, and the store is %s; set backend.etcd in "+
			"limit.yaml",
			cfg.Backend)
	}
	var faults error
	for _, file := range []string{e.CA, e.Cert, e.Key, e.PasswordFile} {
		if file == "" {
			continue
		}
		f, err := os.Open(file)
		if err != nil {
			faults = multierror.Append(faults, fmt.Errorf("%w; the agent has to read it", err))
			continue
		}
		f.Close()
	}
	options := etcdOptions(cfg)
	options.SeenDir = filepath.Join(filepath.Dir(socket), "seen")
	options.Namespace, options.TTL, options.ThirdGuard = "", cfg.Agent.TTL, fenceProgram()
	resolved := keeper.AgentConfig{Options: options, Version: version(),
		State: cmp.Or(cfg.Agent.State, filepath.Join(filepath.Dir(socket), "state"))}
	if cfg.Agent.Rules != nil {
		resolved.Policy.Rules = []keeper.Rule{}
	}
	for i, rule := range cfg.Agent.Rules {
		r, err := resolveRule(rule)
		if err != nil {
			faults = multierror.Append(faults, fmt.Errorf("%s: rule %d: %w", cfg.From("agent.rules"), i+1, err))
		}
		resolved.Policy.Rules = append(resolved.Policy.Rules, r)
	}
	return resolved, faults
}

// resolveRule finds the numbers of users and groups.
func resolveRule(rule config.AgentRule) (keeper.Rule, error) {
	r := keeper.Rule{Namespaces: rule.Namespaces, Pools: rule.Pools, ChangeLimits: rule.ChangeLimits,
		CancelOthers: rule.CancelOthers}
	var faults error
	resolve := func(kind string, names []string, look func(string) (string, error)) (ids []int) {
		for _, name := range names {
			id, err := strconv.Atoi(name)
			if err != nil {
				var number string
				if number, err = look(name); err == nil {
					id, err = strconv.Atoi(number)
				}
			}
			if err != nil {
				faults = multierror.Append(faults,
					fmt.Errorf("there is no %s %s on this machine; a number is taken, too",
						kind, name))
			}
			ids = append(ids, id)
		}
		return ids
	}
	r.UIDs = resolve("user", rule.Users, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	r.GIDs = resolve("group", rule.Groups, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	return r, faults
}

// printAgent says what an agent would do.
func (p *program) printAgent(socket string, cfg *config.Config, a keeper.AgentConfig) error {
	o := a.Options.WithDefaults()
	if err := p.printLines([]string{
		"listens at " + socket + ", unless systemd has made a socket",
		"keeps claims on " + o.String() + ", with leases of " + o.TTL.String(),
		"keeps for the next agent what it has in " + a.State,
	}); err != nil {
		return err
	}
	if a.Policy.Rules == nil {
		return writeLine(p.Out, "whoever can connect may use everything, and change nothing of others")
	}
	for i, r := range cfg.Agent.Rules {
		if err := writeLine(p.Out, "rule %d: %s", i+1, ruleText(r)); err != nil {
			return err
		}
	}
	return writeLine(p.Out, "root and the user of the agent may do all")
}

func ruleText(r config.AgentRule) string {
	var who []string
	for _, name := range r.Users {
		who = append(who, "user "+name)
	}
	for _, name := range r.Groups {
		who = append(who, "group "+name)
	}
	text := fmt.Sprintf("%s may use %s of %s", cmp.Or(strings.Join(who, ", "), "everybody"), allOr("pools", r.Pools),
		allOr("namespaces", r.Namespaces))
	if r.ChangeLimits {
		text += ", and change limits"
	}
	if r.CancelOthers {
		text += ", and cancel claims of others"
	}
	return text
}

func allOr(what string, names []string) string {
	if len(names) == 0 {
		return "all " + what
	}
	return what + " " + strings.Join(names, ", ")
}

// serveAgent serves until INT or TERM.
func (p *program) serveAgent(c *cli.Context, cfg *config.Config, resolved keeper.AgentConfig) error {
	ctx, stop := p.untilInterrupted(c.Context)
	defer stop()
	log := agentLog(p.Err, isOn(c, "v"), wrap.Getenv(p.env, "JOURNAL_STREAM") != "")
	listener, err := agentListener(ctx, agentSocket(c, cfg))
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	reloads := make(chan keeper.AgentConfig)
	reloading := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(reloading)
		p.reloadAgent(ctx, c, hangups, reloads, log)
	}()
	defer func() { cancel(); <-reloading }()
	log.Info("agent started", "version", version(), "socket", listener.Addr(), "etcd", resolved.Options.String(),
		"rules", len(resolved.Policy.Rules))
	daemon.SdNotify(false, daemon.SdNotifyReady) // nobody listens where systemd has not started it
	defer daemon.SdNotify(false, daemon.SdNotifyStopping)
	if err := etcd.Agent(ctx, listener, resolved, reloads, process.KillTree, log); err != nil {
		return err
	}
	log.Info("agent stopped; the next one takes over")
	return nil
}

// reloadAgent reads the configuration again with each HUP. One that has a fault changes nothing.
func (p *program) reloadAgent(ctx context.Context, c *cli.Context, hangups <-chan os.Signal,
	reloads chan<- keeper.AgentConfig, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		daemon.SdNotify(false, daemon.SdNotifyReloading)
		cfg, err := p.configuration(c, "")
		var resolved keeper.AgentConfig
		if err == nil {
			resolved, err = agentConfig(cfg, agentSocket(c, cfg))
		}
		if err != nil {
			log.Error("the configuration has a fault; what was read before stays in force", "error", err)
		} else {
			select {
			case reloads <- resolved:
			case <-ctx.Done():
			}
		}
		daemon.SdNotify(false, daemon.SdNotifyReady)
	}
}

// agentLog writes a line for each event. The journal knows the time by itself.
func agentLog(w io.Writer, verbose, journal bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbose {
		o.Level = slog.LevelDebug
	}
	if journal {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// agentListener is the socket that systemd has made, or else one that everybody can connect to: the rules say who may
// do what.
func agentListener(ctx context.Context, path string) (*net.UnixListener, error) {
	if files := activation.Files(true); len(files) > 0 {
		listener, err := net.FileListener(files[0])
		for _, f := range files {
			f.Close()
		}
		if unix, ok := listener.(*net.UnixListener); ok && len(files) == 1 {
			return unix, nil
		}
		return nil, errors.Join(errors.New("systemd has to give the agent one Unix socket; see limit-agent.socket"),
			err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("%w; choose another path with --listen", err)
	}
	listener, err := listen(ctx, unixPrefix+path)
	if err == nil {
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; choose another path with --listen", err)
	}
	return listener.(*net.UnixListener), nil
}
