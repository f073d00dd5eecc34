package backend

import (
	"context"
	"maps"
	"strings"
	"time"
)

// DefaultHistoryEntries is how many ended claims a store remembers where Settings.HistoryEntries does not say.
const DefaultHistoryEntries = 10_000

// Historian is a Backend that remembers claims after their end, so that limits can be chosen from facts.
type Historian interface {
	// History returns the claims that have ended, the one that ended first first, Settings.Remembered of them at most.
	// What it tells decides nothing: a store may forget an end (a claim whose process was killed, a full disk), but
	// tells none twice.
	History(ctx context.Context) ([]Past, error)
}

// Past is a claim that has ended: given back by its owner, held or waiting, or found dead. It keeps what the claim
// asked for, so that what other limits would have done to it can be worked out.
type Past struct {
	ID    string `json:"id"`
	RunID string `json:"run_id"`
	Name  string `json:"name"` // of a command its first word alone: arguments may hold secrets

	Pools    map[string]int    `json:"pools,omitempty"` // as in Claim, as are the next
	Runs     int               `json:"runs,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
	Priority int32             `json:"priority,omitempty"`
	// 0 in records of older versions, which have none of the next but the times
	Seq  int64  `json:"seq,omitempty"`
	Host string `json:"host,omitempty"`
	PID  int    `json:"pid,omitempty"`
	User string `json:"user,omitempty"`
	Outcome

	// Of are the capacities of its limits, by name, when it ended. Clocks of two hosts differ: by these no more is
	// counted than was possible.
	Of map[string]int `json:"of,omitempty"`

	Waited  time.Duration `json:"waited"`         // from Enter to the last grant, or to the end
	Held    time.Duration `json:"held,omitempty"` // from the last grant to the end
	Granted bool          `json:"granted"`        // false: it left while it waited
	Ended   time.Time     `json:"ended"`          // by the wall clock of the owner
}

// Capacities returns those of the pools and the run queue that a claim meets, by the names of StoreNames; not of those
// without limit.
func (s Settings) Capacities(pools map[string]int, runs int) map[string]int {
	names, capacities := StoreNames(), map[string]int{}
	for name := range pools {
		if pool, _ := s.Pool(name); pool.Limit != Unlimited {
			capacities[names.Pool+name] = pool.Limit
		}
	}
	if runs > 0 && s.MaxRuns != Unlimited {
		capacities[names.Runs] = s.MaxRuns
	}
	return capacities
}

// Met notes the capacities of the limits that the claim has met when it ends. All slots of a pool that it never had are
// told as the number of them.
func (p *Past) Met(capacities map[string]int) {
	p.Of = capacities
	for name, slots := range p.Pools {
		if slots == AllSlots {
			p.Pools = maps.Clone(p.Pools) // the claim has it too
			p.Pools[name] = max(1, capacities[StoreNames().Pool+name])
		}
	}
}

// Queued is when the claim entered the store.
func (p *Past) Queued() time.Time { return p.Ended.Add(-p.Held - p.Waited) }

// GrantedAt is when the claim was granted last; the zero time where it never was.
func (p *Past) GrantedAt() time.Time {
	if !p.Granted {
		return time.Time{}
	}
	return p.Ended.Add(-p.Held)
}

// Outcome is how the use of a claim has ended, as its owner says. The zero value says that nobody has told.
type Outcome struct {
	How    How    `json:"how,omitempty"`
	Code   *int   `json:"exit_code,omitempty"` // of the command, where it has ended by itself
	Signal string `json:"signal,omitempty"`    // that killed the command, or ended the waiting
	Reason string `json:"reason,omitempty"`    // in words: who has cancelled it and why, how it was lost
}

// How is the kind of an Outcome.
type How string

const (
	Exited      How = "exited"     // the command has ended by itself, with the code
	Killed      How = "killed"     // a signal has ended the command, or the waiting
	TimedOut    How = "timed_out"  // the command was stopped as its time was over
	GaveUp      How = "gave_up"    // not granted in the time that it would wait
	CancelledBy How = "cancelled"  // somebody has asked for it: Reason tells who
	LostClaim   How = "lost"       // the store took the claim away, or could not be reached for too long
	Impossible  How = "impossible" // limits that were set while it waited can never admit it
	// its owner was killed: nobody knows how the command ended, and Ended is when that was noticed
	Abandoned  How = "abandoned"
	NotStarted How = "not_started" // the command could not be executed
	Changed    How = "changed"     // no command: somebody has changed limits, as the name says
)

// Failed reports whether a claim ended otherwise than a command that exits with 0. One of which nobody has told has
// not.
func (o Outcome) Failed() bool {
	return o.How != "" && !(o.How == Exited && o.Code != nil && *o.Code == 0)
}

// Remembered returns how many ended claims the store is to remember.
func (s Settings) Remembered() int {
	if s.HistoryEntries > 0 {
		return s.HistoryEntries
	}
	return DefaultHistoryEntries
}

// Stay measures a claim for its Past, on the monotonic clock. Each store's entry has one. The zero value is not entered
// yet.
type Stay struct {
	entered, granted time.Time
	outcome          Outcome
}

// Enter notes the arrival, Grant a grant, and Aside that a grant was given back or will not come for now.
func (s *Stay) Enter() { s.entered = time.Now() }
func (s *Stay) Grant() { s.granted = time.Now() }
func (s *Stay) Aside() { s.granted = time.Time{} }

// Conclude notes how the claim ends.
func (s *Stay) Conclude(o Outcome) { s.outcome = o }

// End returns the Past of a claim that ends now. It is called before the claim is given back: the next may be granted
// at once.
func (s *Stay) End(c *Claim) Past {
	now := time.Now()
	p := NewPast(c)
	p.Ended, p.Outcome = now.Round(0), s.outcome
	p.Reason = shortened(p.Reason, maxPastReason)
	if s.granted.IsZero() {
		p.Waited = now.Sub(s.entered)
		return p
	}
	p.Granted, p.Waited, p.Held = true, s.granted.Sub(s.entered), now.Sub(s.granted)
	return p
}

// NewPast is what is remembered of a claim but for its times and its outcome.
func NewPast(c *Claim) Past {
	return Past{ID: c.ID, RunID: c.RunID, Name: pastName(c), Pools: c.Pools, Runs: c.Runs, Tags: c.Tags,
		Priority: c.Priority, Seq: c.Seq,
		Host: c.Host, PID: c.PID, User: c.User}
}

// The bytes of a name and of a reason that are remembered.
const (
	maxPastName   = 64
	maxPastReason = 200
)

// pastName is the claim's label, or the first word of its command, shortened between characters.
func pastName(c *Claim) string {
	name := c.Name
	if len(c.Command) > 0 && name == strings.Join(c.Command, " ") {
		name = c.Command[0]
	}
	return shortened(name, maxPastName)
}

func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most - len("…")
	for end > 0 && text[end]&0xc0 == 0x80 {
		end--
	}
	return text[:end] + "…"
}
