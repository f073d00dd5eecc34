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
)

const endings = `
timeout: %s
on_failure: 'echo "failure $LIMIT_STATUS $LIMIT_FAILED_STEPS" >> %[2]s'
on_exit: 'echo "exit $LIMIT_STATUS $LIMIT_DAG $LIMIT_STEP [$LIMIT_REPORT]" >> %[2]s'
executor: {max_concurrent: 4}
steps:
  long: {run: %s}
  next: {run: 'true', needs: long}
  tell: {run: 'echo "tell $NEED_LONG $NEED_NEXT" >> %[2]s', needs: [long, next], when: on_failure}
  clean: {run: 'echo clean >> %[2]s', needs: tell, when: always}
`

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatIsThereForAnEndRunsAfterEveryEnd(t *testing.T) {
	for name, c := range map[string]struct {
		timeout, long, told string
		code                int
	}{
		"success": {"1m", "'true'", "clean\nexit 0 steps on_exit [/r.html]\n", 0},
		"failure": {"1m", "exit 3", "tell failed not_run\nclean\nfailure 1 long\nexit 1 steps on_exit [/r.html]\n", 1},
		"timeout": {"200ms", "sleep 60", "tell failed not_run\nclean\nfailure 124 long\nexit 124 steps on_exit [/r.html]\n", wrap.CodeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			told := filepath.Join(s.root, "told")
			reported := false
			p := s.do(fmt.Sprintf(endings, c.timeout, told, c.long), func(p *play) {
				p.run.ReportPath = "/r.html"
				p.run.Report = func() error { _, err := os.Stat(told); reported = p.run.Record.Finished && err == nil; return nil }
			})
			p.want(c.code, "")
			if got := read(t, told); got != c.told {
				t.Errorf("told %q, want %q", got, c.told)
			}
			if !reported {
				t.Error("the report was not written between the steps and the commands for the end")
			}
			s.empty()
		})
	}
}

func TestWhatIsThereForAnEndRunsAfterACancel(t *testing.T) {
	s := newStage(t)
	told := filepath.Join(s.root, "told")
	p := s.begin(fmt.Sprintf(endings, "1m", told, "sleep 60"))
	p.until("long runs", named(wrap.EventStarted, "long"))
	s.signal("INT")
	p.wait()
	if p.exit.Signal != syscall.SIGINT || p.outcomes() != "long failed, next not_run, tell succeeded, clean succeeded" {
		t.Errorf("%+v %s", p.exit, p.outcomes())
	}
	if got := read(t, told); got != "tell failed not_run\nclean\nfailure 130 long\nexit 130 steps on_exit []\n" {
		t.Errorf("told %q", got)
	}
}

func TestASecondSignalEndsWhatIsThereForAnEnd(t *testing.T) {
	s := newStage(t)
	p := s.begin("on_exit: sleep 60\nsteps: {a: sleep 60, b: {run: sleep 60, needs: a, when: always}, c: {run: 'true', needs: b, when: always}}")
	p.until("a runs", named(wrap.EventStarted, "a"))
	s.signal("TERM")
	p.until("b runs after the cancel", named(wrap.EventStarted, "b"))
	s.signal("INT")
	start := time.Now()
	p.wait()
	if took := time.Since(start); p.outcomes() != "a failed, b failed, c not_run" || took > 20*time.Second {
		t.Errorf("%s after %s", p.outcomes(), took)
	}
}

func TestACommandForTheEndThatFailsIsAFailure(t *testing.T) {
	s := newStage(t)
	p := s.do("on_exit: exit 4\nsteps: {a: 'true'}")
	if p.exit.Code != 1 || p.err == nil || !strings.Contains(p.err.Error(), "on_exit: exit 4") {
		t.Errorf("%+v %v", p.exit, p.err)
	}
}

func TestOutputsThatAreTooMuchForAnEnvironmentComeAsFiles(t *testing.T) {
	s := newStage(t)
	p := s.do(`
steps:
  big: {matrix: {i: [1, 2, 3, 4, 5, 6]}, run: 'head -c 60000 /dev/zero | tr "\0" x | sed "s/^/k=/" > $LIMIT_OUTPUT'}
  small: {run: 'echo "k=<v>" > $LIMIT_OUTPUT'}
  all: {needs: [big, small], run: 'cat $LIMIT_INPUTS/OUT_BIG_1_K $LIMIT_INPUTS/OUT_BIG_6_K | wc -c; cat $LIMIT_INPUTS/OUT_SMALL_K; echo " [$OUT_SMALL_K]"'}
  some: {needs: small, run: 'cat $LIMIT_INPUTS/OUT_SMALL_K; echo " $OUT_SMALL_K $LIMIT_STEP $LIMIT_ATTEMPT $NEED_SMALL"'}
`)
	p.want(0, "")
	if got := strings.TrimSpace(p.log("all")); got != "120000\n<v> []" {
		t.Errorf("all: %q", got)
	}
	if got := p.log("some"); got != "<v> <v> some 1 succeeded\n" {
		t.Errorf("some: %q", got)
	}
	if left, err := os.ReadDir(filepath.Join(p.dir, "out")); err == nil && len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// timeout(1) signals its command, and then its whole group: limit gets the signal twice.
func TestASignalThatComesTwiceAtOnceIsOne(t *testing.T) {
	s := newStage(t)
	p := s.begin("steps: {a: sleep 60, b: {run: 'true', needs: a, when: always}}")
	p.until("a runs", named(wrap.EventStarted, "a"))
	s.signal("TERM $PPID; kill -TERM")
	p.wait()
	if p.exit.Signal != syscall.SIGTERM || p.outcomes() != "a failed, b succeeded" {
		t.Errorf("%+v %s", p.exit, p.outcomes())
	}
}
