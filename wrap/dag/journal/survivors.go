package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"limit/wrap/dag/plan"
)

// Survivor is a process that holds the lock of a run: the run itself, or one of a step that has outlived it.
type Survivor struct {
	PID  int
	Step string // "": not known
}

func (s Survivor) String() string {
	if s.Step == "" {
		return fmt.Sprintf("pid %d", s.PID)
	}
	return fmt.Sprintf("step %s (pid %d)", s.Step, s.PID)
}

// lookAgain is how often survivors are looked for: waiting for a lock in the kernel could not be ended.
const lookAgain = 100 * time.Millisecond

// WaitForSteps waits until the run and every step of it is over, or ctx. A process that a step left behind whose end
// the journal has is not waited for. waits is called, at first and when they change, with those that are; none: who
// they are is not known.
func (e *Entry) WaitForSteps(ctx context.Context, waits func([]Survivor)) error {
	f, err := os.Open(filepath.Join(e.Dir, journalName))
	if err != nil {
		return fmt.Errorf("reading the journal: %w", err)
	}
	defer f.Close()
	poll := time.NewTicker(lookAgain)
	defer poll.Stop()
	for told := ""; alive(f); {
		left, known := e.survivors()
		if known && len(left) == 0 {
			return nil
		}
		if now := fmt.Sprint(left, known); now != told {
			waits(left)
			told = now
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// survivors are the processes that are waited for. Known: there are no others, as far as this process may look.
func (e *Entry) survivors() (left []Survivor, known bool) {
	path, err := filepath.EvalSymlinks(filepath.Join(e.Dir, journalName))
	if err != nil {
		return nil, false
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return nil, false
	}
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() || !holds(p.Name(), path) {
			continue
		}
		known = true
		step := e.stepOf(p.Name())
		if step == nil {
			left = append(left, Survivor{PID: pid})
		} else if !step.over() && !slices.ContainsFunc(left, func(s Survivor) bool { return s.Step == step.ID }) {
			left = append(left, Survivor{PID: pid, Step: step.ID})
		}
	}
	return left, known
}

// holds reports whether a process has a file open.
func holds(process, path string) bool {
	dir := filepath.Join("/proc", process, "fd")
	descriptors, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, d := range descriptors {
		if target, err := os.Readlink(filepath.Join(dir, d.Name())); err == nil && target == path {
			return true
		}
	}
	return false
}

// stepOf finds the step that a process was started for, by its environment; nil: not known.
func (e *Entry) stepOf(process string) *Step {
	environ, err := os.ReadFile(filepath.Join("/proc", process, "environ"))
	if err != nil {
		return nil
	}
	for entry := range strings.SplitSeq(string(environ), "\x00") {
		output, ok := strings.CutPrefix(entry, "LIMIT_OUTPUT=")
		if !ok {
			continue
		}
		name, _, _ := cutLast(filepath.Base(output), ".")
		for _, s := range e.Steps {
			if escape(s.ID) == name && filepath.Base(filepath.Dir(filepath.Dir(output))) == filepath.Base(e.Dir) {
				return s
			}
		}
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// over reports whether the journal has the end of all that was started of the step.
func (s *Step) over() bool {
	if s.Outcome.State != plan.Pending {
		return true
	}
	for _, a := range s.Attempts {
		if !a.Ended {
			return false
		}
	}
	return len(s.Attempts) > 0 // or else its condition runs
}

// Guard is the right to retry a run, which one process has at a time.
type Guard struct{ file *os.File }

// ErrRetried says that another process retries the run at this moment.
var ErrRetried = errors.New("it is being retried")

// Guard returns the right to retry the run, and the id of the run that has done so last, "" for none. With ErrRetried
// the id is of that which does now; "": it has none yet.
func (e *Entry) Guard() (*Guard, string, error) {
	f, err := os.OpenFile(filepath.Join(e.Dir, "retried"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, "", fmt.Errorf("keeping others from retrying run %s: %w", e.ID, err)
	}
	free := tryLock(f)
	by := make([]byte, 64)
	n, _ := f.ReadAt(by, 0)
	if !free {
		f.Close()
		return nil, string(by[:n]), ErrRetried
	}
	return &Guard{f}, string(by[:n]), nil
}

// By notes the id of the run that retries.
func (g *Guard) By(id string) error {
	if g == nil {
		return nil
	}
	_, err := g.file.WriteAt([]byte(id), 0)
	return err
}

// Close gives the right back.
func (g *Guard) Close() {
	if g != nil {
		g.file.Close()
	}
}
