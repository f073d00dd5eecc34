package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// How much a summary shows.
const (
	tailLines    = 10 // of a failed step's output
	tailBytes    = 8 << 10
	reportLines  = 50 // of a failed step's output, in a report
	reportBytes  = 32 << 10
	shownFailed  = 20
	shownSlowest = 5
	shownWaits   = 6
	shownPath    = 12
)

// worthTelling is the shortest wait that a summary speaks of.
const worthTelling = 50 * time.Millisecond

// Summary writes how a run has gone: counts, failures with their last lines, the slowest steps, the critical path, and
// seconds waited for each limit. retry is the command to retry with, "" for none.
func (c *Console) Summary(retry string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = nil
	var b bytes.Buffer
	if c.Progress != None {
		WriteSummary(&b, c.Run, c.Dir, c.Output == Group, retry)
	} else {
		writeWhatFailed(&b, c.Run, c.Dir, c.Output != Quiet)
	}
	c.pending = append(c.pending, c.safe(b.Bytes())...)
	c.write()
}

// writeWhatFailed is all that is said of a run that is to say nothing when all is well.
func writeWhatFailed(w io.Writer, r *journal.Run, dir string, shown bool) {
	if r.Reason != "" {
		fmt.Fprintf(w, "%s: %s\n", clean(r.Name), clean(r.Reason))
	}
	writeFailures(w, r, dir, shown)
}

// WriteSummary is Summary for a run that is over. Where the failed steps' output was shown already, only its place is
// told.
func WriteSummary(w io.Writer, r *journal.Run, dir string, shown bool, retry string) {
	counts := r.Count()
	fmt.Fprintf(w, "\n%s: %s in %s", clean(r.Name), describeCounts(counts), short(r.Ended))
	if r.Reason != "" {
		fmt.Fprintf(w, "; %s", clean(r.Reason))
	}
	fmt.Fprintln(w)
	writeRerun(w, r)
	writeFailures(w, r, dir, shown)
	blame := AttributeWaits(r)
	if ran := countRan(r); ran > 1 {
		writeSlowest(w, r)
		writeCriticalPath(w, r, blame)
	}
	writeWaited(w, r, blame)
	if retry != "" && (counts.Failed > 0 || counts.NotRun > 0 || counts.Done() < counts.Total) {
		fmt.Fprintf(w, "retry: %s\n", retry)
	}
}

func describeCounts(c journal.Counts) string {
	parts := []string{wrap.Plural(c.Total, "step")}
	for _, p := range []struct {
		n    int
		word string
	}{
		{c.Succeeded, "succeeded"}, {c.Earlier, "done before"}, {c.Failed, "failed"},
		{c.Tolerated, "failed and tolerated"},
		{c.Skipped, "skipped"}, {c.NotRun, "not run"}, {c.Total - c.Done(), "unfinished"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	return strings.Join(parts, ", ")
}

func countRan(r *journal.Run) int {
	n := 0
	for _, s := range r.Steps {
		if s.Took() > 0 {
			n++
		}
	}
	return n
}

// writeRerun names the steps that ran again though they may have run to their end before.
func writeRerun(w io.Writer, r *journal.Run) {
	var again []string
	for _, s := range r.Steps {
		if s.Rerun {
			again = append(again, clean(s.ID))
		}
	}
	if len(again) > 0 {
		fmt.Fprintf(w, "run again, as the run before was killed while they ran: %s\n",
			strings.Join(shorten(again, shownPath), ", "))
	}
}

func writeFailures(w io.Writer, r *journal.Run, dir string, shown bool) {
	n := 0
	for _, s := range r.Steps {
		if s.Outcome.State != plan.Failed || s.Outcome.Tolerated {
			continue
		}
		if n++; n > shownFailed {
			continue
		}
		a := s.Last()
		switch {
		case a == nil:
			fmt.Fprintf(w, "failed: %s: %s\n", clean(s.ID), clean(s.Outcome.Reason))
			continue
		case a.Number > 1:
			fmt.Fprintf(w, "failed: %s: %s, attempt %d\n", clean(s.ID), clean(how(a)), a.Number)
		default:
			fmt.Fprintf(w, "failed: %s: %s\n", clean(s.ID), clean(how(a)))
		}
		if a.Log != "" && !shown {
			writeTail(w, filepath.Join(dir, filepath.FromSlash(a.Log)))
		}
	}
	if n > shownFailed {
		fmt.Fprintf(w, "and %d more\n", n-shownFailed)
	}
}

func writeTail(w io.Writer, path string) {
	for _, line := range tailOf(path, tailLines, tailBytes) {
		fmt.Fprintf(w, "    %s\n", line)
	}
}

// lastLines are the last lines of what a failed step has printed, for a report.
func lastLines(s *journal.Step, dir string) []string {
	a := s.Last()
	if a == nil || a.Log == "" {
		return nil
	}
	return tailOf(filepath.Join(dir, filepath.FromSlash(a.Log)), reportLines, reportBytes)
}

// tailOf are the last lines of a log; none where it cannot be read.
func tailOf(path string, lines, most int) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var b bytes.Buffer
	if journal.Tail(f, &b, lines, most) != nil || b.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}

func writeSlowest(w io.Writer, r *journal.Run) {
	steps := slices.Clone(r.Steps)
	slices.SortStableFunc(steps, func(a, b *journal.Step) int { return cmp.Compare(b.Took(), a.Took()) })
	var texts []string
	for _, s := range steps[:min(len(steps), shownSlowest)] {
		if s.Took() > 0 {
			texts = append(texts, clean(s.ID)+" "+short(s.Took()))
		}
	}
	fmt.Fprintf(w, "slowest: %s\n", strings.Join(texts, ", "))
}

// shorten leaves out the middle of a long list.
func shorten(texts []string, most int) []string {
	if len(texts) <= most {
		return texts
	}
	half := most / 2
	out := append(slices.Clone(texts[:half]), fmt.Sprintf("… %d more …", len(texts)-2*half))
	return append(out, texts[len(texts)-half:]...)
}

func writeWaited(w io.Writer, r *journal.Run, blame [][][]journal.Wait) {
	var texts []string
	waited := Waited(r, blame)
	for _, l := range waited {
		if l.Waited < worthTelling || len(texts) == shownWaits {
			continue
		}
		text := fmt.Sprintf("%s %.1fs", clean(l.Limit), l.Waited.Seconds())
		if l.Steps > 0 {
			text += " (" + wrap.Plural(l.Steps, "step") + ")"
		}
		texts = append(texts, text)
	}
	if len(texts) > 0 {
		fmt.Fprintf(w, "waited for limits: %s\n", strings.Join(texts, ", "))
		writeRaised(w, Raise(r, waited))
	}
}
