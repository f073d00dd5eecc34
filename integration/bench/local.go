package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// localCases compare limit run on the embedded store with the locks and queues of one machine.
func localCases() []benchCase {
	limit := []string{"limit", "run", "--pool", "p", "--", "/bin/true"}
	return []benchCase{
		{
			name: "uncontended, embedded", peer: "flock", unit: "ms", aim: 2, tools: []string{"flock"}, pairs: 200,
			a: milliseconds(limit...), b: milliseconds("flock", "lock", "/bin/true"),
		},
		{
			name: "uncontended, embedded", peer: "sem --fg", unit: "ms", aim: 0.04, tools: []string{"sem"}, pairs: 10,
			a: milliseconds(limit...), b: milliseconds("sem", "--fg", "--id", "limit-bench", "/bin/true"),
		},
		{
			name: "200 at once, one slot, embedded", peer: "flock", unit: "ms", aim: 3, tools: []string{"flock"},
			pairs: 7,
			a:     atOnce(limit...), b: atOnce("flock", "lock", "/bin/true"),
		},
		{
			name: "200 at once, one slot, embedded", peer: "tsp -nf", unit: "ms", aim: 1, tools: []string{"tsp"},
			pairs: 7,
			a:     atOnce(limit...), b: spooled,
		},
		{
			name: "400 × 20 ms, four at once, embedded", peer: "xargs -P4", unit: "ms", aim: 1.2,
			tools: []string{"xargs"}, pairs: 3,
			a: fanOut("8", "limit", "run", "-q", "--pool", "four", "--"), b: fanOut("4"),
		},
	}
}

// milliseconds times one call.
func milliseconds(args ...string) measurement {
	return func(b *bench) (float64, error) {
		cmd := b.command(args...)
		begun := time.Now()
		err := cmd.Run()
		return float64(time.Since(begun)) / 1e6, err
	}
}

// atOnce times 200 calls that start together, until all are done.
func atOnce(args ...string) measurement {
	return func(b *bench) (float64, error) {
		calls := 200
		if b.smoke {
			calls = 8
		}
		var group sync.WaitGroup
		errors := make(chan error, calls)
		begun := time.Now()
		for range calls {
			group.Go(func() { errors <- b.command(args...).Run() })
		}
		group.Wait()
		took := time.Since(begun)
		close(errors)
		for err := range errors {
			if err != nil {
				return 0, err
			}
		}
		return float64(took) / 1e6, nil
	}
}

// spooled times 200 jobs of task-spooler that are waited for; its server is running before and ends after.
func spooled(b *bench) (float64, error) {
	if err := b.command("tsp", "-nf", "/bin/true").Run(); err != nil {
		return 0, err
	}
	defer b.command("tsp", "-K").Run()
	return atOnce("tsp", "-nf", "/bin/true")(b)
}

// fanOut times xargs with so many processes over 400 commands of 20 ms behind a prefix.
func fanOut(processes string, prefix ...string) measurement {
	return func(b *bench) (float64, error) {
		calls := 400
		if b.smoke {
			calls = 20
		}
		if len(prefix) > 0 {
			path, err := b.find(prefix[0])
			if err != nil {
				return 0, err
			}
			prefix = append([]string{path}, prefix[1:]...)
		}
		args := append([]string{"xargs", "-P", processes, "-I{}"}, prefix...)
		cmd := b.command(append(args, "sleep", "0.02")...)
		cmd.Stdin = strings.NewReader(strings.Repeat("x\n", calls))
		begun := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("xargs: %w: %.300s", err, out)
		}
		return float64(time.Since(begun)) / 1e6, nil
	}
}
