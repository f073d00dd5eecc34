//go:build linux

package wrapper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"limit/integration/until"
)

// T is what a case needs of testing.T: a case run on a peer may fail without failing the test.
type T interface {
	Helper()
	Cleanup(func())
	TempDir() string
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
}

// patience is how long anything may take that must happen at all. The machine may be busy.
const patience = 20 * time.Second

// bench is one case on one wrapper, with a directory and a store of its own.
type bench struct {
	T
	w   *wrapper
	dir string
}

func newBench(t T, w *wrapper) *bench {
	b := &bench{T: t, w: w, dir: t.TempDir()}
	if w.name == "limit" {
		for _, pool := range []string{"p", "q"} { // so that it does not say that they have no limit
			b.limit("pool", "set", pool, "1")
		}
	}
	return b
}

// limit runs a verb of limit on the store of the case and returns its output.
func (b *bench) limit(args ...string) string {
	b.Helper()
	argv := append(b.w.argv(b)[:3:3], args...)
	r := b.run(argv...)
	if r.code() != 0 {
		b.Fatalf("%q: %s", argv, r)
	}
	return r.out
}

// L returns the command line of a command behind the wrapper.
func (b *bench) L(argv ...string) []string { return append(b.w.argv(b), argv...) }

// with returns it with further flags of limit.
func (b *bench) with(flags []string, argv ...string) []string {
	return append(b.w.argv(b, flags...), argv...)
}

// quoted is argv as a shell reads it.
func quoted(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}

// text replaces @L in a script by the wrapper, and @D by the directory of the case.
func (b *bench) text(script string) string {
	return strings.NewReplacer("@L", quoted(b.w.argv(b)), "@D", b.dir).Replace(script)
}

// result is how a program ended and what it wrote.
type result struct {
	out, err string
	status   syscall.WaitStatus
	took     time.Duration
}

// code is what a shell would show.
func (r result) code() int {
	if r.status.Signaled() {
		return 128 + int(r.status.Signal())
	}
	return r.status.ExitStatus()
}

func (r result) String() string {
	end := fmt.Sprintf("exit %d", r.code())
	if r.status.Signaled() {
		end = "killed by " + r.status.Signal().String()
	}
	return fmt.Sprintf("%s after %v\nstdout: %q\nstderr: %q", end, r.took.Round(time.Millisecond), short(r.out), short(r.err))
}

func short(s string) string {
	if len(s) > 2000 {
		return s[:1000] + "…" + s[len(s)-1000:]
	}
	return s
}

// program is one that runs.
type program struct {
	b        *bench
	cmd      *exec.Cmd
	out, err *os.File
	began    time.Time
	done     chan struct{}
}

// start runs argv with its output in files: a pipe would be held open by what it leaves behind.
func (b *bench) start(argv []string, set func(*exec.Cmd)) *program {
	b.Helper()
	p := &program{b: b, cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	for _, f := range []**os.File{&p.out, &p.err} {
		file, err := os.CreateTemp(b.dir, "output-")
		if err != nil {
			b.Fatalf("%v", err)
		}
		*f = file
	}
	p.cmd.Dir = b.dir
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.err
	if set != nil {
		set(p.cmd)
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		b.Fatalf("%q: %v", argv, err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	b.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		p.out.Close()
		p.err.Close()
	})
	return p
}

func (p *program) pid() int { return p.cmd.Process.Pid }

func (p *program) kill(sig syscall.Signal) {
	p.b.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.b.Fatalf("sending %v to the wrapper: %v", sig, err)
	}
}

// wait returns how it ended, within d.
func (p *program) wait(d time.Duration) result {
	p.b.Helper()
	select {
	case <-p.done:
		return p.result()
	case <-time.After(d):
		p.b.Fatalf("%q has not ended after %v; so far:\n%s", p.cmd.Args, d, p.so())
		panic("unreachable")
	}
}

