// Package simulate replays remembered claims through the one rule with other limits: what these would have done to the
// work that was. It is pure; a clock of its own runs from one thing that happens to the next.
package simulate

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"strconv"
	"time"

	"limit/backend"
)

// Work is remembered claims that can be replayed. Its methods may be called by several goroutines at once.
type Work struct {
	pasts    []backend.Past  // in the order in which they came
	counted  []bool          // see Options
	parents  []int           // by index: the claim of the run that each is nested in, -1 for none
	guess    []time.Duration // by index: how long each runs
	origin   time.Time       // when the first came
	handover time.Duration   // from the end of a claim to the grant that follows it, as the store takes it
	more     []string        // what is not known of it, see Unknown
}

// Options choose what of the work is counted. What came before is replayed too, as it held slots.
type Options struct {
	From, Until time.Time // claims that came then or between; zero: no bound
}

// NewWork returns work of claims that have ended, in any order; see Standing for those that have not.
func NewWork(pasts []backend.Past, o Options) *Work {
	w := &Work{pasts: slices.Clone(pasts)}
	if !o.Until.IsZero() {
		w.pasts = slices.DeleteFunc(w.pasts, func(p backend.Past) bool { return p.Queued().After(o.Until) })
	}
	slices.SortStableFunc(w.pasts, func(a, b backend.Past) int {
		return cmp.Or(a.Queued().Compare(b.Queued()), cmp.Compare(a.Seq, b.Seq))
	})
	if len(w.pasts) > 0 {
		w.origin = w.pasts[0].Queued()
	}
	ordered := !slices.ContainsFunc(w.pasts, func(p backend.Past) bool { return p.Seq == 0 })
	first := map[string]int{}
	for i := range w.pasts {
		p := &w.pasts[i]
		if !ordered {
			p.Seq = int64(i + 1)
		}
		w.counted = append(w.counted, !p.Queued().Before(o.From))
		if p.ID != "" && p.ID == p.RunID {
			first[p.ID] = i
		}
	}
	w.nest(first)
	w.guessHolds()
	return w
}

// nest finds the claims that came while their run's own claim was held: they come again so long after its grant.
func (w *Work) nest(first map[string]int) {
	w.parents = make([]int, len(w.pasts))
	for i := range w.pasts {
		p := &w.pasts[i]
		w.parents[i] = -1
		parent, known := first[p.RunID]
		if !known || parent == i || p.Runs > 0 {
			continue
		}
		if run := &w.pasts[parent]; run.Granted && !p.Queued().Before(run.GrantedAt()) && p.Queued().Before(run.Ended) {
			w.parents[i] = parent
		}
	}
}

// guessHolds gives each claim the time that it runs. One that left without a slot would have run as long as the median
// of those with its name, or of all.
func (w *Work) guessHolds() {
	held := map[string][]time.Duration{}
	for _, p := range w.pasts {
		if p.Granted {
			held[p.Name] = append(held[p.Name], p.Held)
			held[""] = append(held[""], p.Held)
		}
	}
	medians := map[string]time.Duration{}
	for name, all := range held {
		medians[name] = time.Duration(QuantilesOf(all).Median)
	}
	w.guess = make([]time.Duration, len(w.pasts))
	for i, p := range w.pasts {
		median, known := medians[p.Name]
		switch {
		case p.Granted:
			w.guess[i] = max(p.Held, 0)
		case known:
			w.guess[i] = median
		default:
			w.guess[i] = medians[""]
		}
	}
}

// Standing are the claims of a snapshot that hold or wait, as if they ended at now.
func Standing(s *backend.Snapshot, now time.Time) []backend.Past {
	var pasts []backend.Past
	for _, h := range s.Held {
		p := backend.NewPast(&h.Claim)
		p.Granted, p.Ended = true, now
		p.Waited, p.Held = max(h.Grant.GrantedAt.Sub(h.QueuedAt), 0), max(now.Sub(h.Grant.GrantedAt), 0)
		pasts = append(pasts, p)
	}
	for _, c := range s.Waiting {
		p := backend.NewPast(&c.Claim)
		p.Ended, p.Waited = now, max(now.Sub(c.QueuedAt), 0)
		pasts = append(pasts, p)
	}
	return pasts
}

// replay is the work under other limits.
type replay struct {
	*Work
	state  *backend.State
	claims []backend.Claim
	stands []stand
	agenda agenda
	uses   map[useKey]*Use
	now    time.Duration
	gaps   *[]time.Duration // see calibrate; nil: not wanted
}

// stand is what has become of a claim.
type stand struct {
	queued, granted, ended time.Duration
	phase                  phase
}

type phase uint8

const (
	absent phase = iota
	waiting
	held
	done
	left
	refused
)

// event is something that happens to a claim.
type event struct {
	at    time.Duration
	kind  kind
	claim int
}

// kind orders what happens at one moment: slots that come free are free for those who come, and who gives up has
// waited until then.
type kind uint8

const (
	free kind = iota
	come
	giveUp
)

// Replay returns what the limits do to the work. Pauses are left out: they are of the moment.
func (w *Work) Replay(settings backend.Settings) *Result { return w.run(settings, nil).result() }

