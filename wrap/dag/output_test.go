package dag

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"limit/wrap"
	"limit/wrap/dag/report"
)

// unreadPipe is a pipe that nobody reads until it is closed.
func unreadPipe(t *testing.T) (w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return w
}

// Whoever reads the output stops nothing by not reading it: slots are given back, steps start, a signal ends the run.
func TestAReaderThatDoesNotReadStopsNothing(t *testing.T) {
	for _, output := range []report.Output{report.Group, report.Prefix, report.Interleave} {
		t.Run(string(output), func(t *testing.T) {
			s := newStage(t)
			s.limits(map[string]int{"db": 1})
			hurry := make(chan struct{})
			close(hurry)
			w := unreadPipe(t)
			p := s.begin(`
executor: {max_concurrent: 2}
steps:
  noisy: {run: 'head -c 3000000 /dev/zero | tr "\0" x'}
  db: {run: 'head -c 3000000 /dev/zero | tr "\0" x', pool: db}
  after: {run: sleep 60, needs: [noisy, db]}
`, func(p *play) { p.to, p.run.Console.Output, p.hurry = w, output, hurry })
			p.until("db's slot is given back", named(wrap.EventReleased, "db"))
			p.until("after runs", named(wrap.EventStarted, "after"))
			s.signal("TERM")
			p.wait()
			if p.exit.Signal != syscall.SIGTERM || p.unread == nil {
				t.Errorf("exit %+v, output lost: %v", p.exit, p.unread)
			}
			if n := len(p.log("db")); n != 3000000 {
				t.Errorf("%d bytes are in the log", n)
			}
			w.Close() // ends the write
			s.empty()
		})
	}
}

func TestLiveOutputIsWholeAndInOrder(t *testing.T) {
	s := newStage(t)
	p := s.do("steps: {a: 'seq 1 100000; printf end'}", func(p *play) {
		p.run.Console.Output, p.run.Console.Progress = report.Prefix, report.None
	})
	p.want(0, "")
	var want strings.Builder
	for i := range 100000 {
		fmt.Fprintf(&want, "a | %d\n", i+1)
	}
	if got := p.out.String(); got != want.String()+"a | end\n" {
		t.Errorf("%d bytes, ending %q", len(got), got[max(0, len(got)-40):])
	}
}

// A process that a step leaves behind lives on, though it prints: it is read from for as long as the run goes on.
func TestAProcessThatAStepLeavesBehindMayPrint(t *testing.T) {
	s := newStage(t)
	pid := filepath.Join(s.root, "pid")
	p := s.do(fmt.Sprintf(`
steps:
  server: '(while :; do head -c 10000 /dev/zero; sleep 0.01; done) & echo $! > %[1]s; echo started'
  use: {needs: server, run: 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; kill -0 $(cat %[1]s); done; kill -KILL $(cat %[1]s)'}
`, pid))
	p.want(0, "server succeeded, use succeeded")
}

// One that prints as fast as it can neither keeps its step from ending nor fills the disk.
func TestAProcessThatAStepLeavesBehindHoldsNothingUp(t *testing.T) {
	s := newStage(t)
	pid := filepath.Join(s.root, "pid")
	p := s.do(fmt.Sprintf("steps: {a: 'yes & echo $! > %[1]s; sleep 0.1', b: {needs: a, run: 'sleep 0.5; kill -KILL $(cat %[1]s)'}}", pid),
		func(p *play) { p.run.LogLimit = 100000 })
	p.want(0, "a succeeded, b succeeded")
	if n := len(p.log("a")); n > 100000+2*keptTail {
		t.Errorf("%d bytes are in the log", n)
	}
}

func TestALogThatIsTooLongHasItsBeginningAndItsEnd(t *testing.T) {
	s := newStage(t)
	p := s.do("steps: {a: 'seq 1 200000'}", func(p *play) { p.run.LogLimit = 50000 })
	p.want(0, "")
	log := p.log("a")
	if !strings.HasPrefix(log, "1\n2\n") || !strings.HasSuffix(log, "199999\n200000\n") || !strings.Contains(log, "left out here: log_limit is 50000 bytes") ||
		len(log) > 50000+2*keptTail {
		t.Errorf("%d bytes: %q … %q", len(log), log[:20], log[len(log)-20:])
	}
}

func TestACommandThatWantsATerminalFailsAtOnce(t *testing.T) {
	s := newStage(t)
	p := s.do("steps: {ask: {run: 'echo question > /dev/tty', console: true}}")
	p.want(1, "ask failed")
	if !strings.Contains(p.log("ask"), "/dev/tty") {
		t.Errorf("it printed %q", p.log("ask"))
	}
}

func TestADurationIsThatOfTheCommand(t *testing.T) {
	s := newStage(t)
	p := s.do("steps: {a: sleep 0.01}")
	a := p.run.Record.Steps[0].Last()
	if took := a.End - a.Start; took < 10*time.Millisecond || a.End > p.run.Record.Ended {
		t.Errorf("%s to %s of %s", a.Start, a.End, p.run.Record.Ended)
	}
}
