//go:build linux

package wrapper

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is a program with a terminal of its own, which the case sees and types into.
type terminal struct {
	b    *bench
	tty  *os.File // our end
	line *os.File // the program's end
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	seen string        // and not yet expected
	all  string        // everything
	more chan struct{} // something came
}

const (
	ctrlC         = "\x03"
	ctrlBackslash = "\x1c"
	ctrlZ         = "\x1a"
)

// terminal starts argv as the leader of a session on a new terminal.
func (b *bench) terminal(argv ...string) *terminal {
	b.Helper()
	opened, line, err := pty.Open()
	if err != nil {
		b.Fatalf("opening a terminal: %v", err)
	}
	master := pollable(b, opened)
	t := &terminal{b: b, tty: master, line: line, done: make(chan struct{}), more: make(chan struct{}, 1)}
	t.cmd = exec.Command(argv[0], argv[1:]...)
	t.cmd.Dir = b.dir
	t.cmd.Env = append(os.Environ(), "PS1=$ ", "TERM=dumb", "HISTFILE=", "ENV=", "INPUTRC=/dev/null")
	t.cmd.Stdin, t.cmd.Stdout, t.cmd.Stderr = line, line, line
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := t.cmd.Start(); err != nil {
		b.Fatalf("%q: %v", argv, err)
	}
	read := make(chan struct{})
	go func() { defer close(read); t.readAll() }()
	go func() { t.cmd.Wait(); close(t.done) }()
	b.Cleanup(func() {
		for _, pid := range session(t.cmd.Process.Pid) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		t.cmd.Process.Kill()
		<-t.done
		line.Close()
		master.Close()
		<-read
	})
	return t
}

// pollable returns f so that Close ends a Read: the terminal is closed at once then.
func pollable(b *bench, f *os.File) *os.File {
	b.Helper()
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		b.Fatalf("%v", err)
	}
	return os.NewFile(uintptr(fd), f.Name())
}

// shell starts an interactive shell, bash as a rule, and waits for its prompt.
func (b *bench) shell(argv ...string) *terminal {
	b.Helper()
	if len(argv) == 0 {
		argv = []string{"bash", "--norc", "--noprofile", "--noediting", "-i"}
	}
	require(b, argv[0])
	t := b.terminal(argv...)
	t.prompt()
	return t
}

func (t *terminal) readAll() {
	buf := make([]byte, 4096)
	for {
		n, err := t.tty.Read(buf)
		t.mu.Lock()
		t.seen += string(buf[:n])
		t.all += string(buf[:n])
		t.mu.Unlock()
		select {
		case t.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// expect waits for a regular expression in what comes, and returns the match and its groups.
func (t *terminal) expect(pattern string) []string {
	t.b.Helper()
	return t.expectWithin(patience, pattern)
}

func (t *terminal) expectWithin(d time.Duration, pattern string) []string {
	t.b.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(d)
	for {
		t.mu.Lock()
		if at := re.FindStringSubmatchIndex(t.seen); at != nil {
			match := re.FindStringSubmatch(t.seen)
			t.seen = t.seen[at[1]:]
			t.mu.Unlock()
			return match
		}
		t.mu.Unlock()
		select {
		case <-t.more:
		case <-deadline:
			t.b.Fatalf("the terminal does not show %q within %v; it shows:\n%s", pattern, d, t.screen())
		}
	}
}

// screen is all that was shown.
func (t *terminal) screen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ReplaceAll(t.all, "\r\n", "\n")
}

func (t *terminal) send(text string) {
	t.b.Helper()
	if _, err := t.tty.WriteString(text); err != nil {
		t.b.Fatalf("typing %q: %v", text, err)
	}
}

// enter types a line, with @L for the wrapper. Its echo is read too, so that expect finds answers alone.
func (t *terminal) enter(text string) {
	t.b.Helper()
	t.send(t.b.text(text) + "\n")
	t.expect(`\r\n`)
}

func (t *terminal) prompt() {
	t.b.Helper()
	t.expect(`(?m)^\$ $`)
}

// code is the exit code of the last command of the shell.
func (t *terminal) code(want string) {
	t.b.Helper()
	t.enter("echo code=$?.")
	if got := t.expect(`code=(\d+)\.`)[1]; got != want {
		t.b.Errorf("the shell has code %s, want %s; it shows:\n%s", got, want, t.screen())
	}
	t.prompt()
}

// modes are the settings of the terminal.
func (t *terminal) modes() unix.Termios {
	t.b.Helper()
	var modes *unix.Termios
	t.control(func(fd int) (err error) { modes, err = unix.IoctlGetTermios(fd, unix.TCGETS); return err })
	return *modes
}

// control asks our end, which answers for the terminal.
func (t *terminal) control(f func(fd int) error) {
	t.b.Helper()
	conn, err := t.tty.SyscallConn()
	if err == nil {
		if failed := conn.Control(func(fd uintptr) { err = f(int(fd)) }); failed != nil {
			err = failed
		}
	}
	if err != nil {
		t.b.Fatalf("asking the terminal: %v", err)
	}
}

// wait waits for the end of the program on the terminal.
func (t *terminal) wait() syscall.WaitStatus {
	t.b.Helper()
	select {
	case <-t.done:
		return t.cmd.ProcessState.Sys().(syscall.WaitStatus)
	case <-time.After(patience):
		t.b.Fatalf("%q has not ended; it shows:\n%s", t.cmd.Args, t.screen())
		panic("unreachable")
	}
}
