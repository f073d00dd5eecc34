package backend

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"
)

// Claim returns a claim of the State, or nil.
func (s *State) Claim(id string) *Claim {
	if m, ok := s.members[id]; ok {
		return m.claim
	}
	return nil
}

// Held returns the holders by token.
func (s *State) Held() []*Claim {
	var held []*Claim
	for _, m := range s.members {
		if m.held {
			held = append(held, m.claim)
		}
	}
	slices.SortFunc(held, func(a, b *Claim) int {
		return cmp.Or(cmp.Compare(a.Grant.Token, b.Grant.Token), compareClaims(a, b))
	})
	return held
}

// Waiting is the number of claims that wait, those aside left out.
func (s *State) Waiting() int { return s.waiting }

// Explain returns everyone who waits in order, with what blocks each at now: one pass over all of them. It admits
// nobody.
func (s *State) Explain(now time.Duration) []WaitingClaim {
	s.begin(now)
	waiting := make([]*member, 0, s.waiting)
	for _, m := range s.members {
		if !m.held {
			waiting = append(waiting, m)
		}
	}
	slices.SortFunc(waiting, func(a, b *member) int { return compareClaims(a.claim, b.claim) })
	holders := s.holders()
	explained := make([]WaitingClaim, len(waiting))
	for i, m := range waiting {
		w := WaitingClaim{Claim: m.settled(), Position: i + 1, Aside: m.aside}
		if !m.aside {
			s.block(m, func(n need, why string, by *member) {
				w.Blocks = append(w.Blocks, n.limit.describe(why, by, holders[n.limit]))
			})
		}
		explained[i] = w
	}
	return explained
}

// Asks yields the limits that a claim of the State meets, Used being the slots that it asks or holds.
func (s *State) Asks(id string) iter.Seq[Usage] {
	return func(yield func(Usage) bool) {
		m, ok := s.members[id]
		if !ok {
			return
		}
		for _, n := range m.needs {
			u := Usage{Limit: n.limit.name, Kind: n.limit.key.kind, Pool: n.limit.key.pool, Capacity: n.limit.capacity,
				Used: n.slots}
			if u.Kind == KindTag {
				u.Tag = s.settings.TagLimits[n.limit.key.tag]
			}
			if !yield(u) {
				return
			}
		}
	}
}

// BlocksOf returns what blocks one waiting claim at now.
func (s *State) BlocksOf(id string, now time.Duration) []Block {
	for _, w := range s.Explain(now) {
		if w.ID == id {
			return w.Blocks
		}
	}
	return nil
}

// holders lists the ids that hold each limit, by token.
func (s *State) holders() map[*limit][]string {
	by := map[*limit][]string{}
	for _, c := range s.Held() {
		for _, n := range s.members[c.ID].needs {
			if n.limit.key.kind != KindRate {
				by[n.limit] = append(by[n.limit], c.ID)
			}
		}
	}
	return by
}

func (l *limit) describe(why string, by *member, holders []string) Block {
	b := Block{Limit: l.name, Used: l.used, Capacity: l.capacity, Why: why, By: []string{}}
	if why == WhyPaused {
		b.Pause = l.pause
	}
	if why == WhyFull && holders != nil {
		b.By = holders
	}
	if by != nil {
		b.By = append(slices.Clone(holders), by.claim.ID)
	}
	return b
}

// InTheWay returns whom a claim with Replace that waits replaces. First the waiters that came with Replace before it
// and stand before a limit that it waits for too: of those only the newest is to run. Then the oldest holders that have
// to go before the claim fits, its ancestors spared, and those spared without whom the others are enough, or who came
// with Replace after it. A limit that is paused keeps the claim out whoever goes: no holder is in its way.
func (s *State) InTheWay(c *Claim) []*Claim {
	needs := s.needsOf(c)
	defer s.forgetAllUnused(needs)
	replaced := s.replacedWaiters(c, needs)
	_, ancestors := s.nesting(c)
	missing := map[*limit]int{}
	for _, n := range needs {
		if n.limit.shut() {
			return replaced
		}
		if over := n.slots - n.limit.room(); over > 0 && n.limit.key.kind != KindRate {
			missing[n.limit] = over
		}
	}
	var way []*member
	for _, h := range s.Held() {
		m := s.members[h.ID]
		if h.ID == c.ID || slices.Contains(ancestors, h.ID) || h.Replaces && c.Seq > 0 && h.Seq > c.Seq {
			continue
		}
		if slices.ContainsFunc(m.needs, func(n need) bool { return missing[n.limit] > 0 }) {
			way = append(way, m)
			take(m, missing, 1)
		}
	}
	return append(replaced, spare(way, missing)...)
}

