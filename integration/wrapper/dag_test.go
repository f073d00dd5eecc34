//go:build linux

package wrapper

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// ^Z stops a dag and its steps: who is ending then gives its slot back first. fg goes on with all of them.
func TestADagIsStoppedWithItsSteps(t *testing.T) {
	t.Parallel()
	b := newBench(t, limit(limitBinary(t)))
	b.write("steps.yaml", `executor: {max_concurrent: 3}
steps:
  long: {run: "echo $$ >long-pid; until test -e go; do sleep 0.05; done; exit 7", pool: q}
  short: {run: "test -e go || sleep 0.05", pool: p, matrix: {n: [`+countedTo(200)+`]}}
`, 0o600)
	term := dagAtTerminal(b)
	long := 0
	b.eventually("the long step runs", patience, func() bool {
		_, err := fmt.Sscan(b.read("long-pid"), &long)
		return err == nil
	})
	for range 3 {
		term.expect(`ok +short`)
		term.send(ctrlZ)
		term.expect(`Stopped`)
		term.prompt()
		b.eventually("the long step is stopped", patience, func() bool { return stopped(long) })
		wrappers := children(term.cmd.Process.Pid)
		short := func() bool {
			return slices.ContainsFunc(wrappers, func(pid int) bool {
				return slices.ContainsFunc(children(pid), func(step int) bool { return step != long && stopped(step) })
			})
		}
		if !short() {
			b.slotFree(5 * time.Second)
		}
		term.enter("fg")
	}
	if err := os.WriteFile(b.path("go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	term.expectWithin(3*patience, `201 steps, 200 succeeded, 1 failed`)
	term.prompt()
	term.code("1")
	b.slotFree(5 * time.Second)
}

// dagAtTerminal runs steps.yaml from a shell at a terminal.
func dagAtTerminal(b *bench) *terminal {
	b.Helper()
	term := b.shell()
	term.enter(quoted(append(b.w.argv(b)[:3:3], "dag", "run", "--progress", "plain", "--log-dir", b.path("runs"),
		"steps.yaml")))
	return term
}

// countedTo are those from 1, between commas.
func countedTo(n int) string {
	text := "1"
	for i := 2; i <= n; i++ {
		text += fmt.Sprintf(",%d", i)
	}
	return text
}

// The steps of a dag that is stopped are in sessions which no shell knows of: killed then, it leaves none stopped.
func TestADagThatIsKilledWhileItIsStoppedLeavesNoStepStopped(t *testing.T) {
	t.Parallel()
	b := newBench(t, limit(limitBinary(t)))
	b.write("steps.yaml", `executor: {max_concurrent: 2}
steps:
  one: {run: "echo $$ >one-pid; until test -e go; do sleep 0.05; done; echo >one-done", pool: p}
  two: {run: "echo $$ >two-pid; until test -e go; do sleep 0.05; done; echo >two-done", pool: q}
`, 0o600)
	term := dagAtTerminal(b)
	steps := map[string]int{"one": 0, "two": 0}
	for name := range steps {
		b.eventually(name+" runs", patience, func() bool {
			var pid int
			_, err := fmt.Sscan(b.read(name+"-pid"), &pid)
			steps[name] = pid
			return err == nil
		})
	}
	for range 2 { // to be continued is no end of that
		term.send(ctrlZ)
		term.expect(`Stopped`)
		term.prompt()
		for name, pid := range steps {
			b.eventually(name+" is stopped", patience, func() bool { return stopped(pid) })
		}
		term.enter("fg")
		for name, pid := range steps {
			b.eventually(name+" goes on", patience, func() bool { return !stopped(pid) })
		}
	}
	term.send(ctrlZ)
	term.expect(`Stopped`)
	term.prompt()
	term.enter("kill -9 %1")
	if err := os.WriteFile(b.path("go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name := range steps {
		b.eventually(name+" ends", patience, func() bool { return b.read(name+"-done") != "" })
	}
	b.slotFree(5 * time.Second)
}
