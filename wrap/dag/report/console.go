// Package report tells what happens in a run: on a terminal, on a log, and afterwards as a summary, JUnit XML, a Chrome
// trace or one HTML page. Reports are made of a journal.Run alone, be it live or read back.
package report

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"limit/backend"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// Output says what becomes of what the steps print.
type Output string

const (
	Group      Output = "group"      // together, when the attempt has ended
	Prefix     Output = "prefix"     // each line at once, after the step's id
	Interleave Output = "interleave" // at once, as it is
	Failed     Output = "failed"     // together, of failed attempts alone
	Quiet      Output = "quiet"      // nothing
)

// Progress says how a run shows where it stands.
type Progress string

const (
	Terminal Progress = "tty"   // finished steps scroll by, a live region below
	Plain    Progress = "plain" // a line at the start and the end of each step, and after a minute of silence
	None     Progress = "none"  // nothing but the output of steps
)

// Console shows a run while it happens. Its methods may be called by several goroutines, and none waits for whoever
// reads Out: logs are queued by name, and read when their turn has come.
type Console struct {
	Out      *wrap.Outlet
	Output   Output
	Progress Progress
	Fold     Fold
	Color    bool
	Size     func() (width, height int) // of the terminal
	Dir      string                     // of the run, with the logs
	Run      *journal.Run
	Expected []time.Duration // of each step, by index; nil: unknown
	Waiting  func(now time.Duration) []plan.Waiting
	Clock    func() time.Time // nil: time.Now

	mu       sync.Mutex
	pending  []byte
	done     int
	total    int
	failures int
	region   region
	next     []string // what the region is to be
	lent     bool     // the terminal is a step's
	halting  bool     // the run is being stopped
	behind   int64    // bytes of live output that nobody has read yet
	spoke    time.Time
	active   map[int]*journal.Step
	names    map[string]string // of claims, by id; "" where it is not known yet
	live     map[string]*Live  // of attempts that run, by step
}

// The pace of a live region, and of a log that nobody watches.
const (
	frame   = 100 * time.Millisecond
	silence = time.Minute
)

// maxPending is how much may wait for the next frame.
const maxPending = 64 << 10

func (c *Console) now() time.Time {
	if c.Clock != nil {
		return c.Clock()
	}
	return time.Now()
}

// Begin says that the steps begin. waiting tells which steps wait for what.
func (c *Console) Begin(waiting func(time.Duration) []plan.Waiting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Waiting = waiting
	c.total = c.Run.Count().Total
	c.active, c.names, c.live = map[int]*journal.Step{}, map[string]string{}, map[string]*Live{}
	c.spoke = c.now()
}

// Ticks is how often Tick is to be called; nil: never.
func (c *Console) Ticks() *time.Ticker {
	switch c.Progress {
	case Terminal:
		return time.NewTicker(frame)
	case Plain:
		return time.NewTicker(silence / 4)
	}
	return nil
}

// Started says that an attempt has started.
func (c *Console) Started(s *journal.Step, a *journal.Attempt) {
	c.mu.Lock()
	c.active[s.Index] = s
	c.mu.Unlock()
	if c.Progress != Plain {
		return
	}
	again := ""
	if a.Number > 1 {
		again = fmt.Sprintf(" (attempt %d)", a.Number)
	}
	c.say("%s start   %s%s", c.counter(), clean(s.ID), again)
}

// Retrying says that an attempt has failed and another follows.
func (c *Console) Retrying(s *journal.Step, a *journal.Attempt, delay time.Duration) {
	c.mu.Lock()
	delete(c.active, s.Index)
	c.mu.Unlock()
	when := "again at once"
	if delay > 0 {
		when = "again in " + short(delay)
	}
	c.ended(s, a, "retry", how(a)+"; "+when)
}

// Settled says how a step has ended.
func (c *Console) Settled(s *journal.Step) {
	c.mu.Lock()
	c.done++
	if s.Outcome.State == plan.Failed && !s.Outcome.Tolerated {
		c.failures++
	}
	delete(c.active, s.Index)
	c.mu.Unlock()
	a := s.Last()
	if a == nil || !a.Ended || s.Outcome.Earlier {
		a = nil
	}
	switch o := s.Outcome; {
	case o.Earlier:
		c.line("done", s, "in the run before")
	case o.State == plan.Succeeded:
		c.ended(s, a, "ok", "")
	case o.State == plan.Failed && a == nil:
		c.line("FAILED", s, o.Reason)
	case o.State == plan.Failed && o.Tolerated:
		c.ended(s, a, "failed", how(a)+" (tolerated)")
	case o.State == plan.Failed:
		c.ended(s, a, "FAILED", how(a))
	case o.State == plan.Skipped:
		c.line("skip", s, o.Reason)
	case o.State == plan.NotRun:
		c.line("not run", s, o.Reason)
	}
}

// Concluded says how a command of the file for the end of a run has ended.
func (c *Console) Concluded(s *journal.Step, a *journal.Attempt) {
	if a.Code != 0 || a.Reason != "" {
		c.ended(s, a, "FAILED", how(a))
		return
	}
	c.ended(s, a, "ok", "")
}

// how is exit 3, or what else ended an attempt.
func how(a *journal.Attempt) string {
	switch {
	case a.Reason != "":
		return a.Reason
	case a.Signal != 0:
		return "killed by " + signalName(a.Signal)
	default:
		return fmt.Sprintf("exit %d", a.Code)
	}
}

// line tells of a step that did not run.
func (c *Console) line(word string, s *journal.Step, why string) {
	if c.Progress == None {
		return
	}
	if why != "" {
		why = "  " + why
	}
	c.say("%s %s %s%s", c.counter(), c.paint(word), clean(s.ID), c.dim(clean(why)))
}

