package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"limit/integration/binary"
)

// script is a running shell script. It says what it does, line by line, and blocks by reading standard input.
type script struct {
	w     *world
	cmd   *exec.Cmd
	input io.WriteCloser
	lines *bufio.Scanner
}

const holding = "held=$(command limit hold --pool p --grace 1s) || exit\neval \"$held\"\necho held by $$\n"

func (w *world) script(shell, text string) *script {
	w.t.Helper()
	s := &script{w: w, cmd: exec.Command(shell, "-c", text)}
	s.cmd.Env, s.cmd.Dir, s.cmd.Stderr = w.env, w.dir, os.Stderr
	var err error
	if s.input, err = s.cmd.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	s.lines = bufio.NewScanner(out)
	w.t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	})
	return s
}

// says expects the next line of the script.
func (s *script) says(want string) {
	s.w.t.Helper()
	if !s.lines.Scan() || s.lines.Text() != want {
		s.w.t.Fatalf("the script says %q, want %q", s.lines.Text(), want)
	}
}

// starts is says for the first line.
func (s *script) starts() { s.w.t.Helper(); s.says(fmt.Sprintf("held by %d", s.cmd.Process.Pid)) }

// ends expects the script to end without another word.
func (s *script) ends(code int) {
	s.w.t.Helper()
	for s.lines.Scan() {
		s.w.t.Errorf("the script says %q", s.lines.Text())
	}
	s.cmd.Wait()
	expect(s.w.t, "the script ends with", status(s.cmd.ProcessState), code)
}

// after queues a command that says whether the script lives when it is granted the slot, for granted.
func (s *script) after() *exec.Cmd {
	s.w.t.Helper()
	cmd := s.w.command("run", "--name", "next", "--pool", "p", "--", "sh", "-c",
		fmt.Sprintf("! grep -q '^State:[[:space:]]*[^ZX[:space:]]' /proc/%d/status", s.cmd.Process.Pid))
	if err := cmd.Start(); err != nil {
		s.w.t.Fatal(err)
	}
	s.w.until("the next waits", func() bool { return slices.Contains(s.w.waiting(), "next") })
	return cmd
}

func (s *script) granted(next *exec.Cmd) {
	s.w.t.Helper()
	if err := next.Wait(); err != nil {
		s.w.t.Errorf("the slot was given away while the script lived, or not at all: %v", err)
	}
}

func TestAHoldEndsWithTheScriptHoweverThatEnds(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		for _, shell := range []string{"sh", "bash", "zsh"} {
			if _, err := exec.LookPath(shell); err != nil {
				continue
			}
			s := w.script(shell, holding+"read line; exit 3")
			s.starts()
			next := s.after()
			s.input.Close()
			s.ends(3)
			s.granted(next)
		}
		s := w.script("sh", holding+"exec cat")
		s.starts()
		io.WriteString(s.input, "another program\n")
		s.says("another program")
		next := s.after()
		s.cmd.Process.Kill()
		s.granted(next)
	})
}

func TestAHoldIsThatOfTheScriptFromASubshellToo(t *testing.T) {
	w := newWorld(t)
	w.env = append(w.env, "LIMIT="+binary.Path(t))
	s := w.script("bash", `trap : EXIT; { ( held=$($LIMIT hold -q --pool p || exit 1); eval "$held"; echo held by $$; : ); } | cat; read line`)
	s.starts()
	expect(t, "running on", w.limit("run", "--pool", "p", "--if-busy", "fail", "true").code, 75)
	s.input.Close()
	s.ends(1) // of read, at the end of its input
	w.until("it is released", func() bool { return len(w.status().Held) == 0 })
}

func TestWhoeverKillsTheHolderTheSlotIsFreeWhenTheScriptHasEnded(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		s := w.script("sh", "trap '' TERM\n"+holding+"read line")
		s.starts()
		next := s.after()
		syscall.Kill(w.status().Held[0].PID, syscall.SIGTERM) // changes nothing
		syscall.Kill(w.status().Held[0].PID, syscall.SIGKILL)
		if strings.HasPrefix(w.store, "local") {
			w.until("it is an orphan", func() bool { s := w.status(); return len(s.Held) == 1 && s.Held[0].Orphaned })
			s.input.Close()
		}
		s.granted(next)
	})
}

