package backend

import (
	"maps"
	"slices"
)

// nesting reports whether a claim is nested in a run, so that it takes no run slot and matches no tag limit, and within
// which claims. What the claim says of that counts only while a claim of the run that it names is held.
func (s *State) nesting(c *Claim) (nested bool, ancestors []string) {
	if c.Within == nil {
		return c.Runs == 0, c.Ancestors
	}
	witness := s.Witness(c.Within, c.ID)
	switch {
	case witness == nil:
		return false, nil
	case witness.ID == c.Within.Claim || witness.ID == c.Within.Run:
		return true, append(slices.Clip(witness.Ancestors), witness.ID)
	}
	return true, nil
}

// Witness returns a held claim, but that of an id, of the run that the claim of this id says it is nested in: the one
// that it names, or the first of the run, or any. nil where there is none.
func (s *State) Witness(w *Within, but string) *Claim {
	if w == nil || s.runs[w.Run] == 0 {
		return nil
	}
	for _, id := range []string{w.Claim, w.Run} {
		if m, ok := s.members[id]; ok && id != but && m.isOf(w.Run) {
			return m.claim
		}
	}
	for id, m := range s.members {
		if id != but && m.isOf(w.Run) {
			return m.claim
		}
	}
	return nil
}

// isOf reports whether the member is a held claim of a run.
func (m *member) isOf(run string) bool { return m.held && m.claim.RunID == run }

// settled is the member's claim as a grant would make it now: a claim of the outer run, or a run of its own, for slots
// in numbers.
func (m *member) settled() Claim {
	c := *m.claim
	if c.Whole() {
		c.Pools = maps.Clone(c.Pools)
		for _, n := range m.needs {
			if n.limit.key.kind == KindPool {
				c.Pools[n.limit.key.pool] = n.slots
			}
		}
	}
	if c.Within != nil && m.nested {
		c.RunID, c.Runs, c.Ancestors = c.Within.Run, 0, m.ancestors
	}
	c.Within = nil
	return c
}

// Follow takes over from a claim as a store has it what a grant settles, and the grant; or what it was before, where
// there is none.
func (c *Claim) Follow(as *Claim) {
	c.RunID, c.Pools, c.Runs, c.Ancestors = as.RunID, as.Pools, as.Runs, as.Ancestors
	c.Within, c.Grant = as.Within, as.Grant
}

// settle makes the claim so for as long as it is held.
func (s *State) settle(m *member) {
	if m.claim.Within == nil && !m.claim.Whole() {
		return
	}
	s.forgetDescent(m)
	before := *m.claim
	*m.claim, m.unsettled = m.settled(), &before
	s.descend(m)
}

// unsettle undoes settle for a claim that has given its grant back: the outer run may end before it is granted again.
func (s *State) unsettle(m *member) {
	if m.unsettled == nil {
		return
	}
	s.forgetDescent(m)
	s.part(m)
	*m.claim, m.unsettled = *m.unsettled, nil
	s.descend(m)
	s.meet(m)
}

// descend finds out what the member is nested in, and makes it known there.
func (s *State) descend(m *member) {
	m.nested, m.ancestors = s.nesting(m.claim)
	for id := range m.origins {
		if s.heirs[id] == nil {
			s.heirs[id] = map[*member]struct{}{}
		}
		s.heirs[id][m] = struct{}{}
	}
}

// forgetDescent undoes descend.
func (s *State) forgetDescent(m *member) {
	for id := range m.origins {
		delete(s.heirs[id], m)
		if len(s.heirs[id]) == 0 {
			delete(s.heirs, id)
		}
	}
}

// origins are the ids of the claims and the run that the member is nested in, or may be.
func (m *member) origins(yield func(string) bool) {
	for _, id := range m.ancestors {
		if !yield(id) {
			return
		}
	}
	if w := m.claim.Within; w != nil && yield(w.Run) {
		yield(w.Claim)
	}
}

// hasHeirs reports whether somebody is nested in a member or its run, or says so.
func (s *State) hasHeirs(m *member) bool {
	return len(s.heirs[m.claim.ID]) > 0 || len(s.heirs[m.claim.RunID]) > 0
}

// restandHeirs is called when a claim has come to hold or has ceased to: those nested in it, or in its run, may change
// their limits and their kin.
func (s *State) restandHeirs(m *member) {
	for _, id := range []string{m.claim.ID, m.claim.RunID} {
		for _, heir := range slices.Collect(maps.Keys(s.heirs[id])) {
			s.restand(heir)
		}
		if m.claim.RunID == m.claim.ID {
			return
		}
	}
}

// restand finds out anew what a waiting member is nested in, its limits, and where it stands.
func (s *State) restand(m *member) {
	if m.held {
		return
	}
	if m.line != nil {
		s.leave(m)
		defer s.stand(m)
	}
	s.forgetDescent(m)
	s.part(m)
	s.descend(m)
	s.meet(m)
}
