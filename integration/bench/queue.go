package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// queueCases look at commands that wait on the embedded store: how fast a slot is handed on, and what a waiter takes.
func queueCases() []benchCase {
	return []benchCase{
		{
			name: "hand-over and start, 1,000 waiting, embedded", peer: "10 waiting", unit: "ms", aim: 1.2, pairs: 5,
			a: handOver(1000), b: handOver(10),
		},
		{
			name: "hand-over without the start, 1,000 waiting, embedded", peer: "1 ms", unit: "ms", aim: 1, pairs: 5,
			a: overStart(handOver(1000)), b: constant(1),
		},
		{
			name: "resident set, waiting, embedded", peer: "16 MiB", unit: "MiB", aim: 1, pairs: 3,
			a: resident(1, withKeeper), b: constant(16),
		},
		{
			name: "resident set, running, embedded", peer: "16 MiB", unit: "MiB", aim: 1, pairs: 3,
			a: resident(0, withKeeper), b: constant(16),
		},
	}
}

// handOvers is how many are measured: the first, while nearly all still wait.
const handOvers = 10

// handOver queues so many commands behind one and lets them pass one by one. It returns the median time from one
// command's start to that of the next, of the first: as each does next to nothing, that is a release, a hand-over and a
// start.
func handOver(waiting int) measurement {
	return func(b *bench) (float64, error) {
		queued := waiting
		if b.smoke {
			queued = min(waiting, 8)
		}
		log, gate := filepath.Join(b.dir, "hand-over"), filepath.Join(b.dir, "gate")
		os.Remove(log)
		os.Remove(gate)
		if err := syscall.Mkfifo(gate, 0o600); err != nil {
			return 0, err
		}
		var group sync.WaitGroup
		start := func(args ...string) (*exec.Cmd, error) {
			cmd := b.command(append([]string{"limit", "run", "-q", "--pool", "hand-over", "--"}, args...)...)
			if err := cmd.Start(); err != nil {
				return nil, err
			}
			group.Go(func() { cmd.Wait() })
			return cmd, nil
		}
		holder, err := start("cat", gate)
		if err == nil {
			err = b.untilHeld(holder.Process.Pid)
		}
		for i := 0; i < queued && err == nil; i++ {
			_, err = start(b.stamp, log)
		}
		if err == nil {
			err = b.untilWaiting("hand-over", queued)
		}
		if err := os.WriteFile(gate, nil, 0); err != nil {
			return 0, err
		}
		group.Wait()
		if err != nil {
			return 0, err
		}
		return gaps(log)
	}
}

// overStart takes from a hand-over what the command's start takes by itself, measured right after it.
func overStart(handOver measurement) measurement {
	return func(b *bench) (float64, error) {
		whole, err := handOver(b)
		if err != nil {
			return 0, err
		}
		start, err := startCost(b)
		return max(0, whole-start), err
	}
}

// startCost is the median time from one start of the command to the next when they follow each other without limit.
func startCost(b *bench) (float64, error) {
	log := filepath.Join(b.dir, "starts")
	os.Remove(log)
	for range handOvers + 1 {
		if err := b.command("stamp", log).Run(); err != nil {
			return 0, err
		}
	}
	return gaps(log)
}

// gaps is the median time between the first stamps of a log, in milliseconds.
func gaps(log string) (float64, error) {
	data, err := os.ReadFile(log)
	if err != nil {
		return 0, err
	}
	var stamps []int64
	for field := range strings.FieldsSeq(string(data)) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		stamps = append(stamps, n)
	}
	var taken []float64
	for i := 1; i < len(stamps) && len(taken) < handOvers; i++ {
		taken = append(taken, float64(stamps[i]-stamps[i-1])/1e6)
	}
	if len(taken) == 0 {
		return 0, fmt.Errorf("no hand-over was seen in %s", log)
	}
	return median(taken), nil
}

// untilWaiting waits until so many wait for a pool.
func (b *bench) untilWaiting(pool string, n int) error {
	return b.until(fmt.Sprintf("%d never waited for %s", n, pool), fmt.Sprintf(`"waiting":%d,"rate"`, n), pool)
}

// untilHeld waits until a process holds its slot.
func (b *bench) untilHeld(pid int) error {
	return b.until(fmt.Sprintf("pid %d never held its slot", pid), fmt.Sprintf(`"pid":%d,`, pid))
}

// until waits until the status has a text.
func (b *bench) until(never, text string, of ...string) error {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, err := b.command(append([]string{"limit", "status", "--json"}, of...)...).Output()
		if err != nil {
			return err
		}
		if bytes.Contains(out, []byte(text)) {
			return nil
		}
	}
	return fmt.Errorf("%s", never)
}