func (p *program) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *program) result() result {
	return result{out: contents(p.out), err: contents(p.err), status: p.cmd.ProcessState.Sys().(syscall.WaitStatus), took: time.Since(p.began)}
}

// so is what it wrote so far.
func (p *program) so() string {
	return fmt.Sprintf("stdout %q, stderr %q", contents(p.out), contents(p.err))
}

func contents(f *os.File) string {
	data, _ := os.ReadFile(f.Name())
	return string(data)
}

// run runs argv to its end, with /dev/null for standard input.
func (b *bench) run(argv ...string) result {
	b.Helper()
	return b.start(argv, nil).wait(patience)
}

// sh runs a script of sh, with @L for the wrapper.
func (b *bench) sh(script string) result {
	b.Helper()
	return b.run("sh", "-c", b.text(script))
}

// want fails unless the program ended with a code and wrote this.
func (b *bench) want(r result, code int, out string) {
	b.Helper()
	if r.code() != code || r.out != out {
		b.Errorf("want exit %d and %q, got %s", code, short(out), r)
	}
}

// eventually polls what the outside world leaves no better way to wait for.
func (b *bench) eventually(what string, d time.Duration, ok func() bool) {
	b.Helper()
	if !until.Within(d, ok) {
		b.Fatalf("not within %v: %s", d, what)
	}
}

// slotFree fails unless the slot can be had within d.
func (b *bench) slotFree(d time.Duration) {
	b.Helper()
	if b.w.free != nil {
		b.eventually("the slot is free", d, func() bool { return b.w.free(b) })
	}
}

// dag is limit dag run of steps.yaml, with the store and the runs in the directory.
func (b *bench) dag() []string {
	return append(b.w.argv(b)[:3:3], "dag", "run", "--log-dir", b.path("runs"), b.path("steps.yaml"))
}

// slotTaken fails where the slot can be had.
func (b *bench) slotTaken(why string) {
	b.Helper()
	if b.w.free != nil && b.w.free(b) {
		b.Errorf("the slot is free though %s", why)
	}
}

func (b *bench) write(name, text string, mode os.FileMode) string {
	b.Helper()
	if err := os.WriteFile(b.path(name), []byte(text), mode); err != nil {
		b.Fatalf("%v", err)
	}
	return b.path(name)
}

func (b *bench) read(name string) string {
	data, _ := os.ReadFile(b.path(name))
	return string(data)
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')'):]), " ")
	return rest[0] != 'Z' && rest[0] != 'X'
}

// stopped reports whether a process is stopped.
func stopped(pid int) bool { return inState(pid, 'T') }

// inState reports whether the first thread of a process is in a state of /proc/PID/stat.
func inState(pid int, state byte) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte{' ', state, ' '})
}

// lines gives what is written to a pipe, line by line.
type lines struct {
	b  *bench
	ch chan string
}

// piped returns a pipe for a program to write to.
func (b *bench) piped() (*os.File, *lines) {
	b.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatalf("%v", err)
	}
	l := &lines{b: b, ch: make(chan string, 1000)}
	go func() {
		defer close(l.ch)
		var rest []byte
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			rest = append(rest, buf[:n]...)
			for {
				line, after, found := bytes.Cut(rest, []byte("\n"))
				if !found {
					break
				}
				l.ch <- string(line)
				rest = after
			}
			if err != nil && !errors.Is(err, io.ErrNoProgress) {
				return
			}
		}
	}()
	b.Cleanup(func() { w.Close(); r.Close() })
	return w, l
}

// next is the next line, within patience.
func (l *lines) next() string {
	l.b.Helper()
	line, ok := l.within(patience)
	if !ok {
		l.b.Fatalf("no further line from the command")
	}
	return line
}

func (l *lines) within(d time.Duration) (string, bool) {
	select {
	case line, ok := <-l.ch:
		return line, ok
	case <-time.After(d):
		return "", false
	}
}

func twoDigits(n int) string { return fmt.Sprintf("%02d", n) }
