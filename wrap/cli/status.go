package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
)

func (p *program) statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show limits with their use, who holds and who waits",
		ArgsUsage: "[POOL]",
		Description: `Limits with what is used of them, holders, and waiters in order with what blocks each.
With POOL, that pool and its claims alone.

EXIT STATUS: 0; 125 limit itself failed, or there is no such pool.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "as one JSON object"},
			&cli.BoolFlag{Name: "watch", Usage: "draw anew at every change, until interrupted"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return usageError(c, "one pool at most")
			}
			return p.onlyLooking(c, func(s *store) error {
				if err := s.mustKnow(c.Context, c.Args().First()); err != nil {
					return err
				}
				if !c.Bool("watch") {
					return p.showStatus(c.Context, c, s, p.Out)
				}
				return p.watchStatus(c, s)
			})
		},
	}
}

func (p *program) showStatus(ctx context.Context, c *cli.Context, s *store, w io.Writer) error {
	snapshot, err := s.Snapshot(ctx)
	if err != nil {
		return err
	}
	snapshot = onlyPool(snapshot, c.Args().First())
	if c.Bool("json") {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(newStatus(snapshot, s))
	}
	if err := writeLine(w, "%s", s.heading(p.width())); err != nil {
		return err
	}
	return writeStatus(w, snapshot, time.Now(), p.width())
}

// watchStatus draws the status at every change, over the one before where the output is a terminal.
func (p *program) watchStatus(c *cli.Context, s *store) error {
	ctx, stop := p.untilInterrupted(c.Context)
	defer stop()
	changes, err := s.Changes(ctx)
	if err != nil {
		return err
	}
	second := time.NewTicker(time.Second) // ages on the screen
	defer second.Stop()
	screen := &screen{w: p.Out, terminal: p.isTerminal(), size: p.size}
	for {
		select {
		case _, ok := <-changes:
			if !ok {
				return nil
			}
		case <-second.C:
			if !screen.terminal {
				continue
			}
		case <-ctx.Done():
			return nil
		}
		if err := screen.draw(func(w io.Writer) error { return p.showStatus(ctx, c, s, w) }); err != nil &&
			ctx.Err() == nil {
			return err
		}
	}
}

// onlyPool keeps what concerns one pool; "" keeps everything.
func onlyPool(s *backend.Snapshot, pool string) *backend.Snapshot {
	if pool == "" {
		return s
	}
	kept := &backend.Snapshot{Settings: s.Settings, SettingsSet: s.SettingsSet}
	for _, u := range s.Usage {
		if u.Kind == backend.KindPool && u.Pool == pool {
			kept.Usage = append(kept.Usage, u)
		}
	}
	if len(kept.Usage) == 0 {
		limit, _ := s.Settings.Pool(pool)
		kept.Usage = []backend.Usage{{Limit: "pool:" + pool, Kind: backend.KindPool, Pool: pool, Capacity: limit.Limit}}
	}
	for _, h := range s.Held {
		if h.Pools[pool] > 0 {
			kept.Held = append(kept.Held, h)
		}
	}
	for _, w := range s.Waiting {
		if w.Pools[pool] > 0 {
			kept.Waiting = append(kept.Waiting, w)
		}
	}
	return kept
}

// The JSON of status. Its names are part of the contract.
type status struct {
	Namespace string         `json:"namespace"`
	Backend   string         `json:"backend"`
	Agent     string         `json:"agent,omitempty"` // the socket of the agent that is used
	Pools     []statusPool   `json:"pools"`
	Runs      statusRuns     `json:"runs"`
	TagLimits []statusTag    `json:"tag_limits"`
	Held      []statusHeld   `json:"held"`
	Waiting   []statusWaiter `json:"waiting"`
}

type statusPool struct {
	Name    string  `json:"name"`
	Limit   *int    `json:"limit"`
	Source  string  `json:"source"`
	Used    int     `json:"used"`
	Waiting int     `json:"waiting"`
	Rate    *string `json:"rate"`

	Paused *backend.Pause `json:"paused,omitempty"`
}

type statusRuns struct {
	Limit   *int `json:"limit"`
	Used    int  `json:"used"`
	Waiting int  `json:"waiting"`

	Paused *backend.Pause `json:"paused,omitempty"`
}

type statusTag struct {
	Key      string  `json:"key"`
	Value    *string `json:"value"`
	PerValue bool    `json:"per_value"`
	Limit    *int    `json:"limit"`
	Used     int     `json:"used"`
	Waiting  int     `json:"waiting"`
}

type statusClaim struct {
	ID       string            `json:"id"`
	RunID    string            `json:"run_id"`
	Name     string            `json:"name"`
	Command  []string          `json:"command"`
	Pools    map[string]int    `json:"pools"`
	Tags     map[string]string `json:"tags"`
	Priority int32             `json:"priority"`
	Host     string            `json:"host"`
	PID      int               `json:"pid"`
	Holds    int               `json:"holds,omitempty"`
	User     string            `json:"user"`
	QueuedAt time.Time         `json:"queued_at"`
}

type statusHeld struct {
	statusClaim
	Slots     map[string][]int `json:"slots"`
	GrantedAt time.Time        `json:"granted_at"`
	Token     int64            `json:"token"`
	Orphaned  bool             `json:"orphaned,omitempty"`
	PIDs      []int            `json:"orphan_pids,omitempty"`
	Cancelled string           `json:"cancelled,omitempty"`
}

type statusWaiter struct {
	statusClaim
	Position  int             `json:"position"`
	Aside     bool            `json:"aside,omitempty"`
	BlockedBy []backend.Block `json:"blocked_by"`
}

func newStatus(s *backend.Snapshot, in *store) status {
	st := status{
		Namespace: in.namespace, Backend: in.String(), Agent: agentOf(in.Backend),
		Pools: []statusPool{}, TagLimits: []statusTag{}, Held: []statusHeld{}, Waiting: []statusWaiter{},
	}
	for _, u := range s.Usage {
		switch u.Kind {
		case backend.KindPool:
			st.Pools = append(st.Pools, newStatusPool(u, s.Settings))
		case backend.KindRuns:
			st.Runs = statusRuns{capacity(u.Capacity), u.Used, u.Waiting, u.Pause}
		case backend.KindTag:
			st.TagLimits = append(st.TagLimits,
				statusTag{u.Tag.Key, u.Tag.Value, u.Tag.PerValue, capacity(u.Capacity), u.Used, u.Waiting})
		}
	}
	for _, h := range s.Held {
		st.Held = append(st.Held, newStatusHeld(h, s.Settings))
	}
	for _, w := range s.Waiting {
		st.Waiting = append(st.Waiting, newStatusWaiter(w, s.Settings))
	}
	return st
}

func newStatusPool(u backend.Usage, settings backend.Settings) statusPool {
	pool, source := settings.Pool(u.Pool)
	row := statusPool{Name: u.Pool, Limit: capacity(u.Capacity), Source: string(source), Used: u.Used,
		Waiting: u.Waiting, Paused: u.Pause}
	if pool.Rate != nil {
		rate := pool.Rate.String()
		row.Rate = &rate
	}
	return row
}

func newStatusHeld(h backend.HeldClaim, settings backend.Settings) statusHeld {
	return statusHeld{
		statusClaim: newStatusClaim(h.Claim, settings), Slots: orEmpty(h.Grant.Slots),
		GrantedAt: h.Grant.GrantedAt, Token: h.Grant.Token, Orphaned: h.Orphaned, PIDs: h.PIDs, Cancelled: h.Asked,
	}
}

func newStatusWaiter(w backend.WaitingClaim, settings backend.Settings) statusWaiter {
	return statusWaiter{
		statusClaim: newStatusClaim(w.Claim, settings), Position: w.Position, Aside: w.Aside,
		BlockedBy: append([]backend.Block{}, w.Blocks...),
	}
}

func newStatusClaim(c backend.Claim, settings backend.Settings) statusClaim {
	command := c.Command
	if command == nil || settings.HideCommands {
		command = []string{}
	}
	return statusClaim{
		ID: c.ID, RunID: c.RunID, Name: shownName(c, settings), Command: command, Pools: orEmpty(c.Pools),
		Tags:     orEmpty(c.Tags),
		Priority: c.Priority, Host: c.Host, PID: c.PID, Holds: c.Holds, User: c.User, QueuedAt: c.QueuedAt,
	}
}

// shownName is the claim's name; where commands are hidden and the name is the command, its first word alone.
func shownName(c backend.Claim, settings backend.Settings) string {
	if settings.HideCommands && len(c.Command) > 0 && c.Name == commandName(c.Command) {
		return c.Command[0]
	}
	return c.Name
}

// capacity is null where there is no limit.
func capacity(limit int) *int {
	if limit == backend.Unlimited {
		return nil
	}
	return &limit
}

func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}

// formatPools is database=2,api: slots where more than one is asked.
func formatPools(pools map[string]int) string {
	text := ""
	for i, name := range slices.Sorted(maps.Keys(pools)) {
		if i > 0 {
			text += ","
		}
		text += name
		if n := pools[name]; n > 1 {
			text += fmt.Sprintf("=%d", n)
		}
	}
	return text
}
