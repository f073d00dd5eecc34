//go:build !slim

package cli

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"limit/backend"
)

// series is use and waiting over time, in steps of equal length.
type series struct {
	From   time.Time     `json:"from"`
	To     time.Time     `json:"to"`
	Step   float64       `json:"step_seconds"`
	Limits []limitSeries `json:"limits"`
}

type limitSeries struct {
	Name     string    `json:"name"` // pool:NAME or runs
	Capacity *int      `json:"capacity"`
	Used     []float64 `json:"used"`    // slots that were held, the mean of each step
	Waiting  []float64 `json:"waiting"` // claims that waited
}

// How many steps a series has.
const (
	defaultSteps = 120
	mostSteps    = 2000
)

// series shows the time since the parameter, or since the first claim that is remembered.
func (v *views) series(r *http.Request) (any, error) {
	from, err := since(r)
	if err != nil {
		return nil, err
	}
	steps, err := countOf(r, "buckets", defaultSteps, mostSteps)
	if err != nil {
		return nil, err
	}
	pasts, snapshot, err := v.s.pastAndPresent(r.Context())
	if err != nil {
		return nil, err
	}
	return newSeries(pasts, snapshot, from, time.Now(), steps), nil
}

func newSeries(pasts []backend.Past, snapshot *backend.Snapshot, from, to time.Time, steps int) series {
	if from.IsZero() {
		from = to.Add(-time.Minute)
		for _, p := range pasts {
			if at := p.Queued(); at.Before(from) {
				from = at
			}
		}
	}
	s := series{From: from, To: to, Step: to.Sub(from).Seconds() / float64(steps), Limits: []limitSeries{}}
	rows := map[string]*limitSeries{}
	add := func(pools map[string]int, runs int, queued, granted, ended time.Time) {
		for limit, slots := range needs(pools, runs) {
			if rows[limit] == nil {
				rows[limit] = &limitSeries{Name: limit, Capacity: capacityOf(snapshot, limit),
					Used:    make([]float64, steps),
					Waiting: make([]float64, steps)}
			}
			if granted.IsZero() {
				granted = ended
			}
			s.spread(rows[limit].Waiting, queued, granted, 1)
			s.spread(rows[limit].Used, granted, ended, float64(slots))
		}
	}
	for _, p := range pasts {
		add(p.Pools, p.Runs, p.Queued(), p.GrantedAt(), p.Ended)
	}
	for _, h := range snapshot.Held {
		add(h.Pools, h.Runs, h.QueuedAt, h.Grant.GrantedAt, to)
	}
	for _, w := range snapshot.Waiting {
		add(w.Pools, w.Runs, w.QueuedAt, time.Time{}, to)
	}
	for _, limit := range slices.Sorted(maps.Keys(rows)) {
		s.Limits = append(s.Limits, *rows[limit])
	}
	return s
}

// spread adds an amount that was there from a moment to another to the means of the steps.
func (s *series) spread(means []float64, from, to time.Time, amount float64) {
	begin, end := max(0, from.Sub(s.From).Seconds()/s.Step), min(float64(len(means)), to.Sub(s.From).Seconds()/s.Step)
	for i := int(begin); i < len(means) && float64(i) < end; i++ {
		means[i] += amount * (min(end, float64(i+1)) - max(begin, float64(i)))
	}
}
