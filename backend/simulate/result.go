package simulate

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"limit/backend"
)

// Seconds is a duration that JSON shows as a number.
type Seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', -1, 64), nil
}

// Quantiles of durations are nearest ranks: values that occurred.
type Quantiles struct {
	Median  Seconds `json:"median"`
	P95     Seconds `json:"p95"`
	Longest Seconds `json:"longest"`
}

// QuantilesOf sorts and picks.
func QuantilesOf(values []time.Duration) Quantiles {
	if len(values) == 0 {
		return Quantiles{}
	}
	slices.Sort(values)
	rank := func(percent int) Seconds { return Seconds(values[(len(values)*percent+99)/100-1]) }
	return Quantiles{rank(50), rank(95), rank(100)}
}

// Waits are how long claims waited, those that left without a slot included.
type Waits struct {
	Quantiles
	Sum Seconds `json:"sum"`
}

func waitsOf(values []time.Duration) Waits {
	w := Waits{Quantiles: QuantilesOf(values)}
	for _, v := range values {
		w.Sum += Seconds(v)
	}
	return w
}

// Result is what limits do to the work.
type Result struct {
	Change  string `json:"change"`  // what is other than now, "" for nothing
	Claims  int    `json:"claims"`  // that count
	Refused int    `json:"refused"` // of them: asked for more than a limit, at once
	Left    int    `json:"left"`    // of them: without a slot, after the time that they would wait
	Stuck   int    `json:"stuck"`   // of them: would wait for ever, as a limit is 0
	Waited  Waits  `json:"waited"`
	Limits  []*Use `json:"limits"` // the busiest first

	LastEnded time.Time `json:"last_ended"`

	settings backend.Settings
}

// Use is how a limit was used.
type Use struct {
	Limit    string   `json:"limit"`          // as 'limit status' names it
	Rate     string   `json:"rate,omitempty"` // of a pool: the limit of its starts, such as 10/1m
	Capacity *int     `json:"capacity"`       // null: unlimited
	Peak     int      `json:"peak"`           // slots held at once; of a rate 0
	Busy     *float64 `json:"busy"`           // slots held, over time, of the capacity; null without one

	of    backend.Usage
	used  int
	total time.Duration // slots, times how long
	each  time.Duration // of a rate: how long a start counts
}

// useKey tells a pool from its rate, which shares its name.
type useKey struct {
	limit string
	kind  backend.LimitKind
}

func newUse(of backend.Usage, settings backend.Settings) *Use {
	u := &Use{Limit: of.Limit, of: of}
	if of.Capacity != backend.Unlimited {
		u.Capacity = &of.Capacity
	}
	if pool, _ := settings.Pool(of.Pool); of.Kind == backend.KindRate {
		u.Rate, u.each = pool.Rate.String(), pool.Rate.Period
	}
	return u
}

// take counts slots that are taken, or (-1) given back. A start of a rate is not.
func (u *Use) take(slots, sign int) {
	if u.each == 0 {
		u.used += sign * slots
		u.Peak = max(u.Peak, u.used)
	}
}

func (r *replay) result() *Result {
	res := &Result{settings: r.state.Settings(), Limits: []*Use{}}
	var waits []time.Duration
	began, end := r.now, time.Duration(0)
	for i, st := range r.stands {
		if !r.counted[i] || st.phase == absent {
			continue
		}
		res.Claims++
		began, end = min(began, st.queued), max(end, st.ended)
		switch st.phase {
		case refused:
			res.Refused++
			continue
		case left:
			res.Left++
			waits = append(waits, st.ended-st.queued)
		case waiting:
			res.Stuck++
			waits = append(waits, r.now-st.queued)
		default:
			waits = append(waits, st.granted-st.queued)
		}
	}
	res.Waited, res.LastEnded = waitsOf(waits), r.origin.Add(end)
	for _, u := range r.uses {
		if u.Capacity != nil && *u.Capacity > 0 && end > began {
			busy := u.total.Seconds() / (end - began).Seconds() / float64(*u.Capacity)
			u.Busy = &busy
		}
		res.Limits = append(res.Limits, u)
	}
	slices.SortFunc(res.Limits, func(a, b *Use) int {
		return cmp.Or(cmp.Compare(b.busy(), a.busy()), cmp.Compare(a.Limit, b.Limit), cmp.Compare(a.Rate, b.Rate))
	})
	return res
}

func (u *Use) busy() float64 {
	if u.Busy == nil {
		return -1
	}
	return *u.Busy
}

// Measured is how long the claims that count waited in fact.
func (w *Work) Measured() Waits {
	var waits []time.Duration
	for i, p := range w.pasts {
		if w.counted[i] {
			waits = append(waits, max(p.Waited, 0))
		}
	}
	return waitsOf(waits)
}

// Set gives a limit another capacity: pool:NAME, runs, tag:KEY, tag:KEY=VALUE. A tag limit that is not there is added;
// tag:KEY means each value where each has its own.
func Set(s *backend.Settings, limit string, capacity int) {
	names := backend.StoreNames()
	if pool, ok := strings.CutPrefix(limit, names.Pool); ok {
		own := s.Pools[pool]
		own.Limit = capacity
		s.SetPool(pool, own)
		return
	}
	if limit == names.Runs {
		s.MaxRuns = capacity
		return
	}
	key, value, exact := strings.Cut(strings.TrimPrefix(limit, names.Tag), "=")
	for i, t := range s.TagLimits {
		if t.Key == key && (exact && t.Value != nil && *t.Value == value || !exact && t.Value == nil) {
			s.TagLimits[i].Limit = capacity
			return
		}
	}
	added := backend.TagLimit{Key: key, Limit: capacity}
	if exact {
		added.Value = &value
	}
	s.TagLimits = append(s.TagLimits, added)
}

// SetRate gives a pool another rate; its limit stays.
func SetRate(s *backend.Settings, pool string, rate backend.Rate) {
	own, source := s.Pool(pool)
	if source == backend.SourceBuiltin {
		own.Limit = backend.Unlimited
	}
	own.Rate = &rate
	s.SetPool(pool, own)
}
