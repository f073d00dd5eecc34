//go:build linux

package wrapper

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAStandardErrorThatNobodyReadsHoldsNothingUp(t *testing.T) {
	b := newBench(t, limit(limitBinary(t)))
	stderr := unreadPipe(t)
	run := func(argv ...string) *program {
		return b.start(append(b.w.argv(b, "-v"), argv...), func(c *exec.Cmd) { c.Stderr = stderr })
	}
	for _, command := range [][]string{{"true"}, {"./is-not-there"}} {
		run(command...).wait(patience)
		b.slotFree(patience)
	}
	holder := b.start(b.L("sleep", "60"), nil)
	b.eventually("the slot is taken", patience, func() bool { return b.waiting() == 0 && !b.w.free(b) })
	stays, leaves := run("touch", b.path("ran")), run("touch", b.path("started"))
	b.eventually("two wait", patience, func() bool { return b.waiting() == 2 })
	leaves.kill(syscall.SIGTERM)
	if r := leaves.wait(patience); r.status.Signal() != syscall.SIGTERM {
		t.Errorf("%s; want that it dies of SIGTERM", r)
	}
	holder.kill(syscall.SIGTERM)
	if r := stays.wait(patience); r.code() != 0 {
		t.Errorf("it waited for its slot: %s", r)
	}
	b.slotFree(patience)
	if _, err := os.Stat(b.path("ran")); err != nil {
		t.Error(err)
	}
}

// TestADagWaitsForAPagerAsLongAsItTakes: limit dag run | less, with the pager left open.
func TestADagWaitsForAPagerAsLongAsItTakes(t *testing.T) {
	t.Parallel()
	b := newBench(t, limit(limitBinary(t)))
	b.write("steps.yaml", "steps: {one: {run: 'seq 40000', pool: p}}\n", 0o600)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := b.start(b.dag(), func(c *exec.Cmd) { c.Stdout = w })
	w.Close()
	b.eventually("it says what it waits for", patience, func() bool { return strings.Contains(p.so(), "whoever reads") })
	b.slotFree(patience)
	select {
	case <-p.done:
		t.Fatalf("it has not waited: %s", p.result())
	case <-time.After(17 * time.Second): // it gave up after 15 s once, with 125
	}
	text, err := io.ReadAll(r)
	if err != nil || !strings.Contains(string(text), "40000\n") {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if r := p.wait(patience); r.code() != 0 {
		t.Error(r)
	}
}

// unreadPipe returns the writing end of a pipe that is full and that nobody reads.
func unreadPipe(t *testing.T) *os.File {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	fd := int(w.Fd())
	unix.SetNonblock(fd, true)
	for err == nil {
		_, err = unix.Write(fd, make([]byte, 1))
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	unix.SetNonblock(fd, false)
	return w
}
