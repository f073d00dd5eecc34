package simulate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"limit/backend"
)

// Variant is limits to try.
type Variant struct {
	Change   string // what is other than now: "pool:database 2 → 4"
	Settings backend.Settings
}

// Report is what was measured, what the limits in force do in a replay, and what others would do.
type Report struct {
	From     time.Time `json:"from"` // the first claim that counts
	Now      *Result   `json:"now"`  // the limits in force, replayed
	Accuracy Accuracy  `json:"accuracy"`
	Variants []*Result `json:"variants"`
	Advice   string    `json:"advice"`  // what is worth doing, one sentence
	Unknown  []string  `json:"unknown"` // what the replay cannot know
}

// Accuracy is how far the replay with the limits in force is off what was measured.
type Accuracy struct {
	Measured Waits   `json:"measured"`
	Median   float64 `json:"median"` // off by this part of what was measured
	P95      float64 `json:"p95"`
	Sum      float64 `json:"sum"`
	// from the end of a claim to the grant that followed it, found in the history and replayed
	Handover Seconds `json:"handover"`
}

// Compare replays the work with the limits in force and with each of the variants. Where there is none, it looks for
// the one that is worth doing.
func Compare(work *Work, now backend.Settings, variants []Variant) *Report {
	w := *work
	w.calibrate(now)
	r := &Report{From: w.first(), Now: w.Replay(now), Variants: []*Result{}, Unknown: w.unknown(now)}
	r.Accuracy = w.accuracy(r.Now.Waited)
	for _, v := range variants {
		res := w.Replay(v.Settings)
		res.Change = v.Change
		r.Variants = append(r.Variants, res)
	}
	if len(variants) == 0 {
		r.Variants = w.search(r.Now)
	}
	r.Advice = w.advice(r.Now, r.Variants, len(variants) == 0)
	return r
}

// noise is a difference of waits that no replay explains: what starting a process and writing a record take.
const noise = 10 * time.Millisecond

func (w *Work) accuracy(replayed Waits) Accuracy {
	m := w.Measured()
	off := func(replayed, measured Seconds) float64 {
		difference := time.Duration(replayed - measured).Abs()
		if difference <= noise {
			return 0
		}
		return difference.Seconds() / max(time.Duration(measured), noise).Seconds()
	}
	return Accuracy{
		Measured: m, Handover: Seconds(w.handover),
		Median: off(replayed.Median, m.Median), P95: off(replayed.P95, m.P95), Sum: off(replayed.Sum, m.Sum),
	}
}

func (w *Work) first() time.Time {
	if i := slices.Index(w.counted, true); i >= 0 {
		return w.pasts[i].Queued()
	}
	return w.origin
}

// unknown says what the replay of this work cannot know.
func (w *Work) unknown(now backend.Settings) []string {
	var left, nested int
	were := map[string]map[int]bool{}
	for i, p := range w.pasts {
		if !p.Granted {
			left++
		}
		if w.parents[i] >= 0 {
			nested++
		}
		for limit, capacity := range p.Of {
			if were[limit] == nil {
				were[limit] = map[int]bool{}
			}
			were[limit][capacity] = true
		}
	}
	var lines []string
	say := func(count int, format string, args ...any) {
		if count > 0 {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	say(left, "%d of the claims left without a slot: were they granted, they would run as long as the median of "+
		"their name", left)
	say(nested, "%d of the claims ran within others, whose times are kept though these would wait less", nested)
	for _, limit := range slices.Sorted(maps.Keys(were)) {
		now, limited := capacityOf(now, limit)
		if limited {
			were[limit][now] = true
		}
		values := slices.Sorted(maps.Keys(were[limit]))
		say(len(values)-1, "%s was not always %d: %s", short(limit), now, strings.Trim(fmt.Sprint(values), "[]"))
	}
	lines = append(lines, "work that was asked for later, or not at all, because of the wait; retries; priorities "+
		"before a bump")
	return append(lines, w.more...)
}

// Unknown adds what the owner of the history knows that it cannot know.
func (w *Work) Unknown(line string) { w.more = append(w.more, line) }

// capacityOf is the capacity of a limit; false where there is none.
func capacityOf(s backend.Settings, limit string) (int, bool) {
	pools := map[string]int{strings.TrimPrefix(limit, backend.StoreNames().Pool): 1}
	capacity, limited := s.Capacities(pools, 1)[limit]
	return capacity, limited
}

// short is a limit as people call it: a pool by its name.
func short(text string) string { return strings.TrimPrefix(text, backend.StoreNames().Pool) }
