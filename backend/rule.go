package backend

import (
	"container/heap"
	"math"
	"slices"
	"time"
)

// State is the one rule: given limits, holders and waiters in order, who is admitted now, and what blocks each of the
// others. It is a value in memory that a store loads, changes and keeps; it knows no clock but the
// one its owner passes in, any that only grows. It is not safe for concurrent use.
//
// The rule, in the words of the contract: a claim is granted all it needs in one step or nothing; the order is priority, then arrival; one that
// does not fit is passed by later ones except in the limits that block it, where nobody behind it is admitted; one that
// waited long enough reserves: of the limits it needs, what comes free is kept for it, one such claim per limit, the first in order.
//
// Claims with the same needs stand in one line, and a pass looks at the heads of lines alone: if the
// head is not admitted, the limits that block it block everyone behind it. So a pass costs
// O(grants + different needs), times the logarithm of each, whatever the number of waiters.
type State struct {
	settings Settings
	names    Names
	reserve  time.Duration
	outside  bool // starts are forgotten by ForgetStart alone

	limits  map[limitKey]*limit
	rates   map[string]*limit // those of KindRate, by pool
	ordinal uint64
	members map[string]*member
	lines   map[string]*line
	order   lines
	young   byAge
	waiting int    // members that stand in a line
	aged    int    // of them, those that have waited long enough to reserve
	pass    uint64 // number of the pass that the limits' findings belong to
}

// never is a waiting time after which nobody reserves.
const never = time.Duration(math.MaxInt64)

// NewState returns a State without claims. Settings with ReserveAfter = NeverReserve switch reservation off.
func NewState(settings Settings, names Names) *State {
	s := &State{names: names, members: map[string]*member{}}
	s.Configure(settings)
	return s
}

// NeverReserve as Settings.ReserveAfter switches reservation off.
const NeverReserve = never

// KeepStarts lets starts count in their rates until ForgetStart, whatever the time: for a store whose server measures the periods.
func (s *State) KeepStarts() { s.outside = true }

// Configure replaces the limits. Nobody is admitted before the next Advance, and nobody is refused before Refuse.
func (s *State) Configure(settings Settings) {
	old := s.rates
	s.settings, s.reserve = settings.Clone(), settings.Reserve()
	s.limits, s.rates = map[limitKey]*limit{}, map[string]*limit{}
	s.lines, s.order, s.young, s.waiting, s.aged = map[string]*line{}, nil, nil, 0, 0
	for name, was := range old {
		for _, st := range was.starts {
			s.HoldStart(name, st.id, st.slots, st.at)
		}
	}
	for _, m := range s.members {
		m.line = nil
		s.meet(m)
		switch {
		case m.held:
			s.occupy(m)
		case !m.aside:
			s.stand(m)
		}
	}
}

// Settings returns the limits in force; they are not to be changed.
func (s *State) Settings() Settings { return s.settings }

