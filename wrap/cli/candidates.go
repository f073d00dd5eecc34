package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/backend/local"
	"limit/config"
	"limit/wrap"
)

// flagCandidates are the flags with a long name, and those that have a short one alone.
func flagCandidates(flags []cli.Flag) []candidate {
	var found []candidate
	for _, f := range flags {
		if documented, ok := f.(cli.DocGenerationFlag); ok {
			found = append(found, candidate{dashes(f.Names()[0]), plainUsage(documented.GetUsage())})
		}
	}
	return found
}

// plainUsage is a flag's text without the marks around its value's name.
func plainUsage(usage string) string { return strings.ReplaceAll(usage, "`", "") }

// valuesOf are the values of a flag: the choices that its text names, what the store has, or files.
func (p *program) valuesOf(ctx context.Context, q *completion, name string) []candidate {
	switch name {
	case "pool":
		return p.pools(ctx, q)
	case "config", "events", "report", "junit", "trace", "log-dir":
		return []candidate{{leaveFiles, ""}}
	case "backend":
		return []candidate{{"local", "the embedded store of this machine"}, {"local:", "the embedded store in a directory"}, {"etcd://", "etcd, for a fleet"}}
	case "signal":
		return values("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL")
	case "tag":
		return p.tags(ctx, q)
	case "select", "exclude":
		return stepsOfFile(q, strings.TrimPrefix(q.word, "--"+name+"="))
	}
	if f, ok := lookup("--"+name, q.flags).(cli.DocGenerationFlag); ok {
		if _, choices, ok := strings.Cut(f.GetUsage(), "`"); ok {
			if choices, _, _ := strings.Cut(choices, "`"); strings.Contains(choices, "|") {
				return values(strings.Split(choices, "|")...)
			}
		}
	}
	return nil
}

func values(words ...string) []candidate {
	found := make([]candidate, len(words))
	for i, w := range words {
		found[i].value = w
	}
	return found
}

// operandsOf are the candidates for an operand: subcommands, pools, claims, files, or another program's words.
func (p *program) operandsOf(ctx context.Context, q *completion) []candidate {
	if len(q.commands) > 0 && len(q.operands) == 0 {
		var found []candidate
		for _, c := range q.commands {
			if !c.Hidden {
				found = append(found, candidate{c.Name, c.Usage})
			}
		}
		return found
	}
	switch first := len(q.operands) == 0; {
	case q.path == "run":
		return []candidate{{fmt.Sprintf("%s %d", leaveCommand, q.command), ""}}
	case q.path == "pool set" && len(q.operands) == 1:
		return values("unlimited")
	case !first && !strings.HasPrefix(q.path, "dag") && q.path != "help" && q.path != "cancel" && q.path != "bump":
		return nil
	}
	switch q.path {
	case "status", "stats", "history", "pool set", "pool get", "pool unset", "pool pause", "pool resume":
		return p.pools(ctx, q)
	case "why":
		return append(p.claims(ctx, q, true), p.stepsToExplain(q)...)
	case "cancel", "release":
		return p.claims(ctx, q, true)
	case "bump":
		return p.claims(ctx, q, false)
	case "completion":
		return values("bash", "zsh", "fish")
	case "dag show", "dag retry":
		if len(q.operands) == 0 {
			return p.runs(q)
		}
	case "dag logs":
		switch len(q.operands) {
		case 0:
			return p.runs(q)
		case 1:
			return stepsOfRun(p.runsGiven(q), q.operands[0], "")
		}
	case "dag run":
		if len(q.operands) > 0 {
			return stepsOfFile(q, q.word)
		}
		return []candidate{{leaveFiles, ""}}
	case "apply", "diff", "dag validate", "dag plan", "dag graph":
		return []candidate{{leaveFiles, ""}}
	}
	return nil
}

// look reads the store that the words name, nil where it cannot be read in time. It makes nothing.
func (p *program) look(ctx context.Context, q *completion) *backend.Snapshot {
	at := config.OS()
	at.Env = func(name string) string { return wrap.Getenv(p.env, name) }
	cfg, err := config.Load(config.Flags{Config: q.given["config"], Backend: q.given["backend"], Namespace: q.given["namespace"]}, at)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	var b backend.Backend
	if cfg.Backend.Etcd != nil {
		b, err = p.connectEtcd(ctx, cfg, storeOptions{timeout: completeTimeout})
	} else {
		b, err = local.Open(ctx, local.Options{Dir: cfg.Backend.Dir, Namespace: cfg.Namespace})
	}
	if err != nil {
		return nil
	}
	defer b.Close()
	snapshot, err := b.Snapshot(ctx)
	if err != nil {
		return nil
	}
	return snapshot
}

func (p *program) pools(ctx context.Context, q *completion) []candidate {
	s := p.look(ctx, q)
	if s == nil {
		return nil
	}
	var found []candidate
	for _, u := range s.Usage {
		if u.Kind == backend.KindPool {
			found = append(found, candidate{u.Pool, fmt.Sprintf("%d of %s used, %d waiting", u.Used, limitText(u.Capacity), u.Waiting)})
		}
	}
	return found
}

// claims are the ids of those that wait and, where held is set, of those that are held.
func (p *program) claims(ctx context.Context, q *completion, held bool) []candidate {
	s := p.look(ctx, q)
	if s == nil {
		return nil
	}
	var found []candidate
	for _, w := range s.Waiting {
		found = append(found, candidate{short(w.ID), fmt.Sprintf("%s waits at %d", shownName(w.Claim, s.Settings), w.Position)})
	}
	for _, h := range s.Held {
		if held {
			found = append(found, candidate{short(h.ID), fmt.Sprintf("%s holds %s", shownName(h.Claim, s.Settings), needsText(h.Claim))})
		}
	}
	return found
}

// tags are the keys that limits of the store match.
func (p *program) tags(ctx context.Context, q *completion) []candidate {
	s := p.look(ctx, q)
	if s == nil {
		return nil
	}
	keys := map[string]string{}
	for _, t := range s.Settings.TagLimits {
		if t.Value != nil {
			keys[t.Key+"="+*t.Value] = "limited to " + limitText(t.Limit)
		} else {
			keys[t.Key+"="] = "limited to " + limitText(t.Limit)
		}
	}
	var found []candidate
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		found = append(found, candidate{key, keys[key]})
	}
	return found
}
