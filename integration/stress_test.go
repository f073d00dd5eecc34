package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"limit/integration/children"
)

func TestAThousandAtOncePassAPoolOfFive(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "5")
	var group sync.WaitGroup
	failures := make(chan string, 1000)
	for range 1000 {
		cmd := w.command("run", "--pool", "p", "--", "true")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		group.Go(func() {
			if err := cmd.Run(); err != nil {
				failures <- fmt.Sprintf("%v: %s", err, stderr.String())
			}
		})
	}
	group.Wait()
	close(failures)
	for failure := range failures {
		t.Error(failure)
	}
	s := w.status()
	expect(t, "used", s.Pools[0].Used, 0)
	expect(t, "waiting", s.Pools[0].Waiting, 0)
}

// Wrappers, commands, and both are killed at random moments of 200 of 300 runs. The record of those commands that could
// write one is swept: a killed command has no end, so the time of its death is taken from the next look at /proc.
func TestKillingAtRandomLeaksNothingAndNeverGoesOverTheLimit(t *testing.T) {
	const runs, kills, limit = 300, 200, 4
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t)
	w.must("pool", "set", "p", strconv.Itoa(limit))
	locks := filepath.Join(w.dir, "locks")
	if err := os.Mkdir(locks, 0o700); err != nil {
		t.Fatal(err)
	}
	// Each command takes one of as many flocks as there are slots: if the limit is exceeded, one of them finds its
	// slot's lock taken. It is one process all the time, so that none of its own outlives it with the lock.
	const overlap = 99
	script := fmt.Sprintf(`exec flock -n -F -E %d "$0/$LIMIT_SLOT_P" sleep 0.0$1`, overlap)
	var group sync.WaitGroup
	var overlaps atomic.Int32
	gate := make(chan struct{}, 40)
	for i := range runs {
		gate <- struct{}{}
		cmd := w.command("run", "--pool", "p", "--", "sh", "-c", script, locks, strconv.Itoa(random.IntN(10)))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var kill func()
		if i < kills {
			delay := time.Duration(random.IntN(60)) * time.Millisecond
			victim := random.IntN(3)
			kill = func() { killAfter(delay, victim, cmd.Process.Pid) }
		}
		group.Go(func() {
			if kill != nil {
				kill()
			}
			cmd.Wait()
			if cmd.ProcessState.ExitCode() == overlap {
				overlaps.Add(1)
			}
			<-gate
		})
	}
	group.Wait()
	w.until("all slots are free", func() bool {
		s := w.status()
		return len(s.Held) == 0 && len(s.Waiting) == 0
	})
	if n := overlaps.Load(); n > 0 {
		t.Errorf("%d commands found another in their slot", n)
	}
	// The last one sees an idle pool, and what the dead have left is gone after it.
	w.must("run", "--pool", fmt.Sprintf("p=%d", limit), "--if-busy", "fail", "--", "true")
}

// killAfter kills a wrapper (0), its command (1), or both at once (2).
func killAfter(delay time.Duration, victim, pid int) {
	time.Sleep(delay)
	switch victim {
	case 0:
		syscall.Kill(pid, syscall.SIGKILL)
	case 1:
		if child := childOf(pid); child > 0 {
			syscall.Kill(child, syscall.SIGKILL)
		}
	default:
		syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// childOf returns the pid of a child, or 0.
func childOf(pid int) int {
	for _, child := range children.Of(pid) {
		return child
	}
	return 0
}

// killBoth kills a wrapper that holds a slot and its command, as one of kill(2)'s pids alone: 0 would be this test
// itself.
func (w *world) killBoth(wrapper int) {
	w.t.Helper()
	command := childOf(wrapper)
	if wrapper <= 1 || command <= 1 {
		w.t.Fatalf("wrapper %d has the command %d", wrapper, command)
	}
	syscall.Kill(wrapper, syscall.SIGKILL)
	syscall.Kill(command, syscall.SIGKILL)
}

func TestASlotIsFreeWhenTheLastProcessOfTheClaimIsGone(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	orphan := w.hold("orphan", "--pool", "p")
	next := w.queue("next", "--pool", "p")
	if err := orphan.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-orphan.done
	w.until("the claim is shown as orphaned", func() bool { return w.status().Held[0].Orphaned })
	expectNames(t, "who runs", w.running(), "orphan")
	expectNames(t, "who waits while the command lives", w.waiting(), "next")
	w.release("orphan")
	next.finish(0)
	w.sweep(1)
}

func TestAKilledCommandFreesTheSlotAtOnceForThoseWhoWait(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	w.hold("both", "--pool", "p")
	next := w.queue("next", "--pool", "p")
	w.killBoth(w.status().Held[0].PID)
	w.until("the next runs", func() bool { return len(w.order()) == 2 })
	next.finish(0)
}

// The waiter that watches for deaths is killed together with the holder: somebody else notices both.
func TestWaitersAreWokenWhenTheirWatcherDies(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	w.hold("holder", "--pool", "p")
	var queue []*started
	for i := range 5 {
		queue = append(queue, w.queue(fmt.Sprintf("w%d", i), "--pool", "p"))
	}
	holder := w.status().Held[0].PID
	for _, victim := range []*exec.Cmd{queue[4].cmd, queue[0].cmd, queue[2].cmd} {
		victim.Process.Kill()
	}
	w.killBoth(holder)
	queue[1].finish(0)
	queue[3].finish(0)
	expectNames(t, "the order of starts", w.order(), "holder", "w1", "w3")
}
