package backend

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// model is the rule in the plainest words: it keeps a list of claims and works everything out from it each time.
// It shares no code with State but the domain types and the parts of Settings that are tested by themselves.
type model struct {
	settings Settings
	now      time.Duration
	members  []*modelMember
	starts   []modelStart
}

type modelMember struct {
	claim Claim
	since time.Duration
	held  bool
	aside bool
	token int64
	slots map[string][]int

	entered Claim // as it was before a grant settled it
}

type modelStart struct {
	pool, id string
	slots    int
	at       time.Duration
}

// modelNeed is so many slots of a limit; name is what people see, id what makes it the same limit.
type modelNeed struct {
	id, name string
	slots    int
	capacity int
	rate     *Rate
}

func (m *model) needs(c *Claim) []modelNeed {
	var needs []modelNeed
	is := m.settled(c)
	for _, pool := range sortedKeys(is.Pools) {
		p, _ := m.settings.Pool(pool)
		needs = append(needs, modelNeed{"pool:" + pool, "pool:" + pool, is.Pools[pool], p.Limit, nil})
		if p.Rate != nil {
			needs = append(needs, modelNeed{"rate:" + pool, "pool:" + pool, is.Pools[pool], p.Rate.Slots, p.Rate})
		}
	}
	if is.Runs == 0 {
		return needs
	}
	needs = append(needs, modelNeed{"runs", "runs", c.Runs, m.settings.MaxRuns, nil})
	for i, t := range m.settings.TagLimits {
		value, ok := c.Tags[t.Key]
		switch {
		case !ok || t.Value != nil && *t.Value != value:
		case t.PerValue:
			needs = append(needs, modelNeed{fmt.Sprintf("tag:%d:%s", i, value), "tag:" + t.Key + "=" + value, 1, t.Limit, nil})
		case t.Value != nil:
			needs = append(needs, modelNeed{fmt.Sprintf("tag:%d", i), "tag:" + t.Key + "=" + value, 1, t.Limit, nil})
		default:
			needs = append(needs, modelNeed{fmt.Sprintf("tag:%d", i), "tag:" + t.Key, 1, t.Limit, nil})
		}
	}
	return needs
}

// settled is a claim as it counts now: of the run that it says it is in, if a claim of that is held, or of its own; and for
// the whole of a pool as it is now.
func (m *model) settled(c *Claim) Claim {
	is := *c
	is.Within, is.Pools = nil, maps.Clone(c.Pools)
	for pool, slots := range is.Pools {
		if p, _ := m.settings.Pool(pool); slots == AllSlots && p.Limit != Unlimited {
			is.Pools[pool] = max(1, p.Limit)
		}
	}
	if c.Within == nil {
		return is
	}
	for _, o := range m.members {
		if !o.held || o.claim.RunID != c.Within.Run {
			continue
		}
		is.RunID, is.Runs = c.Within.Run, 0
		if o.claim.ID == c.Within.Claim {
			is.Ancestors = append(slices.Clone(o.claim.Ancestors), o.claim.ID)
			return is
		}
		if o.claim.ID == c.Within.Run {
			is.Ancestors = append(slices.Clone(o.claim.Ancestors), o.claim.ID)
		}
	}
	return is
}

func (m *model) ancestors(c *Claim) []string { return m.settled(c).Ancestors }

func (m *model) asks(c *Claim, limit string) int {
	for _, n := range m.needs(c) {
		if n.id == limit {
			return n.slots
		}
	}
	return 0
}

func (m *model) used(limit string) int {
	used := 0
	if pool, rated := strings.CutPrefix(limit, "rate:"); rated {
		for _, st := range m.starts {
			if st.pool == pool {
				used += st.slots
			}
		}
		return used
	}
	for _, o := range m.members {
		if o.held {
			used += m.asks(&o.claim, limit)
		}
	}
	return used
}

// expire drops the starts out of their window, and those of pools without a rate.
func (m *model) expire() {
	m.starts = slices.DeleteFunc(m.starts, func(st modelStart) bool {
		p, _ := m.settings.Pool(st.pool)
		return p.Rate == nil || m.now-st.at >= p.Rate.Period
	})
}

func (m *model) find(id string) *modelMember {
	for _, o := range m.members {
		if o.claim.ID == id {
			return o
		}
	}
	return nil
}

func (m *model) waiting() []*modelMember {
	var waiting []*modelMember
	for _, o := range m.members {
		if !o.held {
			waiting = append(waiting, o)
		}
	}
	slices.SortFunc(waiting, func(a, b *modelMember) int { return modelOrder(&a.claim, &b.claim) })
	return waiting
}

func modelOrder(a, b *Claim) int {
	switch {
	case a.Priority != b.Priority:
		return cmp.Compare(b.Priority, a.Priority)
	case a.Rank != b.Rank:
		return cmp.Compare(b.Rank, a.Rank)
	case a.Seq != b.Seq:
		return cmp.Compare(a.Seq, b.Seq)
	}
	return cmp.Compare(a.ID, b.ID)
}