func TestCancellingAHoldEndsTheScript(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		s := w.script("bash", "trap 'echo asked; exit 7' TERM\n"+holding+"read line")
		s.starts()
		next := s.after()
		w.must("cancel", w.status().Held[0].ID)
		s.says("asked")
		s.ends(7)
		s.granted(next)
		stubborn := w.script("bash", "trap 'echo asked' TERM\n"+holding+"while :; do read line; done")
		stubborn.starts()
		next = stubborn.after()
		w.must("cancel", w.status().Held[0].ID)
		stubborn.granted(next)
		stubborn.says("asked")
		stubborn.ends(128 + 9)
		late := w.script("sh", strings.Replace(holding, "--grace", "--timeout 2s --grace", 1)+"read line")
		late.starts()
		late.ends(128 + 15)
		w.until("it is released", func() bool { return len(w.status().Held) == 0 })
	})
}

func TestAHoldIsReleasedOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		s := w.script("sh", "trap 'echo asked' TERM\n"+holding+
			"limit run --pool q true && limit release && limit run --pool p echo free\nlimit release 2>/dev/null; echo again $?; read line")
		s.starts()
		s.says("free")
		s.says("again 125")
		s.input.Close()
		s.ends(1)
		command := w.hold("command", "--pool", "p")
		r := w.limit("release", w.idOf("command"))
		if r.code != 125 || !strings.Contains(r.stderr, "is not held by 'limit hold'") {
			t.Errorf("releasing a command's claim: %+v", r)
		}
		command.finish(0)
	})
}

func TestAHoldThatIsNotGrantedPrintsNothingAndSaysWhy(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		holder := w.hold("holder", "--pool", "p")
		for flags, want := range map[string]result{
			"--if-busy fail": {code: 75}, "--wait 50ms": {code: 75}, "--if-busy fail --busy-exit-code 9": {code: 9},
			"--if-busy skip": {stdout: "exit 0\n"}, "--pool p=2": {code: 125}, "--pid 999999999": {code: 125}, "x": {code: 125},
		} {
			r := w.limit(append([]string{"hold", "--pool", "p"}, strings.Fields(flags)...)...)
			expect(t, flags, result{r.code, r.stdout, ""}, want)
		}
		asker := w.command("hold", "--pool", "p", "--name", "asker")
		if err := asker.Start(); err != nil {
			t.Fatal(err)
		}
		w.until("it waits", func() bool { return slices.Equal(w.waiting(), []string{"asker"}) })
		asker.Process.Signal(syscall.SIGINT)
		asker.Wait()
		expect(t, "asker", status(asker.ProcessState), 128+2)
		w.until("the claim is withdrawn", func() bool { return len(w.waiting()) == 0 })
		s := w.script("sh", holding+"read line")
		w.until("the script waits", func() bool { return len(w.waiting()) == 1 })
		holder.finish(0)
		s.starts()
		s.input.Close()
		s.ends(1)
		w.until("it is released", func() bool { return len(w.status().Held) == 0 })
	})
}

func TestAHolderKeepsNothingOfTheScript(t *testing.T) {
	w := newWorld(t)
	w.env = append(w.env, "LIMIT="+binary.Path(t))
	s := w.script("sh", "exec 7>file\n"+strings.Replace(holding, "command limit", "$LIMIT", 1)+"read line")
	s.starts()
	holder := fmt.Sprintf("/proc/%d", w.status().Held[0].PID)
	for _, own := range []string{"/cwd", "/fd/*"} {
		files, _ := filepath.Glob(holder + own)
		for _, file := range files {
			to, _ := os.Readlink(file)
			theirs, _ := filepath.Glob(fmt.Sprintf("/proc/%d%s", s.cmd.Process.Pid, own))
			if slices.ContainsFunc(theirs, func(f string) bool { l, _ := os.Readlink(f); return l == to && to != os.DevNull }) {
				t.Errorf("%s is %s, as the script's", file, to)
			}
		}
	}
	s.input.Close()
	s.ends(1)
	w.until("it is released", func() bool { return len(w.status().Held) == 0 })
}
