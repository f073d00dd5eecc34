package backend

import (
	"math"
	"slices"
	"time"
)

// State is the one rule: given limits, holders and waiters in order, who is admitted now, and what blocks each of the
// others. It is a value in memory that a store loads, changes and keeps; it knows no clock but the
// one its owner passes in, any that only grows. It is not safe for concurrent use.
//
// The rule, in the words of the contract: a claim is granted all it needs in one step or nothing; the order is
// priority, then arrival; one that does not fit is passed by later ones except in the limits that block it, where
// nobody behind it is admitted; one that waited long enough reserves: of the limits it needs, what comes free is kept
// for it, one such claim per limit, the first in order.
//
// Claims with the same needs stand in one line, and a pass looks at the heads of lines alone: if the
// head is not admitted, the limits that block it block everyone behind it. So a pass costs
// O(grants + different needs), times the logarithm of each, whatever the number of waiters.
type State struct {
	settings Settings
	names    Names
	reserve  time.Duration

	limits  map[limitKey]*limit
	rates   map[string]*limit // those of KindRate, by pool
	ordinal uint64
	members map[string]*member
	lines   map[string]*line
	order   lines
	young   byAge
	waiting int // members that stand in a line
	aged    int // of them, those that have waited long enough to reserve
	nested  int // of them, those with kin
	// members by the ids of the claims and runs that they are, or say they are, nested in
	heirs  map[string]map[*member]struct{}
	runs   map[string]int // held claims of each run
	pass   uint64         // number of the pass that the limits' findings belong to
	search uint64         // number of the search in the graph of who waits for whom
	passed []*line        // room for a pass
	lifted []*member      // of a pass, see lift
	fit    []need         // room for one of its steps
	room   []member       // room for members
	key    []byte         // room for the key of a line
	needs  []need         // room for what needsOf finds
	pools  []string       // room for the names of a claim's pools
}

// never is a waiting time after which nobody reserves.
const never = time.Duration(math.MaxInt64)

// NewState returns a State without claims. Settings with ReserveAfter = NeverReserve switch reservation off.
func NewState(settings Settings, names Names) *State {
	s := &State{names: names, members: map[string]*member{}, heirs: map[string]map[*member]struct{}{},
		runs: map[string]int{}}
	s.Configure(settings)
	return s
}

// Expect makes room for n claims at once. A State that is loaded anew each time is loaded faster for it.
func (s *State) Expect(n int) {
	if len(s.members) == 0 {
		s.members = make(map[string]*member, n)
	}
	s.room = make([]member, 0, n)
	s.young = slices.Grow(s.young, n)
}

// newMember takes a member out of a row of them.
func (s *State) newMember() *member {
	if len(s.room) == cap(s.room) {
		s.room = make([]member, 0, min(64, 2*cap(s.room)+2))
	}
	s.room = s.room[:len(s.room)+1]
	return &s.room[len(s.room)-1]
}

// NeverReserve as Settings.ReserveAfter switches reservation off.
const NeverReserve = never

// Configure replaces the limits. Nobody is admitted before the next Advance, and nobody is refused before Refuse.
func (s *State) Configure(settings Settings) {
	old := s.rates
	s.settings, s.reserve = settings.Clone(), settings.Reserve()
	s.limits, s.rates = map[limitKey]*limit{}, map[string]*limit{}
	s.lines, s.order, s.young, s.waiting, s.aged, s.nested = map[string]*line{}, nil, nil, 0, 0, 0
	for name, was := range old {
		for _, st := range was.starts {
			s.HoldStart(name, st.id, st.slots, st.at)
		}
	}
	clear(s.runs)
	for _, m := range s.members {
		m.line, m.aged, m.young = nil, false, false
		if m.held {
			s.meet(m)
			s.occupy(m)
		}
	}
	for _, m := range s.members {
		if m.held {
			continue
		}
		s.meet(m) // after all holders: whether it is nested depends on them
		if !m.aside {
			s.stand(m) // its kin is what they hold
		}
	}
}

// Settings returns the limits in force; they are not to be changed.
func (s *State) Settings() Settings { return s.settings }

// meet finds what a member needs and makes the limits know it.
func (s *State) meet(m *member) {
	m.needs = shared(s.needsOf(m.claim))
	for _, n := range m.needs {
		n.limit.refs++
	}
}

// part undoes meet; limits that nobody needs any more are forgotten.
func (s *State) part(m *member) {
	for _, n := range m.needs {
		n.limit.refs--
		s.forgetUnused(n.limit)
	}
}

