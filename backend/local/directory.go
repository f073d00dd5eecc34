package local

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What stands in the store's directory besides namespaces.
const (
	formatName = "format"
	newName    = ".new" // a namespace in the making

	// RunsName is the directory in which the runs of dags are kept, where the store's is the default one.
	RunsName = "runs"

	// SeenName is the directory in which the revisions of etcd are kept that were seen, where the store's is the
	// default one.
	SeenName = ".etcd"
)

// ownName reports whether a name in the store's directory is no namespace's, and no foreign file's.
func ownName(name string) bool {
	return name == formatName || name == formatName+".tmp" || name == newName || name == RunsName ||
		name == SeenName || name == "lost+found"
}

// directoryOf is the name of a namespace's directory. One that was made under a name which is not given to namespaces
// any more keeps it.
func directoryOf(opts Options) string {
	if ownName(opts.Namespace) && opts.Namespace != formatName && isNamespace(opts.Dir, opts.Namespace) {
		return opts.Namespace
	}
	return escape(opts.Namespace)
}

// openDirectory opens the namespace, and makes it where that is wanted.
func (s *Store) openDirectory(ctx context.Context) error {
	err := s.openNamespace()
	if notFound(err) {
		if !s.opts.Create && (s.opts.examine || !isNamespace(s.opts.Dir, filepath.Base(s.path))) {
			return fmt.Errorf("no claims were ever made in %s: %w", s.path, fs.ErrNotExist)
		}
		if err := s.create(ctx); err != nil {
			return err
		}
		err = s.openNamespace()
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", s.path, s.advise(err))
	}
	mode, err := s.examine(s.fd, s.path)
	if err != nil {
		return err
	}
	s.mode = mode & 0o666
	if s.claims, err = openDir(s.fd, "claims"); err == unix.ENOENT && !s.opts.examine && s.readOnly == nil {
		s.claims, err = s.restoreClaims()
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", s.file("claims"), s.advise(err))
	}
	return s.openState(ctx)
}

// openNamespace opens the namespace's directory, if the store's own can be trusted.
func (s *Store) openNamespace() error {
	root, err := s.openRoot()
	if err != nil {
		return err
	}
	defer unix.Close(root)
	if err := s.checkFormat(root); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(root, &st); err != nil {
		return err
	}
	if err := s.trust(&st, s.opts.Dir); err != nil {
		return err
	}
	s.fd, err = openDir(root, filepath.Base(s.path))
	return err
}

// openState opens the file state, for reading alone where it cannot be written.
func (s *Store) openState(ctx context.Context) error {
	var err error
	if s.readOnly == nil {
		s.state, err = s.openAt(s.fd, "state", unix.O_RDWR, unix.S_IFREG)
		if err == unix.ENOENT && !s.opts.examine {
			if err := s.restore(ctx); err != nil {
				return err
			}
			s.state, err = s.openAt(s.fd, "state", unix.O_RDWR, unix.S_IFREG)
		}
		if err == nil {
			return nil
		}
		if err != unix.EROFS && err != unix.EACCES && err != unix.EPERM {
			return fmt.Errorf("opening %s: %w", s.file("state"), s.advise(err))
		}
		s.readOnly = fmt.Errorf("opening %s for writing: %w", s.file("state"), s.advise(err))
	}
	s.state, err = s.openAt(s.fd, "state", unix.O_RDONLY, unix.S_IFREG)
	if err != nil {
		return fmt.Errorf("opening %s: %w", s.file("state"), s.advise(err))
	}
	return nil
}

// checkFormat reads DIR/format.
func (s *Store) checkFormat(root int) error {
	name := filepath.Join(s.opts.Dir, formatName)
	b, err := readFileAt(root, formatName)
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

// create makes the directory and the namespace. A namespace appears whole, by rename.
func (s *Store) create(ctx context.Context) error {
	dir := s.opts.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the embedded store: %w", s.advise(err))
	}
	root, err := s.openRoot()
	if err != nil {
		return fmt.Errorf("opening %s: %w", dir, s.advise(err))
	}
	defer unix.Close(root)
	mode, err := s.examine(root, dir)
	if err != nil {
		return err
	}
	if s.readOnly != nil {
		return s.readOnly
	}
	if err := lockWhile(ctx, root, dir); err != nil {
		return err
	}
	if err := s.createIn(ctx, root, mode); err != nil {
		return fmt.Errorf("making the embedded store in %s: %w", dir, s.advise(err))
	}
	return ctx.Err()
}

func (s *Store) createIn(ctx context.Context, root int, mode uint32) error {
	maker := &Store{opts: s.opts, path: s.opts.Dir, fd: root, former: s.former, mode: mode & 0o666}
	switch err := s.checkFormat(root); {
	case notFound(err):
		if err := refuseForeign(root, s.opts.Dir); err != nil {
			return err
		}
		s.step("write format")
		if err := maker.writeDurably(formatName, fmt.Appendf(nil, "limit %d\n", formatVersion), nil); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	name := filepath.Base(s.path)
	var st unix.Stat_t
	if err := unix.Fstatat(root, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return nil // somebody else was quicker
	}
	fresh := filepath.Join(s.opts.Dir, newName)
	if err := os.RemoveAll(fresh); err != nil { // of one who died here
		return err
	}
	s.step("make directory")
	err := maker.makeNamespace(ctx, root, s.path, mode)
	if err == nil {
		s.step("rename directory")
		err = unix.Renameat(root, newName, root, name)
	}
	if err != nil {
		os.RemoveAll(fresh)
		return err
	}
	return unix.Fsync(root)
}

// makeNamespace fills a directory with what a namespace needs. Space for the state is taken at once, so that claims can
// be released on a full disk.
//
// A state that processes still have open, of a directory at this place that was removed, is taken over: their claims
// live.
func (s *Store) makeNamespace(ctx context.Context, root int, path string, mode uint32) error {
	dirMode := mode & (0o777 | unix.S_ISGID)
	fd, err := makeDir(root, newName, dirMode)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	claims, err := makeDir(fd, "claims", dirMode)
	if err != nil {
		return err
	}
	unix.Close(claims)
	if err := s.makeFIFO(fd, filepath.Join(s.path, newName), "gate"); err != nil {
		return &fs.PathError{Op: "mkfifo", Path: "gate", Err: err}
	}
	fresh := &Store{opts: s.opts, path: path, fd: fd, state: -1, former: s.former, mode: s.mode}
	return fresh.restore(ctx)
}

// makeDir makes a directory and opens it. The mode is given to what was opened, if that is ours: in a shared directory
// another may have been put in its place.
func makeDir(at int, name string, mode uint32) (int, error) {
	if err := unix.Mkdirat(at, name, mode&0o777); err != nil {
		return -1, &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	fd, err := openDir(at, name)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && int(st.Uid) != os.Geteuid() {
		err = errPlanted
	}
	if err == nil {
		err = unix.Fchmod(fd, mode)
	}
	if err != nil {
		unix.Close(fd)
		return -1, &fs.PathError{Op: "chmod", Path: name, Err: err}
	}
	return fd, nil
}

// refuseForeign fails for a directory that has anything in it which a store in the making has not.
func refuseForeign(root int, dir string) error {
	names, err := namesIn(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !ownName(name) && !isNamespace(dir, name) {
			return fmt.Errorf("it is not empty and not an embedded store of limit (it has %q); choose an empty "+
				"directory or a new one", name)
		}
	}
	return nil
}
