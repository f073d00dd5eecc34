package local

import (
	"bytes"
	"slices"
	"time"

	"limit/backend"
)

// image is the state of a namespace in memory.
type image struct {
	boot    id    // the boot of the machine that it belongs to
	seq     int64 // of the last arrival
	token   int64 // of the last grant
	ceiling int64 // tokens up to here are covered by the file tokens
	alarm   time.Duration
	cursor  uint32 // of the rotation in which claims are checked

	detailsFile uint32 // generation of the file details.N
	detailsEnd  int64

	settings    backend.Settings
	settingsSet bool

	whole  bool // a claim may ask for all slots of a pool; it stands in the header
	shapes []*shape
	claims []record          // in order of arrival
	files  uint32            // the numbers of claims' files are below
	starts []start           // of pools with a rate, within the period
	key    []byte            // scratch
	queues map[string]*queue // of the shapes, by what they have in common under the limits in force
}

// configure sets the settings. Under other limits, other shapes are alike.
func (m *image) configure(settings backend.Settings, set bool) {
	m.settings, m.settingsSet = settings, set
	m.queues = nil
	for _, s := range m.shapes {
		s.queue = nil
	}
}

// shape is what many claims have in common: what they ask for, and within which run.
type shape struct {
	encoded []byte
	asks    *backend.Claim // Pools, Runs, Tags, Ancestors, Within, and a RunID that is not the ID; nil until needed
	index   int            // while encoding; -1: not yet seen
	queue   *queue         // nil until needed
}

// record is a claim, as much of it as decides anything.
type record struct {
	id          id
	file        fileNumber
	seq         int64
	since       time.Duration // when it began to wait, on the clock of the boot
	priority    int32
	shape       *shape
	aside       bool
	asked       bool // to stop or to leave
	watches     bool // its owner wants to know what blocks it
	replaces    bool // see backend.Claim
	reason      string
	detailsOff  int64
	detailsSize uint32
	grant       *backend.Grant // nil while waiting
}

// standing reports whether the claim waits in order: neither held nor aside nor asked to leave.
func (r *record) standing() bool { return r.grant == nil && !r.aside && !r.asked }

// before is the order of grants.
func (r *record) before(o *record) bool {
	if r.priority != o.priority {
		return r.priority > o.priority
	}
	return r.seq < o.seq
}

// start is a grant that a rate remembers.
type start struct {
	pool  string
	id    id
	slots int
	at    time.Duration
}

// find returns a claim's record, or nil. It is void after the next add or remove.
func (m *image) find(i id) *record {
	for n := range m.claims {
		if m.claims[n].id == i {
			return &m.claims[n]
		}
	}
	return nil
}

func (m *image) remove(i id) bool {
	n := slices.IndexFunc(m.claims, func(r record) bool { return r.id == i })
	if n < 0 {
		return false
	}
	m.claims = slices.Delete(m.claims, n, n+1)
	return true
}

// intern returns the shape of a claim.
func (m *image) intern(c *backend.Claim) *shape {
	encoded := appendAsks(nil, c)
	for _, s := range m.shapes {
		if bytes.Equal(s.encoded, encoded) {
			return s
		}
	}
	s := &shape{encoded: encoded}
	m.shapes = append(m.shapes, s)
	m.whole = m.whole || c.Whole()
	return s
}

// anyWhole reports whether a claim asks for all slots of a pool.
func (m *image) anyWhole() bool {
	return m.whole && slices.ContainsFunc(m.claims, func(r record) bool { return r.shape.decoded().Whole() })
}

// claim returns the deciding part of a record as the rule takes it. Its maps are shared by all of the shape.
func (r *record) claim() *backend.Claim {
	c := *r.shape.decoded()
	c.ID, c.Priority, c.Seq, c.Replaces = r.id.String(), r.priority, r.seq, r.replaces
	if c.RunID == "" {
		c.RunID = c.ID
	}
	if r.grant != nil {
		grant := *r.grant
		c.Grant = &grant
	}
	return &c
}

// holdersOf are the held claims of a run.
func (m *image) holdersOf(run string) []id {
	var ids []id
	for i := range m.claims {
		if r := &m.claims[i]; r.grant != nil && r.claim().RunID == run {
			ids = append(ids, r.id)
		}
	}
	return ids
}

// anyStanding reports whether anybody waits in order.
func (m *image) anyStanding() bool {
	for i := range m.claims {
		if m.claims[i].standing() {
			return true
		}
	}
	return false
}

// standing is the number of claims that stand.
func (m *image) standing() int {
	n := 0
	for i := range m.claims {
		if m.claims[i].standing() {
			n++
		}
	}
	return n
}

// last returns the last in order of those that stand, or nil.
func (m *image) last() *record {
	var last *record
	for i := range m.claims {
		r := &m.claims[i]
		if r.standing() && (last == nil || last.before(r)) {
			last = r
		}
	}
	return last
}

// forgetStarts drops the starts that no rate remembers any more.
func (m *image) forgetStarts(now time.Duration) {
	m.starts = slices.DeleteFunc(m.starts, func(s start) bool {
		p, _ := m.settings.Pool(s.pool)
		return p.Rate == nil || s.at+p.Rate.Period <= now
	})
}

// forgetStart takes back the starts of one claim.
func (m *image) forgetStart(i id) {
	m.starts = slices.DeleteFunc(m.starts, func(s start) bool { return s.id == i })
}

// restart carries the image over a reboot: all claims are gone, and what rates remember happened, at the latest, when
// the new boot's clock began. But it may be no reboot: one container after the other has an identity of its own. So
// what may have happened by this clock did.
func (m *image) restart(boot id, now time.Duration) {
	m.boot, m.claims, m.shapes = boot, nil, nil
	m.alarm, m.cursor, m.detailsEnd = never, 0, 0
	m.token = max(m.token, m.ceiling)
	for i := range m.starts {
		if m.starts[i].at > now {
			m.starts[i].at = 0
		}
	}
}
