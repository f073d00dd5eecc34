//go:build linux

package soak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Options say what to run.
type Options struct {
	For      time.Duration
	Seed     uint64
	Dir      string // for what the commands write; it is kept where something went wrong
	Binary   string // limit
	Command  string // the command of this package
	Progress io.Writer
	// Unguarded deals the calls out over two namespaces, which know nothing of each other, and judges them as one: a
	// control that must fail.
	Unguarded bool
}

// Result is what a run has come to.
type Result struct {
	Store        string
	Seed         uint64
	Took         time.Duration
	Calls        int // of limit
	Acquisitions int // commands that ran in their slots
	Faults       map[string]int
	Overlaps     int // slots given to two
	OverLimits   int // moments over a limit
	Disorder     int // tokens
	Leaks        int
	Stall        Stall
	StallBound   time.Duration
	Histories    int
	Operations   int // in the histories
	Illegal      int
	Unchecked    int           // histories that took too long to check
	Busy         time.Duration // in which the machine took long to start a process
	Late         int           // locks of dying processes that were freed a moment after the slot
	Surprises    int           // calls that ended as no call may
	Problems     []string      // all of it, in words
}

// soak is a run.
type soak struct {
	Options
	store    Store
	figures  Figures
	clients  []*Client
	field    *Field
	journal  *journal
	dir      string
	binary   string
	command  string
	stepFile string
	// The commands write to the journal of their epoch; the locks are the same in all.
	commandsJournal, locks string

	mu       sync.Mutex
	result   Result
	greatest map[string]int64 // the token of each namespace
}

// Run runs a soak on a store until its time is over, or until an epoch has found something; a stall over its bound is
// told at the end.
func Run(ctx context.Context, store Store, o Options) (Result, error) {
	s := &soak{Options: o, store: store, figures: store.Figures(), clients: store.Clients(), dir: o.Dir,
		binary: o.Binary, command: o.Command,
		stepFile: filepath.Join(o.Dir, "steps.yaml"), locks: filepath.Join(o.Dir,
			"locks"), greatest: map[string]int64{}}
	s.field = &Field{Store: store, calls: map[int]*Call{}}
	s.result = Result{Store: store.Name(), Seed: o.Seed, Faults: map[string]int{}, StallBound: s.figures.Stall}
	for _, f := range store.Faults() {
		s.result.Faults[f.Kind] = 0
	}
	if err := s.prepare(); err != nil {
		return s.result, err
	}
	begun := time.Now()
	randoms := s.randoms()
	said := begun
	for number := 1; len(s.result.Problems) == 0 && ctx.Err() == nil && s.goesOn(begun); number++ {
		length := max(min(s.figures.Epoch, o.For-time.Since(begun)), shortestEpoch)
		if err := s.epoch(ctx, number, length, randoms); err != nil {
			return s.result, err
		}
		s.result.Took = time.Since(begun)
		if time.Since(said) > time.Minute-time.Second {
			said = time.Now()
			fmt.Fprintln(s.Progress, s.result.line())
		}
	}
	if stall := s.result.Stall; stall.Length > s.figures.Stall {
		s.problem("admissible for %s, faults not counted, and not granted: %s", stall.Length, stall.Call)
	}
	return s.result, ctx.Err()
}

// A soak of some seconds on a busy machine may not have proved anything when its time is over.
const (
	shortestEpoch = time.Second
	proofWithin   = 5 * time.Minute // of the end of the soak's time
)

// goesOn reports whether another epoch is needed: there is time for one, or nothing is proved yet.
func (s *soak) goesOn(begun time.Time) bool {
	left := s.For - time.Since(begun)
	return left >= shortestEpoch || !s.result.proves(len(s.result.Faults) > 0) && left > -proofWithin
}

