package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// region is the live part at the bottom of a terminal: the lines last drawn, the cursor below them.
type region struct {
	lines   []string
	waiting []string // what waits, as it was last looked at
	looked  time.Time
	left    time.Duration
}

// frame is pending text with the region taken away before and drawn again after it, in one piece so that nothing
// flickers.
func (c *Console) frame() []byte {
	width, _ := c.Size()
	out := append([]byte(nil), c.region.erase(width)...)
	out = append(out, c.pending...)
	c.region.lines = c.next
	for _, line := range c.region.lines {
		out = append(out, line...)
		out = append(out, "\x1b[K\n"...)
	}
	return out
}

// wipe takes the region away with the next write.
func (c *Console) wipe() {
	width, _ := c.Size()
	c.Out.Write(append(c.region.erase(width), c.pending...))
	c.pending = c.pending[:0]
	c.region.lines = nil
}

// erase moves to the first line of the region and clears from there. A terminal that became narrower may have wrapped
// the lines.
func (r *region) erase(width int) []byte {
	rows := 0
	for _, line := range r.lines {
		rows += max(1, (wrap.Cells(line)+max(width, 1)-1)/max(width, 1))
	}
	if rows == 0 {
		return nil
	}
	return fmt.Appendf(nil, "\x1b[%dA\r\x1b[J", rows)
}

// view is the region's lines: where the run stands, what runs, what waits. It looks at the run, which is for the
// goroutine that carries it out alone.
func (c *Console) view() []string {
	width, height := c.Size()
	width, height = max(width, 10), max(height, 4)
	now := c.now()
	if now.Sub(c.region.looked) >= time.Second || c.region.looked.IsZero() {
		c.look(now)
	}
	running := c.running()
	lines := []string{wrap.Cut(c.status(now, len(running)), width-1)}
	room := max(1, min(height-3, 16))
	waitRoom := min(len(c.region.waiting), max(1, room/3))
	for i, s := range running {
		if i == room-waitRoom && len(running) > i+1 {
			lines = append(lines, wrap.Cut(fmt.Sprintf("  … and %d more running", len(running)-i), width-1))
			break
		}
		lines = append(lines, c.runningLine(s, now, width))
	}
	for i, w := range c.region.waiting {
		if i == waitRoom-1 && len(c.region.waiting) > waitRoom {
			lines = append(lines, wrap.Cut(fmt.Sprintf("  … and %d more waiting", len(c.region.waiting)-i), width-1))
			break
		}
		lines = append(lines, wrap.Cut("  "+w, width-1))
	}
	return lines
}

func (c *Console) status(now time.Time, running int) string {
	parts := []string{c.count(), fmt.Sprintf("%d running", running)}
	if n := len(c.region.waiting); n > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting", n))
	}
	if c.failures > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", c.failures))
	}
	parts = append(parts, short(now.Sub(c.Run.Started)))
	if c.region.left > 0 {
		parts = append(parts, "about "+short(c.region.left)+" left")
	}
	return strings.Join(parts, " · ")
}

func (c *Console) runningLine(s *journal.Step, now time.Time, width int) string {
	since := now.Sub(c.Run.Started) - s.Last().Start
	text := "  " + pad(clean(s.ID), min(40, max(8, width-12))) + " " + short(since)
	if c.Expected != nil && c.Expected[s.Index] > 0 {
		text += " of " + short(c.Expected[s.Index])
	}
	return wrap.Cut(text, width-1)
}

// running are the steps that run, the oldest first.
func (c *Console) running() []*journal.Step {
	running := slices.Collect(maps.Values(c.active))
	slices.SortFunc(running, func(a, b *journal.Step) int {
		return cmp.Or(cmp.Compare(a.Last().Start, b.Last().Start), cmp.Compare(a.Index, b.Index))
	})
	return running
}

// look finds what waits for what, and how long the rest will take. It looks at every step: once a second is enough.
func (c *Console) look(now time.Time) {
	c.region.looked = now
	c.region.left = c.estimate(now)
	c.region.waiting = c.region.waiting[:0]
	maps.DeleteFunc(c.names, func(_, name string) bool { return name == "" })
	if c.Waiting == nil {
		return
	}
	waiting := c.Waiting(now.Sub(c.Run.Started))
	slices.SortFunc(waiting, func(a, b plan.Waiting) int { return a.Step - b.Step })
	for _, w := range waiting {
		c.region.waiting = append(c.region.waiting, c.waitingLine(w))
	}
}

func (c *Console) waitingLine(w plan.Waiting) string {
	id := clean(c.Run.Steps[w.Step].ID)
	if w.InStore {
		for _, b := range w.Blocks {
			for _, claim := range b.By {
				if _, ok := c.names[claim]; !ok {
					c.names[claim] = "" // to be looked up
				}
			}
		}
	}
	switch {
	case w.Delayed:
		return id + " waits for its next attempt"
	case w.InStore && len(w.Blocks) == 0:
		return id + " waits for its pools"
	default:
		return id + " waits for " + describe(w.Blocks, c.names)
	}
}

// estimate is how long the rest will take, from earlier runs: the work that is left spread over the slots, but no less
// than the longest step that is left. 0: not known.
func (c *Console) estimate(now time.Time) time.Duration {
	if c.Expected == nil {
		return 0
	}
	var work, longest time.Duration
	for _, s := range c.Run.Steps {
		if s.Outcome.State != plan.Pending {
			continue
		}
		left := c.Expected[s.Index]
		if a := s.Last(); a != nil && !a.Ended {
			left = max(0, left-(now.Sub(c.Run.Started)-a.Start))
		}
		work += left * time.Duration(max(1, s.Slots))
		longest = max(longest, left)
	}
	return max(longest, work/time.Duration(max(1, c.Run.Max)))
}

// heartbeat says on a log that the run lives.
func (c *Console) heartbeat() string {
	running := c.running()
	c.look(c.now())
	var b strings.Builder
	fmt.Fprintf(&b, "%s still running after %s: ", c.count(), short(c.now().Sub(c.Run.Started)))
	for i, s := range running {
		if i == 5 {
			fmt.Fprintf(&b, ", %d more", len(running)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s)", clean(s.ID), short(c.now().Sub(c.Run.Started)-s.Last().Start))
	}
	if len(running) == 0 {
		b.WriteString("no step")
	}
	b.WriteString("\n")
	for i, w := range c.region.waiting {
		if i == 5 {
			fmt.Fprintf(&b, "      and %d more waiting\n", len(c.region.waiting)-i)
			break
		}
		b.WriteString("      " + w + "\n")
	}
	return b.String()
}
