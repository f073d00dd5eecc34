package report

import (
	"bufio"
	"cmp"
	"fmt"
	"html"
	"io"
	"maps"
	"slices"

	"limit/wrap"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func order(f *stepfile.File) []int { return plan.Topological(f) }

// The measures of a drawn graph, in pixels.
const (
	boxHeight   = 26
	rowGap      = 10
	columnGap   = 60
	letter      = 7 // of the font that labels have
	widestBox   = 260
	graphBorder = 12
)

// place is where a step stands in a drawing.
type place struct{ x, y, width int }

// layout places the steps in columns by level, in each so that lines cross little: next to the middle of what they
// need.
func layout(f *stepfile.File) (places []place, width, height int) {
	places = make([]place, len(f.Steps))
	columns := levels(f)
	rank := make([]float64, len(f.Steps))
	for sweep := range 4 {
		for c := range columns {
			if sweep > 0 && c > 0 {
				arrange(f, columns[c], rank)
			}
			for row, i := range columns[c] {
				rank[i] = float64(row)
			}
		}
	}
	x := graphBorder
	for _, column := range columns {
		widest := 0
		for _, i := range column {
			places[i].width = min(widestBox, wrap.Cells(clean(f.Steps[i].ID))*letter+16)
			widest = max(widest, places[i].width)
		}
		for row, i := range column {
			places[i].x, places[i].y = x, graphBorder+row*(boxHeight+rowGap)
		}
		height = max(height, 2*graphBorder+len(column)*(boxHeight+rowGap)-rowGap)
		x += widest + columnGap
	}
	return places, x - columnGap + graphBorder, height
}

// arrange sorts a column by the mean row of what its steps need.
func arrange(f *stepfile.File, column []int, rank []float64) {
	mean := make(map[int]float64, len(column))
	for _, i := range column {
		sum := 0.0
		for _, n := range f.Steps[i].Needs {
			sum += rank[n]
		}
		mean[i] = sum / float64(max(1, len(f.Steps[i].Needs)))
	}
	slices.SortStableFunc(column, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
}

// GraphSVG draws the graph.
func GraphSVG(w io.Writer, f *stepfile.File) error {
	out := bufio.NewWriter(w)
	places, width, height := layout(f)
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" `+
		`font-family="monospace" font-size="12">`+"\n", width, height, width, height)
	fmt.Fprint(out, `<style>rect{fill:#f4f4f5;stroke:#71717a}text{fill:#18181b}path{fill:none;stroke:#a1a1aa}`+
		`@media(prefers-color-scheme:dark){rect{fill:#27272a}text{fill:#f4f4f5}path{stroke:#71717a}}</style>`+"\n")
	drawGraph(out, f, places, func(int) (string, string) { return "", "" }, nil)
	fmt.Fprintln(out, "</svg>")
	return out.Flush()
}

// drawGraph draws lines and boxes; class gives a step's box a class and a mark at its corner, critical are the lines of
// a path (from, to).
func drawGraph(out *bufio.Writer, f *stepfile.File, places []place, class func(i int) (class, mark string),
	critical map[[2]int]bool) {
	for i, s := range f.Steps {
		to := places[i]
		for _, n := range s.Needs {
			from := places[n]
			x, y := from.x+from.width, from.y+boxHeight/2
			bend := max(20, (to.x-x)/2)
			attributes := ""
			if critical[[2]int{n, i}] {
				attributes = ` class="critical"`
			}
			if s.When != stepfile.OnSuccess {
				attributes += ` stroke-dasharray="4 3"`
			}
			fmt.Fprintf(out, `<path d="M%d %dC%d %d %d %d %d %d"%s/>`, x, y, x+bend, y, to.x-bend, to.y+boxHeight/2,
				to.x, to.y+boxHeight/2, attributes)
		}
	}
	for i, s := range f.Steps {
		p := places[i]
		label := wrap.CutMiddle(clean(s.ID), (p.width-16)/letter)
		class, mark := class(i)
		if mark != "" {
			x := p.x + p.width
			mark = fmt.Sprintf(`<circle cx="%d" cy="%d" r="7"/><text class="mark" x="%d" y="%d">%s</text>`, x, p.y, x,
				p.y+4, mark)
		}
		fmt.Fprintf(out,
			`<g%s><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="5"/>`+
				`<text x="%d" y="%d">%s</text>%s</g>`+"\n",
			class, html.EscapeString(clean(s.ID)), p.x, p.y, p.width, boxHeight, p.x+8, p.y+17,
			html.EscapeString(label), mark)
	}
}
