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
	p := b.start(b.L("sh", "-c", tellsPID("one")), ownGroup)
	both := []int{b.pidOf("one"), p.pid()}
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
	b.write("steps.yaml", "steps: {one: {run: '"+tellsPID("one")+"'}, two: {run: '"+tellsPID("two")+"'}}\n", 0o600)
	p := b.start(b.dag(), ownGroup)
	all := []int{b.pidOf("one"), b.pidOf("two"), p.pid()}
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

// tellsPID is a command of the shell that writes its pid into a file, and sleeps.
func tellsPID(name string) string { return "echo $$ >" + name + "; exec sleep 600" }

// pidOf waits for a command of tellsPID to run. A look at the children of limit could find a witness of signals that
// has not got its name yet.
func (b *bench) pidOf(name string) (pid int) {
	b.Helper()
	b.eventually(name+" runs", patience, func() bool {
		_, err := fmt.Sscanf(b.read(name), "%d\n", &pid)
		return err == nil
	})
	return pid
}