// forgetUnused drops a limit that nobody needs: each value of a tag may have had one.
func (s *State) forgetUnused(l *limit) {
	if l.refs > 0 || len(l.starts) > 0 {
		return
	}
	delete(s.limits, l.key)
	if l.key.kind == KindRate {
		delete(s.rates, l.key.pool)
	}
}

// occupy counts a holder in its limits and in its run.
func (s *State) occupy(m *member) {
	s.runs[m.claim.RunID]++
	for _, n := range m.needs {
		if n.limit.key.kind == KindRate {
			continue
		}
		n.limit.used += n.slots
		n.limit.numbers.mark(m.claim.Grant.Slots[n.limit.key.pool])
	}
}

// vacate undoes occupy.
func (s *State) vacate(m *member) {
	if s.runs[m.claim.RunID]--; s.runs[m.claim.RunID] == 0 {
		delete(s.runs, m.claim.RunID)
	}
	for _, n := range m.needs {
		if n.limit.key.kind == KindRate {
			continue
		}
		n.limit.used -= n.slots
		n.limit.numbers.free(m.claim.Grant.Slots[n.limit.key.pool])
	}
}

// slotsOf is what the member asks of, or holds in, a limit.
func (m *member) slotsOf(l *limit) int {
	for _, n := range m.needs {
		if n.limit == l {
			return n.slots
		}
	}
	return 0
}

// Wait adds a waiting claim that began to wait at since. The State keeps c and sets its Grant when it admits it.
// A claim with its id that was there before is removed.
func (s *State) Wait(c *Claim, since time.Duration) {
	s.stand(s.enter(c, since))
}

// Hold adds a claim that is held already: c.Grant is set. A claim with its id that was there before is removed.
func (s *State) Hold(c *Claim, since time.Duration) {
	m := s.enter(c, since)
	m.held = true
	s.occupy(m)
	s.restandHeirs(m)
}

// enter makes a claim a member.
func (s *State) enter(c *Claim, since time.Duration) *member {
	s.Remove(c.ID)
	m := s.newMember()
	m.claim, m.since = c, since
	s.members[c.ID] = m
	s.descend(m)
	s.meet(m)
	return m
}

// HoldStart adds a start that a rate remembers, of a claim that may be gone. Starts of pools without a rate are
// ignored.
func (s *State) HoldStart(pool, id string, slots int, at time.Duration) {
	if p, _ := s.settings.Pool(pool); p.Rate != nil {
		s.rateLimit(pool, p.Rate).addStart(start{id, slots, at})
	}
}

// ForgetStart removes a start from the rate of a pool.
func (s *State) ForgetStart(pool, id string) {
	if l, ok := s.limits[limitKey{kind: KindRate, pool: pool}]; ok {
		l.removeStart(id)
	}
}

// Remove forgets a claim, waiting or held. It reports whether there was one.
func (s *State) Remove(id string) bool {
	m, ok := s.members[id]
	if !ok {
		return false
	}
	delete(s.members, id)
	s.forgetDescent(m)
	switch {
	case m.held:
		s.vacate(m)
		m.held = false
		s.restandHeirs(m)
	case m.line != nil:
		s.leave(m)
	}
	s.part(m)
	return true
}

// Bump gives a waiting claim a new priority; its arrival stays. It reports whether there is such a claim. The State
// goes on with a copy of the claim: ask Claim for it.
func (s *State) Bump(id string, priority int32) bool {
	m, ok := s.members[id]
	if !ok || m.held {
		return false
	}
	if m.line != nil {
		s.leave(m)
		defer s.stand(m)
	}
	c := *m.claim
	c.Priority = priority
	m.claim = &c
	return true
}

// Aside takes a claim out of the order, or (false) puts it back in its old place. A held claim gives back what it
// holds, and its start counts in no rate. It reports whether there is such a claim.
func (s *State) Aside(id string, aside bool) bool {
	m, ok := s.members[id]
	if !ok {
		return false
	}
	if m.aside == aside {
		return true
	}
	switch {
	case !aside:
		m.aside = false
		s.stand(m)
		return true
	case m.held:
		s.vacate(m)
		for _, n := range m.needs {
			if n.limit.key.kind == KindRate {
				n.limit.removeStart(id)
			}
		}
		m.held = false
		m.claim.Grant = nil
		s.restandHeirs(m)
		s.unsettle(m)
	default:
		s.leave(m)
	}
	m.aside = true
	return true
}
