//go:build !slim

package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"limit/backend"
	"limit/config"
)

func TestChangesOfLimitsAreAsAsked(t *testing.T) {
	two := 2
	acme := "acme"
	base := backend.NewSettings()
	base.Pools = map[string]backend.Pool{"db": {Limit: 2}}
	base.DefaultLimit = &two
	base.TagLimits = []backend.TagLimit{{Key: "tenant", Value: &acme, Limit: 3}}
	for body, want := range map[string]string{
		`{"kind": "pool", "name": "db", "limit": 4}`:                    "pool:db 2 → 4",
		`{"kind": "pool", "name": "db", "limit": "unlimited"}`:          "pool:db 2 → unlimited",
		`{"kind": "pool", "name": "db", "limit": null}`:                 "pool:db 2 → default",
		`{"kind": "pool", "name": "new", "limit": 0}`:                   "pool:new default → 0",
		`{"kind": "pool", "name": "db", "rate": "10/1m"}`:               "pool:db 2 → 2 at 10/1m",
		`{"kind": "runs", "limit": 5}`:                                  "runs unlimited → 5",
		`{"kind": "default", "limit": 7}`:                               "default_limit 2 → 7",
		`{"kind": "default", "limit": null}`:                            "default_limit 2 → unset",
		`{"kind": "tag", "name": "tenant=acme", "limit": 1}`:            "tag:tenant=acme 3 → 1",
		`{"kind": "tag", "name": "tenant=acme", "limit": null}`:         "tag:tenant=acme 3 → none",
		`{"kind": "tag", "name": "team", "limit": 6}`:                   "tag:team none → 6",
		`{"kind": "pool", "name": "db", "paused": true}`:                "",
		`{"kind": "pool", "name": "a=b", "limit": 1}`:                   `error: pool "a=b"`,
		`{"kind": "pool", "name": "db", "limit": -1}`:                   "error: is not a limit",
		`{"kind": "pool", "name": "db", "limit": 1.5}`:                  "error: is not a limit",
		`{"kind": "pool", "name": "db", "limit": "many"}`:               "error: is not a limit",
		`{"kind": "pool", "name": "db", "rate": "often"}`:               "error: rate",
		`{"kind": "queue", "limit": 1}`:                                 "error: kind",
		`{"kind": "runs", "rate": "1/1m"}`:                              "error: only a pool has a rate",
		`{"kind": "tag", "name": "team", "paused": true}`:               "error: cannot be paused",
		`{"kind": "default", "paused": true}`:                           "error: cannot be paused",
		`{"kind": "tag", "name": "", "limit": 1}`:                       "error: ",
		`{"kind": "pool", "name": "", "limit": 1}`:                      "error: ",
		`{"kind": "pool", "name": "db", "limit": 1, "rate": "2/1s"}`:    "error: at least",
		`{"kind": "pool", "name": "db", "limit": 99999999999999999999}`: "error: is not a limit",
	} {
		var w wanted
		if err := json.Unmarshal([]byte(body), &w); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		after := base.Clone()
		got := ""
		if err := w.apply(&after); err != nil {
			got = "error: " + err.Error()
		} else {
			got = strings.Join(config.Diff(base, after), ", ")
		}
		if cause, failing := strings.CutPrefix(want, "error: "); failing {
			if !strings.HasPrefix(got, "error: ") || !strings.Contains(got, cause) {
				t.Errorf("%s: %q, want an error with %q", body, got, cause)
			}
		} else if got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func TestAPoolThatStrictSettingsDoNotKnowIsNotPaused(t *testing.T) {
	yes := true
	s := backend.NewSettings()
	s.Strict = true
	s.SetPool("known", backend.Pool{Limit: 1})
	if err := (wanted{Kind: "pool", Name: "unknown", Paused: &yes}).apply(&s); err == nil {
		t.Error("it is paused")
	}
	if err := (wanted{Kind: "pool", Name: "known", Paused: &yes}).apply(&s); err != nil ||
		s.PauseOf("pool:known") == nil {
		t.Errorf("one that they know is not: %v", err)
	}
}

func TestEffectsSayWhomAChangeConcerns(t *testing.T) {
	before := backend.NewSettings()
	before.Pools = map[string]backend.Pool{"db": {Limit: 2}}
	s := &backend.Snapshot{Settings: before,
		Usage: []backend.Usage{{Limit: "pool:db", Kind: backend.KindPool, Pool: "db", Capacity: 2, Used: 2,
			Waiting: 1}},
		Waiting: []backend.WaitingClaim{{Claim: backend.Claim{ID: "0123456789", Name: "big",
			Pools: map[string]int{"db": 2}}}}}
	with := func(change func(*backend.Settings)) backend.Settings {
		after := before.Clone()
		change(&after)
		return after
	}
	limit := func(n int) func(*backend.Settings) {
		return func(s *backend.Settings) { s.Pools["db"] = backend.Pool{Limit: n} }
	}
	for about, c := range map[string]struct {
		after backend.Settings
		want  string
	}{
		"raised":  {with(limit(3)), "1 claim waits for pool:db"},
		"lowered": {with(limit(1)), "01234567 big asks 2 of pool:db and is refused"},
		"full":    {with(limit(1)), "nobody is stopped"},
		"paused": {with(func(s *backend.Settings) {
			s.Paused = map[string]backend.Pause{"pool:db": {By: "me", At: time.Now()}}
		}), "2 held slots go on"},
		"as it is": {before, "nothing changes"},
	} {
		if lines := effects(s, c.after); !slices.ContainsFunc(lines,
			func(l string) bool { return strings.Contains(l, c.want) }) {
			t.Errorf("%s: %q lacks %q", about, lines, c.want)
		}
	}
}

func TestASeriesHasTheMeanOfEachStep(t *testing.T) {
	now := time.Now()
	ago := func(s float64) time.Time { return now.Add(-time.Duration(s * float64(time.Second))) }
	pasts := []backend.Past{{Pools: map[string]int{"db": 2}, Granted: true, Waited: 10 * time.Second,
		Held: 15 * time.Second, Ended: ago(10)}}
	s := &backend.Snapshot{Settings: backend.NewSettings(),
		Waiting: []backend.WaitingClaim{{Claim: backend.Claim{Pools: map[string]int{"db": 1}, QueuedAt: ago(5)}}}}
	got := newSeries(pasts, s, ago(40), now, 4)
	if got.Step != 10 || len(got.Limits) != 1 || got.Limits[0].Name != "pool:db" {
		t.Fatalf("the series is %+v", got)
	}
	for i, want := range []float64{0, 1, 2, 0} {
		if used := got.Limits[0].Used[i]; used < want-0.01 || used > want+0.01 {
			t.Errorf("step %d has the use %v, want %v", i, used, want)
		}
	}
	for i, want := range []float64{0.5, 0.5, 0, 0.5} {
		if waiting := got.Limits[0].Waiting[i]; waiting < want-0.01 || waiting > want+0.01 {
			t.Errorf("step %d has %v waiting, want %v", i, waiting, want)
		}
	}
}
