package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/backend/simulate"
	"limit/config"
	"limit/config/grammar"
	"limit/wrap"
)

func (p *program) simulateCommand() *cli.Command {
	return &cli.Command{
		Name:  "simulate",
		Usage: "what other limits would have done to the work that is remembered",
		UsageText: "limit simulate [--pool NAME=LIMIT]... [--sweep NAME=1..8] [flags]\n" +
			"limit simulate --events FILE...",
		Description: `Replays the claims of 'limit history' (who came when, for what, with which priority and
tags, and how long it ran) through the rule that grants them, with the limits of now and with others, and
says what is worth doing. Without other limits it looks for the one that costs most, and for how much of it
is enough. Limits that are changed together are one variant; each value of a --sweep is one. Nothing is
written.

WAIT, 95%, MAX and SUM are how long claims waited, LEFT those that gave up, NEVER those that could not have
started, and BUSY the busiest limits. The row 'measured' is what was in fact: the line below the table says
how far the replay with the limits of now is off that. --json has all limits and how much of them was in
use.

EXAMPLES:
   limit simulate
   limit simulate --pool database=4 --max-concurrent-runs 20
   limit simulate --sweep database=1..8 --from 7d
   limit simulate --config other.yaml

EXIT STATUS: 0; 125 limit itself failed.`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "pool",
				Usage: "another limit of a pool, `NAME=LIMIT`, or its rate, NAME=N/PERIOD; repeatable"},
			&cli.StringFlag{Name: "max-concurrent-runs", Usage: "another limit of the run queue: `N`, or unlimited"},
			&cli.StringFlag{Name: "default-limit",
				Usage: "another limit of the pools without one of their own: `N`, or unlimited"},
			&cli.StringSliceFlag{Name: "tag-limit",
				Usage: "another tag limit of the run queue, `KEY[=VALUE]=N`; repeatable"},
			&cli.StringSliceFlag{Name: "sweep",
				Usage: "try each limit from one to another, `NAME=1..8`; NAME is a pool, runs, or tag:KEY[=VALUE]; " +
					"repeatable"},
			&cli.StringFlag{Name: "from",
				Usage: "count only claims that came at `TIME` or later: 2024-05-01, '2024-05-01 06:00', RFC 3339, " +
					"or so long ago: 7d"},
			&cli.StringFlag{Name: "until", Usage: "leave out claims that came after `TIME`"},
			&cli.StringSliceFlag{Name: "events",
				Usage: "replay what 'limit run --events' has written into `FILE`, in place of the history; more " +
					"files may follow"},
			&cli.BoolFlag{Name: "json", Usage: "as one JSON object; durations in seconds"},
		},
		Action: p.simulate,
	}
}

func (p *program) simulate(c *cli.Context) error {
	if c.NArg() > 0 && !c.IsSet("events") {
		return usageError(c, "no operand is taken; limits are given as --pool NAME=LIMIT")
	}
	var o simulate.Options
	var err error
	for name, at := range map[string]*time.Time{"from": &o.From, "until": &o.Until} {
		if *at, err = parseTime(c.String(name), time.Now()); err != nil {
			return usageError(c, "flag --%s: %v", name, err)
		}
	}
	wanted, cfg, err := p.simulated(c)
	if err != nil {
		return err
	}
	s, err := p.connect(c, cfg, storeOptions{look: true})
	if err != nil {
		return err
	}
	defer s.Close()
	work, now, err := s.work(c.Context, append(c.StringSlice("events"), c.Args().Slice()...), o)
	if err != nil {
		return err
	}
	variants, err := variantsOf(c, now, wanted)
	if err != nil {
		return usageError(c, "%v", err)
	}
	report := simulation{s.namespace, s.String(), simulate.Compare(work, now, variants)}
	if c.Bool("json") {
		return json.NewEncoder(p.Out).Encode(report)
	}
	return report.write(p.Out, p.width())
}

