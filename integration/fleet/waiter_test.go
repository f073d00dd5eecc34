package fleet

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"limit/integration/etcdtest"
)

// A waiter is granted while its wrapper is stopped, and then its keeper dies: the lease ends, and the slot is
// another's. Continued, the wrapper finds the grant among what it was told, and must not start its command.
func TestAWaiterThatWasStoppedDoesNotStartItsCommandUnderAClaimThatHasEnded(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	there := func(name string) func() int {
		return func() int {
			if _, err := os.Stat(file(name)); err != nil {
				return 0
			}
			return 1
		}
	}
	count := func(kind string) int {
		keys, err := c.Keys(c.Members[0], "/limit/1/"+namespace(t)+"/"+kind+"/")
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}
	holder := start(t, c.Direct(), "-c", "touch "+file("held")+"; while ! [ -e "+file("go")+" ]; do sleep 0.05; done")
	await(t, 10*time.Second, "the holder runs", there("held"))
	waiter := start(t, c.Direct(), "--events", file("events"), "-c", "true")
	await(t, 10*time.Second, "the waiter waits", func() int { return count("wait") })
	keeper := await(t, 10*time.Second, "there is a keeper", func() int { return childOf(waiter.Process.Pid, "__keeper") })
	syscall.Kill(waiter.Process.Pid, syscall.SIGSTOP)
	if err := os.WriteFile(file("go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	holder.wait(t, 10*time.Second)
	await(t, 10*time.Second, "the waiter is granted", func() int {
		if count("wait") > 0 {
			return 0
		}
		return count("slot")
	})
	<-time.After(500 * time.Millisecond) // the keeper hears of it, and tells the wrapper, which nobody can see
	syscall.Kill(keeper, syscall.SIGKILL)
	next := start(t, c.Direct(), "-c", "touch "+file("next")+"; while ! [ -e "+file("end")+" ]; do sleep 0.05; done")
	await(t, bound+5*time.Second, "the slot is another's", there("next"))
	syscall.Kill(waiter.Process.Pid, syscall.SIGCONT)
	code := waiter.wait(t, 10*time.Second)
	events, err := os.ReadFile(file("events"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(events), `"started"`) || code == 0 {
		t.Errorf("the waiter exits %d:\n%s%s", code, events, waiter.out.String())
	}
	if err := os.WriteFile(file("end"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if code := next.wait(t, 10*time.Second); code != 0 {
		t.Errorf("the next exits %d", code)
	}
}

// The same while its keeper lives and goes on to renew: the claim is good, and the command runs.
func TestAWaiterThatWasStoppedStartsItsCommandUnderAClaimThatItsKeeperKept(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	mark := filepath.Join(t.TempDir(), "go")
	holder := start(t, c.Direct(), "-c", "touch "+mark+".up; while ! [ -e "+mark+" ]; do sleep 0.05; done")
	waiting := func() int {
		keys, _ := c.Keys(c.Members[0], "/limit/1/"+namespace(t)+"/wait/")
		return len(keys)
	}
	await(t, 10*time.Second, "the holder runs", func() int {
		if _, err := os.Stat(mark + ".up"); err != nil {
			return 0
		}
		return 1
	})
	waiter := start(t, c.Direct(), "-c", "exit 42")
	await(t, 10*time.Second, "the waiter waits", waiting)
	syscall.Kill(waiter.Process.Pid, syscall.SIGSTOP)
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	holder.wait(t, 10*time.Second)
	<-time.After(bound) // the lease would have ended by now
	syscall.Kill(waiter.Process.Pid, syscall.SIGCONT)
	if code := waiter.wait(t, 10*time.Second); code != 42 {
		t.Errorf("exit %d, want 42:\n%s", code, waiter.out.String())
	}
}