// replacedWaiters are the waiters of InTheWay, in order. A claim waits for a limit where it does not fit, or stands
// behind one that does not.
func (s *State) replacedWaiters(c *Claim, needs []need) []*Claim {
	var replaced []*Claim
	for _, m := range s.members {
		w := m.claim
		if m.held || !w.Replaces || w.ID == c.ID || c.Seq > 0 && w.Seq > c.Seq || slices.Contains(c.Ancestors, w.ID) {
			continue
		}
		if slices.ContainsFunc(needs, func(n need) bool {
			asked, room := m.slotsOf(n.limit), n.limit.room()
			return asked > 0 && (n.limit.shut() ||
				n.limit.capacity != Unlimited && (n.slots > room || asked > room && compareClaims(w, c) < 0))
		}) {
			replaced = append(replaced, w)
		}
	}
	slices.SortFunc(replaced, compareClaims)
	return replaced
}

// spare leaves out, oldest first, those without whom the others give enough.
func spare(way []*member, missing map[*limit]int) []*Claim {
	var needed []*Claim
	for _, m := range way {
		take(m, missing, -1)
		if slices.ContainsFunc(m.needs, func(n need) bool { return missing[n.limit] > 0 }) {
			take(m, missing, 1)
			needed = append(needed, m.claim)
		}
	}
	return needed
}

// take takes the slots of a holder, sign times, off what is missing.
func take(m *member, missing map[*limit]int, sign int) {
	for _, n := range m.needs {
		if _, asked := missing[n.limit]; asked {
			missing[n.limit] -= sign * n.slots
		}
	}
}

// Usage returns every limit that is set or needed, pools by name, then the run queue, then tag limits in the order of
// the settings.
func (s *State) Usage(now time.Duration) []Usage {
	s.begin(now)
	var usage []Usage
	names := map[string]bool{}
	for name := range s.settings.Pools {
		names[name] = true
	}
	for limit := range s.settings.Paused {
		if name, is := strings.CutPrefix(limit, s.names.Pool); is {
			names[name] = true
		}
	}
	for key := range s.limits {
		if key.kind == KindPool {
			names[key.pool] = true
		}
	}
	for _, name := range sortedKeys(names) {
		pool, _ := s.settings.Pool(name)
		u := Usage{Limit: s.names.Pool + name, Kind: KindPool, Pool: name, Capacity: pool.Limit}
		u.Pause = s.settings.PauseOf(u.Limit)
		u.count(s.limits[limitKey{kind: KindPool, pool: name}])
		if l := s.limits[limitKey{kind: KindRate, pool: name}]; l != nil {
			u.Started = l.used
		}
		usage = append(usage, u)
	}
	runs := Usage{Limit: s.names.Runs, Kind: KindRuns, Capacity: s.settings.MaxRuns,
		Pause: s.settings.PauseOf(s.names.Runs)}
	runs.count(s.limits[limitKey{kind: KindRuns}])
	usage = append(usage, runs)
	for i, t := range s.settings.TagLimits {
		usage = append(usage, s.tagUsage(i, t)...)
	}
	return usage
}

// tagUsage is one row for a tag limit, or one for each value in use of a limit per value.
func (s *State) tagUsage(i int, t TagLimit) []Usage {
	var rows []Usage
	for key, l := range s.limits {
		if key.kind != KindTag || key.tag != i {
			continue
		}
		u := Usage{Limit: l.name, Kind: KindTag, Tag: t, Capacity: t.Limit}
		if t.PerValue {
			value := key.value
			u.Tag.Value = &value
		}
		u.count(l)
		rows = append(rows, u)
	}
	if len(rows) == 0 {
		return []Usage{{Limit: s.names.TagLimit(t.Key, t.Value), Kind: KindTag, Tag: t, Capacity: t.Limit}}
	}
	slices.SortFunc(rows, func(a, b Usage) int { return cmp.Compare(a.Limit, b.Limit) })
	return rows
}

func (u *Usage) count(l *limit) {
	if l != nil {
		u.Used, u.Waiting = l.used, l.waiting
	}
}
