package dag

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"limit/backend"
	"limit/backend/memory"
	"limit/integration/until"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/report"
	"limit/wrap/dag/stepfile"
	"limit/wrap/process"
)

// patienceOfTests is how long a test waits for what should happen at once.
const patienceOfTests = 30 * time.Second

// stage is a store and a supervisor that runs of a test share.
type stage struct {
	t          *testing.T
	space      *memory.Space
	store      backend.Backend
	supervisor *process.Supervisor
	root       string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	leaks(t)
	supervisor, err := process.NewSupervisor(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(supervisor.Close)
	space := memory.NewSpace()
	return &stage{t: t, space: space, store: space.Open(), supervisor: supervisor, root: t.TempDir()}
}

// leaks fails a test that leaves goroutines or descriptors behind.
func leaks(t *testing.T) {
	t.Helper()
	var probe [2]int
	if err := pipeCloseOnExec(&probe); err != nil { // so that the poller has its descriptors
		t.Fatal(err)
	}
	syscall.Close(probe[0])
	syscall.Close(probe[1])
	before, goroutines := descriptors(t), goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if err := goleak.Find(goroutines); err != nil {
			t.Error(err)
		}
		if !until.Within(time.Second, func() bool { return descriptors(t) <= before+2 }) { // the poller's own may have come meanwhile
			t.Errorf("%d descriptors are open, %d were before", descriptors(t), before)
		}
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("descriptors cannot be counted:", err)
	}
	return len(entries)
}

// limits sets the limits of pools.
func (s *stage) limits(pools map[string]int) {
	s.t.Helper()
	s.change(func(settings *backend.Settings) {
		settings.Pools = map[string]backend.Pool{}
		for name, limit := range pools {
			settings.Pools[name] = backend.Pool{Limit: limit}
		}
	})
}

