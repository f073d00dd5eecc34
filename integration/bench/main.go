// Bench times limit against its peers, each pair side by side in one run: A B A B …, so that a machine whose
// speed drifts slows both. It prints medians and the median of the ratios, as a table and as JSON.
//
// Run it by scripts/bench.sh, which builds what it needs.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "stamp" {
		if err := stamp(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	limit := flag.String("limit", "", "the binary to measure")
	smoke := flag.Bool("smoke", false, "few and small runs: that it works, not how fast")
	only := flag.String("only", "", "cases whose name contains this")
	asJSON := flag.String("json", "", "write the results to this file too")
	flag.Parse()
	dir, err := os.MkdirTemp("", "limit-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{limit: *limit, dir: dir, smoke: *smoke}
	var results []result
	for _, c := range cases() {
		if !strings.Contains(c.name, *only) {
			continue
		}
		if missing := c.missing(); missing != "" {
			fmt.Fprintf(os.Stderr, "bench: %s: %s is not installed, left out\n", c.name, missing)
			if os.Getenv("CI") != "" {
				return fmt.Errorf("%s is not installed, though CI installs everything", missing)
			}
			continue
		}
		r, err := c.measure(b)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %s: %.2f\n", c.name, r.Ratio)
		results = append(results, r)
	}
	show(results)
	if *asJSON == "" {
		return nil
	}
	data, err := json.MarshalIndent(map[string]any{"machine": machine(), "results": results}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*asJSON, append(data, '\n'), 0o644)
}

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
		fmt.Fprintf(w, "%s\t%s\t%.3g\t%.3g\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%d\n", r.Name, r.Peer, r.A, r.B, r.Unit, r.Ratio, r.Least, r.Most, r.Aim, r.Runs)
	}
	w.Flush()
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
