package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"slices"
	"time"

	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// The largest graph that a page draws: beyond it nobody sees anything in it.
const (
	largestGraph = 3000
	mostEdges    = 20_000
)

// pageRow is one attempt in the page's timeline. The names are short because there may be many. Times are in milliseconds.
type pageRow struct {
	ID       string   `json:"i"`
	Attempt  int      `json:"n"`
	Ready    float64  `json:"r"`
	Start    float64  `json:"s"`
	End      float64  `json:"e"`
	Waits    [][2]any `json:"w,omitempty"` // index of the limit, milliseconds
	State    string   `json:"t"`
	How      string   `json:"h,omitempty"`
	Critical bool     `json:"c,omitempty"`
	Needs    []string `json:"d,omitempty"`
	Notes    []string `json:"o,omitempty"`
}

type pageData struct {
	Total  float64   `json:"total"`
	Limits []string  `json:"limits"`
	Rows   []pageRow `json:"rows"`
}

// Page writes the run as one HTML page that needs nothing but itself: what to raise, the timeline of all attempts with their waits by
// limit, the critical path, and the graph.
func Page(w io.Writer, r *journal.Run) error {
	out := bufio.NewWriter(w)
	blame := Blame(r)
	way := CriticalPath(r, blame)
	critical := map[*journal.Attempt]bool{}
	for _, l := range way {
		critical[l.Attempt] = true
	}
	data := pageOf(r, blame, critical)
	fmt.Fprintf(out, pageHead, html.EscapeString(clean(r.Name)), pageStyle)
	pageIntro(out, r)
	pageWaited(out, r, Waited(r, blame), data.Limits)
	pageFailures(out, r)
	pagePath(out, way, r.Ended)
	pageTimeline(out, data)
	pageGraph(out, r, way)
	text, err := json.Marshal(data) // escapes < and >, so that no text can end the element
	if err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	fmt.Fprintf(out, "<script type=\"application/json\" id=\"data\">%s</script>\n<script>%s</script>\n</main>\n</html>\n", text, pageScript)
	return out.Flush()
}

func pageOf(r *journal.Run, blame [][][]journal.Wait, critical map[*journal.Attempt]bool) pageData {
	data := pageData{Total: milli(r.Ended), Limits: []string{}, Rows: []pageRow{}}
	index := map[string]int{}
	for _, l := range Waited(r, blame) {
		index[l.Limit] = len(data.Limits)
		data.Limits = append(data.Limits, clean(l.Limit))
	}
	index[unblamed] = -1
	for _, b := range bars(r, blame) {
		row := pageRow{
			ID: clean(b.step.ID), Attempt: b.attempt.Number, Ready: milli(b.attempt.Ready), Start: milli(b.attempt.Start), End: milli(b.end),
			State: stateWord(b), Critical: critical[b.attempt], Notes: notes(b.step.Step),
		}
		if b.attempt.Code != 0 || b.attempt.Reason != "" {
			row.How = clean(how(b.attempt))
		}
		for _, s := range segments(b.waits, b.attempt.Start-b.attempt.Ready) {
			row.Waits = append(row.Waits, [2]any{index[s.limit], milli(s.long)})
		}
		for _, n := range b.step.Needs {
			if len(row.Needs) == 50 {
				row.Needs = append(row.Needs, fmt.Sprintf("… %d more", len(b.step.Needs)-50))
				break
			}
			row.Needs = append(row.Needs, clean(r.Steps[n].ID))
		}
		data.Rows = append(data.Rows, row)
	}
	return data
}

