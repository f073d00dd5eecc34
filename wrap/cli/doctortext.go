package cli

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"strings"

	"limit/backend"
	"limit/wrap"
)

// writeDiagnosis is doctor for people: what is wrong comes last, where the eye is.
func writeDiagnosis(w io.Writer, d *diagnosis, width int) error {
	h := &helpText{width: 1 << 20} // a line each, for those that read them by program
	if width > 0 {
		h.width = max(40, min(width, helpWidest))
	}
	const column = 26 // of the facts
	h.finding(column, backend.Fine, "limit", fmt.Sprintf("%s, %s/%s", d.Version, runtime.GOOS, runtime.GOARCH), "")
	h.finding(column, backend.Fine, "store",
		fmt.Sprintf("%s, namespace %s", cmp.Or(d.Backend, "not known"), cmp.Or(d.Namespace, "not known")), "")
	for _, level := range []backend.Level{backend.Fine, backend.Warning, backend.Broken} {
		for _, f := range d.Findings {
			if f.Level == level {
				h.finding(column, f.Level, f.About, f.Fact, f.Remedy)
			}
		}
	}
	broken, warnings := d.count(backend.Broken), d.count(backend.Warning)
	switch {
	case broken > 0:
		h.line("\nunusable: %s, %s", wrap.Plural(broken, "error"), wrap.Plural(warnings, "warning"))
	case warnings > 0:
		h.line("\nit works, with %s", wrap.Plural(warnings, "warning"))
	default:
		h.line("\nall is well")
	}
	_, err := io.WriteString(w, h.out.String())
	return err
}

func (h *helpText) finding(column int, level backend.Level, about, fact, remedy string) {
	head := fmt.Sprintf("%-9s%-*s", level, column-9, about)
	for _, paragraph := range strings.Split(fact, "\n") {
		paragraph = wrap.Printable(paragraph)
		lines := []string{paragraph}
		if !strings.HasPrefix(paragraph, " ") {
			lines = fill(paragraph, h.width-column)
		}
		for _, line := range lines {
			h.line("%s%s", head, line)
			head = strings.Repeat(" ", column)
		}
	}
	for i, line := range fill(wrap.Printable(remedy), h.width-column-2) {
		h.line("%*s%s%s", column, "", []string{"→ ", "  "}[min(i, 1)], line)
	}
}
