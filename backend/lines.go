package backend

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"strings"
	"time"
)

// member is a claim within a State.
type member struct {
	claim *Claim
	needs []need
	since time.Duration // when it began to wait, on the clock of the State's owner
	held  bool
	aside bool

	nested    bool     // takes no run slot, see nesting
	ancestors []string // that it is nested in, outermost first
	unsettled *Claim   // what a grant has settled, as it was before; nil where it has changed nothing

	line  *line     // where it stands; nil while held or aside
	aged  bool      // has waited long enough to reserve
	young bool      // is among the State's young
	index int       // its place in its line
	kin   []*limit  // in line: the limits that its ancestors hold, see kin.go
	seen  [2]uint64 // the last search that met it, itself and as one nested in a holder
}

// before is the order of SPEC: priority, then rank, then arrival.
func (m *member) before(o *member) bool { return compareClaims(m.claim, o.claim) < 0 }

func compareClaims(a, b *Claim) int {
	return cmp.Or(
		cmp.Compare(b.Priority, a.Priority),
		cmp.Compare(b.Rank, a.Rank),
		cmp.Compare(a.Seq, b.Seq),
		strings.Compare(a.ID, b.ID),
	)
}

// line is where claims with the same needs and the same kin stand, those that have waited long enough to reserve apart
// from the others. If its first is not admitted, nobody in it is.
type line struct {
	key     string
	members members
	index   int // in the State's heap of lines
}

// head is the first in order. A line in the State's heap is never empty.
func (l *line) head() *member { return l.members[0] }

// members is a heap in the order of grants; container/heap's methods.
type members []*member

func (h members) Len() int           { return len(h) }
func (h members) Less(i, j int) bool { return h[i].before(h[j]) }
func (h members) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *members) Push(x any) {
	m := x.(*member)
	m.index = len(*h)
	*h = append(*h, m)
}
func (h *members) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return m
}

// lines is a heap of lines by their heads.
type lines []*line

func (h lines) Len() int           { return len(h) }
func (h lines) Less(i, j int) bool { return h[i].head().before(h[j].head()) }
func (h lines) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *lines) Push(x any) {
	l := x.(*line)
	l.index = len(*h)
	*h = append(*h, l)
}
func (h *lines) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return l
}

// byAge is a heap of waiting members by the time they began to wait.
type byAge []*member

func (h byAge) Len() int           { return len(h) }
func (h byAge) Less(i, j int) bool { return h[i].since < h[j].since }
func (h byAge) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byAge) Push(x any)        { *h = append(*h, x.(*member)) }
func (h *byAge) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return m
}

// stand puts a member among those that wait.
func (s *State) stand(m *member) {
	m.kin = s.kinOf(m)
	s.join(m)
	for _, n := range m.needs {
		n.limit.waiting++
	}
	s.waiting++
	if len(m.kin) > 0 {
		s.nested++
	}
	switch {
	case m.aged:
		s.aged++
	case s.reserve != never && !m.young:
		m.young = true
		heap.Push(&s.young, m)
	}
}

// leave takes a member out of those that wait.
func (s *State) leave(m *member) {
	s.quit(m)
	for _, n := range m.needs {
		n.limit.waiting--
	}
	s.waiting--
	if len(m.kin) > 0 {
		s.nested--
	}
	if m.aged {
		s.aged--
	}
}

// join puts a member into the line it belongs to.
func (s *State) join(m *member) {
	s.key = m.appendLineKey(s.key[:0])
	l, ok := s.lines[string(s.key)]
	if !ok {
		l = &line{key: string(s.key)}
		s.lines[l.key] = l
	}
	m.line = l
	heap.Push(&l.members, m)
	switch {
	case !ok:
		heap.Push(&s.order, l)
	case m.index == 0:
		heap.Fix(&s.order, l.index)
	}
}

// quit takes a member out of its line, and the line with its last out of the order.
func (s *State) quit(m *member) {
	l, first := m.line, m.index == 0
	m.line = nil
	if len(l.members) == 1 {
		heap.Remove(&s.order, l.index)
		delete(s.lines, l.key)
		return
	}
	heap.Remove(&l.members, m.index)
	if first {
		heap.Fix(&s.order, l.index)
	}
}

// appendLineKey appends what is equal for members of the same line, and for them alone.
func (m *member) appendLineKey(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(m.needs))<<1|uint64(bit(m.aged)))
	for _, n := range m.needs {
		b = binary.AppendUvarint(b, n.limit.ordinal)
		b = binary.AppendUvarint(b, uint64(n.slots))
	}
	for _, l := range m.kin {
		b = binary.AppendUvarint(b, l.ordinal)
	}
	return b
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// age moves those who have waited for long enough at now to the lines of the aged.
func (s *State) age(now time.Duration) {
	for s.dropOld(); len(s.young) > 0 && now-s.young[0].since >= s.reserve; s.dropOld() {
		m := heap.Pop(&s.young).(*member)
		m.young = false
		s.quit(m)
		m.aged = true
		s.join(m)
		s.aged++
	}
}

// dropOld removes from the front of the young those that wait no longer.
func (s *State) dropOld() {
	for len(s.young) > 0 && s.young[0].line == nil {
		heap.Pop(&s.young).(*member).young = false
	}
}
