package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

// dagCases compare limit dag with ninja and make on graphs of steps that do nothing, two at a time.
func dagCases() []benchCase {
	return []benchCase{
		{
			name: "dag, 10,000 independent true, -j2", peer: "ninja", unit: "s", aim: 1, tools: []string{"ninja"},
			pairs: 3,
			a:     graph(10000, false, "limit"), b: graph(10000, false, "ninja"),
		},
		{
			name: "dag, 10,000 independent true, -j2", peer: "make", unit: "s", aim: 1, tools: []string{"make"},
			pairs: 1,
			a:     graph(10000, false, "limit"), b: graph(10000, false, "make"),
		},
		{
			name: "dag, 1,000 true in a chain", peer: "ninja", unit: "s", aim: 1, tools: []string{"ninja"}, pairs: 3,
			a: graph(1000, true, "limit"), b: graph(1000, true, "ninja"),
		},
		{
			name: "dag, 10,000 true in a chain", peer: "ninja", unit: "s", aim: 1, tools: []string{"ninja"}, pairs: 1,
			a: graph(10000, true, "limit"), b: graph(10000, true, "ninja"),
		},
		{
			name: "dag, time of 100,000 steps", peer: "10,000 steps", unit: "s", aim: 12, pairs: 1,
			a: graph(100000, false, "limit"), b: graph(10000, false, "limit"),
		},
		{
			name: "dag, memory of 100,000 steps", peer: "10,000 steps", unit: "MiB", aim: 12, pairs: 1,
			a: graphMemory(100000), b: graphMemory(10000),
		},
		workflow("blast"),
		workflow("rnaseq"),
	}
}

// workflow compares the makespan of a real workflow, whose steps take milliseconds, with that of its plan simulated
// with the durations that were measured.
func workflow(name string) benchCase {
	var simulated float64
	run := func(b *bench) (float64, error) {
		runs := filepath.Join(b.dir, "runs")
		defer os.RemoveAll(runs)
		file, err := filepath.Abs(filepath.Join("wrap", "dag", "testdata", "workflows", name+".yaml"))
		if err != nil {
			return 0, err
		}
		cmd := b.command("limit", "dag", "run", file,
			"--output", "quiet", "--progress", "none", "--log-dir", runs)
		if output, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%s: %w: %.300s", name, err, output)
		}
		e, err := journal.Find(runs, "")
		if err != nil {
			return 0, err
		}
		var took float64
		took, simulated, err = makespans(e)
		return took, err
	}
	return benchCase{
		name: "dag, workflow " + name, peer: "its simulation", unit: "s", aim: 1.05, pairs: 5,
		a: run, b: func(*bench) (float64, error) { return simulated, nil },
	}
}

// makespans are those of a run and of its simulation, in seconds. Both stand on the times for which steps had their
// slots.
func makespans(e *journal.Entry) (took, simulated float64, err error) {
	durations := make([]time.Duration, len(e.Steps))
	first, last := time.Duration(math.MaxInt64), time.Duration(0)
	f := &stepfile.File{Executor: stepfile.Executor{MaxConcurrent: e.Max, TagLimits: e.TagLimits}}
	for i, s := range e.Steps {
		a := s.Last()
		durations[i] = a.End - a.Start
		first, last = min(first, a.Start), max(last, a.End)
		f.Steps = append(f.Steps, s.Step)
	}
	spans, _, err := plan.Simulate(f, plan.Options{MaxConcurrent: e.Max, TagLimits: e.TagLimits},
		plan.World{Durations: durations})
	for _, span := range spans {
		simulated = max(simulated, span.End.Seconds())
	}
	return (last - first).Seconds(), simulated, err
}

// graph times a run of so many steps, in a chain or independent, in seconds.
func graph(steps int, chain bool, tool string) measurement {
	return func(b *bench) (float64, error) {
		took, _, err := b.runGraph(steps, chain, tool)
		return took.Seconds(), err
	}
}

// graphMemory is the largest resident set of limit while it runs so many independent steps, in MiB.
func graphMemory(steps int) measurement {
	return func(b *bench) (float64, error) {
		_, kilobytes, err := b.runGraph(steps, false, "limit")
		return float64(kilobytes) / 1024, err
	}
}

func (b *bench) runGraph(steps int, chain bool, tool string) (took time.Duration, kilobytes int64, err error) {
	if b.smoke {
		steps /= 100
	}
	file := filepath.Join(b.dir, fmt.Sprintf("graph-%s-%d-%t", tool, steps, chain))
	if _, err := os.Stat(file); err != nil {
		if err := os.WriteFile(file, []byte(graphText(steps, chain, tool)), 0o600); err != nil {
			return 0, 0, err
		}
	}
	args := map[string][]string{
		"limit": {"limit", "dag", "run", file, "-j", "2", "--output", "failed", "--progress", "none", "--log-dir",
			filepath.Join(b.dir, "runs")},
		"ninja": {"ninja", "-j2", "-f", file, "--quiet"},
		"make":  {"make", "-s", "-j2", "-f", file},
	}[tool]
	cmd := b.command(args...)
	output := &strings.Builder{}
	cmd.Stderr = output
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("%s: %w: %.300s", tool, err, output)
	}
	took = time.Since(begun)
	os.RemoveAll(filepath.Join(b.dir, "runs"))
	return took, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss, nil
}

// graphText is the graph in the language of a tool. No target is ever made, so all run every time.
func graphText(steps int, chain bool, tool string) string {
	var b strings.Builder
	name := func(i int) string { return fmt.Sprintf("s%06d", i) }
	if tool == "ninja" {
		b.WriteString("rule t\n  command = true\n")
	}
	if tool == "limit" {
		b.WriteString("name: bench\nsteps:\n")
	}
	if tool == "make" {
		b.WriteString(".PHONY: all")
		for i := range steps {
			b.WriteString(" " + name(i))
		}
		b.WriteString("\nall:")
		for i := range steps {
			b.WriteString(" " + name(i))
		}
		b.WriteByte('\n')
	}
	for i := range steps {
		needs := ""
		if chain && i > 0 {
			needs = " " + name(i-1)
		}
		switch tool {
		case "ninja":
			fmt.Fprintf(&b, "build %s: t%s\n", name(i), needs)
		case "make":
			fmt.Fprintf(&b, "%s:%s\n\t/bin/sh -c true\n", name(i), needs)
		default:
			if needs != "" {
				needs = ", needs:" + needs
			}
			fmt.Fprintf(&b, "  %s: {run: \"true\"%s}\n", name(i), needs)
		}
	}
	return b.String()
}
