package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"limit/backend"
	"limit/wrap/dag/stepfile"
)

// GraphText writes the graph for reading: each step with what it needs, those first that need nothing.
func GraphText(w io.Writer, f *stepfile.File) error {
	out := bufio.NewWriter(w)
	for level, steps := range levels(f) {
		if level > 0 {
			fmt.Fprintln(out)
		}
		for _, i := range steps {
			s := f.Steps[i]
			fmt.Fprint(out, clean(s.ID))
			if len(s.Needs) > 0 {
				fmt.Fprintf(out, " ← %s", clean(strings.Join(ids(f, s.Needs), ", ")))
			}
			if notes := notes(s); len(notes) > 0 {
				fmt.Fprintf(out, "  (%s)", clean(strings.Join(notes, ", ")))
			}
			fmt.Fprintln(out)
		}
	}
	return out.Flush()
}

// notes are what a reader of the graph should know of a step.
func notes(s *stepfile.Step) []string {
	var out []string
	for _, name := range sortedKeys(s.Pools) {
		out = append(out, fmt.Sprintf("pool %s=%s", name, backend.SlotsText(s.Pools[name])))
	}
	for _, key := range sortedKeys(s.Tags) {
		out = append(out, key+"="+s.Tags[key])
	}
	if s.Slots > 1 {
		out = append(out, fmt.Sprintf("%d slots", s.Slots))
	}
	if s.If != "" {
		out = append(out, "if")
	}
	switch s.When {
	case stepfile.OnFailure:
		out = append(out, "on failure")
	case stepfile.Always:
		out = append(out, "always")
	}
	return out
}

// GraphMermaid writes the graph in Mermaid's language.
func GraphMermaid(w io.Writer, f *stepfile.File) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "flowchart LR")
	quote := strings.NewReplacer(`"`, "#quot;", "\n", " ", "<", "#lt;", ">", "#gt;")
	for i, s := range f.Steps {
		fmt.Fprintf(out, "  s%d[\"%s\"]\n", i, quote.Replace(clean(s.ID)))
	}
	for i, s := range f.Steps {
		for _, n := range s.Needs {
			arrow := "-->"
			if s.When != stepfile.OnSuccess {
				arrow = "-.->"
			}
			fmt.Fprintf(out, "  s%d %s s%d\n", n, arrow, i)
		}
	}
	return out.Flush()
}

// GraphDot writes the graph in Graphviz' language.
func GraphDot(w io.Writer, f *stepfile.File) error {
	out := bufio.NewWriter(w)
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	fmt.Fprintf(out, "digraph \"%s\" {\n  rankdir=LR\n  node [shape=box style=rounded]\n", quote.Replace(clean(f.Name)))
	for i, s := range f.Steps {
		fmt.Fprintf(out, "  s%d [label=\"%s\"]\n", i, quote.Replace(clean(s.ID)))
	}
	for i, s := range f.Steps {
		for _, n := range s.Needs {
			style := ""
			if s.When != stepfile.OnSuccess {
				style = " [style=dashed]"
			}
			fmt.Fprintf(out, "  s%d -> s%d%s\n", n, i, style)
		}
	}
	fmt.Fprintln(out, "}")
	return out.Flush()
}

func ids(f *stepfile.File, steps []int) []string {
	out := make([]string, len(steps))
	for k, i := range steps {
		out[k] = f.Steps[i].ID
	}
	return out
}

// levels puts each step one level below the deepest of its needs.
func levels(f *stepfile.File) [][]int {
	depth := make([]int, len(f.Steps))
	var out [][]int
	for _, i := range order(f) {
		for _, n := range f.Steps[i].Needs {
			depth[i] = max(depth[i], depth[n]+1)
		}
	}
	for i := range f.Steps {
		for len(out) <= depth[i] {
			out = append(out, nil)
		}
		out[depth[i]] = append(out[depth[i]], i)
	}
	return out
}