func (w *Work) run(settings backend.Settings, gaps *[]time.Duration) *replay {
	settings.Paused = nil
	r := &replay{
		Work: w, state: backend.NewState(settings, backend.StoreNames()), gaps: gaps,
		claims: make([]backend.Claim, len(w.pasts)), stands: make([]stand, len(w.pasts)), uses: map[useKey]*Use{},
	}
	children := map[int][]int{}
	for i := range w.pasts {
		if parent := w.parents[i]; parent >= 0 {
			children[parent] = append(children[parent], i)
			continue
		}
		r.agenda = append(r.agenda, event{w.pasts[i].Queued().Sub(w.origin), come, i}) // in order: a heap already
	}
	for {
		at, timed := r.state.Next()
		switch {
		case len(r.agenda) > 0 && (!timed || r.agenda[0].at <= at):
			e := heap.Pop(&r.agenda).(event)
			r.now = e.at
			r.happen(e)
			r.admit(e, children)
		case timed && at > r.now:
			r.now = at
			r.admit(event{claim: -1}, children)
		default:
			return r
		}
	}
}

func (r *replay) happen(e event) {
	st := &r.stands[e.claim]
	switch e.kind {
	case come:
		r.enter(e.claim)
	case free:
		r.count(e.claim, -1)
		r.state.Remove(r.claims[e.claim].ID)
	case giveUp:
		if st.phase == waiting {
			st.phase, st.ended = left, r.now
			r.state.Remove(r.claims[e.claim].ID)
		}
	}
}

func (r *replay) enter(i int) {
	p, st := &r.pasts[i], &r.stands[i]
	id := strconv.Itoa(i)
	r.claims[i] = backend.Claim{ID: id, RunID: id, Pools: p.Pools, Runs: p.Runs, Tags: p.Tags, Priority: p.Priority,
		Seq: p.Seq}
	if parent := r.parents[i]; parent >= 0 {
		r.claims[i].RunID, r.claims[i].Ancestors = strconv.Itoa(parent), []string{strconv.Itoa(parent)}
	}
	st.queued = r.now
	if r.state.Check(&r.claims[i]) != nil {
		st.phase, st.ended = refused, r.now
		return
	}
	st.phase = waiting
	r.state.Wait(&r.claims[i], r.now)
	if !p.Granted {
		heap.Push(&r.agenda, event{r.now + max(p.Waited, 0), giveUp, i})
	}
}

// admit lets in whom the rule admits after something has happened.
func (r *replay) admit(after event, children map[int][]int) {
	for _, c := range r.state.Advance(r.now) {
		i, _ := strconv.Atoi(c.ID)
		st := &r.stands[i]
		st.phase, st.granted, st.ended = held, r.now, r.now+r.guess[i]
		r.count(i, 1)
		heap.Push(&r.agenda, event{st.ended + r.handover, free, i})
		for _, child := range children[i] {
			since := r.pasts[child].Queued().Sub(r.pasts[i].GrantedAt())
			heap.Push(&r.agenda, event{r.now + since, come, child})
		}
		if r.gaps != nil && after.kind == free && after.claim >= 0 && r.pasts[i].Granted {
			*r.gaps = append(*r.gaps, r.pasts[i].GrantedAt().Sub(r.pasts[after.claim].Ended))
		}
	}
}

// count keeps account of what a claim takes of its limits, or (-1) gives back.
func (r *replay) count(i, sign int) {
	for asked := range r.state.Asks(r.claims[i].ID) {
		key := useKey{asked.Limit, asked.Kind}
		u := r.uses[key]
		if u == nil {
			u = newUse(asked, r.state.Settings())
			r.uses[key] = u
		}
		u.take(asked.Used, sign)
		if sign > 0 && r.counted[i] {
			u.total += time.Duration(asked.Used) * cmp.Or(u.each, r.guess[i])
		}
	}
	if sign < 0 {
		r.stands[i].phase = done
	}
}

// calibrate finds out how long the store took from the end of a claim to the grant that followed it: a chain of claims
// is longer by that. It is the time with which the replay adds up to what was waited in all, found by the secant
// method from the median of the gaps between those who followed one another.
func (w *Work) calibrate(settings backend.Settings) {
	measured := w.Measured().Sum
	var gaps []time.Duration
	off := func(gaps *[]time.Duration) float64 {
		return time.Duration(w.run(settings, gaps).result().Waited.Sum - measured).Seconds()
	}
	before, offBefore := time.Duration(0), off(&gaps)
	gaps = slices.DeleteFunc(gaps, func(d time.Duration) bool { return d < 0 })
	w.handover = time.Duration(QuantilesOf(gaps).Median)
	best, least := before, math.Abs(offBefore)
	for range 3 {
		now := off(nil)
		if math.Abs(now) < least {
			best, least = w.handover, math.Abs(now)
		}
		if now == offBefore {
			break
		}
		next := w.handover - time.Duration(now*float64(w.handover-before)/(now-offBefore))
		before, offBefore, w.handover = w.handover, now, min(max(next, 0), mostHandover)
	}
	w.handover = best
}

// mostHandover is more than any store takes.
const mostHandover = time.Second

// agenda is a heap of what is to happen.
type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(a[i].at, a[j].at), cmp.Compare(a[i].kind, a[j].kind),
		cmp.Compare(a[i].claim, a[j].claim)) < 0
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	*a = (*a)[:last]
	return e
}
