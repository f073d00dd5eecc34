package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
)

// errNoHistory says that a store is of a kind that forgets.
var errNoHistory = errors.New("this store remembers no ended claims; use an embedded store or etcd")

func (p *program) historyCommand() *cli.Command {
	return &cli.Command{
		Name:      "history",
		Usage:     "who held what, when, for how long, and how it ended",
		ArgsUsage: "[POOL]",
		Description: `The claims that have ended, the one that ended last at the bottom. A store remembers the
last 10,000, or concurrency.history_entries of them. Of a command its first word is kept, or its --name.

HOW is the exit status of the command, the signal that killed it, or timeout, cancelled (by whom and why),
lost, gave up (no slot within its --wait), left (while it waited). 'limit was killed' is said of a claim
whose owner was: how its command ended nobody knows, and it ended when that was noticed. Times are by the
clock of the machine on which the claim was.

EXIT STATUS: 0; 125 limit itself failed.`,
		Flags: []cli.Flag{
			durationFlag("since", 0, "only what ended so long ago at most", ""),
			&cli.BoolFlag{Name: "failed", Usage: "only what did not end with exit status 0"},
			&cli.BoolFlag{Name: "json", Usage: "as one JSON object; durations in seconds"},
		},
		Action: p.history,
	}
}

func (p *program) history(c *cli.Context) error {
	if c.NArg() > 1 {
		return usageError(c, "one pool at most")
	}
	return p.onlyLooking(c, func(s *store) error {
		pasts, err := s.History(c.Context)
		if err != nil {
			return err
		}
		if err := s.mustKnow(c.Context, c.Args().First()); err != nil {
			return err
		}
		pasts = ofPool(c.Args().First(), endedSince(sinceOf(c, time.Now()), pasts))
		if c.Bool("failed") {
			pasts = slices.DeleteFunc(pasts, func(past backend.Past) bool { return !past.Failed() })
		}
		if c.Bool("json") {
			return json.NewEncoder(p.Out).Encode(newHistory(pasts, s))
		}
		return p.writeHistory(pasts)
	})
}

// endedSince keeps what has ended since a moment.
func endedSince(since time.Time, pasts []backend.Past) []backend.Past {
	return slices.DeleteFunc(pasts, func(past backend.Past) bool { return past.Ended.Before(since) })
}

// ofPool keeps what asked for a pool; "" keeps everything.
func ofPool(pool string, pasts []backend.Past) []backend.Past {
	return slices.DeleteFunc(pasts, func(past backend.Past) bool { return pool != "" && past.Pools[pool] == 0 })
}

// sinceOf is the moment that --since means, the zero time where it is not given.
func sinceOf(c *cli.Context, now time.Time) time.Time {
	if since, set := durationOf(c, "since"); set {
		return now.Add(-since)
	}
	return time.Time{}
}

func (p *program) writeHistory(pasts []backend.Past) error {
	if len(pasts) == 0 {
		_, err := fmt.Fprintln(p.Out, "no such claim has ended")
		return err
	}
	t := &table{right: map[int]bool{4: true, 5: true}, shrink: []int{2, 3, 6, 7}, spare: map[int]bool{7: true}}
	t.add("ENDED", "ID", "NAME", "HELD", "WAITED", "RAN", "WHO", "HOW")
	for _, past := range pasts {
		ran := "-"
		if past.Granted {
			ran = brief(seconds(past.Held))
		}
		who := "-"
		if past.Host != "" {
			who = past.User + "@" + past.Host
		}
		t.add(past.Ended.Local().Format(time.DateTime), short(past.ID), past.Name,
			needsText(backend.Claim{Pools: past.Pools, Runs: past.Runs}),
			brief(seconds(past.Waited)), ran, who, outcomeText(past))
	}
	return t.write(p.Out, p.width())
}

// outcomeText is how a claim ended, in words.
func outcomeText(past backend.Past) string {
	how := map[backend.How]string{
		"": "-", backend.TimedOut: "timeout", backend.GaveUp: "gave up", backend.CancelledBy: "cancelled",
		backend.LostClaim:  "lost",
		backend.Impossible: "impossible", backend.Abandoned: "limit was killed", backend.NotStarted: "not started",
		backend.Changed: "changed",
	}
	text, known := how[past.How]
	switch {
	case past.How == backend.Exited && past.Code != nil:
		text = fmt.Sprintf("exit %d", *past.Code)
	case past.How == backend.Killed:
		text = past.Signal
	case past.How == "" && !past.Granted:
		text = "left"
	case !known: // of a newer version
		text = string(past.How)
	}
	if past.Reason != "" {
		text += " (" + past.Reason + ")"
	}
	return text
}

// The JSON of history.
type history struct {
	Namespace string      `json:"namespace"`
	Backend   string      `json:"backend"`
	Ended     []pastClaim `json:"ended"`
}

type pastClaim struct {
	ID        string            `json:"id"`
	RunID     string            `json:"run_id"`
	Name      string            `json:"name"`
	Pools     map[string]int    `json:"pools"`
	Runs      int               `json:"runs"`
	Tags      map[string]string `json:"tags"`
	Priority  int32             `json:"priority"`
	Seq       int64             `json:"seq"` // order of arrival
	Host      string            `json:"host"`
	PID       int               `json:"pid"`
	User      string            `json:"user"`
	QueuedAt  time.Time         `json:"queued_at"`
	GrantedAt *time.Time        `json:"granted_at"` // null: never
	EndedAt   time.Time         `json:"ended_at"`
	Waited    seconds           `json:"waited"`
	Held      seconds           `json:"held"`
	Outcome   string            `json:"outcome"` // "": not known
	ExitCode  *int              `json:"exit_code"`
	Signal    string            `json:"signal,omitempty"`
	Reason    string            `json:"reason,omitempty"`
}

func newHistory(pasts []backend.Past, in *store) history {
	h := history{Namespace: in.namespace, Backend: in.String(), Ended: []pastClaim{}}
	for _, past := range pasts {
		row := pastClaim{
			ID: past.ID, RunID: past.RunID, Name: past.Name, Pools: orEmpty(past.Pools), Runs: past.Runs,
			Tags:     orEmpty(past.Tags),
			Priority: past.Priority, Seq: past.Seq, Host: past.Host, PID: past.PID, User: past.User,
			QueuedAt: past.Queued(), EndedAt: past.Ended,
			Waited: seconds(past.Waited), Held: seconds(past.Held), Outcome: string(past.How), ExitCode: past.Code,
			Signal: past.Signal,
			Reason: past.Reason,
		}
		if at := past.GrantedAt(); past.Granted {
			row.GrantedAt = &at
		}
		h.Ended = append(h.Ended, row)
	}
	return h
}
