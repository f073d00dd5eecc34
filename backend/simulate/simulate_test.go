package simulate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"limit/backend"
)

var began = time.Unix(1_700_000_000, 0)

// past is a claim for pools such as "db=2 api", which came at a second, waited and held so many.
func past(came, waited, held float64, pools string) backend.Past {
	d := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	p := backend.Past{Pools: map[string]int{}, Runs: 1, Granted: held >= 0, Waited: d(waited), Held: d(max(held, 0))}
	p.Ended = began.Add(d(came) + p.Waited + p.Held)
	for _, text := range strings.Fields(pools) {
		name, slots := text, 1
		if before, after, weighted := strings.Cut(text, "="); weighted {
			name = before
			fmt.Sscan(after, &slots)
		}
		p.Pools[name] = slots
	}
	return p
}

func limits(pools ...any) backend.Settings {
	s := backend.NewSettings()
	for i := 0; i < len(pools); i += 2 {
		Set(&s, pools[i].(string), pools[i+1].(int))
	}
	return s
}

func TestAReplayFollowsTheRule(t *testing.T) {
	three := []backend.Past{past(0, 0, 10, "db"), past(1, 9, 10, "db"), past(2, 18, 10, "db")}
	urgent := []backend.Past{past(0, 0, 10, "db"), past(1, 19, 10, "db"), past(2, 8, 10, "db")}
	urgent[2].Priority = 5
	tagged := []backend.Past{past(0, 0, 10, ""), past(0, 0, 10, ""), past(0, 0, 10, "")}
	for i, tenant := range []string{"acme", "acme", "globex"} {
		tagged[i].Tags = map[string]string{"tenant": tenant}
	}
	rated := backend.NewSettings()
	SetRate(&rated, "api", backend.Rate{Slots: 2, Period: 10 * time.Second})
	perValue := backend.NewSettings()
	perValue.TagLimits = []backend.TagLimit{{Key: "tenant", PerValue: true, Limit: 1}}
	for _, c := range []struct {
		name     string
		pasts    []backend.Past
		settings backend.Settings
		waits    string // in seconds, in the order of arrival
		ended    float64
	}{
		{"one at a time", three, limits("pool:db", 1), "0 9 18", 30},
		{"two at a time", three, limits("pool:db", 2), "0 0 8", 20},
		{"three at a time", three, limits("pool:db", 3), "0 0 0", 12},
		{"one run at a time", three, limits("pool:db", 3, "runs", 1), "0 9 18", 30},
		{"the urgent one first", urgent, limits("pool:db", 1), "0 19 8", 30},
		{"a large one is not passed", []backend.Past{past(0, 0, 10, "db"), past(1, 9, 10, "db=2"), past(2, 18, 1, "db")}, limits("pool:db", 2), "0 9 18", 21},
		{"who left stood in line until then", []backend.Past{past(0, 0, 10, "db"), past(1, 4, -1, "db=2"), past(2, 0, 2, "db")}, limits("pool:db", 2), "0 4 3", 10},
		{"who left and fits runs as long as the median", []backend.Past{past(0, 0, 10, "db"), past(1, 4, -1, "db"), past(2, 0, 2, "db")}, limits("pool:db", 2), "0 0 1", 10},
		{"a rate", []backend.Past{past(0, 0, 1, "api"), past(1, 0, 1, "api"), past(2, 0, 1, "api"), past(3, 0, 1, "api")}, rated, "0 0 8 8", 12},
		{"a tag limit of each value", tagged, perValue, "0 10 0", 20},
		{"a tag limit of a value", tagged, limits("tag:tenant=acme", 1), "0 10 0", 20},
		{"a tag limit of all values", tagged, limits("tag:tenant", 1), "0 10 20", 30},
		{"what was paused lets in", three, func() backend.Settings {
			s := limits("pool:db", 3)
			s.Paused = map[string]backend.Pause{"pool:db": {}}
			return s
		}(), "0 0 0", 12},
	} {
		r := NewWork(c.pasts, Options{}).run(c.settings, nil)
		var waits []string
		for _, st := range r.stands {
			end := st.granted
			if st.phase == left {
				end = st.ended
			}
			waits = append(waits, fmt.Sprint((end - st.queued).Seconds()))
		}
		res := r.result()
		if got := strings.Join(waits, " "); got != c.waits || res.LastEnded.Sub(began).Seconds() != c.ended {
			t.Errorf("%s: waits %s, the last ended at %v; want %s and %v", c.name, got, res.LastEnded.Sub(began), c.waits, c.ended)
		}
	}
}

