package backend

import (
	"cmp"
	"container/heap"
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

	line  *line // where it stands; nil while held or aside
	aged  bool  // stands among the line's aged
	index int   // its place in that heap
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

// line is where claims with the same needs stand. If its first is not admitted, nobody in it is. Those that have waited
// long enough to reserve stand apart, so that the first of them is found at once.
type line struct {
	key         string
	fresh, aged members
	index       int // in the State's heap of lines
}

// head is the first in order, or nil.
func (l *line) head() *member {
	switch {
	case len(l.aged) == 0 && len(l.fresh) == 0:
		return nil
	case len(l.aged) == 0:
		return l.fresh[0]
	case len(l.fresh) == 0 || l.aged[0].before(l.fresh[0]):
		return l.aged[0]
	default:
		return l.fresh[0]
	}
}

func (l *line) heapOf(m *member) *members {
	if m.aged {
		return &l.aged
	}
	return &l.fresh
}

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

// stand puts a member into the line of its needs.
func (s *State) stand(m *member) {
	key := lineKey(m.needs)
	l, ok := s.lines[key]
	if !ok {
		l = &line{key: key}
		s.lines[key] = l
	}
	m.line = l
	heap.Push(l.heapOf(m), m)
	if ok {
		heap.Fix(&s.order, l.index)
	} else {
		heap.Push(&s.order, l)
	}
	for _, n := range m.needs {
		n.limit.waiting++
	}
	s.waiting++
	switch {
	case m.aged:
		s.aged++
	case s.reserve != never:
		heap.Push(&s.young, m)
	}
}

// leave takes a member out of its line.
func (s *State) leave(m *member) {
	l := m.line
	heap.Remove(l.heapOf(m), m.index)
	m.line = nil
	s.settle(l)
	for _, n := range m.needs {
		n.limit.waiting--
	}
	s.waiting--
	if m.aged {
		s.aged--
	}
}

// settle restores the order of lines after the head of l may have changed, and drops an empty line.
func (s *State) settle(l *line) {
	if l.head() != nil {
		heap.Fix(&s.order, l.index)
		return
	}
	// An empty line has no head to compare: swap it out by hand, then restore the one moved.
	last := len(s.order) - 1
	i := l.index
	if i != last {
		s.order.Swap(i, last)
	}
	s.order.Pop()
	if i != last {
		heap.Fix(&s.order, i)
	}
	delete(s.lines, l.key)
}

// age moves those who have waited for long enough at now among the aged of their line.
func (s *State) age(now time.Duration) {
	for s.dropOld(); len(s.young) > 0 && s.young[0].since+s.reserve <= now; s.dropOld() {
		m := heap.Pop(&s.young).(*member)
		heap.Remove(&m.line.fresh, m.index)
		m.aged = true
		heap.Push(&m.line.aged, m)
		s.aged++
	}
}

// dropOld removes from the front of the young those that have left their line, or are in it twice.
func (s *State) dropOld() {
	for len(s.young) > 0 && (s.young[0].line == nil || s.young[0].aged) {
		heap.Pop(&s.young)
	}
}
