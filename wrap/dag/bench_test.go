package dag

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"limit/backend"
	"limit/backend/memory"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/report"
	"limit/wrap/dag/stepfile"
	"limit/wrap/process"
)

// BenchmarkRun runs dags of true: the cost of a step is that of starting a shell, and what is added to it.
func BenchmarkRun(b *testing.B) {
	for _, shape := range []string{"independent", "chain"} {
		b.Run(shape, func(b *testing.B) {
			const steps = 2000
			var text strings.Builder
			text.WriteString("steps:\n")
			for i := range steps {
				if shape == "chain" && i > 0 {
					fmt.Fprintf(&text, "  s%d: {run: 'true', needs: s%d}\n", i, i-1)
					continue
				}
				fmt.Fprintf(&text, "  s%d: 'true'\n", i)
			}
			supervisor, err := process.NewSupervisor(nil)
			if err != nil {
				b.Fatal(err)
			}
			defer supervisor.Close()
			for b.Loop() {
				f, _, err := stepfile.Parse(filepath.Join(b.TempDir(), "f.yaml"), []byte(text.String()), stepfile.Options{})
				if err != nil {
					b.Fatal(err)
				}
				r := journal.NewRun(f)
				r.ID, r.Started, r.Max = backend.NewID(), time.Now(), 2
				w, err := journal.Create(b.TempDir(), r, f.Source, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				out := wrap.NewOutlet(io.Discard)
				run := &Run{File: f, Backend: memory.NewSpace().Open(), Supervisor: supervisor, Messages: wrap.NewMessages(io.Discard, wrap.Normal),
					Plan: plan.Options{MaxConcurrent: 2}, Record: r, Journal: w, Claim: backend.Claim{ID: r.ID, RunID: r.ID, Runs: 1}, Env: os.Environ(),
					Console: &report.Console{Out: out, Output: report.Group, Progress: report.Plain, Run: r}}
				if exit, err := run.Do(context.Background()); err != nil || exit.Code != 0 {
					b.Fatal(exit, err)
				}
				w.Close()
				out.Close(time.Minute, nil)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*steps), "µs/step")
		})
	}
}