func TestAClaimWithinAnotherComesAsLongAfterItsGrant(t *testing.T) {
	step := past(15, 0, 5, "db")
	step.RunID, step.Runs = "run", 0
	run := past(5, 5, 20, "")
	run.ID, run.RunID = "run", "run"
	work := NewWork([]backend.Past{past(0, 0, 10, ""), run, step}, Options{})
	for _, c := range []struct {
		runs int
		want time.Duration
	}{{1, 15 * time.Second}, {2, 10 * time.Second}} {
		r := work.run(limits("runs", c.runs, "pool:db", 1), nil)
		if got := r.stands[2].queued; got != c.want {
			t.Errorf("with %d runs at once the step came at %v, want %v", c.runs, got, c.want)
		}
	}
}

func TestClaimsThatCanNeverStartAreCounted(t *testing.T) {
	work := NewWork([]backend.Past{past(0, 0, 1, "db"), past(0, 0, 1, "db=3"), past(5, 0, 1, "api")}, Options{})
	if r := work.Replay(limits("pool:db", 2)); r.Refused != 1 || r.Claims != 3 || r.Stuck != 0 {
		t.Errorf("a limit of 2: %+v, want one of three refused", r)
	}
	if r := work.Replay(limits("pool:db", 0)); r.Stuck != 2 || r.Refused != 0 {
		t.Errorf("a limit of 0: %+v, want two that wait for ever", r)
	}
}

func TestOnlyWhatCameInTimeCountsAndWhatCameBeforeHoldsItsSlots(t *testing.T) {
	pasts := []backend.Past{past(0, 0, 10, "db"), past(5, 5, 10, "db"), past(6, 14, 10, "db")}
	r := NewWork(pasts, Options{From: began.Add(time.Second), Until: began.Add(5 * time.Second)}).Replay(limits("pool:db", 1))
	if r.Claims != 1 || r.Waited.Longest != Seconds(5*time.Second) {
		t.Errorf("%d claims count, the longest wait is %v; want 1 and 5s", r.Claims, time.Duration(r.Waited.Longest))
	}
}

func TestQuantilesAreValuesThatOccurred(t *testing.T) {
	var values []time.Duration
	for i := 100; i > 0; i-- {
		values = append(values, time.Duration(i))
	}
	if q := QuantilesOf(values); q != (Quantiles{50, 95, 100}) {
		t.Errorf("of 1 to 100: %+v", q)
	}
	if q := QuantilesOf([]time.Duration{7}); q != (Quantiles{7, 7, 7}) {
		t.Errorf("of 7: %+v", q)
	}
	if q := QuantilesOf(nil); q != (Quantiles{}) {
		t.Errorf("of nothing: %+v", q)
	}
}

// burst is so many claims of 10 s for two pools, one a second.
func burst(n int) []backend.Past {
	var pasts []backend.Past
	for i := range n {
		pasts = append(pasts, past(float64(i), 0, 10, "db api"))
	}
	return pasts
}