// simulated is the configuration that names the store, and the limits of a file that is given with --config; nil where
// none is. A file without a store of its own means that of the configuration in force, as with diff.
func (p *program) simulated(c *cli.Context) (wanted *backend.Settings, cfg *config.Config, err error) {
	cfg, err = p.load(c)
	if err != nil || whereSet(c, "config") == nil {
		return nil, cfg, err
	}
	if !cfg.HasSettings {
		p.messages(c).Info("%s has no concurrency block: its limits are not tried", cfg.File)
		return nil, cfg, nil
	}
	wanted = &cfg.Settings
	if cfg.From("backend") == config.FromDefault {
		cfg, err = p.configurationIn(c, "")
	}
	return wanted, cfg, err
}

// work is what is to be replayed, with the limits in force: the history with those who hold or wait now, or events.
func (s *store) work(ctx context.Context, events []string,
	o simulate.Options) (*simulate.Work, backend.Settings, error) {
	if len(events) > 0 {
		snapshot, err := s.Snapshot(ctx)
		if err != nil {
			return nil, backend.Settings{}, err
		}
		pasts, err := readEvents(events)
		return simulate.NewWork(pasts, o), snapshot.Settings, err
	}
	pasts, snapshot, err := s.pastAndPresent(ctx)
	if err != nil {
		return nil, backend.Settings{}, err
	}
	return newWork(pasts, snapshot, o), snapshot.Settings, nil
}

// newWork is the work of a store.
func newWork(pasts []backend.Past, snapshot *backend.Snapshot, o simulate.Options) *simulate.Work {
	standing := simulate.Standing(snapshot, time.Now())
	full := len(pasts) >= snapshot.Settings.Remembered()
	work := simulate.NewWork(append(pasts, standing...), o)
	if full {
		work.Unknown(fmt.Sprintf("what ended before the last %d: concurrency.history_entries keeps more", len(pasts)))
	}
	if len(standing) > 0 {
		work.Unknown(fmt.Sprintf("how long the %d claims go on that hold or wait now: they count as if they ended now",
			len(standing)))
	}
	return work
}

// variantsOf are the limits to try that the flags ask for: those of now, or of a file, with other ones set.
func variantsOf(c *cli.Context, now backend.Settings, file *backend.Settings) ([]simulate.Variant, error) {
	base, changed := now.Clone(), false
	if file != nil {
		base, changed = file.Clone(), true
	}
	for _, text := range c.StringSlice("pool") {
		changed = true
		if err := setPool(&base, text); err != nil {
			return nil, err
		}
	}
	for _, text := range c.StringSlice("tag-limit") {
		changed = true
		if err := setLimit(&base, "tag:", text); err != nil {
			return nil, err
		}
	}
	for flag, set := range map[string]func(int){
		"max-concurrent-runs": func(n int) { base.MaxRuns = n },
		"default-limit":       func(n int) { base.DefaultLimit = &n },
	} {
		if !c.IsSet(flag) {
			continue
		}
		n, err := grammar.Limit(c.String(flag))
		if err != nil {
			return nil, fmt.Errorf("flag --%s: %w", flag, err)
		}
		changed = true
		set(n)
	}
	var variants []simulate.Variant
	for _, text := range c.StringSlice("sweep") {
		swept, err := sweep(base, now, text)
		if err != nil {
			return nil, err
		}
		variants = append(variants, swept...)
	}
	if changed && len(variants) == 0 {
		variants = append(variants, variant(now, base))
	}
	return variants, nil
}

func variant(now, wanted backend.Settings) simulate.Variant {
	changes := config.Diff(now, wanted)
	if len(changes) == 0 {
		changes = []string{"the limits of now"}
	}
	return simulate.Variant{Change: strings.Join(changes, ", "), Settings: wanted}
}

// setPool sets what NAME=LIMIT or NAME=N/PERIOD says.
func setPool(s *backend.Settings, text string) error {
	name, value, _ := cutLast(text, "=")
	if strings.Contains(value, "/") && grammar.PoolFault(name) == "" {
		rate, err := grammar.Rate(value)
		if err == nil {
			simulate.SetRate(s, name, rate)
		}
		return err
	}
	if err := checkPoolName(name); err != nil {
		return err
	}
	return setLimit(s, "pool:", text)
}

