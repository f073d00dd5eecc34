package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// mostDetailed is how many failed steps a summary in Markdown has the output of.
const mostDetailed = 10

// Markdown writes how a run has gone, for the summary that a CI system shows: counts, and the failed steps with their
// last lines.
func Markdown(w io.Writer, r *journal.Run, dir string) error {
	var b bytes.Buffer
	mark := "✅"
	if r.Code != 0 {
		mark = "❌"
	}
	fmt.Fprintf(&b, "### %s %s\n\n%s in %s", mark, markdown(r.Name), describeCounts(r.Count()), short(r.Ended))
	if r.Reason != "" {
		fmt.Fprintf(&b, "; %s", markdown(r.Reason))
	}
	fmt.Fprint(&b, "\n\n")
	detailed := 0
	for _, s := range r.Steps {
		if s.Outcome.State != plan.Failed || s.Outcome.Tolerated {
			continue
		}
		fmt.Fprintf(&b, "- **%s**: %s\n", markdown(s.ID), markdown(whyFailed(s)))
		lines := lastLines(s, dir)
		if detailed++; detailed > mostDetailed || len(lines) == 0 {
			continue
		}
		fence := "```"
		for strings.Contains(strings.Join(lines, "\n"), fence) {
			fence += "`"
		}
		fmt.Fprintf(&b, "\n  %s\n", fence)
		for _, line := range lines {
			fmt.Fprintf(&b, "  %s\n", clean(line))
		}
		fmt.Fprintf(&b, "  %s\n\n", fence)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// whyFailed says how a step failed.
func whyFailed(s *journal.Step) string {
	if a := s.Last(); a != nil && s.Outcome.Reason == "" {
		return how(a)
	}
	return s.Outcome.Reason
}

// markdown is a text that means nothing in Markdown.
func markdown(s string) string {
	return strings.NewReplacer("\\", "\\\\", "*", "\\*", "_", "\\_", "`", "\\`", "[", "\\[", "<", "&lt;", "&",
		"&amp;").Replace(clean(s))
}
