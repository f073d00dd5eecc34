package backend

import "slices"

// Check returns an *ImpossibleError if the claim can never be granted under the limits in force: it asks for more than
// a limit, for all slots of a pool without limit, or for a pool that strict settings do not declare, its ancestors hold
// what it needs, or it would close a
// circle of claims that wait for each other. A limit of 0 and a pause make nothing impossible.
func (s *State) Check(c *Claim) error {
	if err := s.alone(c); err != nil {
		return err
	}
	m, ok := s.members[c.ID]
	if !ok {
		m = &member{claim: c}
		_, m.ancestors = s.nesting(c)
	}
	if len(m.ancestors) == 0 {
		return nil
	}
	if !ok {
		m.needs = slices.Clone(s.needsOf(c))
		defer s.forgetAllUnused(m.needs)
	}
	if err := s.closes(m); err != nil {
		return err
	}
	return nil
}

// alone is Check without the other waiters.
func (s *State) alone(c *Claim) error {
	if err := s.settings.Undeclared(c.Pools); err != nil {
		return err
	}
	needs := s.needsOf(c)
	defer s.forgetAllUnused(needs)
	for _, n := range needs {
		l := n.limit
		if n.slots == AllSlots || l.impossible(n.slots) {
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

// Refuse removes and returns the waiting claims that can never be granted under the limits in force. To be called when
// the limits are not those under which the claims were checked, or where a nested claim has come unchecked: it looks at
// everyone.
func (s *State) Refuse() []Refusal {
	var refused []Refusal
	refuse := func(m *member, err *ImpossibleError) {
		refused = append(refused, Refusal{m.claim, err})
		s.Remove(m.claim.ID)
	}
	for _, m := range s.members {
		if m.held {
			continue
		}
		if err, ok := s.alone(m.claim).(*ImpossibleError); ok {
			refuse(m, err)
		}
	}
	for { // who leaves a circle may open it for the others
		in := s.circles(nil)
		last, all := s.closer(in)
		if last == nil {
			break
		}
		refuse(last, in.impossible(last, all))
	}
	slices.SortFunc(refused, func(a, b Refusal) int { return compareClaims(a.Claim, b.Claim) })
	return refused
}

// Refusal is a waiting claim that can never be granted any more.
type Refusal struct {
	Claim *Claim
	Err   *ImpossibleError
}
