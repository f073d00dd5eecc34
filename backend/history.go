package backend

import (
	"context"
	"strings"
	"time"
)

// DefaultHistoryEntries is how many ended claims a store remembers where Settings.HistoryEntries does not say.
const DefaultHistoryEntries = 10_000

// Historian is a Backend that remembers claims after their end, so that limits can be chosen from facts.
type Historian interface {
	// History returns the claims that have ended, the one that ended first first, Settings.Remembered of them at most. What it tells
	// decides nothing: a store may forget an end (a claim whose process was killed, a full disk), but tells none twice.
	History(ctx context.Context) ([]Past, error)
}

// Past is a claim that has ended: given back by its owner, held or waiting.
type Past struct {
	ID    string         `json:"id"`
	RunID string         `json:"run_id"`
	Name  string         `json:"name"`            // of a command its first word alone: arguments may hold secrets
	Pools map[string]int `json:"pools,omitempty"` // as in Claim
	Runs  int            `json:"runs,omitempty"`

	// Of are the capacities of its limits, by name, when it ended. Clocks of two hosts differ: by these no more is counted than was possible.
	Of map[string]int `json:"of,omitempty"`

	Waited  time.Duration `json:"waited"`         // from Enter to the last grant, or to the end
	Held    time.Duration `json:"held,omitempty"` // from the last grant to the end
	Granted bool          `json:"granted"`        // false: it left while it waited
	Ended   time.Time     `json:"ended"`          // by the wall clock of the owner
}

// Capacities returns those of the pools and the run queue that a claim meets, by the names of StoreNames; not of those without limit.
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

// Remembered returns how many ended claims the store is to remember.
func (s Settings) Remembered() int {
	if s.HistoryEntries > 0 {
		return s.HistoryEntries
	}
	return DefaultHistoryEntries
}

// Stay measures a claim for its Past, on the monotonic clock. Each store's entry has one. The zero value is not entered yet.
type Stay struct{ entered, granted time.Time }

// Enter notes the arrival, Grant a grant, and Aside that a grant was given back or will not come for now.
func (s *Stay) Enter() { s.entered = time.Now() }
func (s *Stay) Grant() { s.granted = time.Now() }
func (s *Stay) Aside() { s.granted = time.Time{} }

// End returns the Past of a claim that ends now. It is called before the claim is given back: the next may be granted at once.
func (s *Stay) End(c *Claim) Past {
	now := time.Now()
	p := Past{ID: c.ID, RunID: c.RunID, Name: pastName(c), Pools: c.Pools, Runs: c.Runs, Ended: now.Round(0)}
	if s.granted.IsZero() {
		p.Waited = now.Sub(s.entered)
		return p
	}
	p.Granted, p.Waited, p.Held = true, s.granted.Sub(s.entered), now.Sub(s.granted)
	return p
}

// maxPastName bounds the bytes of a name that are remembered.
const maxPastName = 64

// pastName is the claim's label, or the first word of its command, shortened between characters.
func pastName(c *Claim) string {
	name := c.Name
	if len(c.Command) > 0 && name == strings.Join(c.Command, " ") {
		name = c.Command[0]
	}
	if len(name) <= maxPastName {
		return name
	}
	end := maxPastName - len("…")
	for end > 0 && name[end]&0xc0 == 0x80 {
		end--
	}
	return name[:end] + "…"
}
