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

func TestNoPeakIsAboveTheCapacityThenInForce(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(1_700_000_000+second), 0) }
	for _, c := range []struct {
		name  string
		stays []stay
		want  int
	}{
		{"one after the other", []stay{{at(0), at(5), 2, 2}, {at(5), at(9), 2, 2}}, 2},
		{"of hosts whose clocks differ", []stay{{at(0), at(5), 1, 2}, {at(0), at(6), 1, 2}, {at(4), at(9), 1, 2}}, 2},
		{"of a limit that was lowered", []stay{{at(0), at(5), 4, 4}, {at(7), at(9), 1, 1}}, 4},
		{"of a limit that was raised", []stay{{at(0), at(5), 1, 1}, {at(3), at(9), 3, 4}}, 4},
		{"of no limit, or an older version", []stay{{at(0), at(5), 1, 0}, {at(3), at(9), 7, 0}}, 8},
	} {
		if got := peak(c.stays); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestBriefDurationsTakeFiveCharactersAtMost(t *testing.T) {
	for d := time.Duration(1); d < 9999*time.Hour; d += d/7 + 1 {
		if s := brief(seconds(d)); len(s) > 5 {
			t.Errorf("%s is %q", d, s)
		}
	}
}
