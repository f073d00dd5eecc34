package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"golang.org/x/sys/unix"
)

const (
	formatVersion = 1
	magic         = "limit\x00st"
	headerSize    = 80
	block         = 4096 // images begin at multiples of it, after the header's own
	initialSize   = 8 * block
)

// Flags of a header.
const (
	headerUnsure = 1 << iota
	headerNeedy
	headerWhole
)

// A header has the version wholeVersion while a claim asks for all slots of a pool, which earlier programs would take
// for a number: they refuse it.
const wholeVersion = needyVersion + 1

// errNoState says that a state file has no header yet, or one that a loss of power has damaged.
var errNoState = errors.New("no valid state")

// header is the first block of the file state. It says where the image is.
type header struct {
	unsure bool   // the file settings may be newer than the image: it is being replaced
	needy  bool   // the settings need features: the file says which, before anything is decided
	whole  bool   // a claim asks for all slots of a pool
	gen    uint64 // grows with every change
	off    int64  // of the image
	size   int
	crc    uint32
	keeper id // the gatekeeper

	wrote int64  // when, in nanoseconds on the clock of files; 0: nobody noted it
	self  uint64 // of the file that it was written into, see identify
}

func (h *header) encode() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	flags := uint32(0)
	if h.unsure {
		flags |= headerUnsure
	}
	if h.needy {
		flags |= headerNeedy
	}
	if h.whole {
		flags |= headerWhole
	}
	b = binary.LittleEndian.AppendUint32(b, h.version())
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = binary.LittleEndian.AppendUint64(b, h.gen)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.off))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.size))
	b = binary.LittleEndian.AppendUint32(b, h.crc)
	b = append(b, h.keeper[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.wrote))
	b = binary.LittleEndian.AppendUint64(b, h.self)
	b = append(b, make([]byte, headerSize-4-len(b))...)
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

// version is the lowest of the programs that may read what the header stands for.
func (h *header) version() uint32 {
	switch {
	case h.whole:
		return wholeVersion
	case h.needy:
		return needyVersion
	}
	return formatVersion
}

// decodeHeader fails with errNoState or with the error of a newer format.
func (s *Store) decodeHeader(b []byte) (header, error) {
	var h header
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return h, errNoState
	}
	version, flags := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	h.unsure, h.needy, h.whole = flags&headerUnsure != 0, flags&headerNeedy != 0, flags&headerWhole != 0
	if version != h.version() {
		return h, newerError(s.file("state"))
	}
	if binary.LittleEndian.Uint32(b[headerSize-4:]) != checksum(b[:headerSize-4]) {
		return h, errNoState
	}
	h.gen = binary.LittleEndian.Uint64(b[16:])
	h.off = int64(binary.LittleEndian.Uint64(b[24:]))
	h.size = int(binary.LittleEndian.Uint64(b[32:]))
	h.crc = binary.LittleEndian.Uint32(b[40:])
	copy(h.keeper[:], b[44:])
	h.wrote = int64(binary.LittleEndian.Uint64(b[60:]))
	h.self = binary.LittleEndian.Uint64(b[68:])
	return h, nil
}

// place returns where an image of n bytes goes: clear of the present one, as far to the front as that allows.
func (h *header) place(n int) int64 {
	if h.size == 0 || h.off >= block+int64(n) {
		return block
	}
	end := h.off + int64(h.size)
	return (end + block - 1) / block * block
}

// readState reads header and image into buf, which grows. It fails with errNoState where there is none that is whole.
// The image is decoded into the memory of earlier records, or nil.
func (s *Store) readState(buf *[]byte, memory []record) (header, *image, error) {
	h, b, err := s.readImage(buf)
	if err != nil {
		return h, nil, err
	}
	m, err := decodeImage(b, memory)
	if err == nil {
		m.whole = h.whole
		return h, m, nil
	}
	if h.needy { // a newer limit may have written it: it is not damaged then
		if _, _, err := s.readSettings(); err != nil {
			return h, nil, err
		}
	}
	return h, nil, errNoState
}

