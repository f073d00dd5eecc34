package etcd

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"limit/backend/etcd/keeper"
)

func TestAClockFarOffIsSpokenOf(t *testing.T) {
	for _, c := range []struct {
		off  time.Duration
		told string
	}{{0, ""}, {2 * time.Second, ""}, {time.Hour, "1h0m0s apart"}, {-10 * time.Minute, "10m0s apart"}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(c.off).UTC().Format(http.TimeFormat))
		}))
		ahead, ends := overHTTP(t.Context(), server.URL, nil)
		server.Close()
		if (ahead-c.off).Abs() > 2*time.Second || !ends.IsZero() {
			t.Errorf("a clock %s ahead is taken for %s ahead, certificate until %s", c.off, ahead, ends)
		}
		problems := problemsOf(keeper.Member{Endpoint: "h", Version: "3.7.3", ClockAhead: ahead.Round(time.Minute)})
		if (c.told == "") != (len(problems) == 0) || c.told != "" && !strings.Contains(problems[0].Fact, c.told) {
			t.Errorf("a clock %s ahead: %+v, want %q", c.off, problems, c.told)
		}
	}
}

func TestCertificatesAreSpokenOfBeforeTheyEnd(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		left  time.Duration
		told  string
		fatal bool
	}{{365 * 24 * time.Hour, "", false}, {15 * 24 * time.Hour, "", false}, {48 * time.Hour, "c ends on 2026-11-26, in 48h0m0s", false}, {-48 * time.Hour, "c ended on 2026-11-22", true}} {
		problems := certificateProblems("c", now.Add(c.left), now)
		if c.told == "" {
			if len(problems) > 0 {
				t.Errorf("%s before its end: %+v", c.left, problems)
			}
			continue
		}
		if len(problems) != 1 || problems[0].Fact != c.told || problems[0].Fatal != c.fatal {
			t.Errorf("%s before its end: %+v, want %q", c.left, problems, c.told)
		}
	}
	if problems := certificateProblems("none", time.Time{}, now); len(problems) > 0 {
		t.Errorf("without TLS: %+v", problems)
	}
}
