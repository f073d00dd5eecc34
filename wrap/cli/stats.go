package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/backend/simulate"
	"limit/wrap"
)

func (p *program) statsCommand() *cli.Command {
	return &cli.Command{
		Name:      "stats",
		Usage:     "how long claims waited and held, to choose limits by",
		ArgsUsage: "[POOL]",
		Description: `For each pool, and for the run queue: how many claims have ended, how many of them LEFT
without a slot, their waits and holds (median, 95th percentile, longest), and how BUSY the slots were: slots
held times how long, of what the limit of now would have allowed. A store remembers the last 10,000 ends, or
concurrency.history_entries of them: 'limit history' shows each.

Waits that are long while BUSY is high ask for a higher limit, or for priorities; long waits at low BUSY
come from claims for several limits at once: 'limit why' tells which. The last line says what 'limit
simulate' would raise.

EXIT STATUS: 0; 125 limit itself failed.`,
		Flags: []cli.Flag{
			durationFlag("since", 0, "count only what ended so long ago at most", ""),
			&cli.BoolFlag{Name: "json", Usage: "as one JSON object; durations in seconds"},
		},
		Action: p.stats,
	}
}

func (p *program) stats(c *cli.Context) error {
	if c.NArg() > 1 {
		return usageError(c, "one pool at most")
	}
	return p.onlyLooking(c, func(s *store) error {
		if err := s.mustKnow(c.Context, c.Args().First()); err != nil {
			return err
		}
		return p.showStats(c, s)
	})
}

func (p *program) showStats(c *cli.Context, s *store) error {
	st, err := s.stats(c.Context, sinceOf(c, time.Now()))
	if err != nil {
		return err
	}
	if pool := c.Args().First(); pool != "" {
		st.Limits = slices.DeleteFunc(st.Limits, func(l limitStats) bool { return l.Limit != poolLimit(pool) })
	}
	if c.Bool("json") {
		return json.NewEncoder(p.Out).Encode(st)
	}
	return writeStats(p.Out, st, p.width())
}

// stats is what the history says of the time since a moment, with the advice of a simulation.
func (s *store) stats(ctx context.Context, since time.Time) (stats, error) {
	pasts, snapshot, err := s.pastAndPresent(ctx)
	if err != nil {
		return stats{}, err
	}
	work := newWork(pasts, snapshot, simulate.Options{From: since})
	st := newStats(endedSince(since, pasts), snapshot, time.Now())
	if st.Ended > 0 {
		st.Advice = simulate.Compare(work, snapshot.Settings, nil).Advice
	}
	st.Namespace, st.Backend = s.namespace, s.String()
	return st, nil
}

// pastAndPresent are the claims that have ended, and then those of now. Changes of limits are no claims.
func (s *store) pastAndPresent(ctx context.Context) ([]backend.Past, *backend.Snapshot, error) {
	pasts, err := s.History(ctx)
	if err != nil {
		return nil, nil, err
	}
	pasts = slices.DeleteFunc(pasts, func(past backend.Past) bool { return past.How == backend.Changed })
	snapshot, err := s.Snapshot(ctx)
	return pasts, snapshot, err
}

// stats is what the history says. The JSON of 'limit stats'.
type stats struct {
	Namespace string       `json:"namespace"`
	Backend   string       `json:"backend"`
	From      time.Time    `json:"from"` // the first grant that is remembered
	Until     time.Time    `json:"until"`
	Ended     int          `json:"ended"`
	Limits    []limitStats `json:"limits"`
	Advice    string       `json:"advice"` // of 'limit simulate', for all limits
}

type limitStats struct {
	Limit    string             `json:"limit"`    // pool:NAME or runs
	Capacity *int               `json:"capacity"` // of now; null: unlimited
	Ended    int                `json:"ended"`
	Left     int                `json:"left"` // without a slot
	Waited   simulate.Quantiles `json:"waited"`
	Held     simulate.Quantiles `json:"held"`
	Peak     int                `json:"peak"` // slots held at once
	Mean     float64            `json:"mean"` // slots held, over time
	Busy     *float64           `json:"busy"` // Mean of Capacity; null without a capacity
}

// seconds is a duration that JSON shows as a number.
type seconds = simulate.Seconds

func poolLimit(name string) string { return "pool:" + name }

// usage is how one limit was used: stays of ended claims and of those who hold now.
type usage struct {
	waited, held []time.Duration
	left         int
	stays        []stay
}

// stay is so many slots held from a moment to another.
type stay struct {
	from, to time.Time
	slots    int
	of       int // of so many; 0: not known, or without limit
}

