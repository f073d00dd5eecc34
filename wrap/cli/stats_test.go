package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"limit/backend"
)

func TestStatsCountWhatTheHistoryAndTheHoldersSay(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	past := func(endedAgo, waited, held time.Duration, slots int) backend.Past {
		return backend.Past{Pools: map[string]int{"db": slots}, Runs: 1, Granted: held > 0, Waited: waited, Held: held, Ended: now.Add(-endedAgo)}
	}
	snapshot := &backend.Snapshot{Settings: backend.NewSettings(), Held: []backend.HeldClaim{{Claim: backend.Claim{
		Pools: map[string]int{"db": 1}, Grant: &backend.Grant{GrantedAt: now.Add(-50 * time.Second)}}}}}
	snapshot.Settings.Pools = map[string]backend.Pool{"db": {Limit: 2}}
	st := newStats([]backend.Past{
		past(50*time.Second, time.Second, 50*time.Second, 2), // -100 to -50, both slots
		past(10*time.Second, 3*time.Second, 40*time.Second, 1),
		past(5*time.Second, 9*time.Second, 0, 1), // left
	}, snapshot, now)
	got, err := json.Marshal(st.Limits)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"limit":"pool:db","capacity":2,"ended":3,"left":1,"waited":{"median":3,"p95":9,"longest":9},"held":{"median":40,"p95":50,"longest":50},"peak":2,"mean":1.9,"busy":0.95},` +
		`{"limit":"runs","capacity":null,"ended":3,"left":1,"waited":{"median":3,"p95":9,"longest":9},"held":{"median":40,"p95":50,"longest":50},"peak":1,"mean":0.9,"busy":null}]`
	if string(got) != want {
		t.Errorf(" got %s\nwant %s", got, want)
	}
	var b strings.Builder
	if err := writeStats(&b, st, 80); err != nil {
		t.Fatal(err)
	}
	text := "3 claims have ended within 1m40s; WAIT and HOLD are medians\n" +
		"LIMIT    OF  ENDED  LEFT  WAIT   95%   MAX  HOLD  95%  MAX  BUSY\n" +
		"pool:db   2      3     1  3.0s  9.0s  9.0s   40s  50s  50s   95%\n" +
		"runs      -      3     1  3.0s  9.0s  9.0s   40s  50s  50s     -\n"
	if b.String() != text {
		t.Errorf("got\n%s\nwant\n%s", b.String(), text)
	}
}

func TestQuantilesAreValuesThatOccurred(t *testing.T) {
	var values []time.Duration
	for i := 100; i > 0; i-- {
		values = append(values, time.Duration(i))
	}
	if q := quantilesOf(values); q != (quantiles{50, 95, 100}) {
		t.Errorf("of 1 to 100: %+v", q)
	}
	if q := quantilesOf([]time.Duration{7}); q != (quantiles{7, 7, 7}) {
		t.Errorf("of 7: %+v", q)
	}
	if q := quantilesOf(nil); q != (quantiles{}) {
		t.Errorf("of nothing: %+v", q)
	}
}

func TestBriefDurationsTakeFiveCharactersAtMost(t *testing.T) {
	for d := time.Duration(1); d < 9999*time.Hour; d += d/7 + 1 {
		if s := brief(seconds(d)); len(s) > 5 {
			t.Errorf("%s is %q", d, s)
		}
	}
}
