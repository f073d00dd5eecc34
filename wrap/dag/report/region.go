package report

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// region is the live part at the bottom of a terminal: the lines last drawn, the cursor below them.
type region struct {
	lines []string
	seen  sight
	next  time.Time // when to look again
}

// sight is what a look at the whole run has found, which is not done for each frame.
type sight struct {
	at      time.Time
	waiting []waitGroup
	left    time.Duration  // how long the rest will take; 0: not known
	said    map[int]string // the last line that a step has printed, by its index
}

// waitGroup are steps that wait for the same.
type waitGroup struct {
	steps int
	text  string
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

// view is the region's lines: where the run stands, what runs, what waits. It leaves a quarter of the terminal to what
// scrolls by. It looks at the run, which is for the goroutine that carries it out alone.
func (c *Console) view() []string {
	width, height := c.Size()
	width, height = max(width, 10), max(height, 4)
	now := c.now()
	if !now.Before(c.region.next) {
		c.look(now, height)
	}
	running := c.running()
	lines := wrapParts(c.status(now, len(running)), width-1, max(1, height/4))
	room := height - max(2, height/4) - len(lines)
	waiting := c.region.seen.waiting
	waitRoom := min(len(waiting), max(room/3, room-len(running), 1))
	runRoom := max(room-waitRoom, 0)
	spare := max(runRoom-len(running), 0)
	if len(running) > runRoom && runRoom > 0 {
		running = running[:runRoom-1]
	}
	running = running[:min(len(running), runRoom)]
	names := 0
	for _, s := range running {
		names = max(names, wrap.Cells(clean(s.ID)))
	}
	for _, s := range running {
		lines = append(lines, c.runningLine(s, now, min(names, max(8, width-22))))
		if said := c.region.seen.said[s.Index]; said != "" && spare > 0 {
			spare--
			lines = append(lines, c.dim(wrap.Cut("      "+said, width-1)))
		}
	}
	if more := len(c.active) - len(running); more > 0 && runRoom > 0 {
		lines = append(lines, fmt.Sprintf("  … and %d more running", more))
	}
	for _, w := range foremost(waiting, waitRoom) {
		lines = append(lines, "  "+w)
	}
	for i, line := range lines {
		lines[i] = wrap.Cut(line, width-1)
	}
	return lines
}

// foremost are the lines of the first groups; the last of so many counts the rest.
func foremost(groups []waitGroup, most int) []string {
	var lines []string
	for i, g := range groups {
		if i == most-1 && len(groups) > most {
			return append(lines, fmt.Sprintf("… and %d more waiting", stepsIn(groups[i:])))
		}
		lines = append(lines, g.text)
	}
	return lines
}

func stepsIn(groups []waitGroup) int {
	n := 0
	for _, g := range groups {
		n += g.steps
	}
	return n
}

// wrapParts joins parts to lines of a width, to so many at most; what finds no room is left out.
func wrapParts(parts []string, width, most int) []string {
	const between = " · "
	lines := parts[:1:1]
	for _, part := range parts[1:] {
		last := len(lines) - 1
		if wrap.Cells(lines[last]+between+part) <= width {
			lines[last] += between + part
		} else if len(lines) < most {
			lines = append(lines, part)
		}
	}
	return lines
}

func (c *Console) status(now time.Time, running int) []string {
	parts := []string{c.count(), fmt.Sprintf("%d running", running)}
	if n := stepsIn(c.region.seen.waiting); n > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting", n))
	}
	if c.failures > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", c.failures))
	}
	parts = append(parts, short(now.Sub(c.Run.Started)))
	if left := c.region.seen.left - now.Sub(c.region.seen.at); left > 0 {
		parts = append(parts, "about "+short(left)+" left")
	}
	stop := "^C stops, twice kills"
	if c.halting {
		stop = "stopping, ^C kills"
	}
	return append(parts, "run "+shortRun(c.Run.ID), stop)
}