func newStats(pasts []backend.Past, snapshot *backend.Snapshot, now time.Time) stats {
	uses := map[string]*usage{}
	use := func(limit string) *usage {
		if uses[limit] == nil {
			uses[limit] = &usage{}
		}
		return uses[limit]
	}
	st := stats{From: now, Until: now, Ended: len(pasts), Limits: []limitStats{}}
	for _, p := range pasts {
		if began := p.Ended.Add(-p.Held); began.Before(st.From) {
			st.From = began
		}
		for limit, slots := range needs(p.Pools, p.Runs) {
			use(limit).add(p, slots, p.Of[limit])
		}
	}
	for _, h := range snapshot.Held {
		for limit, slots := range needs(h.Pools, h.Runs) {
			u := use(limit)
			from := h.Grant.GrantedAt
			if from.Before(st.From) {
				from = st.From
			}
			u.stays = append(u.stays, stay{from, now, slots, snapshot.Settings.Capacities(h.Pools, h.Runs)[limit]})
		}
	}
	for limit, u := range uses {
		st.Limits = append(st.Limits, u.stats(limit, capacityOf(snapshot, limit), now.Sub(st.From)))
	}
	slices.SortFunc(st.Limits, func(a, b limitStats) int { return cmp.Compare(a.Limit, b.Limit) })
	return st
}

// needs are the slots of each limit that a claim asks for.
func needs(pools map[string]int, runs int) map[string]int {
	all := map[string]int{}
	for name, slots := range pools {
		all[poolLimit(name)] = slots
	}
	if runs > 0 {
		all["runs"] = runs
	}
	return all
}

func (u *usage) add(p backend.Past, slots, of int) {
	u.waited = append(u.waited, p.Waited)
	if !p.Granted {
		u.left++
		return
	}
	u.held = append(u.held, p.Held)
	u.stays = append(u.stays, stay{p.Ended.Add(-p.Held), p.Ended, slots, of})
}

func (u *usage) stats(limit string, capacity *int, window time.Duration) limitStats {
	l := limitStats{Limit: limit, Capacity: capacity, Ended: len(u.waited), Left: u.left,
		Waited: simulate.QuantilesOf(u.waited), Held: simulate.QuantilesOf(u.held), Peak: peak(u.stays)}
	total := 0.0
	for _, s := range u.stays {
		total += float64(s.slots) * s.to.Sub(s.from).Seconds()
	}
	if window > 0 {
		l.Mean = total / window.Seconds()
	}
	if capacity != nil && *capacity > 0 {
		busy := l.Mean / float64(*capacity)
		l.Busy = &busy
	}
	return l
}

// peak is how many slots were held at once. Ends come before beginnings at the same moment. Clocks that differ make a
// stay seem to begin before the one that it followed has ended: no more were held then than the limit allowed.
func peak(stays []stay) int {
	type step struct {
		at        time.Time
		slots, of int
	}
	var steps []step
	for _, s := range stays {
		steps = append(steps, step{s.from, s.slots, s.of}, step{s.to, -s.slots, 0})
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.slots, b.slots)) })
	most, now := 0, 0
	for _, s := range steps {
		now += s.slots
		switch {
		case s.slots < 0:
		case s.of > 0:
			most = max(most, min(now, s.of))
		default:
			most = max(most, now)
		}
	}
	return most
}

// capacityOf is the capacity of now, nil where there is none.
func capacityOf(s *backend.Snapshot, limit string) *int {
	if limit == "runs" {
		return capacity(s.Settings.MaxRuns)
	}
	p, _ := s.Settings.Pool(limit[len("pool:"):])
	return capacity(p.Limit)
}

func writeStats(w io.Writer, st stats, width int) error {
	if len(st.Limits) == 0 {
		_, err := fmt.Fprintln(w, "no claim has ended yet")
		return err
	}
	ended := fmt.Sprintf("%d claims have", st.Ended)
	if st.Ended == 1 {
		ended = "1 claim has"
	}
	fmt.Fprintf(w, "%s ended within %s; WAIT and HOLD are medians\n", ended, wrap.Age(st.Until.Sub(st.From)))
	t := &table{right: map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true,
		10: true}, shrink: []int{0}}
	t.add("LIMIT", "OF", "ENDED", "LEFT", "WAIT", "95%", "MAX", "HOLD", "95%", "MAX", "BUSY")
	for _, l := range st.Limits {
		of, busy := "-", "-"
		if l.Capacity != nil {
			of = strconv.Itoa(*l.Capacity)
		}
		if l.Busy != nil {
			busy = fmt.Sprintf("%.0f%%", *l.Busy*100)
		}
		t.add(l.Limit, of, strconv.Itoa(l.Ended), strconv.Itoa(l.Left),
			briefOf(l.Ended, l.Waited.Median), briefOf(l.Ended, l.Waited.P95), briefOf(l.Ended, l.Waited.Longest),
			briefOf(l.Ended-l.Left, l.Held.Median), briefOf(l.Ended-l.Left, l.Held.P95), briefOf(l.Ended-l.Left,
				l.Held.Longest), busy)
	}
	if err := t.write(w, width); err != nil || st.Advice == "" {
		return err
	}
	return writeLine(w, "simulated: %s", st.Advice)
}

// briefOf is brief, or - where there was nothing to measure.
func briefOf(count int, s seconds) string {
	if count == 0 {
		return "-"
	}
	return brief(s)
}

// brief prints a duration in five characters at most, up to weeks.
func brief(s seconds) string {
	switch d := time.Duration(s); {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 10*time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 10*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
}