// meet finds what a member needs and makes the limits know it.
func (s *State) meet(m *member) {
	m.needs = s.needsOf(m.claim)
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

// occupy counts a holder in its limits.
func (s *State) occupy(m *member) {
	for _, n := range m.needs {
		if n.limit.key.kind == KindRate {
			continue
		}
		n.limit.used += n.slots
		n.limit.numbers.mark(m.claim.Grant.Slots[n.limit.key.pool], true)
	}
}

// vacate undoes occupy.
func (s *State) vacate(m *member) {
	for _, n := range m.needs {
		if n.limit.key.kind == KindRate {
			continue
		}
		n.limit.used -= n.slots
		n.limit.numbers.mark(m.claim.Grant.Slots[n.limit.key.pool], false)
	}
}

// Check returns an *ImpossibleError if the claim can never be granted under the limits in force, because it asks for more than a
// limit or because its ancestors hold what it needs. A limit of 0 is a pause, not an impossibility.
func (s *State) Check(c *Claim) error {
	needs := s.needsOf(c)
	defer s.forgetAllUnused(needs)
	for _, n := range needs {
		l := n.limit
		if l.impossible(n.slots) {
			return &ImpossibleError{Limit: l.name, Asked: n.slots, Capacity: l.capacity, Rate: l.rate}
		}
		held, total := s.heldByAncestors(c, l)
		if total > 0 && l.impossible(total+n.slots) {
			return &ImpossibleError{Limit: l.name, Asked: n.slots, Capacity: l.capacity, Held: held}
		}
	}
	return nil
}

func (s *State) forgetAllUnused(needs []need) {
	for _, n := range needs {
		s.forgetUnused(n.limit)
	}
}

// heldByAncestors is what those that outlive the claim hold of a limit, each and in all.
func (s *State) heldByAncestors(c *Claim, l *limit) (held map[string]int, total int) {
	if l.key.kind == KindRate {
		return nil, 0
	}
	for _, id := range c.Ancestors {
		a, ok := s.members[id]
		if !ok || !a.held || id == c.ID || held[id] > 0 {
			continue
		}
		if slots := a.slotsOf(l); slots > 0 {
			if held == nil {
				held = map[string]int{}
			}
			held[id] = slots
			total += slots
		}
	}
	return held, total
}

// Refuse removes and returns the waiting claims that can never be granted under the limits in force. To be called when the
// limits are not those under which the claims were checked: it looks at everyone.
func (s *State) Refuse() []Refusal {
	var refused []Refusal
	for id, m := range s.members {
		if m.held {
			continue
		}
		if err, ok := s.Check(m.claim).(*ImpossibleError); ok {
			refused = append(refused, Refusal{m.claim, err})
			s.Remove(id)
		}
	}
	slices.SortFunc(refused, func(a, b Refusal) int { return compareClaims(a.Claim, b.Claim) })
	return refused
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
func (s *State) Wait(c *Claim, since time.Duration) {
	m := &member{claim: c, since: since}
	s.members[c.ID] = m
	s.meet(m)
	s.stand(m)
}

// Hold adds a claim that is held already: c.Grant is set.
func (s *State) Hold(c *Claim, since time.Duration) {
	m := &member{claim: c, since: since, held: true}
	s.members[c.ID] = m
	s.meet(m)
	s.occupy(m)
}

// HoldStart adds a start that a rate remembers, of a claim that may be gone. Starts of pools without a rate are ignored.
func (s *State) HoldStart(pool, id string, slots int, at time.Duration) {
	if p, _ := s.settings.Pool(pool); p.Rate != nil {
		s.limit(limitKey{kind: KindRate, pool: pool}, s.names.Pool+pool, p.Rate.Slots, p.Rate).addStart(start{id, slots, at})
	}
}

// ForgetStart removes a start from the rate of a pool.
func (s *State) ForgetStart(pool, id string) {
	if l, ok := s.limits[limitKey{kind: KindRate, pool: pool}]; ok {
		l.removeStart(id)
	}
}

// Remove forgets a claim, waiting or held. It tells whether there was one.
func (s *State) Remove(id string) bool {
	m, ok := s.members[id]
	if !ok {
		return false
	}
	if m.held {
		s.vacate(m)
	} else if !m.aside {
		s.leave(m)
	}
	s.part(m)
	delete(s.members, id)
	return true
}

// Bump gives a waiting claim a new priority; its arrival stays. It tells whether there is such a claim.
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

// Aside takes a claim out of the order, or (false) puts it back in its old place. A held claim gives back what it holds, and its start
// counts in no rate. It tells whether there is such a claim.
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
	default:
		s.leave(m)
	}
	m.aside = true
	return true
}

// Refusal is a waiting claim that can never be granted any more.
type Refusal struct {
	Claim *Claim
	Err   *ImpossibleError
}

// Advance admits everyone whom the limits admit at now and returns them in order. Each has its Grant with
// Slots; the store adds Token and GrantedAt.
func (s *State) Advance(now time.Duration) []*Claim {
	var granted []*Claim
	var passed []*line
	s.begin(now)
	for len(s.order) > 0 {
		l := s.order[0]
		m := l.head()
		if !s.block(m, nil) {
			s.admit(m, now)
			granted = append(granted, m.claim)
			continue
		}
		passed = append(passed, l)
		heap.Pop(&s.order)
		if s.everyoneBlocked(m) {
			break
		}
	}
	for _, l := range passed {
		heap.Push(&s.order, l)
	}
	return granted
}

// begin starts a pass: what earlier passes have found is void; starts out of their window and reservations are brought up to now.
func (s *State) begin(now time.Duration) {
	s.pass++
	if !s.outside {
		for _, l := range s.rates {
			l.expire(now)
			s.forgetUnused(l)
		}
	}
	s.age(now)
	if s.aged > 0 {
		s.reserveAll()
	}
}

