package local

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"limit/backend"
)

// The image is written by hand and in full at every change: encoding/json would cost more than the rest of the change
// together.

const (
	flagHeld = 1 << iota
	flagAside
	flagAsked
	flagWatches
	flagReplaces
)

var errImage = errors.New("image is cut short or malformed")

// encode appends the image to b.
func (m *image) encode(b []byte) []byte {
	b = append(b, m.boot[:]...)
	b = binary.AppendVarint(b, m.seq)
	b = binary.AppendVarint(b, m.token)
	b = binary.AppendVarint(b, m.ceiling)
	b = binary.AppendVarint(b, int64(m.alarm))
	b = binary.AppendUvarint(b, uint64(m.cursor))
	b = binary.AppendUvarint(b, uint64(m.files))
	b = binary.AppendUvarint(b, uint64(m.detailsFile))
	b = binary.AppendVarint(b, m.detailsEnd)
	b = appendBool(b, m.settingsSet)
	b = appendSettings(b, &m.settings)
	b = m.encodeShapes(b)
	b = binary.AppendUvarint(b, uint64(len(m.claims)))
	for i := range m.claims {
		b = m.claims[i].encode(b)
	}
	b = binary.AppendUvarint(b, uint64(len(m.starts)))
	for _, s := range m.starts {
		b = appendString(b, s.pool)
		b = append(b, s.id[:]...)
		b = binary.AppendUvarint(b, uint64(s.slots))
		b = binary.AppendVarint(b, int64(s.at))
	}
	return b
}

// encodeShapes numbers the shapes that are in use and drops the others.
func (m *image) encodeShapes(b []byte) []byte {
	for _, s := range m.shapes {
		s.index = -1
	}
	used := m.shapes[:0:0]
	for i := range m.claims {
		if s := m.claims[i].shape; s.index < 0 {
			s.index = len(used)
			used = append(used, s)
		}
	}
	m.shapes = used
	b = binary.AppendUvarint(b, uint64(len(used)))
	for _, s := range used {
		b = appendBytes(b, s.encoded)
	}
	return b
}

func (r *record) encode(b []byte) []byte {
	var flags uint32
	if r.grant != nil {
		flags |= flagHeld
	}
	if r.aside {
		flags |= flagAside
	}
	if r.asked {
		flags |= flagAsked
	}
	if r.watches {
		flags |= flagWatches
	}
	if r.replaces {
		flags |= flagReplaces
	}
	b = append(b, r.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.seq))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.since))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.detailsOff))
	b = binary.LittleEndian.AppendUint32(b, r.detailsSize)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.priority))
	b = binary.LittleEndian.AppendUint32(b, uint32(r.shape.index))
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.file))
	if r.asked {
		b = appendString(b, r.reason)
	}
	if g := r.grant; g != nil {
		b = binary.AppendVarint(b, g.Token)
		b = binary.AppendVarint(b, g.GrantedAt.UnixNano())
		b = binary.AppendUvarint(b, uint64(len(g.Slots)))
		for _, pool := range sortedKeys(g.Slots) {
			b = appendString(b, pool)
			b = binary.AppendUvarint(b, uint64(len(g.Slots[pool])))
			for _, n := range g.Slots[pool] {
				b = binary.AppendUvarint(b, uint64(n))
			}
		}
	}
	return b
}

// recordSize is the fixed part of a record.
const recordSize = 16 + 3*8 + 5*4

// decodeImage reads what encode wrote. It takes memory for the records, or nil.
func decodeImage(b []byte, memory []record) (*image, error) {
	d := &decoder{b: b}
	m, n := d.head()
	if m.claims = memory[:0]; cap(memory) <= n {
		m.claims = make([]record, 0, n+n/8+1)
	}
	m.claims = m.claims[:n]
	for i := range m.claims {
		d.record(&m.claims[i], m)
	}
	m.starts = make([]start, 0, d.count(1))
	for range cap(m.starts) {
		s := start{pool: d.string()}
		copy(s.id[:], d.bytes(len(s.id)))
		s.slots, s.at = int(min(d.uvarint(), backend.MaxSlots)), time.Duration(d.varint())
		m.starts = append(m.starts, s)
	}
	if d.bad || len(d.b) > 0 {
		return nil, errImage
	}
	return m, nil
}

// head reads what is before the records, and how many of those there are.
func (d *decoder) head() (m *image, records int) {
	m = &image{}
	copy(m.boot[:], d.bytes(len(m.boot)))
	m.seq, m.token, m.ceiling = d.varint(), d.varint(), d.varint()
	m.alarm = time.Duration(d.varint())
	m.cursor, m.files, m.detailsFile = uint32(d.uvarint()), uint32(d.uvarint()), uint32(d.uvarint())
	m.detailsEnd = d.varint()
	if m.files > maxFiles {
		d.bad = true
	}
	m.settingsSet = d.bool()
	m.settings = d.settings()
	m.shapes = d.shapes()
	return m, d.count(recordSize)
}

// shapes reads all of them, from a copy: the memory of the image is written anew before they are.
func (d *decoder) shapes() []*shape {
	n := d.count(1)
	probe := decoder{b: d.b}
	for range n {
		probe.bytes(probe.count(1))
	}
	if probe.bad {
		d.bad = true
		return nil
	}
	own := decoder{b: slices.Clone(d.b[:len(d.b)-len(probe.b)])}
	shapes, pointers := make([]shape, n), make([]*shape, n)
	for i := range shapes {
		shapes[i].encoded = own.bytes(own.count(1))
		pointers[i] = &shapes[i]
	}
	d.b = probe.b
	return pointers
}

