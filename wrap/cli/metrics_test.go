package cli

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"limit/backend"
)

// The grammar of OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec), of what gauges need.
const (
	omName   = `[a-zA-Z_:][a-zA-Z0-9_:]*`
	omEscape = `(?:[^\n"\\]|\\["\\n])*`
	omLabels = `(?:\{(?:[a-zA-Z_][a-zA-Z0-9_]*="` + omEscape + `"(?:,[a-zA-Z_][a-zA-Z0-9_]*="` + omEscape + `")*)?\})?`
	omNumber = `[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?`
)

// checkOpenMetrics fails for a text that the grammar does not produce, or whose families are interleaved or lack their
// type.
func checkOpenMetrics(t *testing.T, text string) {
	t.Helper()
	descriptor := regexp.MustCompile(`^# (TYPE (` + omName + `) gauge|UNIT (` + omName + `) seconds|HELP (` + omName + `) ` + omEscape + `)$`)
	sample := regexp.MustCompile(`^(` + omName + `)` + omLabels + ` ` + omNumber + `$`)
	body, ended := strings.CutSuffix(text, "# EOF\n")
	if !ended {
		t.Fatalf("it does not end with # EOF:\n%s", text)
	}
	family, seen, samples := "", map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(body) {
		line, whole := strings.CutSuffix(line, "\n")
		name := ""
		switch d, s := descriptor.FindStringSubmatch(line), sample.FindStringSubmatch(line); {
		case !whole:
		case d != nil && d[2] != "":
			if family = d[2]; seen[family] {
				t.Errorf("family %s comes twice", family)
			}
			seen[family], name = true, family
		case d != nil:
			name = d[3] + d[4]
		case s != nil:
			name = s[1]
			key := line[:strings.LastIndexByte(line, ' ')]
			if samples[key] {
				t.Errorf("sample %s comes twice", key)
			}
			samples[key] = true
		}
		if name == "" || name != family {
			t.Errorf("line %q is not of the grammar, or not of the family %q", line, family)
		}
	}
}

func snapshotForMetrics() *backend.Snapshot {
	value := "ac\"me\\\n\xff"
	s := &backend.Snapshot{Settings: backend.NewSettings()}
	s.Settings.Pools = map[string]backend.Pool{"db": {Limit: 2, Rate: &backend.Rate{Slots: 10, Period: time.Minute}}}
	s.Usage = []backend.Usage{
		{Limit: "pool:db", Kind: backend.KindPool, Pool: "db", Capacity: 2, Used: 1, Waiting: 3, Started: 4},
		{Limit: "runs", Kind: backend.KindRuns, Capacity: backend.Unlimited, Used: 1},
		{Limit: "tag:tenant=x", Kind: backend.KindTag, Tag: backend.TagLimit{Key: "tenant", Value: &value}, Capacity: 5},
	}
	now := time.Unix(1_700_000_000, 0)
	s.Held = []backend.HeldClaim{{Claim: backend.Claim{Grant: &backend.Grant{GrantedAt: now.Add(-90 * time.Second)}}, Orphaned: true}}
	s.Waiting = []backend.WaitingClaim{{Claim: backend.Claim{QueuedAt: now.Add(-1500 * time.Millisecond)}}}
	return s
}

func TestMetricsAreOpenMetrics(t *testing.T) {
	text := metricsText(snapshotForMetrics(), "default", time.Unix(1_700_000_000, 0))
	checkOpenMetrics(t, text)
	for _, line := range []string{
		`limit_up{namespace="default"} 1`,
		`limit_slots{namespace="default",kind="pool",pool="db"} 2`,
		`limit_slots_used{namespace="default",kind="runs"} 1`,
		`limit_waiting{namespace="default",kind="pool",pool="db"} 3`,
		`limit_slots{namespace="default",kind="tag",key="tenant",value="ac\"me\\\n` + "\uFFFD" + `"} 5`,
		`limit_rate_started{namespace="default",kind="pool",pool="db"} 4`,
		`limit_claims_orphaned{namespace="default"} 1`,
		`limit_longest_hold_seconds{namespace="default"} 90`,
		`limit_longest_wait_seconds{namespace="default"} 1.5`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no line %s in\n%s", line, text)
		}
	}
	if strings.Contains(text, `limit_slots{namespace="default",kind="runs"}`) {
		t.Errorf("the unlimited run queue has a number of slots:\n%s", text)
	}
}

func TestAPortAloneIsOfLoopback(t *testing.T) {
	for given, want := range map[string]string{"9100": "127.0.0.1:9100", ":9100": "127.0.0.1:9100",
		"0.0.0.0:1": "0.0.0.0:1", "[::1]:2": "[::1]:2", "h:3": "h:3"} {
		if got, err := listenAddress(given); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", given, got, err, want)
		}
	}
	for _, bad := range []string{"", "::1:9100", "host:", ":"} {
		if got, err := listenAddress(bad); err == nil {
			t.Errorf("%q is taken for %q", bad, got)
		}
	}
}
