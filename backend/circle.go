package backend

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Claims that are nested in holders can wait for each other: each of two steps holds a slot of a pool of two, and what
// runs in it asks for one more. None of them will ever be granted, for a holder does not end before what is nested in
// it. Holders in which nothing waits may end at any time, so a claim waits in a circle only if it does not fit beside
// the holders that cannot end, whoever else leaves.

// Bind is a link of such a circle: a holder that will not end before a claim nested in it is granted.
type Bind struct {
	Holder string `json:"holder"`
	Limit  string `json:"limit"` // that it holds Slots of
	Slots  int    `json:"slots"`
	Waiter string `json:"waiter"`
	For    string `json:"for"` // the limit that the waiter waits for
}

func (b Bind) String() string {
	return fmt.Sprintf("%s holds %d of %s and waits, in %s, for %s", b.Holder, b.Slots, b.Limit, b.Waiter, b.For)
}

// joinBinds is a circle in words.
func joinBinds(circle []Bind) string {
	links := make([]string, len(circle))
	for i, b := range circle {
		links[i] = b.String()
	}
	return strings.Join(links, ", ")
}

// circle is the waiters that cannot be granted before others of them are, each with the first limit that it waits for
// in vain.
type circle map[*member]need

// circles finds them, with a claim besides that is not in the State yet, or nil.
func (s *State) circles(newcomer *member) circle {
	in := circle{}
	for _, m := range s.members {
		if m.line != nil && len(m.ancestors) > 0 {
			in[m] = need{}
		}
	}
	if newcomer != nil {
		in[newcomer] = need{}
	}
	for left := -1; left != len(in); {
		left = len(in)
		bound := s.bound(in)
		for m := range in {
			i := slices.IndexFunc(m.needs, func(n need) bool {
				return n.limit.capacity > 0 && n.limit.key.kind != KindRate && n.slots > n.limit.capacity-bound[n.limit]
			})
			if i < 0 {
				delete(in, m)
			} else {
				in[m] = m.needs[i]
			}
		}
	}
	return in
}

// bound is how much of each limit is held by those that cannot end before the waiters are granted.
func (s *State) bound(in circle) map[*limit]int {
	bound, seen := map[*limit]int{}, map[string]bool{}
	for m := range in {
		for _, id := range m.ancestors {
			a, ok := s.members[id]
			if !ok || !a.held || seen[id] {
				continue
			}
			seen[id] = true
			for _, n := range a.needs {
				bound[n.limit] += n.slots
			}
		}
	}
	return bound
}

// binds lists the links of the circle: what a member keeps of the limits for which others wait in vain.
func (s *State) binds(in circle, m *member) []Bind {
	var binds []Bind
	for _, id := range m.ancestors {
		a, ok := s.members[id]
		if !ok || !a.held {
			continue
		}
		for _, n := range a.needs {
			if slices.ContainsFunc(sortedMembers(in), func(o *member) bool { return in[o].limit == n.limit }) {
				binds = append(binds, Bind{id, n.limit.name, n.slots, m.claim.ID, in[m].limit.name})
			}
		}
	}
	return binds
}

// sortedMembers are those of a circle by arrival; one that has not entered yet comes last.
func sortedMembers(in circle) []*member {
	members := make([]*member, 0, len(in))
	for m := range in {
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b *member) int {
		return cmp.Or(cmp.Compare(uint64(a.claim.Seq)-1, uint64(b.claim.Seq)-1),
			strings.Compare(a.claim.ID, b.claim.ID))
	})
	return members
}

// closer is the member of a circle that came last, and the links of all. One that waits for the circle and keeps
// nothing from it is not of it.
func (s *State) closer(in circle) (last *member, all []Bind) {
	for _, m := range sortedMembers(in) {
		if binds := s.binds(in, m); len(binds) > 0 {
			last, all = m, append(all, binds...)
		}
	}
	return last, all
}

// closes returns the error of a claim that closes a circle.
func (s *State) closes(m *member) *ImpossibleError {
	in := s.circles(m)
	if _, ok := in[m]; !ok {
		return nil
	}
	if last, all := s.closer(in); last == m {
		return in.impossible(m, all)
	}
	return nil
}

func (in circle) impossible(m *member, all []Bind) *ImpossibleError {
	n := in[m]
	return &ImpossibleError{Limit: n.limit.name, Asked: n.slots, Capacity: n.limit.capacity, Circle: all}
}

// Circle returns the links of the claims in a snapshot that wait for each other for ever; nil as a rule, for who would
// close a circle is refused.
func (s *Snapshot) Circle() []Bind {
	state := NewState(s.Settings, StoreNames())
	for _, h := range s.Held {
		c := h.Claim
		state.Hold(&c, 0)
	}
	for _, w := range s.Waiting {
		if c := w.Claim; !w.Aside {
			state.Wait(&c, 0)
		}
	}
	_, all := state.closer(state.circles(nil))
	return all
}
