package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Looking and steering do the same on both stores.
func TestLookingAndSteeringOnBothStores(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.must("pool", "set", "db", "1")
		holder := w.hold("holder", "--pool", "db", "--tag", "team=data")
		first := w.queue("first", "--pool", "db")
		second := w.queue("second", "--pool", "db", "--priority", "-1")

		why := w.must("why", w.idOf("second")[:8])
		if !regexp.MustCompile(`second waits for \d+s, position 2, priority -1, asks db\n  pool:db: 1 of 1 used, full\n +[0-9a-f]{8}  holder holds db for \d+s, .*pid \d+\n`).MatchString(why) {
			t.Errorf("why says\n%s", why)
		}
		w.must("bump", w.idOf("second"), "5")
		expectNames(t, "the order after the bump", w.waiting(), "second", "first")
		if got := w.must("__complete", "--", "cancel", w.idOf("first")[:4]); !strings.Contains(got, "first waits at 2") {
			t.Errorf("the ids complete to %q", got)
		}
		metrics := w.must("metrics")
		for _, line := range []string{`kind="pool",pool="db"} 1`, "limit_claims_waiting{namespace=\"default\"} 2", "# EOF"} {
			if !strings.Contains(metrics, line+"\n") {
				t.Errorf("metrics lack %s:\n%s", line, metrics)
			}
		}
		w.must("cancel", w.idOf("first"), "--reason", "not needed")
		first.ends(75)
		if said := first.said(); !strings.Contains(said, "not needed") {
			t.Errorf("the cancelled one says %q", said)
		}
		holder.finish(0)
		second.finish(0)
		w.until("three ends are remembered", func() bool { return w.stats("db").Ended == 3 })
		if s := w.stats("db"); s.Left != 1 || s.Peak != 1 || s.Waited.Longest <= 0 || s.Held.Longest <= 0 {
			t.Errorf("stats are %+v", s)
		}
	})
}

type limitStats struct {
	Ended, Left, Peak int
	Waited, Held      struct{ Median, P95, Longest float64 }
}

func (w *world) stats(pool string) limitStats {
	w.t.Helper()
	var s struct {
		Limits []limitStats `json:"limits"`
	}
	if err := json.Unmarshal([]byte(w.must("stats", pool, "--json")), &s); err != nil {
		w.t.Fatal(err)
	}
	if len(s.Limits) != 1 {
		return limitStats{}
	}
	return s.Limits[0]
}

func TestMetricsAreServedUntilTERM(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("pool", "set", "db", "3")
	cmd := w.command("metrics", "--listen", "0")
	log, err := os.Create(filepath.Join(w.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	url := ""
	w.until("it says where", func() bool {
		said, _ := os.ReadFile(log.Name())
		url = regexp.MustCompile(`http://127\.0\.0\.1:\d+/metrics`).FindString(string(said))
		return url != ""
	})
	for range 3 {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(body), `limit_slots{namespace="default",kind="pool",pool="db"} 3`+"\n") {
			t.Errorf("served is %v\n%s", err, body)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end on TERM")
	}
	expect(t, "its exit status", status(cmd.ProcessState), 0)
}

// Who may only read a store sees all of it.
func TestVerbsThatLookWorkOnAReadOnlyStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	holder := w.hold("holder", "--pool", "p")
	waiter := w.queue("waiter", "--pool", "p")
	file := filepath.Join(w.dir, "other.yaml")
	if err := os.WriteFile(file, []byte("concurrency: {pools: {limits: {p: 2}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	readOnly := t.TempDir()
	if out, err := exec.Command("mount", "--bind", "-o", "ro", strings.TrimPrefix(w.store, "local:"), readOnly).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: nothing can be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", readOnly).Run() })
	for _, args := range [][]string{
		{"status"}, {"pool", "list"}, {"pool", "get", "p"}, {"stats"}, {"metrics"}, {"diff", file}, {"why", w.idOf("waiter")},
		{"history"}, {"namespaces"}, {"simulate", "--pool", "p=2"},
	} {
		if r := w.limit(append(args, "--backend", "local:"+readOnly)...); r.code != 0 && args[0] != "diff" || r.stdout == "" || r.stderr != "" {
			t.Errorf("limit %v: exit %d, %q", args, r.code, r.stderr)
		}
	}
	if r := w.limit("run", "--backend", "local:"+readOnly, "--pool", "p", "--", "true"); r.code != 125 || !strings.Contains(r.stderr, "read-only") {
		t.Errorf("limit run: exit %d, %q", r.code, r.stderr)
	}
	holder.finish(0)
	waiter.finish(0)
}