// ended tells of an attempt that has ended, with its output where that is to be shown now.
func (c *Console) ended(s *journal.Step, a *journal.Attempt, word, why string) {
	if why != "" {
		why = "  " + why
	}
	head := fmt.Sprintf("%s %s %s  %s%s", c.counter(), c.paint(word), clean(s.ID), short(a.End-a.Start),
		c.dim(clean(why)))
	shown := a.Log != "" && (c.Output == Group || c.Output == Failed && word != "ok")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLive(s.ID)
	fold := c.Fold
	if word == "FAILED" || !shown {
		fold = NoFold // what failed is to be seen
	}
	named := c.Progress != None || shown && c.Output == Failed
	if named {
		c.add(fold.open(head, s.ID, c.Run.Started.Add(a.Start)))
	}
	if shown {
		c.showLog(filepath.Join(c.Dir, filepath.FromSlash(a.Log)))
	}
	if named {
		c.add(fold.close(s.ID, c.Run.Started.Add(a.End)))
	}
	if word == "FAILED" {
		c.add(c.Fold.failed(clean(s.ID), clean(how(a))))
	}
}

// Halting says that the run is being stopped.
func (c *Console) Halting(reason string, running int) {
	c.mu.Lock()
	c.halting = true
	c.mu.Unlock()
	if c.Progress == None {
		return
	}
	c.say("%s %s: stopping %s", c.mark("stop"), clean(reason), wrap.Plural(running, "step"))
	c.show()
}

// Unknown returns the ids of claims that stand in the way and have no name yet.
func (c *Console) Unknown() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var unknown []string
	for id, name := range c.names {
		if name == "" {
			unknown = append(unknown, id)
		}
	}
	return unknown
}

// Name gives claims their names.
func (c *Console) Name(names map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, name := range names {
		c.names[id] = name
	}
}

// say adds a line.
func (c *Console) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(fmt.Sprintf(format, args...) + "\n")
}

// add puts text above the live region. It is written with the next frame, or by Flush.
func (c *Console) add(text string) {
	if text == "" {
		return
	}
	c.pending = append(c.pending, text...)
	c.spoke = c.now()
	if len(c.pending) > maxPending {
		c.write()
	}
}

// Flush shows what was said, where nobody waits for the next frame.
func (c *Console) Flush() {
	if c.Progress != Terminal {
		c.show()
	}
}

func (c *Console) show() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write()
}

// write queues pending text, the live region taken away around it.
func (c *Console) write() {
	text := c.pending
	if c.Progress == Terminal && !c.lent {
		text = c.frame()
	}
	c.Out.Write(text)
	c.pending = c.pending[:0]
}

// later queues what is written when its turn has come, below all that was said so far.
func (c *Console) later(write func(io.Writer) error) {
	if c.Progress == Terminal && !c.lent {
		c.wipe()
	} else {
		c.write()
	}
	c.Out.Later(write)
	if c.Progress == Terminal && !c.lent {
		c.write() // the live region again
	}
}

// Tick draws the live region, or breaks a long silence.
func (c *Console) Tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.Progress == Terminal && !c.lent && c.Out.Idle(): // a terminal that is not read gets no further frames
		c.next = c.view()
		c.write()
	case c.Progress == Plain && c.now().Sub(c.spoke) >= silence:
		c.add(c.heartbeat())
		c.write()
	}
}

// Lend gives the terminal to a step: it has it when the channel is closed, and nothing is written until TakeBack.
func (c *Console) Lend() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Progress == Terminal {
		c.wipe()
	}
	c.write()
	c.lent = true
	return c.Out.Lend()
}

// TakeBack ends Lend.
func (c *Console) TakeBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lent = false
	c.Out.TakeBack()
}

// counter is [done/total].
func (c *Console) counter() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count()
}

func (c *Console) count() string {
	width := len(fmt.Sprint(c.total))
	return fmt.Sprintf("[%*d/%d]", width, c.done, c.total)
}

// mark is a word in place of the counter.
func (c *Console) mark(word string) string {
	if word == "" {
		return "limit:"
	}
	return "limit: " + word
}

// describe is what blocks, in words: pool db (2 of 2), held by x, y.
func describe(blocks []backend.Block, names map[string]string) string {
	texts := make([]string, len(blocks))
	for i, b := range blocks {
		texts[i] = describeLimit(b)
		// those run, as anyone sees
		if by := holders(b.By, names); by != "" && b.Limit != backend.ExecutorNames().Runs {
			texts[i] += ", held by " + by
		}
	}
	return strings.Join(texts, ", and ")
}

// describeLimit is pool db (2 of 2).
func describeLimit(b backend.Block) string {
	name := strings.Replace(clean(b.Limit), ":", " ", 1)
	switch {
	case b.Why == backend.WhyPaused:
		return name + " (paused)"
	case b.Capacity == backend.Unlimited:
		return name
	case b.Why == backend.WhyRate:
		return fmt.Sprintf("%s (%d of %d starts)", name, b.Used, b.Capacity)
	case b.Why == backend.WhyBehind || b.Why == backend.WhyReserved:
		return fmt.Sprintf("%s (%d of %d, the rest kept for an earlier claim)", name, b.Used, b.Capacity)
	}
	return fmt.Sprintf("%s (%d of %d)", name, b.Used, b.Capacity)
}

// holders names the first few.
func holders(ids []string, names map[string]string) string {
	const most = 3
	var out []string
	for _, id := range ids {
		name, ok := names[id]
		switch {
		case ok && name == "":
			name = id[:min(8, len(id))]
		case !ok:
			name = id
		}
		if name != "" {
			out = append(out, clean(name))
		}
	}
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("%d more", len(out)-most))
	}
	return strings.Join(out, ", ")
}
