package config

import (
	"strings"
	"testing"
	"time"

	"limit/backend"
)

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
