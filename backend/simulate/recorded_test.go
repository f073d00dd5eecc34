package simulate

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"
	"time"

	"limit/backend"
)

// recorded is the history of real commands, and the limits under which they ran: testdata/record.sh makes it anew.
func recorded(t testing.TB) ([]backend.Past, backend.Settings) {
	f, err := os.Open("testdata/recorded.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var history struct {
		Ended []struct {
			backend.Past
			Waited    float64    `json:"waited"`
			Held      float64    `json:"held"`
			GrantedAt *time.Time `json:"granted_at"`
			EndedAt   time.Time  `json:"ended_at"`
		}
	}
	if err := json.NewDecoder(unpacked).Decode(&history); err != nil {
		t.Fatal(err)
	}
	var pasts []backend.Past
	for _, row := range history.Ended {
		p := row.Past
		p.Granted, p.Ended = row.GrantedAt != nil, row.EndedAt
		p.Waited, p.Held = time.Duration(row.Waited*float64(time.Second)), time.Duration(row.Held*float64(time.Second))
		pasts = append(pasts, p)
	}
	data := "data"
	s := limits("pool:database", 4, "pool:api", 3, "pool:disk", backend.Unlimited, "runs", 8)
	SetRate(&s, "api", backend.Rate{Slots: 8, Period: 2 * time.Second})
	s.TagLimits = []backend.TagLimit{{Key: "tenant", PerValue: true, Limit: 1}, {Key: "team", Value: &data, Limit: 3}}
	return pasts, s
}

func TestAReplayOfRecordedCommandsReproducesTheMeasuredWaits(t *testing.T) {
	pasts, settings := recorded(t)
	if len(pasts) < 2000 {
		t.Fatalf("only %d claims were recorded", len(pasts))
	}
	r := Compare(NewWork(pasts, Options{}), settings, nil)
	a := r.Accuracy
	text := func(w Waits) []time.Duration {
		return []time.Duration{time.Duration(w.Median), time.Duration(w.P95), time.Duration(w.Longest), time.Duration(w.Sum)}
	}
	t.Logf("median, 95%%, longest, sum: measured %v, replayed %v; hand-over %v; left %d; %s",
		text(a.Measured), text(r.Now.Waited), time.Duration(a.Handover), r.Now.Left, r.Advice)
	if a.Median > 0.05 || a.P95 > 0.05 {
		t.Errorf("the replay is off by %.1f%% in the median and %.1f%% in the 95th percentile", 100*a.Median, 100*a.P95)
	}
	if a.Measured.Median < Seconds(100*time.Millisecond) {
		t.Errorf("the median wait is %v: what was recorded shows nothing", time.Duration(a.Measured.Median))
	}
}
