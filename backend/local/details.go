package local

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"limit/backend"

	"golang.org/x/sys/unix"
)

// What a claim says of itself decides nothing, so it is not in the image but in a file that is written once for each
// claim: a log, begun anew when nobody is there, and rewritten when most of it is of claims that are gone.

const (
	detailsSlack = 256 << 10 // a log is not rewritten below this size
	maxCommand   = 32 << 10  // bytes of a command line that are kept
)

// encodeDetails is what a claim says of itself.
func encodeDetails(c *backend.Claim) []byte {
	b := appendString(nil, c.RunID)
	b = appendString(b, c.Name)
	b = appendString(b, c.Host)
	b = appendString(b, c.User)
	b = binary.AppendVarint(b, int64(c.PID))
	b = binary.AppendVarint(b, c.QueuedAt.UnixNano())
	b = binary.AppendVarint(b, c.Rank)
	command, size := c.Command, 0
	for i, arg := range command {
		if size += len(arg); size > maxCommand {
			command = append(slices.Clone(command[:i]), backend.CutCommand)
			break
		}
	}
	b = binary.AppendUvarint(b, uint64(len(command)))
	for _, arg := range command {
		b = appendString(b, arg)
	}
	return binary.AppendVarint(b, int64(c.Holds))
}

// decodeDetails sets what encodeDetails kept. Details that are damaged are left out: they decide nothing.
func decodeDetails(b []byte, c *backend.Claim) {
	d := &decoder{b: b}
	d.string() // the run that the claim was made for: the image knows which it is of
	c.Name, c.Host, c.User = d.string(), d.string(), d.string()
	c.PID = int(d.varint())
	if at := d.varint(); !d.bad {
		c.QueuedAt = time.Unix(0, at)
	}
	c.Rank = d.varint()
	for range d.count(1) {
		c.Command = append(c.Command, d.string())
	}
	c.Holds = int(d.varint())
}

func detailsName(generation uint32) string { return fmt.Sprintf("details.%d", generation%2) }

// openDetails opens the log of a generation, or makes it.
func (s *Store) openDetails(generation uint32) error {
	if s.details >= 0 && s.opened == generation {
		return nil
	}
	if s.details >= 0 {
		unix.Close(s.details)
	}
	name := detailsName(generation)
	flags := unix.O_RDWR
	if s.readOnly != nil {
		flags = unix.O_RDONLY
	}
	fd, err := s.openAt(s.fd, name, flags, unix.S_IFREG)
	if notFound(err) && s.readOnly == nil && !s.opts.examine {
		fd, err = s.createAgain(name, flags)
	}
	if err != nil {
		s.details = -1
		return fmt.Errorf("opening %s: %w", s.file(name), s.advise(err))
	}
	s.details, s.opened = fd, generation
	return nil
}

// addDetails writes a claim's details and notes in its record where they are.
func (c *change) addDetails(r *record, claim *backend.Claim) error {
	m := c.img
	if len(m.claims) <= 1 {
		m.detailsEnd = 0 // of this claim alone
	}
	if err := c.compactDetails(); err != nil {
		return err
	}
	if err := c.s.openDetails(m.detailsFile); err != nil {
		return err
	}
	told := m.settings.Conceal(*claim)
	b := encodeDetails(&told)
	c.s.step("write details")
	if err := pwriteFull(c.s.details, b, m.detailsEnd); err != nil {
		return fmt.Errorf("writing %s: %w", c.s.file(detailsName(m.detailsFile)), c.s.advise(err))
	}
	r.detailsOff, r.detailsSize = m.detailsEnd, uint32(len(b))
	m.detailsEnd += int64(len(b))
	return nil
}

// compactDetails copies what is still needed into the other file once that is less than half.
func (c *change) compactDetails() error {
	m := c.img
	if m.detailsEnd < detailsSlack {
		return nil
	}
	live := int64(0)
	for i := range m.claims {
		live += int64(m.claims[i].detailsSize)
	}
	if 2*live > m.detailsEnd {
		return nil
	}
	kept := make([]byte, 0, live)
	for i := range m.claims {
		r := &m.claims[i]
		b := c.readDetails(r)
		r.detailsOff, r.detailsSize = int64(len(kept)), uint32(len(b))
		kept = append(kept, b...)
	}
	if err := c.s.openDetails(m.detailsFile + 1); err != nil {
		return err
	}
	c.s.step("compact details")
	if err := unix.Ftruncate(c.s.details, 0); err != nil {
		return fmt.Errorf("emptying %s: %w", c.s.file(detailsName(m.detailsFile+1)), err)
	}
	if err := pwriteFull(c.s.details, kept, 0); err != nil {
		return fmt.Errorf("writing %s: %w", c.s.file(detailsName(m.detailsFile+1)), c.s.advise(err))
	}
	m.detailsFile, m.detailsEnd = m.detailsFile+1, int64(len(kept))
	return nil
}

// readDetails returns a claim's details, or nothing where they cannot be read.
func (c *change) readDetails(r *record) []byte {
	if r.detailsSize == 0 {
		return nil
	}
	fd, err := c.detailsFile()
	if err != nil {
		return nil
	}
	b := make([]byte, r.detailsSize)
	n, _ := preadFull(fd, b, r.detailsOff)
	return b[:n]
}
