package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one row: medians of both, and the median of the ratios pair by pair.
type result struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	A     float64 `json:"limit"`
	B     float64 `json:"peer"`
	Peer  string  `json:"against"`
	Ratio float64 `json:"ratio"`
	Least float64 `json:"ratio_min"`
	Most  float64 `json:"ratio_max"`
	Aim   float64 `json:"aim"`
	Runs  int     `json:"pairs"`
}

func newResult(c benchCase, a, b []float64) result {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return result{
		Name: c.name, Unit: c.unit, A: median(a), B: median(b), Peer: c.peer, Ratio: median(ratios),
		Least: slices.Min(ratios), Most: slices.Max(ratios), Aim: c.aim, Runs: len(a),
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[len(sorted)/2] + sorted[(len(sorted)-1)/2]) / 2
}

func show(results []result) {
	fmt.Println(machine())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WORK\tAGAINST\tLIMIT\tPEER\tUNIT\tRATIO\tMIN\tMAX\tAIM\tPAIRS")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%s\t%.3g\t%.3g\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%d\n", r.Name, r.Peer, r.A, r.B, r.Unit,
			r.Ratio, r.Least, r.Most, r.Aim, r.Runs)
	}
	w.Flush()
}

// The table of README stands between these lines.
const (
	tableBegins = "<!-- the table of scripts/bench.sh --readme integration/bench/README.md begins -->\n"
	tableEnds   = "<!-- it ends -->\n"
)

// writeReadme puts the results in place of the table in a file, with what they were measured on; "" for none.
func writeReadme(file string, results []result) error {
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(data), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the table: it should have the lines\n%s%s", file, tableBegins, tableEnds)
	}
	return os.WriteFile(file, []byte(before+tableBegins+markdown(results)+tableEnds+after), 0o644)
}

// markdown is the table with what it was measured on and when.
func markdown(results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s\n\n", machine(), time.Now().Format("2 January 2006"))
	b.WriteString("| work | against | limit | peer | ratio | aim |\n|---|---|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %s | %s %s | %s %s | %.2f | %.4g |\n", r.Name, r.Peer, short(r.A), r.Unit, short(r.B),
			r.Unit, r.Ratio, r.Aim)
	}
	return b.String()
}

// short writes a number with three digits, or all that stand before the point.
func short(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// writeJSON writes the results to a file, "" for none.
func writeJSON(file string, results []result) error {
	if file == "" {
		return nil
	}
	data, err := json.MarshalIndent(map[string]any{"machine": machine(), "results": results}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// machine names what this was measured on.
func machine() string {
	kernel, _ := exec.Command("uname", "-sr").Output()
	model := "?"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
			}
		}
	}
	return fmt.Sprintf("%s, %d × %s, %s", strings.TrimSpace(string(kernel)), runtime.NumCPU(), model, runtime.Version())
}
