package backend

import (
	"container/heap"
	"slices"
	"time"
)

// Advance admits everyone whom the limits admit at now and returns them in order: as long as anybody is not blocked,
// the first of those in order. Each has its Grant with Slots; the store adds Token and GrantedAt.
func (s *State) Advance(now time.Duration) []*Claim {
	var granted []*Claim
	for again := true; again; {
		s.begin(now)
		granted, again = s.walk(now, granted)
	}
	return granted
}

// walk admits those who are not blocked, in order. A grant only takes room, so whoever was passed stays blocked. Where
// a grant does more than that, walk stops and is to be called again.
func (s *State) walk(now time.Duration, granted []*Claim) (_ []*Claim, again bool) {
	passed := s.passed[:0]
	for len(s.order) > 0 && !again {
		l := s.order[0]
		m := l.head()
		if !s.block(m, nil) {
			reserved := slices.ContainsFunc(m.needs, func(n need) bool { return n.limit.reserver == m })
			s.admit(m, now)
			granted = append(granted, m.claim)
			again = reserved || s.hasHeirs(m) || len(passed) > 0 && (s.nested > 0 || m.narrows())
			continue
		}
		if s.lift(m) {
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
	clear(passed)
	s.passed = passed
	s.drop()
	if again {
		s.restandHeirs(s.members[granted[len(granted)-1].ID])
	}
	return granted, again
}

// lift takes a member that was passed out of its line for the rest of a walk, where a limit is kept for it alone: that
// may block the second in line where it does not block the first. It reports whether it did.
func (s *State) lift(m *member) bool {
	if len(m.line.members) == 1 || !slices.ContainsFunc(m.needs, func(n need) bool { return n.limit.reserver == m }) {
		return false
	}
	heap.Pop(&m.line.members)
	heap.Fix(&s.order, m.line.index)
	s.lifted = append(s.lifted, m)
	return true
}

// drop puts those lifted back into their lines.
func (s *State) drop() {
	for _, m := range s.lifted {
		heap.Push(&m.line.members, m)
		heap.Fix(&s.order, m.line.index)
	}
	clear(s.lifted)
	s.lifted = s.lifted[:0]
}

// narrows reports whether the grant of m may have left a limit too small for somebody whom other limits block: now
// this one blocks it too, and nobody behind it is to be admitted there.
func (m *member) narrows() bool {
	return slices.ContainsFunc(m.needs, func(n need) bool {
		l := n.limit
		if l.capacity == Unlimited {
			return false
		}
		room := l.room()
		if l.reserver != nil {
			room -= l.reserver.slotsOf(l)
		}
		return room < l.fits
	})
}

// begin starts a pass: what earlier passes have found is void; starts out of their window and reservations are brought
// up to now.
func (s *State) begin(now time.Duration) {
	s.pass++
	for _, l := range s.rates {
		l.expire(now)
		s.forgetUnused(l)
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
		if h := l.head(); h.aged {
			aged = append(aged, h)
		}
	}
	slices.SortFunc(aged, func(a, b *member) int { return compareClaims(a.claim, b.claim) })
	for _, m := range aged {
		if slices.ContainsFunc(m.needs, func(n need) bool { return n.limit.shut() }) {
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
		l.pass, l.blocked, l.fits, l.reserver = s.pass, l.blocked[:0], 0, nil
	}
	return l
}

// block reports whether anything keeps the member from being admitted, and marks the limits that do.
// Where report is not nil it is called for each of them.
func (s *State) block(m *member, report func(n need, why string, by *member)) bool {
	blocked := false
	s.fit = s.fit[:0]
	for _, n := range m.needs {
		l := s.findings(n.limit)
		why, by := s.obstacle(l, m, n.slots)
		if why == "" {
			s.fit = append(s.fit, n)
			continue
		}
		blocked = true
		if report != nil {
			report(n, why, by)
		}
		if n.slots != AllSlots && (m.index == 0 || why == WhyReserved && by.line == m.line) {
			l.blocked = append(l.blocked, m)
		}
	}
	if blocked {
		for _, n := range s.fit {
			n.limit.fits = max(n.limit.fits, n.slots)
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

// obstacle says why a limit does not admit so many slots to a member now, and which waiter is in the way; "" if it
// does. The one for whom it is kept stands behind nobody.
func (s *State) obstacle(l *limit, m *member, slots int) (why string, by *member) {
	switch room := l.room(); {
	case l.shut():
		return WhyPaused, nil
	case l.capacity == Unlimited && slots == AllSlots:
		return WhyFull, nil
	case l.capacity == Unlimited:
		return "", nil
	case slots > room && l.key.kind == KindRate:
		return WhyRate, nil
	case slots > room:
		return WhyFull, nil
	case l.reserver == m:
		return "", nil
	}
	for _, b := range l.blocked {
		if !s.waitsForKin(b, m) {
			return WhyBehind, b
		}
	}
	if l.keptFrom(m, slots) && !s.waitsForKin(l.reserver, m) {
		return WhyReserved, l.reserver
	}
	return "", nil
}

// keptFrom reports whether the limit keeps so many slots from a member for another.
func (l *limit) keptFrom(m *member, slots int) bool {
	return l.reserver != nil && l.reserver != m && slots > l.room()-l.reserver.slotsOf(l)
}

// everyoneBlocked reports whether a limit that blocks m blocks everybody that waits, so that looking on is of no use.
func (s *State) everyoneBlocked(m *member) bool {
	if s.nested > 0 {
		return false
	}
	for _, n := range m.needs {
		l := s.findings(n.limit)
		if len(l.blocked) > 0 && l.reserver == nil && l.waiting == s.waiting {
			return true
		}
	}
	return false
}

// admit makes a waiting member a holder.
func (s *State) admit(m *member, now time.Duration) {
	s.leave(m)
	m.held, m.aged = true, false
	s.settle(m)
	s.runs[m.claim.RunID]++
	m.claim.Grant = &Grant{}
	for _, n := range m.needs {
		switch n.limit.key.kind {
		case KindRate:
			n.limit.addStart(start{m.claim.ID, n.slots, now})
		case KindPool:
			n.limit.used += n.slots
			if n.limit.capacity != Unlimited && n.slots <= MaxNumbered {
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
	if len(s.young) > 0 && s.waiting > 1 && s.young[0].since <= never-s.reserve {
		at = s.young[0].since + s.reserve
	}
	for _, l := range s.rates {
		if l.waiting > 0 && len(l.starts) > 0 {
			at = min(at, l.starts[0].at+l.rate.Period)
		}
	}
	return at, at != never
}
