package backend

import (
	"cmp"
	"slices"
)

// A claim of a run that holds slots itself (a step of a dag run that is in the run queue) must not be kept
// waiting for a claim that waits for that run to end: neither would ever be granted. So nobody stands behind, and
// nothing is kept for, a claim that waits for what one's own run holds.
//
// A member's kin are the limits that its ancestors hold. A waiter waits for the holders of every limit it does not fit
// in; holders wait for the claims nested in them that wait; and a waiter waits for those that it is behind and those
// that something is kept for. A claim nested in a holder counts as if it stood last, for the run may bring more like
// it. Where all that leads back to the kin of a member, the member passes.

// kinOf finds the limits that the member's ancestors hold, in the order of their creation. A limit that never blocks
// and a rate, which time alone frees, are nobody's kin.
func (s *State) kinOf(m *member) []*limit {
	var kin []*limit
	for _, id := range m.ancestors {
		a, ok := s.members[id]
		if !ok || !a.held || a == m {
			continue
		}
		for _, n := range a.needs {
			if n.limit.capacity != Unlimited && n.limit.key.kind != KindRate {
				kin = append(kin, n.limit)
			}
		}
	}
	slices.SortFunc(kin, func(a, b *limit) int { return cmp.Compare(a.ordinal, b.ordinal) })
	return slices.Compact(kin)
}

// waitsForKin reports whether w cannot be granted before an ancestor of m releases.
func (s *State) waitsForKin(w, m *member) bool {
	if len(m.kin) == 0 {
		return false
	}
	s.search++
	return s.leadsTo(w, false, m.kin)
}

// leadsTo follows whom w waits for, standing where it does or last, until it comes to a limit of kin that is full.
func (s *State) leadsTo(w *member, last bool, kin []*limit) bool {
	if w.seen[bit(last)] == s.search {
		return false
	}
	w.seen[bit(last)] = s.search
	for _, n := range w.needs {
		l := s.findings(n.limit)
		if l.capacity == Unlimited {
			continue
		}
		if l.key.kind != KindRate && n.slots > l.room() && s.fullLeadsTo(l, kin) {
			return true
		}
		for _, b := range l.blocked {
			if (last || l.reserver != w && b.before(w)) && s.leadsTo(b, false, kin) {
				return true
			}
		}
		if l.keptFrom(w, n.slots) && s.leadsTo(l.reserver, false, kin) {
			return true
		}
	}
	return false
}

// fullLeadsTo follows the holders of a full limit, and whom the claims nested in them wait for.
func (s *State) fullLeadsTo(l *limit, kin []*limit) bool {
	if slices.Contains(kin, l) {
		return true
	}
	if l.seen == s.search {
		return false
	}
	l.seen = s.search
	for _, nested := range s.lines {
		if h := nested.head(); slices.Contains(h.kin, l) && s.leadsTo(h, true, kin) {
			return true
		}
	}
	return false
}
