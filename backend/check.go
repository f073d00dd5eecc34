package backend

import "slices"

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
	_, ancestors := s.nesting(c)
	for _, id := range ancestors {
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

// Refusal is a waiting claim that can never be granted any more.
type Refusal struct {
	Claim *Claim
	Err   *ImpossibleError
}
