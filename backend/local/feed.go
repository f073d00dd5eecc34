package local

import (
	"math"
	"slices"
	"time"

	"limit/backend"
)

// The rule looks at the heads of lines alone, so the heads alone are fed to it: of the claims that the limits in force
// do not tell apart, and of one age class, which stand in one line, the first few in order. Where a pass leaves fewer
// than two of them the next might have had a turn: it is repeated with more.

const (
	firstFeed  = 4 // at least 3: one to be admitted, two to stay
	feedFactor = 16
	everybody  = math.MaxInt
)

// queue is what shapes have in common that the limits in force do not tell apart: tags that no limit matches make no
// difference.
type queue struct{ fresh, aged *firsts }

// queueOf returns the queue of a shape.
func (m *image) queueOf(s *shape) *queue {
	if s.queue == nil {
		if m.queues == nil {
			m.queues = map[string]*queue{}
		}
		key := m.appendNeeds(m.key[:0], s.encoded)
		m.key = key
		s.queue = m.queues[string(key)]
		if s.queue == nil {
			s.queue = &queue{}
			m.queues[string(key)] = s.queue
		}
	}
	return s.queue
}

// appendNeeds copies an encoded shape without the tags that no limit matches.
func (m *image) appendNeeds(b, encoded []byte) []byte {
	d := &decoder{b: encoded}
	for range d.count(1) {
		d.bytes(d.count(1))
		d.uvarint()
	}
	runs := d.uvarint()
	b = append(b, encoded[:len(encoded)-len(d.b)]...)
	for range d.count(1) {
		key, value := d.bytes(d.count(1)), d.bytes(d.count(1))
		if runs > 0 && m.matches(key, value) {
			b = appendBytes(appendBytes(b, key), value)
		}
	}
	b = append(b, 0)
	return append(b, d.b...)
}

// matches reports whether a tag limit counts claims with a tag.
func (m *image) matches(key, value []byte) bool {
	return slices.ContainsFunc(m.settings.TagLimits, func(t backend.TagLimit) bool {
		return t.Key == string(key) && (t.Value == nil || *t.Value == string(value))
	})
}

// firsts are the first n in order of those that have one queue and are of one age class: a line, or a part of one.
type firsts struct {
	records []*record
	claims  []*backend.Claim // of the records, as the rule got them
	left    bool             // there are more
}

func (f *firsts) offer(r *record, n int) {
	if n == everybody {
		f.records = append(f.records, r)
		return
	}
	at := len(f.records)
	for at > 0 && r.before(f.records[at-1]) {
		at--
	}
	if at == n {
		f.left = true
		return
	}
	if len(f.records) == n {
		f.records, f.left = f.records[:n-1], true
	}
	f.records = slices.Insert(f.records, at, r)
}

// ranDry reports whether fewer than two of those fed still wait though there are more: the rule may take the first out
// of its line for a while and look at the second.
func (f *firsts) ranDry() bool {
	stay := 0
	for _, c := range f.claims {
		if c.Grant == nil {
			stay++
		}
	}
	return f.left && stay < 2
}

// feeding is a state of the rule with what was fed to it.
type feeding struct {
	*backend.State
	lines []*firsts
}

// rule feeds the rule all holders and the first n of each line, and besides them the claim also.
func (c *change) rule(n int, also id) *feeding {
	m := c.img
	m.forgetStarts(c.now)
	f := &feeding{State: backend.NewState(m.settings, backend.StoreNames())}
	for _, q := range m.queues {
		q.fresh, q.aged = nil, nil
	}
	old := c.now - m.settings.Reserve()
	for i := range m.claims {
		switch r := &m.claims[i]; {
		case r.grant != nil:
			f.Hold(r.claim(), r.since)
		case r.standing():
			q := m.queueOf(r.shape)
			line := &q.fresh
			if r.since <= old {
				line = &q.aged
			}
			if *line == nil {
				*line = &firsts{}
				f.lines = append(f.lines, *line)
			}
			(*line).offer(r, n)
		case n == everybody:
			f.Wait(r.claim(), r.since)
			f.Aside(r.id.String(), true)
		}
	}
	for _, s := range m.starts {
		f.HoldStart(s.pool, s.id.String(), s.slots, s.at)
	}
	for _, l := range f.lines {
		for _, r := range l.records {
			claim := r.claim()
			l.claims = append(l.claims, claim)
			f.Wait(claim, r.since)
		}
	}
	if r := m.find(also); r != nil && r.standing() && f.Claim(also.String()) == nil {
		f.Wait(r.claim(), r.since)
	}
	return f
}

// admissible asks the rule whom it admits now, and when it is to be asked again though nothing happens.
func (c *change) admissible() (granted []*backend.Claim, next time.Duration) {
	for n := firstFeed; ; n *= feedFactor {
		if n > math.MaxInt32 {
			n = everybody
		}
		f := c.rule(n, id{})
		granted = f.Advance(c.now)
		dry := false
		for _, l := range f.lines {
			dry = dry || l.ranDry()
		}
		if !dry {
			return granted, c.wakeAt(f)
		}
	}
}

// wakeAt is when the rule is to be asked again. The first to become old enough for a reservation may not have been fed.
func (c *change) wakeAt(f *feeding) time.Duration {
	next, ok := f.Next()
	if !ok {
		next = never
	}
	reserve, standing, oldest := c.img.settings.Reserve(), 0, never
	for i := range c.img.claims {
		if r := &c.img.claims[i]; r.standing() {
			standing++
			if r.since > c.now-reserve {
				oldest = min(oldest, r.since)
			}
		}
	}
	if standing > 1 && oldest < never-reserve {
		next = min(next, oldest+reserve)
	}
	return next
}

// nameObstacles adds to what blocks a waiting claim its place and who those in the way are.
func (c *change) nameObstacles(i id, blocks []backend.Block) backend.Obstacles {
	position, self := 1, c.img.find(i)
	for n := range c.img.claims {
		if r := &c.img.claims[n]; r.grant == nil && r.before(self) {
			position++
		}
	}
	return backend.NewObstacles(blocks, position, func(party string) *backend.Claim {
		p, _ := parseID(party)
		r := c.img.find(p)
		if r == nil {
			return nil
		}
		claim := *r.claim()
		decodeDetails(c.readDetails(r), &claim)
		claim = c.img.settings.Conceal(claim)
		return &claim
	})
}

// blocks is what keeps a claim from being admitted now.
func (c *change) blocks(i id) []backend.Block {
	return c.rule(firstFeed, i).BlocksOf(i.String(), c.now)
}