func milli(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// stateWord is how an attempt ended: ok, failed, tolerated, open.
func stateWord(b bar) string {
	switch {
	case !b.attempt.Ended:
		return "open"
	case b.attempt.Code == 0 && b.attempt.Reason == "":
		return "ok"
	case b.step.Outcome.Tolerated && b.attempt == b.step.Last():
		return "tolerated"
	default:
		return "failed"
	}
}

func pageIntro(out *bufio.Writer, r *journal.Run) {
	counts := r.Count()
	word := "succeeded"
	switch {
	case counts.Failed > 0 || r.Code != 0:
		word = "failed"
	case !r.Finished:
		word = "unfinished"
	}
	fmt.Fprintf(out, "<h1>%s <span class=\"badge %s\">%s</span></h1>\n", html.EscapeString(clean(r.Name)), word, word)
	fmt.Fprintf(out, "<p>%s in %s", html.EscapeString(describeCounts(counts)), short(r.Ended))
	if r.Reason != "" {
		fmt.Fprintf(out, "; %s", html.EscapeString(clean(r.Reason)))
	}
	fmt.Fprintf(out, ". Run <code>%s</code> of <code>%s</code> on %s, started <time datetime=\"%s\">%s</time>, max_concurrent %d.</p>\n",
		html.EscapeString(r.ID), html.EscapeString(clean(r.File)), html.EscapeString(clean(r.Host)),
		r.Started.Format(time.RFC3339), r.Started.Format("2006-01-02 15:04:05 MST"), r.Max)
}

func pageWaited(out *bufio.Writer, r *journal.Run, waited []LimitWait, limits []string) {
	fmt.Fprint(out, "<section aria-labelledby=\"raise\"><h2 id=\"raise\">What to raise</h2>\n")
	waited = slices.DeleteFunc(slices.Clone(waited), func(w LimitWait) bool { return w.Waited < worthTelling })
	if len(waited) == 0 {
		fmt.Fprint(out, "<p>No step waited for a limit.</p></section>\n")
		return
	}
	gains := map[string]string{}
	for _, raised := range Raise(r, waited) {
		gains[raised.Limit] = raised.String()
	}
	fmt.Fprint(out, "<table><thead><tr><th>limit</th><th class=\"num\">seconds waited</th><th class=\"num\">steps</th><th></th><th>raising it would give (simulated)</th></tr></thead><tbody>\n")
	for _, w := range waited {
		at := slices.Index(limits, clean(w.Limit))
		fmt.Fprintf(out, "<tr><td><span class=\"swatch\" data-limit=\"%d\"></span>%s</td><td class=\"num\">%.1f</td><td class=\"num\">%d</td><td class=\"meter\"><div style=\"width:%.1f%%\" data-limit=\"%d\"></div></td><td>%s</td></tr>\n",
			at, html.EscapeString(clean(w.Limit)), w.Waited.Seconds(), w.Steps, 100*float64(w.Waited)/float64(waited[0].Waited), at, html.EscapeString(gains[w.Limit]))
	}
	fmt.Fprint(out, "</tbody></table></section>\n")
}

func pageFailures(out *bufio.Writer, r *journal.Run) {
	var b bytes.Buffer
	for _, s := range r.Steps {
		o := s.Outcome
		if o.State == plan.NotRun || o.State == plan.Failed && !o.Tolerated {
			why := o.Reason
			if a := s.Last(); a != nil && why == "" {
				why = how(a)
			}
			fmt.Fprintf(&b, "<li><strong>%s</strong> %s: %s</li>\n", html.EscapeString(clean(s.ID)), o.State, html.EscapeString(clean(why)))
		}
	}
	if b.Len() > 0 {
		fmt.Fprintf(out, "<section aria-labelledby=\"failures\"><h2 id=\"failures\">Failures</h2><ul class=\"failures\" tabindex=\"0\">\n%s</ul></section>\n", b.Bytes())
	}
}

func pagePath(out *bufio.Writer, way []Link, all time.Duration) {
	if len(way) == 0 {
		return
	}
	fmt.Fprintf(out, "<section aria-labelledby=\"path\"><h2 id=\"path\">Critical path: %s of %s</h2><ol class=\"path\" tabindex=\"0\">\n", short(lasted(way)), short(all))
	for i, l := range way {
		arrow := ""
		if i > 0 || l.Waited > 0 {
			arrow = l.arrow()
		}
		fmt.Fprintf(out, "<li><span class=\"dim\">%s</span> %s <span class=\"dim\">%s</span></li>\n", html.EscapeString(arrow), html.EscapeString(clean(l.Step.ID)), short(l.took()))
	}
	fmt.Fprint(out, "</ol></section>\n")
}

func pageTimeline(out *bufio.Writer, data pageData) {
	fmt.Fprintf(out, pageTimelineText, len(data.Rows))
}

func pageGraph(out *bufio.Writer, r *journal.Run, way []Link) {
	fmt.Fprint(out, "<section aria-labelledby=\"graph\"><h2 id=\"graph\">Graph</h2>\n")
	edges := 0
	for _, s := range r.Steps {
		edges += len(s.Needs)
	}
	if len(r.Steps) > largestGraph || edges > mostEdges {
		fmt.Fprintf(out, "<p>%d steps with %d needs are too many to draw; 'limit dag graph' has them as text.</p></section>\n", len(r.Steps), edges)
		return
	}
	lines := map[[2]int]bool{}
	onWay := map[int]bool{}
	for i, l := range way {
		onWay[l.Step.Index] = true
		if i > 0 {
			lines[[2]int{way[i-1].Step.Index, l.Step.Index}] = true
		}
	}
	f := fileOf(r)
	places, width, height := layout(f)
	fmt.Fprintf(out, "<p class=\"tools\"><button type=\"button\" data-zoom=\"1.25\">larger</button> <button type=\"button\" data-zoom=\"0.8\">smaller</button></p>\n"+
		"<div class=\"graph\" tabindex=\"0\" role=\"img\" aria-label=\"graph of %d steps\"><svg width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", len(f.Steps), width, height, width, height)
	drawGraph(out, f, places, func(i int) string {
		class := graphClass(r.Steps[i])
		if onWay[i] {
			class += " onpath"
		}
		return fmt.Sprintf(" class=%q", class)
	}, lines)
	fmt.Fprint(out, "</svg></div></section>\n")
}

func graphClass(s *journal.Step) string {
	switch o := s.Outcome; {
	case o.State == plan.Failed && o.Tolerated:
		return "tolerated"
	default:
		return o.State.String()
	}
}