// readImage reads header and image into buf, which grows. It fails with errNoState where there is none that is whole.
func (s *Store) readImage(buf *[]byte) (header, []byte, error) {
	if *buf == nil {
		*buf = make([]byte, 4*block)
	}
	n, err := preadFull(s.state, *buf, 0)
	if err != nil {
		return header{}, nil, fmt.Errorf("reading %s: %w", s.file("state"), err)
	}
	h, err := s.decodeHeader((*buf)[:n])
	if err != nil {
		return h, nil, err
	}
	if h.off < block || h.size < 0 || h.off > 1<<40 || h.size > 1<<40 {
		return h, nil, errNoState
	}
	b := *buf
	if end := h.off + int64(h.size); end <= int64(n) {
		b = b[h.off:end]
	} else {
		if len(b) < h.size {
			if end > size(s.state) {
				return h, nil, errNoState // no memory for what is not there
			}
			*buf = make([]byte, h.size+h.size/4)
		}
		b = (*buf)[:h.size]
		if n, err = preadFull(s.state, b, h.off); err != nil {
			return h, nil, fmt.Errorf("reading %s: %w", s.file("state"), err)
		}
		b = b[:n]
	}
	if checksum(b) != h.crc {
		return h, nil, errNoState
	}
	return h, b, nil
}

// writeState writes an image and points the header to it.
func (s *Store) writeState(h *header, m *image) error {
	b := m.encode(s.buf[:0])
	s.buf = b[:cap(b)]
	next := *h
	next.off, next.size, next.crc = h.place(len(b)), len(b), checksum(b)
	next.gen++
	next.self, _ = identify(s.state)
	if err := s.pwrite("image", b, next.off); err != nil {
		return err
	}
	next.wrote = fileClock().UnixNano()
	if err := s.writeHeader(&next); err != nil {
		return err
	}
	*h = next
	return nil
}

func (s *Store) writeHeader(h *header) error {
	return s.pwrite("header", h.encode(), 0)
}

// pwrite writes into the file state. With a test's hook it writes in two halves.
func (s *Store) pwrite(what string, b []byte, off int64) error {
	s.step("write " + what)
	if s.opts.step != nil && what == "image" {
		half := len(b) / 2
		if err := pwriteFull(s.state, b[:half], off); err != nil {
			return fmt.Errorf("writing %s: %w", s.file("state"), s.advise(err))
		}
		s.step("within " + what)
		b, off = b[half:], off+int64(half)
	}
	if err := pwriteFull(s.state, b, off); err != nil {
		return fmt.Errorf("writing %s: %w", s.file("state"), s.advise(err))
	}
	s.step("written " + what)
	return nil
}

// checksum is CRC-32, which the processor computes. CRC-32C would do as well, but its tables take longer to make than
// all checksums of a run.
func checksum(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

func preadFull(fd int, b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		m, err := unix.Pread(fd, b[n:], off+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return n, nil
}

func pwriteFull(fd int, b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// maxFile bounds the files that are read whole.
const maxFile = 256 << 20

// readFileAt reads a small file of a directory: a regular one, as in a shared directory others may put a FIFO or a
// device in its place.
func readFileAt(dir int, name string) ([]byte, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := (&Store{}).genuine(fd, unix.S_IFREG); err != nil {
		return nil, err
	}
	b := make([]byte, 512)
	for len(b) < maxFile {
		n, err := unix.Pread(fd, b, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < len(b) { // the system's files and small ones come whole
			return b[:max(n, 0)], err
		}
		b = make([]byte, 4*len(b))
	}
	return nil, fmt.Errorf("it is larger than %d MiB; remove it, or choose another directory", maxFile>>20)
}

// glance reads the header without the lock: what it says may be old, and is zero where the header was being written.
func (s *Store) glance() header {
	var b [headerSize]byte
	n, err := preadFull(s.state, b[:], 0)
	if err != nil {
		return header{}
	}
	h, _ := s.decodeHeader(b[:n])
	return h
}

// keeper is who keeps the gate.
func (s *Store) keeper() id { return s.glance().keeper }

// generation changes with every change.
func (s *Store) generation() uint64 { return s.glance().gen }