// held lists the ids of the holders of a limit by token; "" for all.
func (m *model) holders(limit string) []string {
	var held []*modelMember
	for _, o := range m.members {
		if o.held && (limit == "" || m.asks(&o.claim, limit) > 0) {
			held = append(held, o)
		}
	}
	slices.SortFunc(held, func(a, b *modelMember) int { return cmp.Compare(a.token, b.token) })
	ids := []string{}
	for _, o := range held {
		ids = append(ids, o.claim.ID)
	}
	return ids
}

// modelPass is one look at everybody in order.
type modelPass struct {
	m        *model
	blocked  map[string][]*modelMember // by limit, in order
	reserver map[string]*modelMember
}

func (m *model) pass() *modelPass {
	p := &modelPass{m, map[string][]*modelMember{}, map[string]*modelMember{}}
	for _, o := range m.waiting() {
		needs := m.needs(&o.claim)
		paused := slices.ContainsFunc(needs, func(n modelNeed) bool { return n.capacity == 0 || p.m.paused(n) != nil })
		reserve := m.settings.Reserve()
		if o.aside || paused || reserve == NeverReserve || m.now-o.since < reserve {
			continue
		}
		for _, n := range needs {
			if p.reserver[n.id] == nil {
				p.reserver[n.id] = o
			}
		}
	}
	return p
}