// record reads one, and refuses what no change has written: those who share a store may write what they like into its
// files, and should not make others end in a panic.
func (d *decoder) record(r *record, m *image) {
	if len(d.b) < recordSize {
		d.bad = true
		return
	}
	b := (*[recordSize]byte)(d.b)
	d.b = d.b[recordSize:]
	shape, flags := binary.LittleEndian.Uint32(b[48:]), binary.LittleEndian.Uint32(b[52:])
	*r = record{
		id: id(b[:16]), seq: int64(binary.LittleEndian.Uint64(b[16:])),
		since:      time.Duration(binary.LittleEndian.Uint64(b[24:])),
		detailsOff: int64(binary.LittleEndian.Uint64(b[32:])), detailsSize: binary.LittleEndian.Uint32(b[40:]),
		priority: int32(binary.LittleEndian.Uint32(b[44:])), file: fileNumber(binary.LittleEndian.Uint32(b[56:])),
		aside: flags&flagAside != 0, asked: flags&flagAsked != 0, watches: flags&flagWatches != 0,
		replaces: flags&flagReplaces != 0,
	}
	strayFile := r.file != noFile && uint32(r.file) >= m.files
	strayDetails := r.detailsOff < 0 || r.detailsOff > m.detailsEnd || int64(r.detailsSize) > m.detailsEnd-r.detailsOff
	if int64(shape) >= int64(len(m.shapes)) || strayFile || strayDetails {
		d.bad = true
		return
	}
	r.shape = m.shapes[shape]
	if r.asked {
		r.reason = d.string()
	}
	if flags&flagHeld != 0 {
		r.grant = d.grant()
	}
}

// skipWaiting passes over the record of a waiting claim that is not i's, and reports whether it did.
func (d *decoder) skipWaiting(i id) bool {
	if len(d.b) < recordSize || id(d.b[:len(i)]) == i ||
		binary.LittleEndian.Uint32(d.b[52:])&(flagHeld|flagAsked) != 0 {
		return false
	}
	d.b = d.b[recordSize:]
	return true
}

func (d *decoder) grant() *backend.Grant {
	g := &backend.Grant{Token: d.varint(), GrantedAt: time.Unix(0, d.varint())}
	for range d.count(1) {
		pool := d.string()
		numbers := make([]int, d.count(1))
		for i := range numbers {
			numbers[i] = int(min(d.uvarint(), backend.MaxSlots))
		}
		if g.Slots == nil {
			g.Slots = map[string][]int{}
		}
		g.Slots[pool] = numbers
	}
	return g
}

// allSlots is backend.AllSlots in a shape. The header has a version of its own while a claim has it, see wholeVersion.
const allSlots = math.MaxUint64

// appendAsks is the shape of a claim.
func appendAsks(b []byte, c *backend.Claim) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.Pools)))
	for _, pool := range sortedKeys(c.Pools) {
		b = appendString(b, pool)
		b = binary.AppendUvarint(b, uint64(c.Pools[pool])) // of AllSlots: allSlots
	}
	b = binary.AppendUvarint(b, uint64(c.Runs))
	b = binary.AppendUvarint(b, uint64(len(c.Tags)))
	for _, key := range sortedKeys(c.Tags) {
		b = appendString(b, key)
		b = appendString(b, c.Tags[key])
	}
	b = binary.AppendUvarint(b, uint64(len(c.Ancestors)))
	for _, a := range c.Ancestors {
		b = appendString(b, a)
	}
	if c.RunID == c.ID && c.Within == nil {
		return b
	}
	return appendNesting(b, c)
}

// appendNesting is the end of a shape that has any of it: a limit that knows nothing of that does without.
func appendNesting(b []byte, c *backend.Claim) []byte {
	run := c.RunID
	if run == c.ID {
		run = "" // so that claims of many runs have one shape
	}
	b = appendString(b, run)
	if c.Within != nil {
		b = appendString(b, c.Within.Run)
		b = appendString(b, c.Within.Claim)
	}
	return b
}

// decoded is what claims of the shape ask for. The image that it came from had a good checksum, so it is well-formed.
func (s *shape) decoded() *backend.Claim {
	if s.asks != nil {
		return s.asks
	}
	d := &decoder{b: s.encoded}
	c := &backend.Claim{Pools: map[string]int{}}
	for range d.count(1) {
		pool := d.string()
		switch slots := d.uvarint(); slots {
		case allSlots:
			c.Pools[pool] = backend.AllSlots
		default:
			c.Pools[pool] = int(max(1, min(slots, backend.MaxSlots)))
		}
	}
	c.Runs = int(min(d.uvarint(), backend.MaxSlots))
	for range d.count(1) {
		if c.Tags == nil {
			c.Tags = map[string]string{}
		}
		key := d.string()
		c.Tags[key] = d.string()
	}
	for range d.count(1) {
		c.Ancestors = append(c.Ancestors, d.string())
	}
	if len(d.b) > 0 {
		c.RunID = d.string()
	}
	if len(d.b) > 0 {
		c.Within = &backend.Within{Run: d.string(), Claim: d.string()}
	}
	s.asks = c
	return c
}

// decoder takes values off the front of b. After the first that is not there, bad is set and all are zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads the number of items that follow, each of at least size bytes: more than can follow is malformed.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) bool() bool {
	b := d.bytes(1)
	return len(b) == 1 && b[0] != 0
}

func (d *decoder) string() string { return string(d.bytes(d.count(1))) }

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