// reserveAll finds for each limit the first in order among the aged that need it.
func (s *State) reserveAll() {
	var aged []*member
	for _, l := range s.lines {
		if len(l.aged) > 0 {
			aged = append(aged, l.aged[0])
		}
	}
	slices.SortFunc(aged, func(a, b *member) int { return compareClaims(a.claim, b.claim) })
	for _, m := range aged {
		if slices.ContainsFunc(m.needs, func(n need) bool { return n.limit.capacity == 0 }) {
			continue // paused: keeping the other limits idle would help nobody
		}
		for _, n := range m.needs {
			if f := s.findings(n.limit); f.reserver == nil {
				f.reserver = m
			}
		}
	}
}

// findings returns the limit with the findings of an earlier pass wiped.
func (s *State) findings(l *limit) *limit {
	if l.pass != s.pass {
		l.pass, l.blocker, l.reserver = s.pass, nil, nil
	}
	return l
}

// block tells whether anything keeps the member from being admitted, and marks the limits that do.
// Where report is not nil it is called for each of them.
func (s *State) block(m *member, report func(n need, why string, by *member)) bool {
	blocked := false
	for _, n := range m.needs {
		l := s.findings(n.limit)
		why, by := l.obstacle(m, n.slots)
		if why == "" {
			continue
		}
		blocked = true
		if report != nil {
			report(n, why, by)
		}
		if l.blocker == nil {
			l.blocker = m
		}
	}
	return blocked
}

// Why a limit blocks; see Block.
const (
	WhyFull     = "full"
	WhyRate     = "rate"
	WhyPaused   = "paused"
	WhyBehind   = "behind"
	WhyReserved = "reserved"
	WhyAside    = "aside"
)

// obstacle says why a limit does not admit so many slots to a member now, and which waiter is in the way; "" if it does.
func (l *limit) obstacle(m *member, slots int) (why string, by *member) {
	switch room := l.room(); {
	case l.capacity == Unlimited:
		return "", nil
	case l.capacity == 0:
		return WhyPaused, nil
	case slots > room && l.key.kind == KindRate:
		return WhyRate, nil
	case slots > room:
		return WhyFull, nil
	case l.blocker != nil:
		return WhyBehind, l.blocker
	case l.reserver != nil && l.reserver != m && !l.reserver.held && slots > room-l.reserver.slotsOf(l):
		return WhyReserved, l.reserver
	}
	return "", nil
}

// everyoneBlocked tells whether a limit that blocks m is needed by everybody that waits, so that looking on is of no use.
func (s *State) everyoneBlocked(m *member) bool {
	for _, n := range m.needs {
		if n.limit.blocker != nil && n.limit.pass == s.pass && n.limit.waiting == s.waiting {
			return true
		}
	}
	return false
}

// admit makes a waiting member a holder.
func (s *State) admit(m *member, now time.Duration) {
	s.leave(m)
	m.held, m.aged = true, false
	m.claim.Grant = &Grant{}
	for _, n := range m.needs {
		switch n.limit.key.kind {
		case KindRate:
			n.limit.addStart(start{m.claim.ID, n.slots, now})
		case KindPool:
			n.limit.used += n.slots
			if n.limit.capacity != Unlimited {
				if m.claim.Grant.Slots == nil {
					m.claim.Grant.Slots = map[string][]int{}
				}
				m.claim.Grant.Slots[n.limit.key.pool] = n.limit.numbers.take(n.slots)
			}
		default:
			n.limit.used += n.slots
		}
	}
}

// Next is the time at which Advance may admit somebody though nothing else has happened: a rate
// lets go of a start, or somebody has waited long enough to take a reservation over. ok is false where there is none.
func (s *State) Next() (at time.Duration, ok bool) {
	at = never
	s.dropOld()
	if len(s.young) > 0 && s.waiting > 1 {
		at = s.young[0].since + s.reserve
	}
	if !s.outside {
		for _, l := range s.rates {
			if l.waiting > 0 && len(l.starts) > 0 {
				at = min(at, l.starts[0].at+l.rate.Period)
			}
		}
	}
	return at, at != never
}
