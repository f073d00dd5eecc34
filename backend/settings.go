package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Unlimited is the limit that never blocks.
const Unlimited = -1

// DefaultReserveAfter is how long a claim waits before what comes free is kept for it.
const DefaultReserveAfter = 5 * time.Minute

// BuiltinPoolLimit is the limit of a pool for which neither an own limit nor a default is set.
const BuiltinPoolLimit = 1

// MinRatePeriod is the shortest period of a rate: the shortest lease that etcd grants.
const MinRatePeriod = 2 * time.Second

// Settings are the limits of a namespace, as they stand in its store. The zero value is not
// a default: start from NewSettings.
type Settings struct {
	DefaultLimit   *int            `json:"default_limit,omitempty"` // nil: BuiltinPoolLimit; Unlimited allowed
	Granularity    Granularity     `json:"granularity,omitempty"`   // "": op
	Pools          map[string]Pool `json:"pools,omitempty"`         // pools with a limit of their own
	MaxRuns        int             `json:"max_concurrent_runs"`     // Unlimited: no limit; 0: nothing starts
	TagLimits      []TagLimit      `json:"tag_concurrency_limits,omitempty"`
	ReserveAfter   time.Duration   `json:"reserve_after,omitempty"`   // 0: DefaultReserveAfter
	HideCommands   bool            `json:"hide_commands,omitempty"`   // status shows names only
	HistoryEntries int             `json:"history_entries,omitempty"` // 0: the store's own bound

	Strict bool `json:"strict,omitempty"` // a claim for a pool without a limit of its own is refused
	// limits that let nobody in, by their names in StoreNames; kept by 'limit apply'
	Paused map[string]Pause `json:"paused,omitempty"`
}

// Pause says who keeps everybody out of a limit. It is there for people to read: nothing is decided by its time.
type Pause struct {
	By     string    `json:"by"` // user@host
	At     time.Time `json:"at"` // UTC, in whole seconds
	Reason string    `json:"reason,omitempty"`
}

// Granularity says what holds a pool slot in a dag run: each step while it runs, or the run from start to end.
type Granularity string

const (
	GranularityOp  Granularity = "op"
	GranularityRun Granularity = "run"
)

// Pool is a pool's own limit.
type Pool struct {
	Limit int   `json:"limit"`          // slots; Unlimited allowed; 0 pauses the pool
	Rate  *Rate `json:"rate,omitempty"` // nil: starts are not limited
}

// Rate admits at most Slots slots' worth of starts in any window of Period.
type Rate struct {
	Slots  int           `json:"slots"`
	Period time.Duration `json:"period"` // at least MinRatePeriod
}

// String is the form in which a rate is written: 10/1m.
func (r Rate) String() string { return fmt.Sprintf("%d/%s", r.Slots, ShortDuration(r.Period)) }

// ShortDuration prints d as time.Duration does, without the units that are zero: 1m, not 1m0s.
func ShortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// TagLimit bounds the runs that carry a tag.
type TagLimit struct {
	Key      string  `json:"key"`
	Value    *string `json:"value,omitempty"`     // nil: every run with the key
	PerValue bool    `json:"per_value,omitempty"` // each value has the limit for itself; Value is nil
	Limit    int     `json:"limit"`               // 0 never admits
}

// Matches reports whether a run with this tag counts in the limit.
func (t TagLimit) Matches(key, value string) bool {
	return t.Key == key && (t.Value == nil || *t.Value == value)
}

// NewSettings returns the settings of a store in which nothing was set.
func NewSettings() Settings { return Settings{MaxRuns: Unlimited} }

// Clone returns a copy that shares nothing with s.
func (s Settings) Clone() Settings {
	if s.DefaultLimit != nil {
		limit := *s.DefaultLimit
		s.DefaultLimit = &limit
	}
	s.Paused = maps.Clone(s.Paused)
	s.Pools = maps.Clone(s.Pools)
	for name, p := range s.Pools {
		if p.Rate != nil {
			rate := *p.Rate
			p.Rate = &rate
			s.Pools[name] = p
		}
	}
	s.TagLimits = slices.Clone(s.TagLimits)
	for i, t := range s.TagLimits {
		if t.Value != nil {
			value := *t.Value
			s.TagLimits[i].Value = &value
		}
	}
	return s
}

// PoolSource says where a pool's limit comes from.
type PoolSource string

const (
	SourceSet     PoolSource = "set"     // its own limit
	SourceDefault PoolSource = "default" // default_limit
	SourceBuiltin PoolSource = "builtin" // neither: BuiltinPoolLimit
)

// Pool returns the limit in force for a pool and where it comes from.
func (s Settings) Pool(name string) (Pool, PoolSource) {
	if p, ok := s.Pools[name]; ok {
		return p, SourceSet
	}
	if s.DefaultLimit != nil {
		return Pool{Limit: *s.DefaultLimit}, SourceDefault
	}
	return Pool{Limit: BuiltinPoolLimit}, SourceBuiltin
}

// Unset names those of some pools, in order, that nobody has given a limit: neither one of their own nor a default.
func (s Settings) Unset(pools map[string]int) []string {
	var unset []string
	for name := range pools {
		if _, source := s.Pool(name); source == SourceBuiltin {
			unset = append(unset, name)
		}
	}
	slices.Sort(unset)
	return unset
}

// Survey tells of the limits that concern a claim, whatever it is nested in.
func (s Settings) Survey(c *Claim) Survey {
	state := NewState(s, StoreNames())
	unlimited := !slices.ContainsFunc(state.needsOf(c),
		func(n need) bool { return n.limit.capacity != Unlimited || n.limit.shut() })
	return Survey{Unset: s.Unset(c.Pools), Unlimited: unlimited}
}

// SetPool gives a pool a limit of its own.
func (s *Settings) SetPool(name string, p Pool) {
	if s.Pools == nil {
		s.Pools = map[string]Pool{}
	}
	s.Pools[name] = p
}

// SetPause pauses a limit, by its name in StoreNames.
func (s *Settings) SetPause(limit string, p Pause) {
	if s.Paused == nil {
		s.Paused = map[string]Pause{}
	}
	s.Paused[limit] = p
}

// PauseOf returns the pause of a limit, by its name in StoreNames; nil where it is not paused.
func (s Settings) PauseOf(limit string) *Pause {
	if p, ok := s.Paused[limit]; ok {
		return &p
	}
	return nil
}

// Undeclared says which of some pools, the first by name, strict settings refuse: one without a limit of its own. It is
// nil where there is none.
func (s Settings) Undeclared(pools map[string]int) *ImpossibleError {
	if !s.Strict {
		return nil
	}
	for _, name := range sortedKeys(pools) {
		if _, declared := s.Pools[name]; !declared {
			return &ImpossibleError{Limit: StoreNames().Pool + name, Asked: pools[name], Undeclared: name}
		}
	}
	return nil
}

// Reserve returns the waiting time after which a claim reserves.
func (s Settings) Reserve() time.Duration {
	if s.ReserveAfter > 0 {
		return s.ReserveAfter
	}
	return DefaultReserveAfter
}
