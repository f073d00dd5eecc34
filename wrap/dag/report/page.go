package report

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

// The largest graph that a page draws: beyond it nobody sees anything in it.
const (
	largestGraph = 3000
	mostEdges    = 20_000
)

// pageRow is one attempt in the page's timeline. The names are short because there may be many. Times are in
// milliseconds.
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
	Command  int      `json:"x"` // index
}

type pageData struct {
	Total    float64   `json:"total"`
	Limits   []string  `json:"limits"`
	Commands []string  `json:"commands"`
	Rows     []pageRow `json:"rows"`
}

//go:embed page.html page.css page.js
var pageFiles embed.FS

// pageModel is what page.html shows.
type pageModel struct {
	Name, State, Mark    string
	Counts, Took, Reason string
	ID, File, Host       string
	Started              time.Time
	Max                  int
	Params               []stepfile.Var
	Failures, NotRun     []pageFailure
	Waited               []pageWait
	Path                 []pageLink
	PathTook, Needs      string
	Data                 pageData
	Steps, Edges         int
	Graph                template.HTML
	Style                template.CSS
	Script               template.JS
}

type pageFailure struct{ ID, Why, Lines string }

type pageLink struct{ Arrow, ID, Took string }

type pageWait struct {
	Limit, Gain string
	Index       int // of the limit's colour
	Seconds     float64
	Steps       int
	Percent     int // of the longest
}

// Page writes the run as one HTML page that needs nothing but itself: failures with their last lines, what to raise,
// the critical path, the timeline of all attempts with their waits by limit, and the graph. Logs are read from the
// run's directory.
func Page(w io.Writer, r *journal.Run, dir string) error {
	page, err := template.ParseFS(pageFiles, "page.html")
	if err != nil {
		return fmt.Errorf("reading the embedded page: %w", err)
	}
	style, err := pageFiles.ReadFile("page.css")
	if err != nil {
		return fmt.Errorf("reading the embedded page: %w", err)
	}
	script, err := pageFiles.ReadFile("page.js")
	if err != nil {
		return fmt.Errorf("reading the embedded page: %w", err)
	}
	m := modelOf(r, dir)
	m.Style, m.Script = template.CSS(style), template.JS(script)
	out := bufio.NewWriter(w)
	if err := page.Execute(out, m); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return out.Flush()
}

func modelOf(r *journal.Run, dir string) *pageModel {
	blame := AttributeWaits(r)
	waited := Waited(r, blame)
	way := CriticalPath(r, blame)
	critical := map[*journal.Attempt]bool{}
	m := &pageModel{
		Name: clean(r.Name), Counts: describeCounts(r.Count()), Took: short(r.Ended), Reason: clean(r.Reason),
		ID: r.ID, File: clean(r.File), Host: clean(r.Host), Started: r.Started, Max: r.Max,
		PathTook: short(lasted(way)), Steps: len(r.Steps),
	}
	for i, l := range way {
		critical[l.Attempt] = true
		link := pageLink{ID: clean(l.Step.ID), Took: short(l.took())}
		if i > 0 || l.Waited > 0 {
			link.Arrow = l.arrow()
		}
		m.Path = append(m.Path, link)
	}
	m.Data = pageOf(r, blame, critical)
	m.State, m.Mark = pageState(r)
	for _, name := range sortedKeys(r.Params) {
		m.Params = append(m.Params, stepfile.Var{Name: clean(name), Value: clean(r.Params[name])})
	}
	if needs, least := NeedsPath(r); len(needs) > 1 {
		m.Needs = fmt.Sprintf("By needs alone %s, however many slots: %s.", short(least),
			strings.Join(shorten(stepIDs(needs), shownPath), " → "))
	}
	m.failures(r, dir)
	m.waits(r, waited)
	m.graph(r, way)
	return m
}

func pageState(r *journal.Run) (word, mark string) {
	switch {
	case r.Count().Failed > 0 || r.Code != 0:
		return "failed", "✗"
	case !r.Finished:
		return "unfinished", "…"
	}
	return "succeeded", "✓"
}

// mostTails is how many failed steps a page has the output of.
const mostTails = 100

