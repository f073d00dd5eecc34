//go:build linux

package wrapper

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"
)

// Whatever the wrapper is about when it is continued, it and its command go on.
func TestOneCONTIsEnough(t *testing.T) {
	b := newBench(t, limit(limitBinary(t)))
	p := b.start(b.L("sleep", "600"), ownGroup)
	var both []int
	b.eventually("the command runs", patience, func() bool { both = append(children(p.pid()), p.pid()); return len(both) == 2 })
	runs := func() bool { return !slices.ContainsFunc(both, stopped) }
	for i := range 200 {
		p.kill(syscall.SIGTSTP)
		b.eventually("the command is stopped", patience, func() bool { return stopped(both[0]) })
		delay := rand.N(2 * time.Millisecond)
		for end := time.Now().Add(delay); time.Now().Before(end); { // a sleep would be longer
		}
		p.kill(syscall.SIGCONT)
		time.Sleep(10 * time.Millisecond) // a stop that comes late is to come
		b.eventually(fmt.Sprintf("turn %d: both go on, continued %v after the command had stopped", i, delay), 2*time.Second, runs)
	}
	p.kill(syscall.SIGTERM)
	p.wait(patience)
	b.slotFree(5 * time.Second)
}

// TestADagThatIsContinuedBeforeItHasStoppedGoesOn: it stops its steps first, which takes a while.
func TestADagThatIsContinuedBeforeItHasStoppedGoesOn(t *testing.T) {
	b := newBench(t, limit(limitBinary(t)))
	b.write("steps.yaml", "steps: {one: {run: exec sleep 600}, two: {run: exec sleep 600}}\n", 0o600)
	p := b.start([]string{limitBinary(t), "--backend", "local:" + b.path("store"), "dag", "run", "--log-dir", b.path("runs"),
		b.path("steps.yaml")}, ownGroup)
	var all []int
	b.eventually("the steps run", patience, func() bool { all = append(children(p.pid()), p.pid()); return len(all) >= 3 })
	runs := func() bool { return !slices.ContainsFunc(all, stopped) }
	for i := range 100 {
		p.kill(syscall.SIGTSTP)
		delay := rand.N(10 * time.Millisecond)
		time.Sleep(delay)
		p.kill(syscall.SIGCONT)
		time.Sleep(30 * time.Millisecond) // a stop that comes late is to come
		b.eventually(fmt.Sprintf("turn %d: all go on, continued %v after the stop signal", i, delay), 2*time.Second, runs)
	}
	p.kill(syscall.SIGTSTP)
	b.eventually("all are stopped", patience, func() bool {
		return !slices.ContainsFunc(all, func(pid int) bool { return !stopped(pid) })
	})
	p.kill(syscall.SIGCONT)
	b.eventually("all go on", patience, runs)
	p.kill(syscall.SIGTERM)
	p.wait(patience)
}