// prepare sets the limits.
func (s *soak) prepare() error {
	steps := "steps:\n  one: {run: exec $SOAK_ONE, pool: steps}\n  two: {run: exec $SOAK_TWO, pool: steps}\n  " +
		"three: {needs: [one, two], run: exec $SOAK_THREE, pool: steps}\n"
	config := filepath.Join(s.dir, "settings.yaml")
	for path, text := range map[string]string{s.stepFile: steps, config: settings()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	s.journal = newJournal(nil)
	s.field.journal = s.journal
	for _, c := range s.everywhere() {
		argv := []string{"apply", config}
		if strings.HasPrefix(c.namespace(), historyNamespace) {
			argv = []string{"pool", "set", fixedPool, fmt.Sprint(fixedLimit)}
		}
		e := s.journal.open(entry{what: "limit " + strings.Join(argv, " "), spawned: now()})
		if code, _ := s.run(c, e, argv, nil); code != 0 {
			return fmt.Errorf("%s: exit %d: %s", e.what, code, e.output)
		}
	}
	return nil
}

// everywhere is a client in each of the namespaces.
func (s *soak) everywhere() []*Client {
	var all []*Client
	for _, namespace := range slices.Concat(s.namespaces("default"), s.namespaces(historyNamespace)) {
		all = append(all, s.clients[0].in(namespace))
	}
	return all
}

func (s *soak) namespaces(of string) []string {
	if s.Unguarded {
		return []string{of, of + "-2"}
	}
	return []string{of}
}

// dealt is the client of a worker.
func (s *soak) dealt(worker int, of string) *Client {
	namespaces := s.namespaces(of)
	return s.clients[worker%len(s.clients)].in(namespaces[worker/len(s.clients)%len(namespaces)])
}

// randoms are the sources of workers, histories, steering and lanes.
type randoms struct {
	workers, histories []*rand.Rand
	steering           map[string]*rand.Rand
	lanes              map[Lane]*rand.Rand
}

func (s *soak) randoms() randoms {
	next := uint64(0)
	one := func() *rand.Rand {
		next++
		return rand.New(rand.NewPCG(s.Seed, next))
	}
	r := randoms{steering: map[string]*rand.Rand{}, lanes: map[Lane]*rand.Rand{}}
	for range s.figures.Workers {
		r.workers = append(r.workers, one())
	}
	for range historyClients {
		r.histories = append(r.histories, one())
	}
	for _, name := range append(slices.Sorted(maps.Keys(varying())), "") {
		r.steering[name] = one()
	}
	for _, f := range s.store.Faults() {
		if r.lanes[f.Lane] == nil {
			r.lanes[f.Lane] = one()
		}
	}
	return r
}

// epoch lets everybody work for a while, then waits for a quiet moment and judges.
func (s *soak) epoch(ctx context.Context, number int, length time.Duration, r randoms) error {
	s.journal = newJournal(limitsAtStart())
	s.field.journal = s.journal
	s.commandsJournal = filepath.Join(s.dir, fmt.Sprintf("journal-%d", number))
	if err := os.WriteFile(s.commandsJournal, nil, 0o600); err != nil {
		return err
	}
	working, stop := context.WithTimeout(ctx, length)
	defer stop()
	var workers, lanes, steering sync.WaitGroup
	for i, random := range r.workers {
		workers.Go(func() { s.work(working, random, s.dealt(i, "default")) })
	}
	for pool, between := range varying() {
		steering.Go(func() { s.vary(working, r.steering[pool], s.clients[0].in("default"), pool, between) })
	}
	workers.Go(func() { s.operate(working, r.steering[""], s.dealt(1, "default")) })
	var histories []history
	workers.Go(func() { histories = s.histories(working, r.histories) })
	workers.Go(func() { s.probe(working) })
	for lane, random := range r.lanes {
		lanes.Go(func() { s.inject(working, lane, random) })
	}
	<-working.Done()
	lanes.Wait()
	steering.Wait() // the last change is not to come after that of restore
	s.restore()
	quiet := s.quieten(&workers)
	if quiet {
		s.leaks(ctx)
	}
	if err := s.judge(histories, quiet); err != nil {
		return err
	}
	if len(s.result.Problems) == 0 {
		os.Remove(s.commandsJournal)
	}
	return nil
}

func (s *soak) histories(ctx context.Context, randoms []*rand.Rand) []history {
	var clients []*Client
	for i := range historyClients {
		clients = append(clients, s.dealt(i, historyNamespace))
	}
	return s.record(ctx, randoms, clients)
}

// inject injects the faults of a lane.
func (s *soak) inject(ctx context.Context, lane Lane, r *rand.Rand) {
	var faults []Fault
	total := 0
	for _, f := range s.store.Faults() {
		if f.Lane == lane {
			faults = append(faults, f)
			total += f.Weight
		}
	}
	for {
		rest(ctx, time.Duration(r.ExpFloat64()*float64(lane.Pause)))
		if ctx.Err() != nil {
			return
		}
		draw := r.IntN(total)
		for _, f := range faults {
			if draw -= f.Weight; draw < 0 {
				from := now()
				hit := f.Do(ctx, r, s.field)
				s.journal.outage(from, now(), slices.Contains(s.figures.Failing, lane.Name))
				if hit {
					s.mu.Lock()
					s.result.Faults[f.Kind]++
					s.mu.Unlock()
				}
				break
			}
		}
	}
}

// tooBusy is how long the start of a process may take before the machine counts as a fault of its own: what the calls
// wait for then is a processor.
const tooBusy = 200 * time.Millisecond

// theMachine stands for that fault among those that may make calls fail: a lease of some seconds is not renewed where
// nobody gets a processor.
const theMachine = "the machine"

// probe starts a process again and again, and notes when that takes long.
func (s *soak) probe(ctx context.Context) {
	for ctx.Err() == nil {
		from := now()
		if err := exec.Command("true").Run(); err != nil {
			s.problem("starting true: %v", err)
			return
		}
		if to := now(); to-from > int64(tooBusy) {
			s.journal.outage(from, to, slices.Contains(s.figures.Failing, theMachine))
			s.mu.Lock()
			s.result.Busy += time.Duration(to - from)
			s.mu.Unlock()
		}
		rest(ctx, 100*time.Millisecond)
	}
}

// restore sets the limits that vary to what they are at the start of an epoch: nobody waits for a pool of 0.
func (s *soak) restore() {
	client := s.clients[0].in("default")
	for pool := range varying() {
		for end := time.Now().Add(s.patience()); !s.set(client, pool, pools()[pool]); {
			if time.Now().After(end) {
				s.problem("limit pool set %s does not succeed within %s though no fault is at work", pool, s.patience())
				break
			}
		}
	}
}

// patience is how long the last calls may take once no fault is at work: each of those that wait may stall once more.
func (s *soak) patience() time.Duration { return 2*(s.figures.Stall+s.figures.Settle) + 5*time.Second }

// quieten waits until no call is on its way.
func (s *soak) quieten(workers *sync.WaitGroup) bool {
	done := make(chan struct{})
	go func() {
		workers.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(s.patience()):
	}
	client := s.clients[0].in("default")
	_, _ = s.status(client)
	var stuck strings.Builder
	for _, c := range s.field.Calls(nil) {
		fmt.Fprintf(&stuck, "%s; command: %s; keeper: %s: %v\n", process(c.PID), process(c.Command()),
			process(c.Keeper()), s.journal.entries[c.ID-1])
	}
	s.problem("calls are on their way %s after the last fault:\n%s%s", s.patience(), stuck.String(), s.describe())
	for _, c := range s.field.Calls(nil) {
		s.field.Kill(c, c.Command(), c.Keeper(), c.PID)
	}
	<-done
	return false
}

// process describes a process as the kernel sees it.
func process(pid int) string {
	if pid == 0 {
		return "none"
	}
	state, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	wait, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", pid))
	return fmt.Sprintf("pid %d (%.60s, %s)", pid, state, wait)
}

// describe shows the store as limit status does.
func (s *soak) describe() string {
	var b strings.Builder
	for _, c := range s.everywhere() {
		e := s.journal.open(entry{what: "limit status", spawned: now()})
		_, out := s.run(c, e, []string{"status"}, nil)
		fmt.Fprintf(&b, "%s:\n%s\n", c.namespace(), out)
	}
	return b.String()
}

// leaks waits until no process of the soak lives and the store is empty.
func (s *soak) leaks(ctx context.Context) {
	var left []string
	for end := time.Now().Add(s.figures.Settle); ; {
		if left = s.alive(); len(left) == 0 {
			left = s.store.Leaks(ctx)
			for _, c := range s.everywhere() {
				if st, ok := s.status(c); !ok || len(st.Held)+len(st.Waiting) > 0 {
					left = append(left, fmt.Sprintf("status of %s: read %t, held %d, waiting %d", c.namespace(), ok,
						len(st.Held), len(st.Waiting)))
				}
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			break
		}
		rest(ctx, 20*time.Millisecond)
	}
	s.result.Leaks += len(left)
	s.problem("left %s after the last call:\n%s\n%s", s.figures.Settle, strings.Join(left, "\n"), s.describe())
}

// alive are the processes of this soak, by the mark in their environment.
func (s *soak) alive() []string {
	var found []string
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		data, _ := os.ReadFile(path)
		if bytes.Contains(data, []byte(mark+s.dir+"\x00")) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			found = append(found, fmt.Sprintf("%s lives: %s", filepath.Dir(path),
				bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// judge looks at the epoch's journal.
func (s *soak) judge(histories []history, quiet bool) error {
	j := s.journal
	if err := j.read(s.commandsJournal); err != nil {
		return err
	}
	j.gather()
	j.tidy()
	r := &s.result
	for _, e := range j.entries {
		if e.exited > 0 {
			r.Calls++
		}
		if e.started > 0 && !e.dag {
			r.Acquisitions++
		}
		if why := j.surprising(e); why != "" {
			r.Surprises++
			s.problem("%s: %v", why, e)
		}
	}
	r.Overlaps += s.problems(j.overlaps)
	r.Late += j.late
	r.OverLimits += s.problems(j.overLimits())
	for _, c := range s.everywhere() {
		disorder, greatest := j.disorder(c.namespace(), s.greatest[c.namespace()])
		s.greatest[c.namespace()] = greatest
		r.Disorder += s.problems(disorder)
	}
	r.Stall.worse(j.stall(reserveAfter, s.figures.Settle))
	if quiet {
		s.check(histories)
	}
	return nil
}

func (s *soak) check(histories []history) {
	for _, h := range histories {
		s.result.Histories++
		s.result.Operations += len(h.operations())
		switch h.check() {
		case porcupine.Illegal:
			s.result.Illegal++
			s.problem("no order of these operations is one of a pool of %d:\n%v", fixedLimit, h)
		case porcupine.Unknown:
			s.result.Unchecked++
		}
	}
}

func (s *soak) problems(found []string) int {
	for _, f := range found {
		s.problem("%s", f)
	}
	return len(found)
}

func (s *soak) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Problems = append(s.result.Problems, fmt.Sprintf(format, args...))
}
