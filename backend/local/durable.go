package local

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tokenBlock is how many tokens the file tokens covers at a time: it is synced once for each block.
const tokenBlock = 1 << 20

// writtenWithin is how long after its clock was read a state is written at most; later, a copy may have come in its
// place.
const writtenWithin = 25 * time.Millisecond

// passTokens makes the image pass the tokens that may have been given after it was written: where it was restored from
// a backup or copied. Such a file is another, or was changed after it was written. Since then no more tokens were given
// than one in each microsecond. What shows in no file stays unseen: a machine or file system that is set back as a
// whole.
func (c *change) passTokens() {
	if c.head.wrote == 0 {
		return // by a program that did not note it
	}
	wrote := time.Unix(0, c.head.wrote)
	self, changed := identify(c.s.state)
	gap := changed.Sub(wrote)
	switch {
	case self != c.head.self:
		gap = max(gap, fileClock().Sub(wrote))
	case gap <= writtenWithin:
		return
	}
	c.img.token = max(c.img.token, c.img.ceiling) + max(gap.Microseconds(), 0)
}

// writeDurably replaces a file so that after a loss of power it has the old content or the new. certain, where given,
// is called when the new content is on the disk, before it has the file's name.
func (s *Store) writeDurably(name string, content []byte, certain func() error) error {
	tmp := name + ".tmp"
	s.step("write " + tmp)
	unix.Unlinkat(s.fd, tmp, 0) // of one who died here; never written into: it may be a link
	fd, err := s.createAt(s.fd, tmp, unix.O_WRONLY)
	if err != nil {
		return err
	}
	err = pwriteFull(fd, content, 0)
	if err == nil {
		err = unix.Fsync(fd)
	}
	unix.Close(fd)
	if err == nil && certain != nil {
		err = certain()
	}
	if err != nil {
		unix.Unlinkat(s.fd, tmp, 0)
		return err
	}
	s.step("rename " + name)
	if err := unix.Renameat(s.fd, tmp, s.fd, name); err != nil {
		return err
	}
	s.step("renamed " + name)
	return unix.Fsync(s.fd)
}

// fixMode gives a new file the mode that the directory's sharing asks for, whatever the umask.
func (s *Store) fixMode(fd int) error {
	if s.mode&^0o600 == 0 {
		return nil // a umask that takes from the owner is his own wish
	}
	return unix.Fchmod(fd, s.mode)
}

// readTokens returns a number above every token given in the namespace; known is false where none was ever given.
func (s *Store) readTokens() (ceiling int64, known bool, err error) {
	b, err := readFileAt(s.fd, "tokens")
	if notFound(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("reading %s: %w", s.file("tokens"), err)
	}
	ceiling, err = strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || ceiling < 0 {
		return 0, false, fmt.Errorf("%s is damaged: it should hold a number above every token given; write one into it",
			s.file("tokens"))
	}
	return ceiling, true, nil
}

// coverTokens makes the file tokens cover the image's last token.
func (s *Store) coverTokens(m *image) error {
	if m.token <= m.ceiling {
		return nil
	}
	ceiling := m.token + tokenBlock
	if err := s.writeDurably("tokens", strconv.AppendInt(nil, ceiling, 10), nil); err != nil {
		return fmt.Errorf("writing %s: %w", s.file("tokens"), s.advise(err))
	}
	m.ceiling = ceiling
	return nil
}