func (m *pageModel) failures(r *journal.Run, dir string) {
	for _, s := range r.Steps {
		switch o := s.Outcome; {
		case o.State == plan.NotRun:
			m.NotRun = append(m.NotRun, pageFailure{ID: clean(s.ID), Why: clean(o.Reason)})
		case o.State == plan.Failed && !o.Tolerated:
			f := pageFailure{ID: clean(s.ID), Why: clean(whyFailed(s))}
			if a := s.Last(); a != nil && a.Number > 1 {
				f.Why += fmt.Sprintf(", attempt %d", a.Number)
			}
			if len(m.Failures) < mostTails {
				lines := lastLines(s, dir)
				for i, line := range lines {
					lines[i] = clean(strings.TrimSuffix(line, "\r"))
				}
				f.Lines = strings.Join(lines, "\n")
			}
			m.Failures = append(m.Failures, f)
		}
	}
}

func (m *pageModel) waits(r *journal.Run, waited []LimitWait) {
	gains := map[string]string{}
	for _, raised := range Raise(r, waited) {
		gains[raised.Limit] = raised.String()
	}
	for i, w := range waited {
		if w.Waited >= worthTelling {
			m.Waited = append(m.Waited, pageWait{Limit: clean(w.Limit), Gain: gains[w.Limit], Index: i,
				Seconds: w.Waited.Seconds(), Steps: w.Steps,
				Percent: int(100 * w.Waited / waited[0].Waited)})
		}
	}
}

func pageOf(r *journal.Run, blame [][][]journal.Wait, critical map[*journal.Attempt]bool) pageData {
	data := pageData{Total: milli(r.Ended), Limits: []string{}, Commands: []string{}, Rows: []pageRow{}}
	index, commands := map[string]int{}, map[string]int{}
	for _, l := range Waited(r, blame) {
		index[l.Limit] = len(data.Limits)
		data.Limits = append(data.Limits, clean(l.Limit))
	}
	index[unblamed] = -1
	for _, b := range bars(r, blame) {
		row := pageRow{
			ID: clean(b.step.ID), Attempt: b.attempt.Number, Ready: milli(b.attempt.Ready),
			Start: milli(b.attempt.Start), End: milli(b.end),
			State: stateWord(b), Critical: critical[b.attempt], Notes: notes(b.step.Step),
		}
		if b.attempt.Code != 0 || b.attempt.Reason != "" {
			row.How = clean(how(b.attempt))
		}
		for _, s := range segments(b.waits, b.attempt.Start-b.attempt.Ready) {
			row.Waits = append(row.Waits, [2]any{index[s.limit], milli(s.long)})
		}
		command, ok := commands[b.step.Run]
		if !ok {
			command = len(data.Commands)
			commands[b.step.Run] = command
			data.Commands = append(data.Commands, clean(wrap.Shorten(strings.TrimSpace(b.step.Run), 500)))
		}
		row.Command = command
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

// graph draws the steps, where they are not too many.
func (m *pageModel) graph(r *journal.Run, way []Link) {
	for _, s := range r.Steps {
		m.Edges += len(s.Needs)
	}
	if len(r.Steps) > largestGraph || m.Edges > mostEdges {
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
	var b bytes.Buffer
	out := bufio.NewWriter(&b)
	fmt.Fprintf(out, "<svg width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", width, height, width, height)
	drawGraph(out, f, places, func(i int) (class, mark string) {
		class, mark = graphClass(r.Steps[i])
		if onWay[i] {
			class += " onpath"
		}
		return fmt.Sprintf(" class=%q", class), mark
	}, lines)
	fmt.Fprint(out, "</svg>")
	out.Flush() // a buffer takes all
	m.Graph = template.HTML(b.String())
}

// graphClass is a step's state as a class, and as a mark for those who see no colours.
func graphClass(s *journal.Step) (class, mark string) {
	if s.Outcome.State == plan.Failed && s.Outcome.Tolerated {
		return "tolerated", "~"
	}
	state := s.Outcome.State
	return state.String(), map[plan.State]string{plan.Failed: "✗", plan.Skipped: "–", plan.NotRun: "○",
		plan.Pending: "…"}[state]
}
