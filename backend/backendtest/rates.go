package backendtest

import (
	"errors"
	"time"

	"limit/backend"
)

// period is the shortest that a rate can have.
const period = backend.MinRatePeriod

// rates is starts within a period.
func rates() []testCase {
	return []testCase{
		{"a rate admits so many slots' worth of starts in any period", rateWindow},
		{"a limit and a rate hold both", rateAndLimit},
		{"a rate that is changed counts what started before, by the period in force", rateChanged},
		{"a start that stood aside at once counts in no rate", rateAside},
		{"a claim for more than a rate ever admits fails at once", rateImpossible},
	}
}

func (k *kit) rate(pool string, limit, slots int) {
	k.Helper()
	k.set(func(s *backend.Settings) {
		s.Pools[pool] = backend.Pool{Limit: limit, Rate: &backend.Rate{Slots: slots, Period: period}}
	})
}

// rateWindow: as the claimant sees it, grant n and grant n+3 are a period apart, measured from before the grant to
// after it.
func rateWindow(k *kit) {
	k.rate("p", backend.Unlimited, 3)
	var asked, granted []time.Time
	for range 7 {
		asked = append(asked, time.Now())
		k.enter(pool("p", 1)).holds().release()
		granted = append(granted, time.Now())
	}
	for i := 3; i < len(asked); i++ {
		if apart := granted[i].Sub(asked[i-3]); apart < period {
			k.Errorf("starts %d and %d are %s apart, want at least %s", i-3, i, apart, period)
		}
	}
	if all := granted[6].Sub(asked[0]); all > 2*period+patience/2 {
		k.Errorf("seven starts at three in %s took %s", period, all)
	}
	if blocks := k.refuses(pool("p", 3)); blocks[0].Why != backend.WhyRate || blocks[0].Capacity != 3 {
		k.Errorf("blocks %+v, want the rate of 3", blocks)
	}
}

// rateChanged: longer, then longer still, then shorter: each time the window is that of the rate in force, for starts
// of several slots too.
func rateChanged(k *kit) {
	set := func(p time.Duration) {
		k.set(func(s *backend.Settings) {
			s.Pools["p"] = backend.Pool{Limit: backend.Unlimited, Rate: &backend.Rate{Slots: 2, Period: p}}
		})
	}
	set(period)
	began := time.Now()
	k.enter(pool("p", 2)).holds().release()
	set(2 * period)
	set(3 * period)
	second := k.enter(pool("p", 2)).waits()
	set(20 * period)
	set(4 * period)
	second.holds()
	if waited := time.Since(began); waited < 4*period || waited > 4*period+patience/4 {
		k.Errorf("the second start came after %s, want %s", waited, 4*period)
	}
}

func rateAndLimit(k *kit) {
	k.rate("p", 1, 2)
	first := k.enter(pool("p", 1)).holds()
	if blocks := k.refuses(pool("p", 1)); blocks[0].Why != backend.WhyFull {
		k.Fatalf("blocks %+v, want full", blocks)
	}
	first.release()
	began := time.Now()
	k.enter(pool("p", 1)).holds().release()
	third := k.enter(pool("p", 1)).waits().holds()
	if waited := time.Since(began); waited > period+patience/2 {
		k.Errorf("the rate let go after %s, want %s", waited, period)
	}
	third.release()
}

func rateAside(k *kit) {
	k.rate("p", backend.Unlimited, 1)
	first := k.enter(pool("p", 1)).holds()
	if err := first.Yield(k.ctx); err != nil {
		k.Fatal(err)
	}
	k.enter(pool("p", 1)).holds()
	k.refuses(pool("p", 1))
}

func rateImpossible(k *kit) {
	k.rate("p", backend.Unlimited, 2)
	_, err := k.b.Enter(k.ctx, claim(pool("p", 3)), backend.EnterOptions{})
	var never *backend.ImpossibleError
	if !errors.As(err, &never) || never.Rate == nil || never.Asked != 3 {
		k.Fatalf("error %v (%+v), want that the rate never admits 3", err, never)
	}
}
