package local

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Claims' files are FIFOs with numbers for names, and used again and again: to make and to remove one takes ext4 longer
// than all the rest of an Enter (it looks for an inode that was not removed within the last 5 seconds). Whose a file is
// stands in the image.

// sparedFiles is how many files are kept for the next claims when nobody is there.
const sparedFiles = 16

// fileNumber names a claim's file.
type fileNumber uint32

// maxFiles bounds the numbers of files: more claims at once there are not, and whoever makes one looks at so many.
const maxFiles = 1 << 22

// noFile is the file of a claim that has none yet.
const noFile = ^fileNumber(0)

// name is that within claims/, path that within the namespace, for messages.
func (n fileNumber) name() string { return strconv.FormatUint(uint64(n), 10) }
func (n fileNumber) path() string { return "claims/" + n.name() }

// parseFile reads the name of a file in claims/.
func parseFile(name string) (fileNumber, bool) {
	n, err := strconv.ParseUint(name, 10, 32)
	return fileNumber(n), err == nil && strconv.FormatUint(n, 10) == name
}

// takeFile finds a file that nobody uses, or makes one, and locks it. The descriptor is the claim's life. A file that
// no claim of the image has may still be locked: by a daemon that a command has left behind.
func (c *change) takeFile() (fileNumber, *os.File, error) {
	taken := make([]bool, c.img.files)
	for i := range c.img.claims {
		if n := c.img.claims[i].file; n != noFile {
			taken[n] = true
		}
	}
	for n := fileNumber(0); ; n++ {
		if int(n) < len(taken) && taken[n] {
			continue
		}
		fd, err := c.s.openFile(n)
		if err == unix.EWOULDBLOCK {
			continue
		}
		if err == unix.ENOENT { // the directory itself was removed
			err = c.s.reopenClaims()
			if err == nil {
				fd, err = c.s.openFile(n)
			}
		}
		if err != nil {
			return 0, nil, fmt.Errorf("making %s: %w", c.s.file(n.path()), c.s.advise(err))
		}
		c.img.files = max(c.img.files, uint32(n)+1)
		return n, os.NewFile(uintptr(fd), c.s.file(n.path())), nil
	}
}

// openFile opens and locks a file, which it makes if need be. It fails with EWOULDBLOCK where somebody else has the
// lock.
func (s *Store) openFile(n fileNumber) (int, error) {
	s.step("open claim file")
	fd, err := s.openAt(s.claims, n.name(), unix.O_RDWR, unix.S_IFIFO)
	if err == unix.ENOENT {
		fd, err = s.makeFile(n)
	}
	if err != nil {
		return -1, err
	}
	s.step("lock claim file")
	if err := flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		return -1, err
	}
	s.step("locked claim file")
	return fd, nil
}

func (s *Store) makeFile(n fileNumber) (int, error) {
	s.step("make claim file")
	if err := mkfifoat(s.claims, s.file("claims"), n.name(), s.mode); err != nil {
		return -1, err
	}
	s.step("made claim file")
	return s.openFIFO(s.claims, n.name())
}

// makeFIFO makes one and gives it the mode that the directory's sharing asks for.
func (s *Store) makeFIFO(dir int, path, name string) error {
	if err := mkfifoat(dir, path, name, s.mode); err != nil {
		return err
	}
	fd, err := s.openFIFO(dir, name)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// openFIFO opens one that was just made.
func (s *Store) openFIFO(dir int, name string) (int, error) {
	fd, err := s.openAt(dir, name, unix.O_RDWR, unix.S_IFIFO)
	if err != nil {
		return -1, err
	}
	if err := s.fixMode(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// removeFile removes a file and reports whether it is gone. As every other use of its name that is under the lock of
// the state.
func (s *Store) removeFile(n fileNumber) bool {
	s.step("remove claim file")
	err := unix.Unlinkat(s.claims, n.name(), 0)
	s.step("removed claim file")
	return err == nil || err == unix.ENOENT
}

// trim removes most files when there are no claims, the last first: what cannot be removed now, and what is before it,
// is another time.
func (c *change) trim() {
	if len(c.img.claims) > 0 || c.s.readOnly != nil {
		return
	}
	for c.img.files > sparedFiles && c.s.removeFile(fileNumber(c.img.files-1)) {
		c.img.files--
	}
}

// reach wakes a claim, and returns false where that is dead. One whose file a cleaner has removed finds out when it
// looks the next time.
func (c *change) reach(r *record) bool {
	if c.wake(r) {
		return true
	}
	file, free := c.s.free(r.file)
	return free && file == (inode{}) && !c.dead(r)
}

// What is written into a claim's FIFO.
const (
	wakeByte = 1 // look at the state
	newsByte = 2 // what blocks the claim may have changed
)

// wake tells the claim that has a file to look at the state. there is false where nobody is to be told; err says why
// somebody could not be.
func (s *Store) wake(n fileNumber) (there bool, err error) {
	s.step("wake")
	err = s.send(n, wakeByte)
	s.step("woken")
	if err == unix.ENOENT || err == unix.ENXIO {
		return false, nil
	}
	return true, err
}

// send writes a byte into a claim's FIFO. One that is full has plenty of bytes to wake by: who reads nothing but news
// looks at the state, too.
func (s *Store) send(n fileNumber, b byte) error {
	fd, err := s.openAt(s.claims, n.name(), unix.O_WRONLY|unix.O_NONBLOCK, unix.S_IFIFO)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte{b}); err != nil && err != unix.EAGAIN {
		return err
	}
	return nil
}

// listen opens a FIFO for reading: a claim's own by a description of its own, so that the command, which shares the
// other, cannot disturb it.
func (s *Store) listen(dir int, name string) (*os.File, error) {
	fd, err := s.openAt(dir, name, unix.O_RDONLY|unix.O_NONBLOCK, unix.S_IFIFO)
	if err != nil {
		return nil, fmt.Errorf("opening the FIFO %s of %s: %w", name, s.path, s.advise(err))
	}
	return os.NewFile(uintptr(fd), name), nil
}
