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

// bench is one run of the benchmarks.
type bench struct {
	limit string
	dir   string
	smoke bool
}

// benchCase is one row: what is measured for limit, and for its peer.
type benchCase struct {
	name  string
	peer  string
	unit  string
	aim   float64  // the ratio that is aimed at
	tools []string // what must be installed
	pairs int      // in a full run
	a, b  func(b *bench) (float64, error)
}

func (c benchCase) missing() string {
	for _, tool := range c.tools {
		if _, err := exec.LookPath(tool); err != nil {
			return tool
		}
	}
	return ""
}

// measure runs both in turn, after one run of each that does not count.
func (c benchCase) measure(b *bench) (result, error) {
	pairs := c.pairs
	if b.smoke {
		pairs = 2
	}
	var as, bs []float64
	for i := -1; i < pairs; i++ {
		one, err := c.a(b)
		if err != nil {
			return result{}, fmt.Errorf("limit: %w", err)
		}
		other, err := c.b(b)
		if err != nil {
			return result{}, fmt.Errorf("%s: %w", c.peer, err)
		}
		if i >= 0 {
			as, bs = append(as, one), append(bs, other)
		}
	}
	return newResult(c, as, bs), nil
}

func cases() []benchCase { return append(storeCases(), dagCases()...) }

// storeCases compare limit run with other locks.
func storeCases() []benchCase {
	return []benchCase{
		{
			name: "uncontended, embedded", peer: "flock", unit: "ms", aim: 2, tools: []string{"flock"}, pairs: 200,
			a: milliseconds("limit", "run", "--pool", "p", "--", "/bin/true"),
			b: milliseconds("flock", "lock", "/bin/true"),
		},
		{
			name: "uncontended, embedded", peer: "sem --fg", unit: "ms", aim: 0.04, tools: []string{"sem"}, pairs: 10,
			a: milliseconds("limit", "run", "--pool", "p", "--", "/bin/true"),
			b: milliseconds("sem", "--fg", "--id", "limit-bench", "/bin/true"),
		},
		{
			name: "200 at once, one slot, embedded", peer: "flock", unit: "ms", aim: 3, tools: []string{"flock"}, pairs: 7,
			a: atOnce("limit", "run", "--pool", "p", "--", "/bin/true"),
			b: atOnce("flock", "lock", "/bin/true"),
		},
		{
			name: "hand-over at 1,000 waiting", peer: "limit at 10 waiting", unit: "ms", aim: 1.2, pairs: 5,
			a: handOver(1000), b: handOver(10),
		},
		{
			name: "resident set, waiting", peer: "16 MiB", unit: "MiB", aim: 1, pairs: 3,
			a: residentWaiting, b: func(*bench) (float64, error) { return 16, nil },
		},
		{
			name: "resident set, running", peer: "16 MiB", unit: "MiB", aim: 1, pairs: 3,
			a: residentRunning, b: func(*bench) (float64, error) { return 16, nil },
		},
	}
}

// command prepares a call; "limit" is the binary measured, with a store of its own.
func (b *bench) command(args ...string) *exec.Cmd {
	if args[0] == "limit" {
		args = append([]string{b.limit}, args[1:]...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "LIMIT_BACKEND=local:"+filepath.Join(b.dir, "store"), "PARALLEL_HOME="+b.dir)
	return cmd
}

// milliseconds times one call.
func milliseconds(args ...string) func(*bench) (float64, error) {
	return func(b *bench) (float64, error) {
		cmd := b.command(args...)
		begun := time.Now()
		err := cmd.Run()
		return float64(time.Since(begun)) / 1e6, err
	}
}

// atOnce times 200 calls that start together, until all are done.
func atOnce(args ...string) func(*bench) (float64, error) {
	return func(b *bench) (float64, error) {
		calls := 200
		if b.smoke {
			calls = 20
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

// handOver queues so many commands behind one and lets them pass one by one. It returns the median time from one command's
// start to that of the next, of the first ten: as each does next to nothing, that is a release, a hand-over and a start.
func handOver(waiting int) func(*bench) (float64, error) {
	return func(b *bench) (float64, error) {
		queued := waiting
		if b.smoke {
			queued = min(waiting, 20)
		}
		log := filepath.Join(b.dir, "hand-over")
		os.Remove(log)
		gate := filepath.Join(b.dir, "gate")
		os.Remove(gate)
		if err := syscall.Mkfifo(gate, 0o600); err != nil {
			return 0, err
		}
		clock := func(args ...string) *exec.Cmd {
			return b.command(append([]string{"limit", "run", "-q", "--pool", "hand-over", "--"}, args...)...)
		}
		holder := clock("cat", gate)
		if err := holder.Start(); err != nil {
			return 0, err
		}
		if err := b.untilHeld(holder.Process.Pid); err != nil {
			return 0, err
		}
		var group sync.WaitGroup
		group.Go(func() { holder.Wait() })
		for range queued {
			cmd := clock(b.self(), "stamp", log)
			if err := cmd.Start(); err != nil {
				return 0, err
			}
			group.Go(func() { cmd.Wait() })
		}
		if err := b.untilWaiting("hand-over", queued); err != nil {
			return 0, err
		}
		if err := os.WriteFile(gate, nil, 0); err != nil {
			return 0, err
		}
		group.Wait()
		return gaps(log, 10)
	}
}

// gaps is the median time between the first so many hand-overs in a log of starts and ends.
func gaps(log string, first int) (float64, error) {
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
	for i := 1; i < len(stamps) && len(taken) < first; i++ {
		taken = append(taken, float64(stamps[i]-stamps[i-1])/1e6)
	}
	if len(taken) == 0 {
		return 0, fmt.Errorf("no hand-over was seen in %s", log)
	}
	return median(taken), nil
}

func (b *bench) self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err) // there is /proc on every machine this runs on
	}
	return path
}

// untilWaiting waits until so many wait for a pool.
func (b *bench) untilWaiting(pool string, n int) error {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, err := b.command("limit", "status", "--json", pool).Output()
		if err != nil {
			return err
		}
		if bytes.Contains(out, fmt.Appendf(nil, `"waiting":%d,"rate"`, n)) {
			return nil
		}
	}
	return fmt.Errorf("%d never waited for %s", n, pool)
}

func residentRunning(b *bench) (float64, error) { return resident(b, false) }
func residentWaiting(b *bench) (float64, error) { return resident(b, true) }

// resident is the resident set of a wrapper, in MiB, while its command runs or while it waits.
func resident(b *bench, waiting bool) (float64, error) {
	holder := b.command("limit", "run", "-q", "--pool", "resident", "--", "sleep", "60")
	if err := holder.Start(); err != nil {
		return 0, err
	}
	defer end(holder)
	if err := b.untilHeld(holder.Process.Pid); err != nil {
		return 0, err
	}
	measured := holder
	if waiting {
		measured = b.command("limit", "run", "-q", "--pool", "resident", "--", "true")
		if err := measured.Start(); err != nil {
			return 0, err
		}
		defer end(measured)
		if err := b.untilWaiting("resident", 1); err != nil {
			return 0, err
		}
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", measured.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	kilobytes, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kilobytes / 1024, err
}

func (b *bench) untilHeld(pid int) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		out, err := b.command("limit", "status", "--json").Output()
		if err != nil {
			return err
		}
		if bytes.Contains(out, fmt.Appendf(nil, `"pid":%d,`, pid)) {
			return nil
		}
	}
	return fmt.Errorf("pid %d never held its slot", pid)
}

func end(cmd *exec.Cmd) {
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
}