func TestTheAdviceNamesWhatEndsTheWaitingAndWhatBindsThen(t *testing.T) {
	sweep := func(now backend.Settings, limit string, from, to int) []Variant {
		var variants []Variant
		for n := from; n <= to; n++ {
			s := now.Clone()
			Set(&s, limit, n)
			variants = append(variants, Variant{fmt.Sprintf("%s 2 → %d", limit, n), s})
		}
		return variants
	}
	now := limits("pool:db", 2, "pool:api", 100, "runs", 5)
	for _, c := range []struct {
		name     string
		pasts    []backend.Past
		now      backend.Settings
		variants []Variant
		want     string
	}{
		{"a sweep", burst(100), now, sweep(now, "pool:db", 1, 8), "db 2 → 5 ends 76% of the waiting; beyond 5 nothing changes; then runs binds"},
		{"no variant", burst(100), now, nil, "db 2 → 5 ends 76% of the waiting; beyond 5 nothing changes; then runs binds"},
		{"one that is too little", burst(100), now, sweep(now, "pool:db", 3, 3), "db 2 → 3 ends 42% of the waiting; more of it would end more"},
		{"more of what does not bind", burst(100), now, sweep(now, "pool:api", 200, 200), "api 2 → 200 changes nothing: db binds"},
		{"less", burst(100), now, sweep(now, "pool:db", 1, 1), "db 2 → 1 adds 6h55m50s to 5h26m40s of waiting"},
		{"enough of all", burst(100), limits("pool:db", 2, "pool:api", 100), nil, "db 2 → 10 ends all of the waiting; beyond 10 nothing changes; then nobody waits"},
		{"nobody waits", burst(100), limits("pool:db", 100, "pool:api", 100), nil, "nobody waits with the limits of now: raising one would gain nothing"},
		{"two that bind together", burst(100), limits("pool:db", 2, "pool:api", 2), nil, "no limit alone ends any of the waiting worth telling: api, db bind together"},
		{"none", nil, now, nil, "no claim was remembered"},
		{"nothing starts", burst(10), now, sweep(now, "pool:db", 0, 0), "db 2 → 0 keeps 10 of 10 claims waiting for ever"},
	} {
		if got := Compare(NewWork(c.pasts, Options{}), c.now, c.variants).Advice; got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// random is work of so many claims of all kinds, and limits of all kinds.
func random(r *rand.Rand, n int) ([]backend.Past, backend.Settings) {
	s := limits("pool:a", 1+r.IntN(6), "pool:b", 1+r.IntN(6), "runs", 2+r.IntN(10), "tag:t=x", 1+r.IntN(3))
	s.TagLimits = append(s.TagLimits, backend.TagLimit{Key: "u", PerValue: true, Limit: 1 + r.IntN(3)})
	SetRate(&s, "c", backend.Rate{Slots: 1 + r.IntN(9), Period: 10 * time.Second})
	var pasts []backend.Past
	for range n {
		pools := ""
		for _, name := range []string{"a", "b", "c"} {
			if r.IntN(3) == 0 {
				pools += fmt.Sprintf("%s=%d ", name, 1+r.IntN(3))
			}
		}
		held := r.ExpFloat64() * 5
		if r.IntN(20) == 0 {
			held = -1
		}
		p := past(r.Float64()*float64(n), r.Float64()*20, held, pools)
		p.Priority = int32(r.IntN(4) / 3)
		switch r.IntN(3) {
		case 0:
			p.Tags = map[string]string{"t": []string{"x", "y"}[r.IntN(2)]}
		case 1:
			p.Tags = map[string]string{"u": fmt.Sprint(r.IntN(3))}
		}
		pasts = append(pasts, p)
	}
	return pasts, s
}

func FuzzAReplayExceedsNoLimitAndWithoutLimitsNobodyWaits(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		pasts, settings := random(rand.New(rand.NewPCG(seed, 1)), 200)
		work := NewWork(pasts, Options{})
		run := work.run(settings, nil)
		res := run.result()
		for _, u := range res.Limits {
			if u.Capacity != nil && u.Rate == "" && u.Peak > *u.Capacity {
				t.Errorf("seed %d: %s held %d of %d", seed, u.Limit, u.Peak, *u.Capacity)
			}
			if u.used != 0 {
				t.Errorf("seed %d: %d slots of %s were not given back", seed, u.used, u.Limit)
			}
		}
		if res.Claims != len(pasts) || res.Stuck != 0 {
			t.Errorf("seed %d: %d of %d claims, %d stuck", seed, res.Claims, len(pasts), res.Stuck)
		}
		rated := settings.Pools["c"].Rate
		for i, st := range run.stands {
			starts := 0
			for j, other := range run.stands {
				if st.phase == done && other.phase == done && other.granted >= st.granted && other.granted < st.granted+rated.Period {
					starts += run.pasts[j].Pools["c"]
				}
			}
			if starts > rated.Slots && run.pasts[i].Pools["c"] > 0 {
				t.Errorf("seed %d: %d starts of c within %v, more than %d", seed, starts, rated.Period, rated.Slots)
			}
		}
		free := backend.NewSettings()
		unlimited := backend.Unlimited
		free.DefaultLimit = &unlimited
		if r := work.Replay(free); r.Waited.Sum != 0 || r.Left+r.Refused+r.Stuck != 0 {
			t.Errorf("seed %d: without limits %v was waited", seed, time.Duration(r.Waited.Sum))
		}
	})
}

// BenchmarkReplay is one replay of 100,000 claims.
func BenchmarkReplay(b *testing.B) {
	pasts, settings := random(rand.New(rand.NewPCG(1, 1)), 100_000)
	work := NewWork(pasts, Options{})
	var r *Result
	for b.Loop() {
		r = work.Replay(settings)
	}
	b.ReportMetric(time.Duration(r.Waited.Median).Seconds(), "median-wait-s")
	b.ReportMetric(float64(r.Left), "left")
}
