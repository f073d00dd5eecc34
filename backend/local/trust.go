package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Who may write a directory may put anything in the place of the store's files, at any moment: a link to a file of
// somebody else's, a FIFO that nobody writes. So nothing is opened by more than one name below an open directory, no
// link is followed, no open waits, and what was opened is looked at before it is used.

// openAt opens a file of the store, which must be of a kind: unix.S_IFREG or unix.S_IFIFO.
func (s *Store) openAt(at int, name string, flags int, kind uint32) (int, error) {
	flags |= unix.O_CLOEXEC | unix.O_NOFOLLOW
	if kind == unix.S_IFREG {
		flags |= unix.O_NONBLOCK // which means nothing to a file, and keeps a FIFO in its place from stopping us
	}
	fd, err := unix.Openat(at, name, flags, 0)
	if err != nil {
		return -1, err
	}
	if err := s.genuine(fd, kind); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// createAt makes a file that is not there, with the mode that the directory's sharing asks for.
func (s *Store) createAt(at int, name string, flags int) (int, error) {
	fd, err := unix.Openat(at, name, flags|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, s.mode)
	if err != nil {
		return -1, err
	}
	if err := s.fixMode(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// errPlanted says that a file is not one that the store has made.
var errPlanted = errors.New("it was put there by somebody else; remove it")

// genuine fails for what is not of a kind, and in a shared directory for a file that has a second name: where the
// kernel lets users link to files of others (fs.protected_hardlinks is 0) that may be anybody's.
func (s *Store) genuine(fd int, kind uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch {
	case uint32(st.Mode)&unix.S_IFMT != kind:
		return fmt.Errorf("it is %s: %w", kindName(uint32(st.Mode)), errPlanted)
	case st.Nlink > 1 && s.mode&0o022 != 0:
		return fmt.Errorf("it has a second name (a hard link): %w", errPlanted)
	}
	return nil
}

func kindName(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "an ordinary file"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFDIR:
		return "a directory"
	}
	return "a device or socket"
}

// openRoot opens the store's own directory. A link in its place is followed only if the caller or root has made it: in
// /tmp anybody can.
func (s *Store) openRoot() (int, error) {
	dir := s.opts.Dir
	fd, err := openDir(unix.AT_FDCWD, dir)
	if err != unix.ELOOP && err != unix.ENOTDIR {
		return fd, err
	}
	var st unix.Stat_t
	if lstatErr := unix.Lstat(dir, &st); lstatErr != nil || uint32(st.Mode)&unix.S_IFMT != unix.S_IFLNK {
		return fd, err
	}
	if int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		return -1, fmt.Errorf("%s is a symbolic link made by user %d; name the directory itself", dir, st.Uid)
	}
	return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// examine refuses a directory in which the store cannot be safe, and returns its mode.
func (s *Store) examine(fd int, path string) (mode uint32, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("examining %s: %w", path, err)
	}
	fault, err := s.fileSystemFault(fd, &st)
	if err != nil {
		return 0, fmt.Errorf("examining %s: %w", path, err)
	}
	if fault != "" {
		return 0, fmt.Errorf("%s is on %s; %s", path, fault, remedyFileSystem)
	}
	return uint32(st.Mode), s.trust(&st, path)
}

// trust refuses a directory that everybody can write. One that belongs to somebody who does not share it can be read
// only.
func (s *Store) trust(st *unix.Stat_t, path string) error {
	mode := uint32(st.Mode)
	shared := mode&unix.S_ISGID != 0 && mode&0o020 != 0
	switch {
	case mode&0o002 != 0:
		return fmt.Errorf("%s can be written by everybody, so nobody could trust it; %s", path, remedyPublic(mode))
	case st.Uid != 0 && int(st.Uid) != os.Geteuid() && !shared && s.readOnly == nil:
		s.readOnly = fmt.Errorf("%s belongs to user %d, who does not share it; choose another directory, or let the "+
			"owner share it (chgrp GROUP, chmod g+rwxs)", path, st.Uid)
	}
	return nil
}

// remedyPublic is what to do about a directory that everybody can write. One with the sticky bit is meant to be so, as
// /tmp is.
func remedyPublic(mode uint32) string {
	if mode&unix.S_ISVTX != 0 {
		return "name a directory within it, which the first claim makes, or chmod o-w it if nobody else needs it"
	}
	return "chmod o-w it (to share it with a group: chgrp GROUP, chmod g+rwxs)"
}

func (s *Store) fileSystemFault(fd int, st *unix.Stat_t) (string, error) {
	if s.opts.fileSystem != nil {
		return s.opts.fileSystem(), nil
	}
	return fileSystemFault(fd, st)
}

const remedyFileSystem = "choose a directory on a disk of this machine, or --backend etcd://HOST:2379 to share " +
	"limits between machines"

func onNetwork(kind string) string {
	return "a network file system (" + kind + "), where locks of other machines do not hold"
}

func onShared(kind string) string {
	return "a file system (" + kind + ") that has locks of its own: they do not hold for those who reach the same " +
		"files by another path"
}

func openDir(at int, path string) (int, error) {
	return unix.Openat(at, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
}

// namesIn lists an open directory.
func namesIn(dir int) ([]string, error) {
	fd, err := openDir(dir, ".") // a description of its own, that begins at the first
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "the directory", Err: err}
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	return f.Readdirnames(-1)
}
