package local

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func claimPath(i id) string { return "claims/" + i.String() }

// createClaim makes a claim's file and takes its lock. The descriptor is the claim's life.
func (s *Store) createClaim(i id) (*os.File, error) {
	fd, err := s.makeFifo(i)
	if err != nil {
		unix.Unlinkat(s.fd, claimPath(i), 0)
		return nil, fmt.Errorf("making %s: %w", s.file(claimPath(i)), s.advise(err))
	}
	return os.NewFile(uintptr(fd), s.file(claimPath(i))), nil
}

func (s *Store) makeFifo(i id) (int, error) {
	s.step("make claim file")
	if err := mkfifoat(s.fd, s.path, claimPath(i), s.mode); err != nil {
		return -1, err
	}
	s.step("made claim file")
	fd, err := unix.Openat(s.fd, claimPath(i), unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, err
	}
	if err = s.fixMode(fd); err == nil {
		err = flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	s.step("locked claim file")
	return fd, nil
}

// removeClaim removes a claim's file. That it is not there is no matter.
func (s *Store) removeClaim(i id) {
	s.step("remove claim file")
	unix.Unlinkat(s.fd, claimPath(i), 0)
	s.step("removed claim file")
}

// dead tells whether no process of a claim lives: another can have its lock. What cannot be examined counts as alive.
func (s *Store) dead(i id) bool {
	fd, err := unix.Openat(s.fd, claimPath(i), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err == unix.ENOENT
	}
	defer unix.Close(fd)
	return flock(fd, unix.LOCK_SH|unix.LOCK_NB) == nil
}

// wake tells a claim to look at the state. It returns false where nobody is there to be told.
func (s *Store) wake(i id) bool {
	s.step("wake")
	fd, err := unix.Openat(s.fd, claimPath(i), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err != unix.ENOENT && err != unix.ENXIO
	}
	unix.Write(fd, []byte{1}) // full: it has plenty of bytes to wake by
	unix.Close(fd)
	s.step("woken")
	return true
}

// listen opens a claim's file for its wakes: a description of its own, so that the command, which shares the other, cannot disturb it.
func (s *Store) listen(name string) (*os.File, error) {
	fd, err := unix.Openat(s.fd, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", s.file(name), s.advise(err))
	}
	return os.NewFile(uintptr(fd), s.file(name)), nil
}
