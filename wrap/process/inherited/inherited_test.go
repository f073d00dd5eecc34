//go:build linux

package inherited_test

import (
	"encoding/json"
	"fmt"
	"go/version"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"limit/wrap/process/inherited"
)

func TestMain(m *testing.M) {
	if os.Getenv("PRINT_INHERITED") != "" {
		out := os.NewFile(3, "the pipe of the test")
		fmt.Fprintln(out, func() string { b, _ := json.Marshal(inherited.AtStart()); return string(b) }())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// seenBehind runs this test binary behind a line of sh and returns what it found.
func seenBehind(t *testing.T, line string) inherited.State {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("sh", "-c", line+` exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), "PRINT_INHERITED=1", "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	err = cmd.Run()
	w.Close()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	var s inherited.State
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return s
}

func bits(signals ...syscall.Signal) (set uint64) {
	for _, sig := range signals {
		set |= 1 << (sig - 1)
	}
	return set
}

func TestIgnoredSignalsAreSeenThoughTheRuntimeCatchesThem(t *testing.T) {
	before := seenBehind(t, "")
	if !before.Known {
		t.Skip("this build cannot know what it inherits")
	}
	all := []string{"HUP", "INT", "QUIT", "USR1", "PIPE", "TERM", "TSTP", "WINCH", "PROF", "URG"}
	got := seenBehind(t, "trap '' "+strings.Join(all, " ")+";").Ignored
	want := before.Ignored | bits(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGPIPE,
		syscall.SIGTERM, syscall.SIGTSTP, syscall.SIGWINCH, syscall.SIGPROF, syscall.SIGURG)
	if got != want {
		t.Errorf("with %v ignored: %#x, want %#x", all, got, want)
	}
}

func TestBlockedSignalsAreSeen(t *testing.T) {
	before := seenBehind(t, "")
	if !before.Known {
		t.Skip("this build cannot know what it inherits")
	}
	blocked := bits(syscall.SIGTERM, syscall.SIGUSR2, 64)
	var old uint64
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const block, set = 0, 2
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, block, uintptr(unsafe.Pointer(&blocked)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	defer syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, set, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
	if got := seenBehind(t, "").Blocked; got != before.Blocked|blocked {
		t.Errorf("blocked: %#x, want %#x", got, before.Blocked|blocked)
	}
}

func TestClosedStandardDescriptorsAreSeenThoughTheRuntimeOpensThem(t *testing.T) {
	for line, want := range map[string][3]bool{
		"":                   {},
		"exec <&-;":          {true, false, false},
		"exec >&- 2>&-;":     {false, true, true},
		"exec <&- >&- 2>&-;": {true, true, true},
	} {
		got := seenBehind(t, line)
		if !got.Known {
			t.Skip("this build cannot know what it inherits")
		}
		if got.Closed != want {
			t.Errorf("%q: closed %v, want %v", line, got.Closed, want)
		}
	}
}

// The assembly of this package and of sigsource rests on how the runtime starts and keeps its signals, which no release
// promises. When this fails, run the tests of wrap/process/... and integration/wrapper with the new version on amd64
// and arm64, with and without cgo, and add it.
func TestTheAssemblyWasTriedWithThisVersionOfGo(t *testing.T) {
	tried := []string{"go1.26"}
	if !slices.ContainsFunc(tried, func(v string) bool { return version.Lang(runtime.Version()) == v }) {
		t.Errorf("%s is not among those it was tried with: %v", runtime.Version(), tried)
	}
}
