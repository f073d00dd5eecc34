package process

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"limit/wrap/process/sigsource"
)

func TestASignalOfTheTerminalIsTheCommandsAlready(t *testing.T) {
	for _, c := range []struct {
		name   string
		m      sigsource.Signal
		leader bool
		want   bool
	}{
		{"^C", sigsource.Signal{Sig: syscall.SIGINT, Code: sigsource.Kernel}, false, true},
		{"^C to the leader of a session", sigsource.Signal{Sig: syscall.SIGINT, Code: sigsource.Kernel}, true, true},
		{"kill -INT", sigsource.Signal{Sig: syscall.SIGINT, Code: sigsource.User, PID: 7}, false, false},
		{"terminal closed, as one of the group", sigsource.Signal{Sig: syscall.SIGHUP, Code: sigsource.Kernel}, false, true},
		{"terminal closed, as the leader of the session", sigsource.Signal{Sig: syscall.SIGHUP, Code: sigsource.Kernel}, true, false},
		{"an alarm set before exec", sigsource.Signal{Sig: syscall.SIGALRM, Code: sigsource.Kernel}, false, false},
		{"kill -TERM", sigsource.Signal{Sig: syscall.SIGTERM, Code: sigsource.User, PID: 7}, false, false},
	} {
		if got := deliveredByTerminal(c.m, c.leader); got != c.want {
			t.Errorf("%s: %+v: delivered already %v, want %v", c.name, c.m, got, c.want)
		}
	}
}

func TestATreeIsWhatDescendsFromItsRootsAndIsNotApart(t *testing.T) {
	all := []info{
		{pid: 10, parent: 1, state: 'S'},
		{pid: 11, parent: 10, state: 'S'},
		{pid: 12, parent: 11, state: 'Z'},
		{pid: 13, parent: 12, state: 'T'}, // of a zombie, as between its death and the adoption
		{pid: 20, parent: 10, state: 'S'}, // apart, with a child
		{pid: 21, parent: 20, state: 'S'},
		{pid: 30, parent: 1, state: 'R'}, // a root of its own
		{pid: 40, parent: 1, state: 'R'},
		{pid: 50, parent: 51}, {pid: 51, parent: 50}, // a circle, from reading /proc while it changed
	}
	root := func(i info) bool { return i.pid == 10 || i.pid == 30 || i.pid == 50 }
	apart := func(i info) bool { return i.pid == 20 }
	var got []int
	for _, i := range tree(all, root, apart) {
		got = append(got, i.pid)
	}
	slices.Sort(got)
	if want := []int{10, 11, 13, 30, 50, 51}; !slices.Equal(got, want) {
		t.Errorf("tree of 10, 30 and 50 without 20: %v, want %v", got, want)
	}
}

func TestListenPIDOfTheParentBecomesThatOfTheCommand(t *testing.T) {
	env := listenEnv([]string{"A=1", "LISTEN_PIDFDID=5", "LISTEN_PID=77", "LISTEN_FDS=1"}, 77)
	if want := []string{"A=1", "LISTEN_PID=" + strconv.Itoa(os.Getpid()), "LISTEN_FDS=1"}; !slices.Equal(env, want) {
		t.Errorf("of the parent: %q, want %q", env, want)
	}
	other := []string{"A=1", "LISTEN_PIDFDID=5", "LISTEN_PID=1", "LISTEN_FDS=1"}
	if env := listenEnv(other, 77); !slices.Equal(env, other) {
		t.Errorf("of another process: %q, want it untouched", env)
	}
}

func TestFindLooksWhereAShellLooks(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("a/tool", 0o755)
	write("b/tool", 0o755)
	write("b/only", 0o755)
	write("a/plain", 0o644)
	write("b/plain", 0o755)
	write("a/closed", 0o644)
	write("here", 0o755)
	if err := os.MkdirAll(filepath.Join(dir, "a/dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := "PATH=" + dir + "/none:" + dir + "/a:" + dir + "/b"
	for _, c := range []struct {
		what, name string
		env        []string
		dir        string
		want       string
		code       int
	}{
		{"the first of PATH", "tool", []string{path}, "", dir + "/a/tool", 0},
		{"a later one", "only", []string{path}, "", dir + "/b/only", 0},
		{"passing one that cannot be executed", "plain", []string{path}, "", dir + "/b/plain", 0},
		{"none that can be executed", "closed", []string{path}, "", "", 126},
		{"a directory", "dir", []string{path}, "", "", 126},
		{"none", "nosuch", []string{path}, "", "", 127},
		{"no name", "", []string{path}, "", "", 127},
		{"the first PATH of two", "tool", []string{"PATH=" + dir + "/b", path}, "", dir + "/b/tool", 0},
		{"no PATH", "sh", nil, "", "/bin/sh", 0},
		{"an empty PATH is the current directory", "here", []string{"PATH="}, dir, "./here", 0},
		{"an empty entry too", "here", []string{"PATH=/none:"}, dir, "./here", 0},
		{"a relative entry", "tool", []string{"PATH=a"}, dir, "a/tool", 0},
		{"a name with a slash", "b/tool", nil, dir, "b/tool", 0},
		{"one that is missing", "c/tool", nil, dir, "", 127},
		{"one that cannot be executed", "a/closed", nil, dir, "", 126},
		{"one that is a directory", "./a", nil, dir, "", 126},
		{"one below a file", "here/x", nil, dir, "", 126},
	} {
		got, err := Find(c.name, c.env, c.dir)
		var found *FindError
		errors.As(err, &found)
		switch {
		case got != c.want:
			t.Errorf("%s: Find(%q, %q, %q) = %q (%v), want %q", c.what, c.name, c.env, c.dir, got, err, c.want)
		case c.code != 0 && (found == nil || found.Code != c.code):
			t.Errorf("%s: Find(%q, %q, %q): %v, want code %d", c.what, c.name, c.env, c.dir, err, c.code)
		}
	}
}

func TestSignalsThatNobodyReadsAreFewAndNoneIsLost(t *testing.T) {
	s := &Supervisor{signals: make(chan syscall.Signal, 2*65), asked: make(chan struct{}), procs: map[int]*Process{}}
	for range 1000 {
		for _, sig := range ending() {
			s.offer(sig)
		}
	}
	seen := map[syscall.Signal]int{}
	for len(s.signals) > 0 {
		seen[<-s.signals]++
	}
	for _, sig := range ending() {
		if seen[sig] != 2 {
			t.Errorf("%v came %d times, want 2", sig, seen[sig])
		}
	}
	s.offer(syscall.SIGTERM)
	if len(s.signals) != 1 {
		t.Errorf("after all were read, SIGTERM came %d times, want once", len(s.signals))
	}
}

func TestIgnoredSignalsAreNotOfferedAndBlockedOnesWait(t *testing.T) {
	s := &Supervisor{signals: make(chan syscall.Signal, 2*65), asked: make(chan struct{}), procs: map[int]*Process{}}
	s.in.Ignored = 1 << (syscall.SIGHUP - 1)
	s.in.Blocked = 1 << (syscall.SIGUSR1 - 1)
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGTSTP, syscall.SIGTERM} {
		s.offer(sig)
	}
	if len(s.signals) != 1 || <-s.signals != syscall.SIGTERM {
		t.Error("want SIGTERM alone to be offered")
	}
	if !slices.Equal(s.deferred, []syscall.Signal{syscall.SIGUSR1}) {
		t.Errorf("deferred %v, want USR1", s.deferred)
	}
}
