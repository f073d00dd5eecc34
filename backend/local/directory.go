package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	formatName = "format"
	newName    = ".new" // a namespace in the making
)

// openDirectory opens the namespace, and makes it where that is wanted.
func (s *Store) openDirectory(ctx context.Context) error {
	err := s.checkFormat()
	if err == nil {
		s.fd, err = openDir(unix.AT_FDCWD, s.path)
	}
	if notFound(err) {
		if !s.opts.Create {
			return fmt.Errorf("no claims were ever made in %s: %w", s.path, fs.ErrNotExist)
		}
		if err := s.create(ctx); err != nil {
			return err
		}
		s.fd, err = openDir(unix.AT_FDCWD, s.path)
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", s.path, s.advise(err))
	}
	mode, err := s.examine(s.fd, s.path)
	if err != nil {
		return err
	}
	s.mode = mode & 0o666
	return s.openState()
}

// openState opens the file state, for reading alone where it cannot be written.
func (s *Store) openState() error {
	var err error
	if s.readOnly == nil {
		s.state, err = unix.Openat(s.fd, "state", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err == nil {
			return nil
		}
		if err != unix.EROFS && err != unix.EACCES && err != unix.EPERM {
			return fmt.Errorf("opening %s: %w", s.file("state"), s.advise(err))
		}
		s.readOnly = fmt.Errorf("opening %s for writing: %w", s.file("state"), s.advise(err))
	}
	s.state, err = unix.Openat(s.fd, "state", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", s.file("state"), s.advise(err))
	}
	return nil
}

// checkFormat reads DIR/format.
func (s *Store) checkFormat() error {
	name := filepath.Join(s.opts.Dir, formatName)
	b, err := readFileAt(unix.AT_FDCWD, name)
	if err != nil {
		return err
	}
	word, number, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	version, err := strconv.Atoi(number)
	switch {
	case word != "limit" || err != nil:
		return fmt.Errorf("%s is not of an embedded store of limit; choose another directory", name)
	case version > formatVersion:
		return newerError(name)
	}
	return nil
}

// examine refuses a directory in which the store cannot be safe, and returns its mode. One that belongs to somebody who does not share it
// can be read only.
func (s *Store) examine(fd int, path string) (mode uint32, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("examining %s: %w", path, err)
	}
	network, err := s.network(fd, &st)
	if err != nil {
		return 0, fmt.Errorf("examining %s: %w", path, err)
	}
	if network != "" {
		return 0, fmt.Errorf("%s is on a network file system (%s), where locks of other machines do not hold; "+
			"choose a local directory, or --backend etcd://HOST:2379 to share limits between machines", path, network)
	}
	mode = uint32(st.Mode)
	shared := mode&unix.S_ISGID != 0 && mode&0o020 != 0
	switch {
	case mode&0o002 != 0:
		return 0, fmt.Errorf("%s can be written by everybody, so nobody could trust it; "+
			"chmod o-w it (to share it with a group: chgrp GROUP, chmod g+rwxs)", path)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid() && !shared && s.readOnly == nil:
		s.readOnly = fmt.Errorf("%s belongs to user %d, who does not share it; choose another directory, or let the owner share it (chgrp GROUP, chmod g+rwxs)", path, st.Uid)
	}
	return mode, nil
}

func (s *Store) network(fd int, st *unix.Stat_t) (string, error) {
	if s.opts.network != nil {
		return s.opts.network(), nil
	}
	return networkFileSystem(fd, st)
}

// create makes the directory and the namespace. A namespace appears whole, by rename.
func (s *Store) create(ctx context.Context) error {
	dir := s.opts.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the embedded store: %w", s.advise(err))
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", dir, s.advise(err))
	}
	defer unix.Close(fd)
	mode, err := s.examine(fd, dir)
	if err != nil {
		return err
	}
	if s.readOnly != nil {
		return s.readOnly
	}
	if err := flock(fd, unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", dir, err)
	}
	if err := s.createIn(fd, mode); err != nil {
		return fmt.Errorf("making the embedded store in %s: %w", dir, s.advise(err))
	}
	return ctx.Err()
}

func (s *Store) createIn(fd int, mode uint32) error {
	maker := &Store{opts: s.opts, path: s.opts.Dir, fd: fd, mode: mode & 0o666}
	switch err := s.checkFormat(); {
	case notFound(err):
		if err := refuseForeign(s.opts.Dir); err != nil {
			return err
		}
		s.step("write format")
		if err := maker.writeDurably(formatName, fmt.Appendf(nil, "limit %d\n", formatVersion), nil); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if _, err := os.Lstat(s.path); err == nil {
		return nil // somebody else was quicker
	}
	fresh := filepath.Join(s.opts.Dir, newName)
	if err := os.RemoveAll(fresh); err != nil { // of one who died here
		return err
	}
	s.step("make directory")
	err := makeNamespace(fresh, mode)
	if err == nil {
		s.step("rename directory")
		err = os.Rename(fresh, s.path)
	}
	if err != nil {
		os.RemoveAll(fresh)
		return err
	}
	return unix.Fsync(fd)
}

// makeNamespace fills a directory with what a namespace needs. Space for the state is taken at once, so that claims can be released on a
// full disk.
func makeNamespace(path string, mode uint32) error {
	dirMode, fileMode := mode&(0o777|unix.S_ISGID), mode&0o666
	for _, dir := range []string{path, filepath.Join(path, "claims")} {
		if err := unix.Mkdir(dir, dirMode&0o777); err != nil {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: err}
		}
		if err := unix.Chmod(dir, dirMode); err != nil {
			return &fs.PathError{Op: "chmod", Path: dir, Err: err}
		}
	}
	gate := filepath.Join(path, "gate")
	if err := unix.Mkfifo(gate, fileMode); err != nil {
		return &fs.PathError{Op: "mkfifo", Path: gate, Err: err}
	}
	state := filepath.Join(path, "state")
	if err := os.WriteFile(state, make([]byte, initialSize), fs.FileMode(fileMode)); err != nil {
		return err
	}
	return errors.Join(unix.Chmod(gate, fileMode), unix.Chmod(state, fileMode))
}

// refuseForeign fails for a directory that has anything in it which a store in the making has not.
func refuseForeign(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case newName, formatName + ".tmp", "lost+found":
		default:
			return fmt.Errorf("it is not empty and not an embedded store of limit (it has %q); choose an empty directory or a new one", e.Name())
		}
	}
	return nil
}

func openDir(at int, path string) (int, error) {
	return unix.Openat(at, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
}