// blocks says what keeps a waiting claim out, and remembers it for those behind.
func (p *modelPass) blocks(o *modelMember) []Block {
	var blocks []Block
	for _, n := range p.m.needs(&o.claim) {
		why, by := p.obstacle(o, n)
		if why == "" {
			continue
		}
		p.blocked[n.id] = append(p.blocked[n.id], o)
		b := Block{Limit: n.name, Used: p.m.used(n.id), Capacity: n.capacity, Why: why, By: []string{}}
		if why == WhyPaused {
			b.Pause = p.m.paused(n)
		} else if n.rate == nil {
			b.By = p.m.holders(n.id)
		}
		if by != nil {
			b.By = append(b.By, by.claim.ID)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

func (p *modelPass) obstacle(o *modelMember, n modelNeed) (string, *modelMember) {
	room := n.capacity - p.m.used(n.id)
	switch {
	case n.capacity == 0 || p.m.paused(n) != nil:
		return WhyPaused, nil
	case n.capacity == Unlimited && n.slots == AllSlots:
		return WhyFull, nil
	case n.capacity == Unlimited:
		return "", nil
	case n.slots > room && n.rate != nil:
		return WhyRate, nil
	case n.slots > room:
		return WhyFull, nil
	case p.reserver[n.id] == o:
		return "", nil
	}
	for _, b := range p.blocked[n.id] {
		if !p.waitsForRunOf(b, o) {
			return WhyBehind, b
		}
	}
	if r := p.reserver[n.id]; p.kept(o, n) && !p.waitsForRunOf(r, o) {
		return WhyReserved, r
	}
	return "", nil
}

// paused is the pause of a limit; a rate has none of its own.
func (m *model) paused(n modelNeed) *Pause {
	if p, ok := m.settings.Paused[n.name]; ok && n.rate == nil {
		return &p
	}
	return nil
}

func (p *modelPass) kept(o *modelMember, n modelNeed) bool {
	r := p.reserver[n.id]
	return r != nil && r != o && n.slots > n.capacity-p.m.used(n.id)-p.m.asks(&r.claim, n.id)
}

// waitsForRunOf reports whether w waits, over any number of others, for an ancestor of o that is held.
func (p *modelPass) waitsForRunOf(w, o *modelMember) bool {
	type node struct {
		o    *modelMember
		last bool
	}
	seen := map[node]bool{}
	var walk func(node) bool
	walk = func(x node) bool {
		if seen[x] {
			return false
		}
		seen[x] = true
		for _, n := range p.m.needs(&x.o.claim) {
			if n.capacity == Unlimited {
				continue
			}
			if n.rate == nil && n.slots > n.capacity-p.m.used(n.id) {
				for _, id := range p.m.holders(n.id) {
					if slices.Contains(p.m.ancestors(&o.claim), id) {
						return true
					}
					for _, nested := range p.m.members {
						if !nested.held && !nested.aside && slices.Contains(p.m.ancestors(&nested.claim), id) && walk(node{nested, true}) {
							return true
						}
					}
				}
			}
			for _, b := range p.blocked[n.id] {
				ahead := p.reserver[n.id] != x.o && modelOrder(&b.claim, &x.o.claim) < 0
				if (x.last || ahead) && walk(node{b, false}) {
					return true
				}
			}
			if p.kept(x.o, n) && walk(node{p.reserver[n.id], false}) {
				return true
			}
		}
		return false
	}
	return walk(node{w, false})
}

// explain is what blocks everyone that waits.
func (m *model) explain() []WaitingClaim {
	m.expire()
	p := m.pass()
	var explained []WaitingClaim
	for i, o := range m.waiting() {
		w := WaitingClaim{Claim: m.settled(&o.claim), Position: i + 1, Aside: o.aside}
		if !o.aside {
			w.Blocks = p.blocks(o)
		}
		explained = append(explained, w)
	}
	return explained
}

// advance grants the first in order whom nothing blocks, again and again.
func (m *model) advance(token func() int64) []*modelMember {
	m.expire()
	var granted []*modelMember
	for {
		o := m.first()
		if o == nil {
			return granted
		}
		o.entered, o.claim = o.claim, m.settled(&o.claim)
		o.held, o.token, o.slots = true, token(), nil
		for _, n := range m.needs(&o.claim) {
			pool, pooled := strings.CutPrefix(n.id, "pool:")
			switch {
			case n.rate != nil:
				m.starts = append(m.starts, modelStart{strings.TrimPrefix(n.id, "rate:"), o.claim.ID, n.slots, m.now})
			case pooled && n.capacity != Unlimited:
				if o.slots == nil {
					o.slots = map[string][]int{}
				}
				o.slots[pool] = m.lowest(pool, n.slots, o)
			}
		}
		granted = append(granted, o)
	}
}

func (m *model) first() *modelMember {
	p := m.pass()
	for _, o := range m.waiting() {
		if !o.aside && len(p.blocks(o)) == 0 {
			return o
		}
	}
	return nil
}

// lowest is the numbers of a pool that nobody but the newcomer holds, from below.
func (m *model) lowest(pool string, n int, newcomer *modelMember) []int {
	taken := map[int]bool{}
	for _, o := range m.members {
		if o.held && o != newcomer {
			for _, number := range o.slots[pool] {
				taken[number] = true
			}
		}
	}
	var numbers []int
	for number := 0; len(numbers) < n; number++ {
		if !taken[number] {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

func (m *model) remove(id string) {
	m.members = slices.DeleteFunc(m.members, func(o *modelMember) bool { return o.claim.ID == id })
}

func (m *model) setAside(o *modelMember, aside bool) {
	if o.aside == aside {
		return
	}
	if o.held {
		m.starts = slices.DeleteFunc(m.starts, func(st modelStart) bool { return st.id == o.claim.ID })
	}
	if o.held {
		o.claim = o.entered
	}
	o.aside, o.held, o.slots = aside, false, nil
}

// impossible is the limit that a claim can never have, and what its ancestors hold of it, or that it closes a circle;
// "" where there is none.
func (m *model) impossible(c *Claim) string {
	if alone := m.alone(c); alone != "" {
		return alone
	}
	o := m.find(c.ID)
	if o == nil {
		o = &modelMember{claim: *c}
	}
	if last, limit := m.circle(o); last == o {
		return limit + " circle"
	}
	return ""
}

// circle is the last to come of the claims that wait for each other for ever, and the limit that it waits for. o may
// not have entered yet. A claim that is nested in nothing keeps nothing from others: it may wait for a circle, and is
// of none.
func (m *model) circle(o *modelMember) (last *modelMember, limit string) {
	in := slices.DeleteFunc(slices.Clone(m.members), func(w *modelMember) bool { return w.held || w.aside || w == o })
	if o != nil {
		in = append(in, o)
	}
	in = slices.DeleteFunc(in, func(w *modelMember) bool { return len(m.ancestors(&w.claim)) == 0 })
	keeps := func(w *modelMember, limit string) int {
		kept := 0
		for _, h := range m.members {
			if h.held && slices.Contains(m.ancestors(&w.claim), h.claim.ID) {
				kept += m.asks(&h.claim, limit)
			}
		}
		return kept
	}
	inVain := func(w *modelMember) modelNeed {
		for _, n := range m.needs(&w.claim) {
			kept := 0
			for _, h := range m.members {
				if h.held && slices.ContainsFunc(in, func(w *modelMember) bool { return slices.Contains(m.ancestors(&w.claim), h.claim.ID) }) {
					kept += m.asks(&h.claim, n.id)
				}
			}
			if n.rate == nil && n.capacity > 0 && n.slots > n.capacity-kept {
				return n
			}
		}
		return modelNeed{}
	}
	for {
		i := slices.IndexFunc(in, func(w *modelMember) bool { return inVain(w).id == "" })
		if i < 0 {
			break
		}
		in = slices.Delete(in, i, i+1)
	}
	slices.SortFunc(in, func(a, b *modelMember) int { return cmp.Compare(a.claim.Seq, b.claim.Seq) })
	for _, w := range in {
		if slices.ContainsFunc(in, func(x *modelMember) bool { return keeps(w, inVain(x).id) > 0 }) {
			last, limit = w, inVain(w).name
		}
	}
	return last, limit
}

// alone is impossible without the others who wait.
func (m *model) alone(c *Claim) string {
	for _, n := range m.needs(c) {
		held := 0
		for _, o := range m.members {
			if o.held && n.rate == nil && o.claim.ID != c.ID && slices.Contains(m.ancestors(c), o.claim.ID) {
				held += m.asks(&o.claim, n.id)
			}
		}
		switch {
		case n.slots == AllSlots:
			return n.name
		case n.capacity <= 0:
		case n.slots > n.capacity:
			return n.name
		case held > 0 && n.slots+held > n.capacity:
			return fmt.Sprintf("%s held %d", n.name, held)
		}
	}
	return ""
}
