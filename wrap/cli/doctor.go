package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/backend/etcd/keeper"
	"limit/backend/local"
	"limit/config"
	"limit/config/yamlread"
	"limit/wrap"
)

func (p *program) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "what is wrong with configuration and store, and how to mend it",
		Description: `Looks at the configuration and who could have written it; of an embedded store at the
directory, its owner, mode and file system, free space, locks, inotify, the state and orphaned claims; of
etcd at its members, versions, quorum, alarms, sizes, latencies, clocks, certificates and permissions. Makes
nothing.

EXIT STATUS:
   0    all is well
   1    it works, but there are warnings
   125  unusable: nothing can be granted; or limit itself failed`,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "as one JSON object"}},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageError(c, "no operand is taken")
			}
			d := &diagnosis{Version: version()}
			p.diagnose(c, d)
			if c.Bool("json") {
				if err := json.NewEncoder(p.Out).Encode(d); err != nil {
					return err
				}
			} else if err := writeDiagnosis(p.Out, d, p.width()); err != nil {
				return err
			}
			return d.exit()
		},
	}
}

// diagnosis is what doctor has found. The JSON of 'limit doctor'.
type diagnosis struct {
	Version   string            `json:"version"`
	Namespace string            `json:"namespace,omitempty"`
	Backend   string            `json:"backend,omitempty"`
	Agent     string            `json:"agent,omitempty"` // the socket of the agent that is used
	Findings  []backend.Finding `json:"findings"`
	Members   []keeper.Member   `json:"members,omitempty"` // of etcd
}

func (d *diagnosis) add(level backend.Level, about, remedy, format string, args ...any) {
	d.Findings = append(d.Findings, backend.Finding{Level: level, About: about, Fact: fmt.Sprintf(format, args...),
		Remedy: remedy})
}

// addError adds an error with the remedy that it names, else the one given.
func (d *diagnosis) addError(about string, err error, remedy string) {
	f := backend.FindingOf(backend.Broken, about, err)
	f.Remedy = cmp.Or(f.Remedy, remedy)
	d.Findings = append(d.Findings, f)
}

func (d *diagnosis) count(level backend.Level) int {
	n := 0
	for _, f := range d.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

func (d *diagnosis) exit() error {
	switch {
	case d.count(backend.Broken) > 0:
		return exitWith(wrap.CodeFailed)
	case d.count(backend.Warning) > 0:
		return exitWith(1)
	}
	return nil
}

func (p *program) diagnose(c *cli.Context, d *diagnosis) {
	cfg, err := p.configuration(c, "")
	if err != nil {
		problems := yamlread.Problems(err)
		for _, problem := range problems {
			d.add(backend.Broken, "configuration", "correct the file; 'limit config --schema' helps editors", "%v",
				problem)
		}
		if len(problems) == 0 {
			d.addError("configuration", err, "name another file with --config")
		}
		return
	}
	d.Namespace = cfg.Namespace
	d.shell(wrap.Getenv(p.env, "SHELL"))
	d.configuration(cfg)
	timeout, _ := durationOf(c, "connect-timeout")
	ctx, cancel := context.WithTimeout(c.Context, 4*timeout+time.Second) // each step has the timeout
	defer cancel()
	if cfg.Backend.Etcd != nil {
		p.diagnoseEtcd(ctx, d, cfg, timeout)
		return
	}
	d.Backend = "local:" + cfg.Backend.Dir
	options := local.Options{Dir: cfg.Backend.Dir, Namespace: cfg.Namespace}
	d.Findings = append(d.Findings, local.Examine(ctx, options)...)
	if d.count(backend.Broken) > 0 {
		return
	}
	if b, err := local.Open(ctx, options); err == nil {
		defer b.Close()
		d.settings(ctx, b, cfg)
		d.circle(ctx, b)
	}
}

// shell tells users of a shell that has a command of this name itself.
func (d *diagnosis) shell(path string) {
	switch name := filepath.Base(path); name {
	case "zsh", "csh", "tcsh":
		d.add(backend.Fine, "shell", "write 'command limit' in place of 'limit'",
			"%s has a builtin named limit, which its prompt and scripts run", name)
	}
}

// circle finds claims that wait for each other.
func (d *diagnosis) circle(ctx context.Context, b backend.Backend) {
	snapshot, err := b.Snapshot(ctx)
	if err != nil {
		return // what reads the settings tells
	}
	for _, bind := range snapshot.Circle() {
		d.add(backend.Warning, "claims",
			"claims wait for each other for ever: 'limit cancel "+short(bind.Waiter)+"', or raise a limit",
			"%s", describeBind(bind, snapshot))
	}
}

const remedyEtcd = "see that etcd runs, and that endpoints (http:// or https://), certificates and user of " +
	"backend.etcd are right"

func (p *program) diagnoseEtcd(ctx context.Context, d *diagnosis, cfg *config.Config, timeout time.Duration) {
	d.Backend = "etcd://" + strings.Join(cfg.Backend.Etcd.Endpoints, ",")
	b, err := p.connectEtcd(ctx, cfg, storeOptions{timeout: timeout})
	if err != nil {
		d.addError("etcd", err, remedyEtcd)
		return
	}
	defer b.Close()
	d.Backend, d.Agent = b.String(), agentOf(b)
	doctor, ok := b.(interface {
		Health(context.Context) (*keeper.Health, error)
	})
	if !ok {
		return
	}
	health, err := doctor.Health(ctx)
	if err != nil {
		d.addError("etcd", err, remedyEtcd)
		return
	}
	d.Members = health.Members
	if a := health.Agent; a != nil {
		d.add(backend.Fine, "agent", "",
			"%s: limit %s, keeps %s of this namespace; it is the agent that the members answer",
			d.Agent, a.Version, wrap.Plural(a.Claims, "claim"))
		if a.Version != d.Version {
			d.add(backend.Warning, "agent", "systemctl restart limit-agent: no command ends of it",
				"the agent is limit %s, and this is %s", a.Version, d.Version)
		}
	}
	for _, m := range health.Members {
		if m.Error == "" {
			d.add(backend.Fine, "member", "", "%s", describeMember(m))
		}
	}
	for _, problem := range health.Problems {
		level := backend.Warning
		if problem.Fatal {
			level = backend.Broken
		}
		d.add(level, "etcd", problem.Remedy, "%s", problem.Fact)
	}
	if d.count(backend.Broken) == 0 {
		d.add(backend.Fine, "etcd", "", "the namespace can be read and written")
		d.settings(ctx, b, cfg)
		d.circle(ctx, b)
	}
}

func describeMember(m keeper.Member) string {
	text := fmt.Sprintf("%s: etcd %s", m.Endpoint, m.Version)
	switch {
	case m.Leader:
		text += ", leader"
	case m.Learner:
		text += ", learner"
	}
	text += fmt.Sprintf(", answers in %s, %d MiB", m.Latency.Round(100*time.Microsecond), (m.DBSize+1<<20-1)>>20)
	if !m.CertEnds.IsZero() {
		text += ", certificate until " + m.CertEnds.Format(time.DateOnly)
	}
	return text
}
