//go:build linux

package process

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"limit/integration/until"
)

// stranger is a process that no Supervisor has started. It is made before the Supervisor, which waits for all children.
func stranger(t *testing.T, text string) *Other {
	t.Helper()
	file := t.TempDir() + "/pid"
	if err := exec.Command("setsid", "-f", "sh", "-c", text+"; echo $$ >"+file+"; exec sleep 1000").Run(); err != nil {
		t.Fatal(err)
	}
	var pid int
	until.That(t, time.Minute, "the stranger is ready", func() bool {
		b, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return pid > 0
	})
	o, err := Watch(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.signal(syscall.SIGKILL)
		o.Close()
	})
	return o
}

func TestAnAdoptedProcessIsDoneWhenItHasEnded(t *testing.T) {
	o := stranger(t, ":")
	s := supervisor(t)
	p := s.Adopt(o, Command{})
	o.signal(syscall.SIGKILL)
	<-p.Done()
	if e := p.Exit(); !e.Unknown || e.Reason != Ended {
		t.Errorf("exit %+v", e)
	}
}

func TestAnAdoptedProcessIsStoppedWithItsDescendants(t *testing.T) {
	stubborn, parent := stranger(t, "trap '' TERM"), stranger(t, "sleep 1001 & :")
	s := supervisor(t)
	for o, grace := range map[*Other]time.Duration{stubborn: 0, parent: time.Minute} {
		p := s.Adopt(o, Command{Grace: grace})
		all := p.Descendants()
		p.Stop(Stopped)
		<-p.Done()
		if e := p.Exit(); e.Reason != Stopped || e.Killed != (grace == 0) {
			t.Errorf("exit %+v with a grace of %s", e, grace)
		}
		for _, pid := range all {
			if i := find(pid); i.pid != 0 && !i.dead() {
				t.Errorf("%+v lives", i)
			}
		}
		<-o.Gone()
	}
}

func TestAnAdoptedProcessThatIsReleasedRunsOn(t *testing.T) {
	o := stranger(t, ":")
	s := supervisor(t)
	p := s.Adopt(o, Command{Timeout: time.Hour})
	p.Stop(Released)
	<-p.Done()
	p.Stop(Stopped)
	if err := o.signal(0); err != nil {
		t.Errorf("it lives no more: %v", err)
	}
}

func TestWhatIsNotAProcessIsNotWatched(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{-1, 0, 1 << 30, gone.Process.Pid} {
		if o, err := Watch(pid); err == nil {
			o.Close()
			t.Errorf("process %d is watched", pid)
		}
	}
}

func TestTheCallerIsTheShellOfTheScriptNotItsSubshell(t *testing.T) {
	for _, shell := range []string{"dash", "bash", "zsh"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		// The second is the same program with the same words as the first, but no fork of it.
		script := `if [ -z "$AGAIN" ]; then AGAIN=1 ` + path + ` -c "$0" "$0"; exit; fi; ( echo $$ $PPID; sleep 1000 & echo $!; wait; : ) | cat; :`
		cmd := exec.Command(path, "-c", script, script)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var self, above, sleep int
		if _, err := fmt.Fscan(out, &self, &above, &sleep); err != nil {
			t.Fatalf("%s: %v", shell, err)
		}
		if got := callerOf(parentOf(sleep)); got != self || above != cmd.Process.Pid {
			t.Errorf("%s: the caller is %d, want %d, below %d", shell, got, self, above)
		}
		syscall.Kill(sleep, syscall.SIGKILL)
		out.Close()
		cmd.Wait()
	}
}
