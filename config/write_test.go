package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"limit/backend"
	"limit/config/grammar"
)

func TestSettingsAreWrittenAsABlockThatReadsBack(t *testing.T) {
	want := `concurrency:
  pools:
    default_limit: 5
    strict: true
    granularity: run
    limits:
      "1": 1
      api: {limit: 4, rate: 10/1m}
      burst: {rate: 5/1m}
      database: 2
      free: unlimited
  runs:
    max_concurrent_runs: 10
    tag_concurrency_limits:
      - {key: dagster/backfill, limit: 3}
      - {key: tenant, value: acme, limit: 1}
      - {key: tenant, value: {applyLimitPerUniqueValue: true}, limit: 2}
      - {key: tenant, limit: 7}
  reserve_after: 1m
  hide_commands: true
  history_entries: 100
`
	if got := string(Marshal(wholeSettings())); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, s := range []backend.Settings{wholeSettings(), backend.NewSettings(), {MaxRuns: 0}, strange()} {
		c, err := Parse("f", "/", Marshal(s))
		if err != nil || !reflect.DeepEqual(c.Settings, s) {
			t.Errorf("%s reads back as %+v, %v", Marshal(s), c, err)
		}
	}
}

// strange are settings whose names YAML would take for something else.
func strange() backend.Settings {
	s := backend.Settings{MaxRuns: backend.Unlimited, Pools: map[string]backend.Pool{}}
	for _, name := range []string{"true", "No", "null", "~", "<<", "-", "- a", "a: b", "#", "a #b", "é", "日本", "\u2028", "\ufeff", "\U000e0001",
		"1e3", ".inf", "0x1", "'", `"`, `\`, "a\\", "*a", "&a", "!a", "%", "@", "`", " ", " a", "a ", "{", "a,b", "a]", "|", ">", "?", "=", "😀", "a\u00a0b"} {
		if grammar.PoolFault(name) == "" {
			s.Pools[name] = backend.Pool{Limit: 1}
		}
		s.TagLimits = append(s.TagLimits, backend.TagLimit{Key: "k", Value: ptr(name), Limit: 1})
	}
	return s
}

func TestADifferenceIsToldALineEach(t *testing.T) {
	none := backend.NewSettings()
	for _, c := range []struct {
		old, new backend.Settings
		want     string
	}{
		{none, none, ""},
		{wholeSettings(), wholeSettings(), ""},
		{none, backend.Settings{MaxRuns: backend.Unlimited, Granularity: backend.GranularityOp, ReserveAfter: backend.DefaultReserveAfter}, ""},
		{backend.Settings{TagLimits: []backend.TagLimit{{Key: "a", Limit: 1}, {Key: "b", Limit: 1}}},
			backend.Settings{TagLimits: []backend.TagLimit{{Key: "b", Limit: 1}, {Key: "a", Limit: 1}}}, ""},
		{backend.Settings{Pools: map[string]backend.Pool{"database": {Limit: 1}, "old": {Limit: 3}}},
			backend.Settings{Pools: map[string]backend.Pool{"database": {Limit: 2}}}, "pool:database 1 → 2\npool:old 3 → default"},
		{none, backend.Settings{MaxRuns: backend.Unlimited, Paused: map[string]backend.Pause{"pool:p": {By: "ann"}}}, ""},
		{none, wholeSettings(), `default_limit unset → 5
strict false → true
granularity op → run
pool:1 default → 1
pool:api default → 4 at 10/1m
pool:burst default → unlimited at 5/1m
pool:database default → 2
pool:free default → unlimited
runs unlimited → 10
tag:dagster/backfill none → 3
tag:tenant none → 7
tag:tenant (each value) none → 2
tag:tenant=acme none → 1
reserve_after 5m → 1m
hide_commands false → true
history_entries default → 100`},
		{backend.Settings{MaxRuns: 1, ReserveAfter: time.Hour, HistoryEntries: 5}, backend.Settings{MaxRuns: 0}, "runs 1 → 0\nreserve_after 1h → 5m\nhistory_entries 5 → default"},
	} {
		if got := strings.Join(Diff(c.old, c.new), "\n"); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
}
