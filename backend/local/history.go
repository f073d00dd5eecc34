package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"limit/backend"

	"golang.org/x/sys/unix"
)

// The history is two files: each claim that ends appends to the first, which becomes the second when it is full. It
// costs one write, outside the lock and never synced; what a death tears in two is passed over by the reader.

const (
	historyName = "history"
	historyOld  = "history.old"

	pastBytes  = 256  // of an ordinary Past, by which a file's size is bounded
	pastMarker = 0xa7 // begins each, followed by the size (2 bytes) and checksum (4) of the rest
	pastHead   = 7
)

var _ backend.Historian = (*Store)(nil)

// remember appends a Past. That it fails is nobody's concern: it decides nothing.
func (s *Store) remember(ctx context.Context, p backend.Past, settings backend.Settings) {
	const flags = unix.O_WRONLY | unix.O_APPEND
	fd, err := s.openAt(s.fd, historyName, flags, unix.S_IFREG)
	if err == unix.ENOENT {
		if fd, err = s.createAt(s.fd, historyName, flags); err == unix.EEXIST { // another was quicker
			fd, err = s.openAt(s.fd, historyName, flags, unix.S_IFREG)
		}
	}
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if b := encodePast(p); len(b) > 0 {
		unix.Write(fd, b)
	}
	if most := historyBytes(settings); size(fd) >= most {
		s.turnHistory(ctx, most)
	}
}

func historyBytes(settings backend.Settings) int64 { return int64(settings.Remembered()) * pastBytes }

func size(fd int) int64 {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Size
}

// turnHistory makes the first file the second, under the lock: of several who see it full, one does it.
func (s *Store) turnHistory(ctx context.Context, most int64) {
	if s.lock(ctx) != nil {
		return
	}
	defer s.unlock()
	var st unix.Stat_t
	if unix.Fstatat(s.fd, historyName, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Size >= most {
		unix.Renameat(s.fd, historyName, s.fd, historyOld)
	}
}

// sweepPatience is how long History waits for the lock: those whose deaths are not noticed now are remembered later.
const sweepPatience = 200 * time.Millisecond

// History implements backend.Historian. Claims that are found dead end with that, where the state can be written.
func (s *Store) History(ctx context.Context) ([]backend.Past, error) {
	if s.readOnly == nil {
		s.changeWithin(ctx, sweepPatience, func(c *change) error {
			var all []id
			for i := range c.img.claims {
				all = append(all, c.img.claims[i].id)
			}
			if c.buryDead(all) {
				c.advance()
			}
			return nil
		})
	}
	settings, _, err := s.Settings(ctx)
	if err != nil {
		return nil, err
	}
	var pasts []backend.Past
	for _, name := range []string{historyOld, historyName} {
		b, err := readFileAt(s.fd, name)
		if notFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", s.file(name), s.advise(err))
		}
		pasts = append(pasts, decodePasts(b)...)
	}
	return pasts[max(0, len(pasts)-settings.Remembered()):], nil
}

func encodePast(p backend.Past) []byte {
	b := make([]byte, pastHead, pastBytes)
	b = appendString(b, p.ID)
	b = appendString(b, p.RunID)
	b = appendString(b, p.Name)
	b = appendString(b, string(appendAsks(nil, &backend.Claim{Pools: p.Pools, Runs: p.Runs, Tags: p.Tags})))
	b = appendBool(b, p.Granted)
	b = binary.AppendVarint(b, int64(p.Waited))
	b = binary.AppendVarint(b, int64(p.Held))
	b = binary.AppendVarint(b, p.Ended.UnixNano())
	b = binary.AppendUvarint(b, uint64(len(p.Of)))
	for _, limit := range sortedKeys(p.Of) {
		b = appendString(b, limit)
		b = binary.AppendUvarint(b, uint64(p.Of[limit]))
	}
	// What follows older versions do not write. They pass over what is behind what they know, as this one does.
	b = binary.AppendVarint(b, int64(p.Priority))
	b = binary.AppendVarint(b, p.Seq)
	b = appendString(b, p.Host)
	b = binary.AppendVarint(b, int64(p.PID))
	b = appendString(b, p.User)
	b = appendOutcome(b, p.Outcome)
	if len(b) > 1<<16 {
		return nil
	}
	b[0] = pastMarker
	binary.LittleEndian.PutUint16(b[1:], uint16(len(b)-pastHead))
	binary.LittleEndian.PutUint32(b[3:], checksum(b[pastHead:]))
	return b
}

// decodePasts reads one Past after the other. Where one is damaged it looks for the next that is whole.
func decodePasts(b []byte) []backend.Past {
	var pasts []backend.Past
	for len(b) >= pastHead {
		if end := pastHead + int(binary.LittleEndian.Uint16(b[1:])); b[0] == pastMarker && end <= len(b) &&
			binary.LittleEndian.Uint32(b[3:]) == checksum(b[pastHead:end]) {
			pasts = append(pasts, decodePast(b[pastHead:end]))
			b = b[end:]
			continue
		}
		next := bytes.IndexByte(b[1:], pastMarker)
		if next < 0 {
			break
		}
		b = b[1+next:]
	}
	return pasts
}

func decodePast(b []byte) backend.Past {
	d := &decoder{b: b}
	p := backend.Past{ID: d.string(), RunID: d.string(), Name: d.string()}
	asks := (&shape{encoded: []byte(d.string())}).decoded()
	p.Pools, p.Runs, p.Tags = asks.Pools, asks.Runs, asks.Tags
	p.Granted, p.Waited, p.Held = d.bool(), time.Duration(d.varint()), time.Duration(d.varint())
	p.Ended = time.Unix(0, d.varint())
	for range d.count(1) { // none in those of an earlier version
		if p.Of == nil {
			p.Of = map[string]int{}
		}
		limit := d.string()
		p.Of[limit] = int(min(d.uvarint(), backend.MaxSlots))
	}
	p.Priority, p.Seq = int32(d.varint()), d.varint()
	p.Host, p.PID, p.User = d.string(), int(d.varint()), d.string()
	p.Outcome = d.outcome()
	return p
}

func appendOutcome(b []byte, o backend.Outcome) []byte {
	b = appendString(b, string(o.How))
	b = appendString(b, o.Signal)
	b = appendString(b, o.Reason)
	b = appendBool(b, o.Code != nil)
	if o.Code != nil {
		b = binary.AppendVarint(b, int64(*o.Code))
	}
	return b
}

func (d *decoder) outcome() backend.Outcome {
	o := backend.Outcome{How: backend.How(d.string()), Signal: d.string(), Reason: d.string()}
	if d.bool() {
		code := int(d.varint())
		o.Code = &code
	}
	return o
}
