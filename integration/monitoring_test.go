package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The alerts do what they say, and the queries of the dashboard can be asked; both of metrics that there are.
func TestAlertsAndDashboardAreOfMetricsThatThereAre(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "db", "1", "--rate", "5/1m")
	metrics := w.must("metrics")
	alerts, dashboard := w.must("serve", "--print", "alerts"), w.must("serve", "--print", "dashboard")
	for _, name := range regexp.MustCompile(`limit_[a-z_]+`).FindAllString(alerts+dashboard, -1) {
		if !strings.Contains(metrics, "# TYPE "+name+" gauge\n") {
			t.Errorf("there is no metric %s", name)
		}
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(dashboard), &board); err != nil {
		t.Fatal(err)
	}
	rules := "groups:\n  - name: dashboard\n    rules:\n"
	for i, p := range board.Panels {
		for j, target := range p.Targets {
			rules += fmt.Sprintf("      - {record: 'panel:%d:%d', expr: %q}\n", i, j,
				strings.ReplaceAll(target.Expr, "$namespace", ".*"))
		}
	}
	if n := strings.Count(rules, "record"); n < 10 {
		t.Fatalf("the dashboard has %d queries", n)
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("SKIPPED: no promtool here; apt-get install prometheus")
	}
	if err := os.WriteFile(filepath.Join(w.dir, "dashboard.yaml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	tests, err := filepath.Abs("../wrap/serve/monitoring/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", filepath.Join(w.dir, "dashboard.yaml")},
		{"test", "rules", tests}} {
		if said, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, said)
		}
	}
	if r := w.limit("serve", "--print", "x"); r.code != 125 || !strings.Contains(r.stderr, "dashboard, alerts") {
		t.Errorf("--print x exits %d: %s", r.code, r.stderr)
	}
}
