package integration

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/creack/pty"

	"limit/integration/until"
)

// shellSession is an interactive shell on a terminal of its own, with limit's completion loaded.
type shellSession struct {
	t      *testing.T
	cmd    *exec.Cmd
	tty    *os.File
	mu     sync.Mutex
	screen bytes.Buffer
	done   chan struct{}
}

func startShell(t *testing.T, w *world, shell string, args ...string) *shellSession {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Skipf("SKIPPED: no %s here; apt-get install %s", shell, shell)
	}
	s := &shellSession{t: t, cmd: exec.Command(shell, args...), done: make(chan struct{})}
	s.cmd.Dir = w.dir
	s.cmd.Env = append(w.env, "TERM=xterm", "PS1=$ ", "LC_ALL=C.UTF-8", "ZDOTDIR="+w.dir)
	var err error
	if s.tty, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 24, Cols: 120}); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.done)
		buffer := make([]byte, 4096)
		for {
			n, err := s.tty.Read(buffer)
			s.mu.Lock()
			s.screen.Write(buffer[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.tty.Close()
		<-s.done
		if t.Failed() {
			t.Logf("the terminal of %s: %q", shell, s.screen.String())
		}
	})
	return s
}

// line types a line that writes to the file out, and returns what is in it once the shell has written it.
func (s *shellSession) line(out, text string) string {
	s.t.Helper()
	os.Remove(out)
	io.WriteString(s.tty, text+" >"+filepath.Base(out)+".new; mv "+filepath.Base(out)+".new "+filepath.Base(out)+"\r")
	until.That(s.t, patience, fmt.Sprintf("%q has written something", text), func() bool { _, err := os.Stat(out); return err == nil })
	b, err := os.ReadFile(out)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

func TestShellsCompleteCommandsFlagsPoolsAndClaims(t *testing.T) {
	t.Parallel()
	for _, shell := range []struct {
		name string
		args []string
		load string
	}{
		{"bash", []string{"--norc", "--noprofile", "-i"}, "source /usr/share/bash-completion/bash_completion; source <(limit completion bash); echo loaded"},
		{"bash", []string{"--norc", "--noprofile", "-i"}, "source <(limit completion bash); echo loaded"},
		{"zsh", []string{"-f", "-i"}, "autoload -U compinit && compinit -u -D; source <(command limit completion zsh); echo loaded"},
		{"fish", []string{"--no-config", "-i"}, "limit completion fish | source; echo loaded"},
	} {
		t.Run(shell.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.must("pool", "set", "database", "2")
			w.must("pool", "set", "team:etl", "7")
			w.write("only-this-file", "content of the file\n")
			holder := w.hold("holder", "--pool", "database")
			id := w.idOf("holder")
			s := startShell(t, w, shell.name, shell.args...)
			out := filepath.Join(w.dir, "out")
			expect(t, "loading", s.line(out, shell.load), "loaded\n")
			for _, c := range []struct{ typed, want string }{
				{"limit pool g\tdatab\t", "2\n"},
				{"limit pool get team\t", "7\n"},
				{"limit run --po\tdatab\t-- sh -c 'echo $LIMIT_POOLS'", "database=1\n"},
				{"limit run --pool=datab\t-- sh -c 'echo $LIMIT_POOLS'", "database=1\n"},
				{"limit run --if-busy rep\t--pool team\t-- sh -c 'echo $LIMIT_POOLS'", "team:etl=1\n"},
				{"limit run --pool database -- cat only-th\t", "content of the file\n"},
			} {
				expect(t, c.typed, s.line(out, c.typed), c.want)
			}
			if why := s.line(out, "limit why "+id[:3]+"\t"); !strings.Contains(why, id[:8]+" holder does not wait") {
				t.Errorf("of a claim: %q", why)
			}
			holder.finish(0)
		})
	}
}

// On a terminal a topic is paged, through $PAGER or less; elsewhere it is printed.
func TestATopicIsPagedOnATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	topic := w.must("help", "pools")
	w.write("pager", "#!/bin/sh\n{ echo paged; cat; } >paged\n")
	expect(t, "chmod", os.Chmod(filepath.Join(w.dir, "pager"), 0o755), nil)
	s := startShell(t, w, "bash", "--norc", "--noprofile", "-i")
	out := filepath.Join(w.dir, "out")
	expect(t, "the shell", s.line(out, "PAGER=./pager limit help pools >/dev/tty; cat paged"), "paged\n"+topic)
	expect(t, "elsewhere", s.line(out, "PAGER=./pager limit help pools"), topic)
	index := w.must("help")
	for _, name := range []string{"run", "pools", "queue", "step-file", "config", "etcd", "recipes", "security", "reliability", "troubleshooting", "coming-from"} {
		if !strings.Contains(index, "\n   "+name+" ") {
			t.Errorf("limit help does not list the topic %s:\n%s", name, index)
		}
	}
}