func (c *Console) runningLine(s *journal.Step, now time.Time, width int) string {
	text := "  " + pad(clean(s.ID), width) + " " + short(now.Sub(c.Run.Started)-s.Last().Start)
	if c.Expected != nil && c.Expected[s.Index] > 0 {
		text += " of " + short(c.Expected[s.Index])
	}
	return text
}

// running are the steps that run, the oldest first.
func (c *Console) running() []*journal.Step {
	running := slices.Collect(maps.Values(c.active))
	slices.SortFunc(running, func(a, b *journal.Step) int {
		return cmp.Or(cmp.Compare(a.Last().Start, b.Last().Start), cmp.Compare(a.Index, b.Index))
	})
	return running
}

// look finds what waits for what, how long the rest will take, and what the longest running steps have printed last. It
// looks at every step: once a second at most, and for a hundredth of the time.
func (c *Console) look(now time.Time, height int) {
	begun := time.Now()
	seen := sight{at: now, said: map[int]string{}, left: Remaining(c.Run, c.Expected, now.Sub(c.Run.Started))}
	maps.DeleteFunc(c.names, func(_, name string) bool { return name == "" })
	if c.Waiting != nil {
		seen.waiting = c.grouped(c.Waiting(now.Sub(c.Run.Started)))
	}
	if c.Output == Group || c.Output == Failed { // else the output itself is shown, or not wanted
		running := c.running()
		for _, s := range running[:min(len(running), height)] {
			seen.said[s.Index] = lastLine(filepath.Join(c.Dir,
				filepath.FromSlash(journal.LogName(s.ID, s.Last().Number))))
		}
	}
	c.region.seen = seen
	c.region.next = now.Add(max(time.Second, 100*time.Since(begun)))
}

// lastLine is the last line of a log as it stands on a terminal after the carriage returns in it, without colours.
func lastLine(path string) string {
	lines := tailOf(path, 1, 4<<10)
	if len(lines) == 0 {
		return ""
	}
	line := strings.TrimRight(lines[len(lines)-1], "\r")
	line = line[strings.LastIndexByte(line, '\r')+1:]
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		if line[i] == 0x1b {
			n, _ := escapeLength([]byte(line[i:]))
			i += n - 1
			continue
		}
		b.WriteByte(line[i])
	}
	return clean(strings.TrimSpace(strings.ReplaceAll(b.String(), "\t", " ")))
}

// mostNamed is how many steps that wait for the same are named.
const mostNamed = 20

// grouped is what waits, in groups, the largest first.
func (c *Console) grouped(waiting []plan.Waiting) []waitGroup {
	slices.SortFunc(waiting, func(a, b plan.Waiting) int { return a.Step - b.Step })
	steps := map[string][]string{}
	for _, w := range waiting {
		why := c.whyWaits(w)
		steps[why] = append(steps[why], clean(c.Run.Steps[w.Step].ID))
	}
	groups := make([]waitGroup, 0, len(steps))
	for _, why := range sortedKeys(steps) {
		ids := steps[why]
		text := ids[0] + " waits for " + why
		if len(ids) > 1 {
			text = fmt.Sprintf("%d wait for %s: %s", len(ids), why, strings.Join(ids[:min(len(ids), mostNamed)], ", "))
		}
		groups = append(groups, waitGroup{len(ids), text})
	}
	slices.SortStableFunc(groups, func(a, b waitGroup) int { return b.steps - a.steps })
	return groups
}

func (c *Console) whyWaits(w plan.Waiting) string {
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
		return "the next attempt"
	case w.InStore && len(w.Blocks) == 0:
		return "pools"
	default:
		return describe(w.Blocks, c.names)
	}
}

// widestLine is how long a line of a log may be that nobody has set a width for.
const widestLine = 120

// heartbeat says on a log that the run lives.
func (c *Console) heartbeat() string {
	running := c.running()
	c.look(c.now(), 0)
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
	for _, w := range foremost(c.region.seen.waiting, 6) {
		b.WriteString("      " + wrap.Cut(w, widestLine) + "\n")
	}
	return b.String()
}