func (s *stage) change(change func(*backend.Settings)) {
	s.t.Helper()
	err := s.store.ChangeSettings(context.Background(), func(settings *backend.Settings, ok bool) error {
		if !ok {
			*settings = backend.NewSettings()
		}
		change(settings)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// play is a run with what came of it.
type play struct {
	stage  *stage
	run    *Run
	dir    string
	out    lockedBuffer // what the console wrote
	to     io.Writer    // in place of out
	said   lockedBuffer // messages
	events lockedBuffer
	exit   wrap.Exit
	err    error
	unread error // of the console
	hurry  chan struct{}
	over   chan struct{}
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// setting changes a run before it starts.
type setting func(*play)

// begin starts a run of a step file's text.
func (s *stage) begin(text string, settings ...setting) *play {
	s.t.Helper()
	path := filepath.Join(s.root, "steps.yaml")
	f, _, err := stepfile.Parse(path, []byte(text), stepfile.Options{})
	if err != nil {
		s.t.Fatalf("%v\n%s", err, text)
	}
	p := &play{stage: s, over: make(chan struct{})}
	r := journal.NewRun(f)
	id := backend.NewID()
	r.ID, r.File, r.Hash, r.Started, r.Host = id, path, journal.Hash(f.Source), time.Now(), "here"
	r.Max = max(1, f.Executor.MaxConcurrent)
	events, err := wrap.OpenEvents("-", &p.events, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	p.run = &Run{
		File: f, Backend: s.store, Namespace: "default", Supervisor: s.supervisor, Messages: wrap.NewMessages(&p.said, wrap.Normal), Events: events,
		Plan:   plan.Options{MaxConcurrent: r.Max, TagLimits: f.Executor.TagLimits},
		Record: r, Claim: backend.Claim{ID: id, RunID: id, Runs: 1, Name: f.Name, Tags: f.Tags, Priority: f.Priority}, Env: os.Environ(),
		Console: &report.Console{Output: report.Group, Progress: report.Plain, Run: r, Size: func() (int, int) { return 80, 24 }},
	}
	p.to = &p.out
	for _, set := range settings {
		set(p)
	}
	p.run.Console.Out = wrap.NewOutlet(p.to)
	p.run.Mask.Hide(r)
	if p.run.Journal, err = journal.Create(filepath.Join(s.root, "runs"), r, f.Source, nil, nil); err != nil {
		s.t.Fatal(err)
	}
	p.dir = p.run.Journal.Dir
	p.run.Console.Dir = p.dir
	go func() {
		defer close(p.over)
		p.exit, p.err = p.run.Do(context.Background())
		p.run.Console.Summary("")
		p.unread = p.run.Console.Out.Close(patienceOfTests, p.hurry)
		p.run.Journal.Close()
	}()
	s.t.Cleanup(func() { p.wait() })
	return p
}

// wait waits for the run's end.
func (p *play) wait() *play {
	p.stage.t.Helper()
	select {
	case <-p.over:
	case <-time.After(patienceOfTests):
		p.stage.t.Fatalf("the run does not end\n%s\n%s\n%s", p.out.String(), p.said.String(), p.events.String())
	}
	return p
}

// do runs a step file's text to its end.
func (s *stage) do(text string, settings ...setting) *play {
	s.t.Helper()
	return s.begin(text, settings...).wait()
}

// outcomes tells how the steps have ended.
func (p *play) outcomes() string {
	var told []string
	for _, s := range p.run.Record.Steps {
		word := s.Outcome.State.String()
		if s.Outcome.Tolerated {
			word += " (tolerated)"
		}
		told = append(told, s.ID+" "+word)
	}
	return strings.Join(told, ", ")
}

// want fails unless the run ended so.
func (p *play) want(code int, outcomes string) {
	p.stage.t.Helper()
	if p.err != nil || p.exit.Code != code || outcomes != "" && p.outcomes() != outcomes {
		p.stage.t.Errorf("exit %d (%v), want %d\n%s\nwant %s\n%s\n%s", p.exit.Code, p.err, code, p.outcomes(), outcomes, p.out.String(), p.said.String())
	}
}

// log is what a step's last attempt has printed.
func (p *play) log(id string) string {
	p.stage.t.Helper()
	for _, s := range p.run.Record.Steps {
		if s.ID != id || s.Last() == nil || s.Last().Log == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(p.dir, s.Last().Log))
		if err != nil {
			p.stage.t.Fatal(err)
		}
		return string(text)
	}
	return ""
}

// eventList reads the events so far.
func (p *play) eventList() []wrap.Event {
	p.stage.t.Helper()
	var all []wrap.Event
	d := json.NewDecoder(strings.NewReader(p.events.String()))
	for {
		var e wrap.Event
		err := d.Decode(&e)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return all
		}
		if err != nil {
			p.stage.t.Fatal(err)
		}
		all = append(all, e)
	}
}

// until waits until an event has come.
func (p *play) until(what string, is func(wrap.Event) bool) wrap.Event {
	p.stage.t.Helper()
	at := -1
	var events []wrap.Event
	if !until.Within(patienceOfTests, func() bool {
		events = p.eventList()
		at = slices.IndexFunc(events, is)
		return at >= 0
	}) {
		p.stage.t.Fatalf("no event: %s\n%s", what, p.events.String())
	}
	return events[at]
}

func named(event, step string) func(wrap.Event) bool {
	return func(e wrap.Event) bool { return e.Event == event && e.Step == step }
}

// signal sends a signal to this process from another one: those it sends to itself are its own affair.
func (s *stage) signal(name string) {
	s.t.Helper()
	p, err := s.supervisor.Start(process.Command{Path: "/bin/sh", Args: []string{"sh", "-c", "kill -" + name + " $PPID"}, Group: true})
	if err != nil {
		s.t.Fatal(err)
	}
	<-p.Done()
}

// hold holds slots of a pool as another run would, until the returned function is called.
func (s *stage) hold(pool string, slots int) (release func()) {
	s.t.Helper()
	id := backend.NewID()
	entry, err := s.space.Open().Enter(context.Background(), backend.Claim{ID: id, RunID: id, Pools: map[string]int{pool: slots}, Name: "other"}, backend.EnterOptions{NoWait: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return func() { entry.Release(context.Background()) }
}

// empty fails unless nothing is left in the store.
func (s *stage) empty() {
	s.t.Helper()
	snapshot, err := s.store.Snapshot(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	if len(snapshot.Held) > 0 || len(snapshot.Waiting) > 0 {
		s.t.Errorf("left in the store: %d held, %d waiting", len(snapshot.Held), len(snapshot.Waiting))
	}
	for _, u := range snapshot.Usage {
		if u.Used != 0 || u.Waiting != 0 {
			s.t.Errorf("%s: %d used, %d waiting", u.Limit, u.Used, u.Waiting)
		}
	}
}

// stepOf is the step of an event; nil: it is of none.
func stepOf(f *stepfile.File, e wrap.Event) *stepfile.Step {
	if i := slices.IndexFunc(f.Steps, func(s *stepfile.Step) bool { return s.ID == e.Step }); i >= 0 {
		return f.Steps[i]
	}
	return nil
}

// sweep fails if at any instant of the events more ran than a limit allows, or a step before its needs.
func sweep(t *testing.T, f *stepfile.File, events []wrap.Event, most int, pools map[string]int) {
	t.Helper()
	running, used, tags, done := 0, map[string]int{}, map[string]int{}, map[string]bool{}
	for _, e := range events {
		s := stepOf(f, e)
		if s == nil {
			continue
		}
		sign := 0
		switch e.Event {
		case wrap.EventStarted:
			sign = 1
			for _, n := range s.Needs {
				if !done[f.Steps[n].ID] {
					t.Errorf("%s started before %s was done", s.ID, f.Steps[n].ID)
				}
			}
		case wrap.EventExited:
			sign = -1
			done[s.ID] = true
		}
		running += sign * s.Slots
		for name, n := range s.Pools {
			used[name] += sign * n
		}
		for i, l := range f.Executor.TagLimits {
			if v, has := s.Tags[l.Key]; has && l.Matches(l.Key, v) {
				key := fmt.Sprint(i)
				if l.PerValue {
					key += "=" + v
				}
				if tags[key] += sign; tags[key] > l.Limit {
					t.Errorf("%s=%s: %d of %d when %s started", l.Key, v, tags[key], l.Limit, s.ID)
				}
			}
		}
		if running > most {
			t.Errorf("%d slots of %d in use when %s started", running, most, s.ID)
		}
		for name, n := range used {
			if n > pools[name] {
				t.Errorf("pool %s: %d of %d in use when %s started", name, n, pools[name], s.ID)
			}
		}
	}
}
