package report

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"limit/backend"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// AttributeWaits returns what each attempt waited for, by step and attempt: for its pools as the store told it, and for
// the limits of the executor as they follow from who ran when. Where several limits are full at once, the time counts
// for each of them.
func AttributeWaits(r *journal.Run) [][][]journal.Wait {
	limits := executorLimits(r)
	blame := make([][][]journal.Wait, len(r.Steps))
	for i, s := range r.Steps {
		blame[i] = make([][]journal.Wait, len(s.Attempts))
		for n := range s.Attempts {
			blame[i][n] = slices.Clone(s.Attempts[n].Waits)
			for _, l := range limits {
				if ask := l.ask(s); ask > 0 {
					if w := l.blame(ask, &s.Attempts[n], r.Ended); w.Long > 0 {
						blame[i][n] = append(blame[i][n], w)
					}
				}
			}
		}
	}
	return blame
}

// executorLimit is a limit of the run, with what was used of it over time.
type executorLimit struct {
	name     string
	capacity int
	ask      func(*journal.Step) int
	check    int // what a condition asks
	used     []level
	full     map[int]*intervals // by what is asked: when that did not fit
}

// level is how much is used from a time on.
type level struct {
	at   time.Duration
	used int
}

// intervals are times that do not overlap, in order, with the sum of the lengths of those before each.
type intervals struct {
	from, to, sum []time.Duration
}

func executorLimits(r *journal.Run) []*executorLimit {
	names := backend.ExecutorNames()
	limits := []*executorLimit{{name: names.Runs, capacity: r.Max, check: 1,
		ask: func(s *journal.Step) int { return max(1, s.Slots) }}}
	for _, t := range r.TagLimits {
		if !t.PerValue {
			limits = append(limits, &executorLimit{name: names.TagLimit(t.Key, t.Value), capacity: t.Limit,
				ask: tagged(t.Key, t.Value)})
			continue
		}
		values := map[string]bool{}
		for _, s := range r.Steps {
			if v, ok := s.Tags[t.Key]; ok && !values[v] {
				values[v] = true
				limits = append(limits, &executorLimit{name: names.TagLimit(t.Key, &v), capacity: t.Limit,
					ask: tagged(t.Key, &v)})
			}
		}
	}
	limits = append(limits, &executorLimit{name: plan.ConsoleLimit, capacity: 1, ask: func(s *journal.Step) int {
		if s.Console {
			return 1
		}
		return 0
	}})
	for _, l := range limits {
		l.measure(r)
	}
	return limits
}

// tagged asks one slot for steps with the tag.
func tagged(key string, value *string) func(*journal.Step) int {
	return func(s *journal.Step) int {
		if v, ok := s.Tags[key]; ok && (value == nil || v == *value) {
			return 1
		}
		return 0
	}
}

// measure finds how much was used when.
func (l *executorLimit) measure(r *journal.Run) {
	l.full = map[int]*intervals{}
	var changes []level
	for _, s := range r.Steps {
		ask := l.ask(s)
		if ask == 0 {
			continue
		}
		for _, a := range s.Attempts {
			changes = append(changes, level{a.Start, ask})
			if a.Ended {
				changes = append(changes, level{a.End, -ask})
			}
		}
	}
	slices.SortFunc(changes, func(a, b level) int {
		return cmp.Or(cmp.Compare(a.at, b.at),
			cmp.Compare(a.used, b.used))
	})
	used := 0
	for _, c := range changes {
		used += c.used
		if n := len(l.used); n > 0 && l.used[n-1].at == c.at {
			l.used[n-1].used = used
			continue
		}
		l.used = append(l.used, level{c.at, used})
	}
}

// blame is how long the limit had no room for an attempt that was ready and waited for no pool.
func (l *executorLimit) blame(ask int, a *journal.Attempt, end time.Duration) journal.Wait {
	full := l.full[ask]
	if full == nil {
		full = l.intervals(ask, end)
		l.full[ask] = full
	}
	long := full.within(a.Ready, a.Start)
	for _, w := range a.Waits {
		long -= full.within(w.From, w.From+w.Long)
	}
	return journal.Wait{Limit: l.name, From: max(a.Ready, full.after(a.Ready)), Long: long}
}

func (l *executorLimit) intervals(ask int, end time.Duration) *intervals {
	s := &intervals{}
	var sum time.Duration
	for i := 0; i < len(l.used); i++ {
		if l.used[i].used+ask <= l.capacity {
			continue
		}
		from := l.used[i].at
		for i+1 < len(l.used) && l.used[i+1].used+ask > l.capacity {
			i++
		}
		to := end
		if i+1 < len(l.used) {
			to = l.used[i+1].at
		}
		s.from, s.to, s.sum = append(s.from, from), append(s.to, to), append(s.sum, sum)
		sum += to - from
	}
	return s
}

// before is how much of the intervals lies before a time.
func (s *intervals) before(at time.Duration) time.Duration {
	i := sort.Search(len(s.from), func(i int) bool { return s.from[i] >= at }) - 1
	if i < 0 {
		return 0
	}
	return s.sum[i] + min(at, s.to[i]) - s.from[i]
}

func (s *intervals) within(from, to time.Duration) time.Duration {
	return s.before(to) - s.before(from)
}

// after is when the first stretch that is not over at a time begins.
func (s *intervals) after(at time.Duration) time.Duration {
	i := sort.Search(len(s.to), func(i int) bool { return s.to[i] > at })
	if i == len(s.from) {
		return 0
	}
	return s.from[i]
}

// LimitWait is how long steps have waited for one limit in all.
type LimitWait struct {
	Limit  string
	Waited time.Duration
	Steps  int
}

// Waited adds up what the steps, and the run itself, have waited for each limit; the longest first.
func Waited(r *journal.Run, blame [][][]journal.Wait) []LimitWait {
	sums := map[string]*LimitWait{}
	add := func(limit string, long time.Duration, steps int) {
		if sums[limit] == nil {
			sums[limit] = &LimitWait{Limit: limit}
		}
		sums[limit].Waited += long
		sums[limit].Steps += steps
	}
	for _, w := range r.Waits {
		add(w.Limit, w.Long, 0)
	}
	for _, step := range blame {
		counted := map[string]bool{}
		for _, attempt := range step {
			for _, w := range attempt {
				steps := 1
				if counted[w.Limit] {
					steps = 0
				}
				counted[w.Limit] = true
				add(w.Limit, w.Long, steps)
			}
		}
	}
	out := make([]LimitWait, 0, len(sums))
	for _, s := range sums {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b LimitWait) int {
		return cmp.Or(cmp.Compare(b.Waited, a.Waited), cmp.Compare(a.Limit, b.Limit))
	})
	return out
}