// setLimit sets the limit of NAME=LIMIT, of a kind.
func setLimit(s *backend.Settings, kind, text string) error {
	name, value, ok := cutLast(text, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q is not NAME=LIMIT, such as database=4", text)
	}
	n, err := grammar.Limit(value)
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	simulate.Set(s, kind+name, n)
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// mostSwept bounds the rows of a sweep.
const mostSwept = 200

// sweep reads NAME=FROM..TO.
func sweep(base, now backend.Settings, text string) ([]simulate.Variant, error) {
	name, span, _ := cutLast(text, "=")
	from, to, ok := strings.Cut(span, "..")
	first, err := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if !ok || err != nil || err2 != nil || name == "" || first < 0 || last < first || last > grammar.MaxSlots {
		return nil, fmt.Errorf("sweep %q is not NAME=FROM..TO, such as database=1..8", text)
	}
	if last-first >= mostSwept {
		return nil, fmt.Errorf("sweep %q has more than %d values; give a narrower one", text, mostSwept)
	}
	if name != "runs" && !strings.HasPrefix(name, "pool:") && !strings.HasPrefix(name, "tag:") {
		name = poolLimit(name)
	}
	var variants []simulate.Variant
	for n := first; n <= last; n++ {
		s := base.Clone()
		simulate.Set(&s, name, n)
		variants = append(variants, variant(now, s))
	}
	return variants, nil
}

// parseTime reads a moment, or how long ago it was; the zero time where it is "".
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	ago, err := grammar.Duration(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time; use 2024-05-01, '2024-05-01 06:00', RFC 3339, or so long "+
			"ago: 90m, 7d", text)
	}
	return now.Add(-ago), nil
}

// simulation is the JSON of simulate.
type simulation struct {
	Namespace string `json:"namespace"`
	Backend   string `json:"backend"`
	*simulate.Report
}

func (s *simulation) write(w io.Writer, width int) error {
	if s.Now.Claims == 0 {
		_, err := fmt.Fprintln(w, "no claim is remembered that could be replayed")
		return err
	}
	t := &table{right: map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true}, shrink: []int{0, 8}}
	t.add("LIMITS", "CLAIMS", "WAIT", "95%", "MAX", "SUM", "LEFT", "NEVER", "BUSY", "LAST ENDED")
	m := s.Accuracy.Measured
	t.add("measured", strconv.Itoa(s.Now.Claims), brief(m.Median), brief(m.P95), brief(m.Longest), brief(m.Sum), "", "",
		"", "")
	for _, r := range append([]*simulate.Result{s.Now}, s.Variants...) {
		name := r.Change
		if r == s.Now {
			name = "now"
		}
		t.add(name, strconv.Itoa(r.Claims), brief(r.Waited.Median), brief(r.Waited.P95), brief(r.Waited.Longest),
			brief(r.Waited.Sum),
			strconv.Itoa(r.Left), strconv.Itoa(r.Refused+r.Stuck), busiest(r.Limits),
			r.LastEnded.Local().Format(time.DateTime))
	}
	if err := t.write(w, width); err != nil {
		return err
	}
	a := s.Accuracy
	fmt.Fprintf(w, "the replay of now is off what was measured by %.1f%% (median), %.1f%% (95%%), %.1f%% (sum)\n",
		100*a.Median, 100*a.P95, 100*a.Sum)
	for _, line := range s.Unknown {
		fmt.Fprintf(w, "not known: %s\n", wrap.Printable(line))
	}
	return writeLine(w, "%s", s.Advice)
}

// busiest names the limits that were most in use.
func busiest(uses []*simulate.Use) string {
	var texts []string
	for _, u := range uses {
		if u.Busy == nil || len(texts) == 4 {
			break
		}
		name := strings.TrimPrefix(u.Limit, poolLimit(""))
		if u.Rate != "" {
			name += " " + u.Rate
		}
		texts = append(texts, fmt.Sprintf("%s %.0f%%", name, 100**u.Busy))
	}
	return strings.Join(texts, ", ")
}

// readEvents reads what 'limit run --events' has written: a Past for each claim that was queued.
func readEvents(files []string) ([]backend.Past, error) {
	claims := &eventClaims{by: map[string]*backend.Past{}}
	var all error
	for _, name := range files {
		all = errors.Join(all, claims.read(name))
	}
	return claims.pasts(), all
}
