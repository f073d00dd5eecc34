package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A directory may be removed, renamed or made anew while it is in use, and a cleaner of old files may take single files
// out of it. So whoever has locked the state asks whether it is still the one that its path leads to. Where the path
// leads to another, that is the store now. Where the file alone is missing it is written again, from what is still open
// of it. Where the directory is missing, the store is gone.

// goneError says that the store's directory was removed or renamed while it was in use.
type goneError struct{ path string }

func (e *goneError) Error() string {
	return fmt.Sprintf("the store %s is gone: its directory was removed, renamed or made anew meanwhile; start the "+
		"command again", e.path)
}

func isGone(err error) bool {
	var gone *goneError
	return errors.As(err, &gone)
}

// missingFor is how long a state may be missing from its directory before it is written again: its directory may be
// about to go as well.
const missingFor = 100 * time.Millisecond

// current reports whether the state that is open is the one that its path leads to. Where nobody can tell it is.
func (s *Store) current() bool { return samePlace(s.state, s.file("state")) }

func samePlace(fd int, path string) bool { return samePlaceAt(fd, unix.AT_FDCWD, path) }

func samePlaceAt(fd, at int, path string) bool {
	var open, there unix.Stat_t
	if unix.Fstat(fd, &open) != nil {
		return true
	}
	switch err := unix.Fstatat(at, path, &there, unix.AT_SYMLINK_NOFOLLOW); err {
	case nil:
		return open.Dev == there.Dev && open.Ino == there.Ino
	case unix.ENOENT, unix.ENOTDIR:
		return false
	}
	return true
}

// follow opens what the path leads to now. The lock of the old state is held.
func (s *Store) follow(ctx context.Context) error {
	for wait := time.After(missingFor); !exists(s.file("state")); {
		if !samePlace(s.fd, s.path) {
			break
		}
		select {
		case <-wait:
			if err := s.restore(ctx); err != nil {
				return err
			}
		case <-time.After(missingFor / 10):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	fresh := newStore(s.opts)
	fresh.opts.Create = false
	fresh.former = s.state
	if err := fresh.openDirectory(ctx); err != nil {
		fresh.closeFiles()
		if notFound(err) {
			return &goneError{s.path}
		}
		return err
	}
	s.witnessing.Lock()
	defer s.witnessing.Unlock()
	moved := !samePlace(s.fd, s.path)
	err := errors.Join(dupOnto(fresh.fd, s.fd), dupOnto(fresh.claims, s.claims), dupOnto(fresh.state, s.state))
	s.readOnly, s.mode = fresh.readOnly, fresh.mode
	if s.details >= 0 {
		unix.Close(s.details)
		s.details = -1
	}
	if former := s.processes; former >= 0 {
		s.processes = -1
		// while the former one is open: a new one gets its content. Whoever needs the file reports what fails.
		s.openProcesses()
		unix.Close(former)
	}
	if moved {
		s.moves.Add(1)
	}
	fresh.closeFiles()
	return err
}

// restore writes the file state again. One that is open still has it all; a process that uses the store may have it;
// else it is empty, and the state begins anew.
//
// The state's lock is taken before the directory's, as by a process that has the state open.
func (s *Store) restore(ctx context.Context) error {
	open := max(s.state, s.former)
	if open < 0 {
		if open = s.openElsewhere("state"); open >= 0 {
			defer unix.Close(open)
			s.step("lock removed state")
			// from here on it stands still: the next who locks it follows the path
			if err := lockWhile(ctx, open, s.file("state")); err != nil {
				return err
			}
		}
	}
	if err := lockWhile(ctx, s.fd, s.path); err != nil { // one process writes it
		return err
	}
	defer flock(s.fd, unix.LOCK_UN)
	if s.has("state") {
		return nil
	}
	content := make([]byte, initialSize)
	if open >= 0 {
		content = contentOf(open)
	}
	s.step("restore state")
	const fresh = "state.tmp"
	unix.Unlinkat(s.fd, fresh, 0)
	fd, err := s.createAt(s.fd, fresh, unix.O_WRONLY)
	if err == nil {
		err = pwriteFull(fd, content, 0)
		unix.Close(fd)
	}
	if err == nil {
		err = unix.Renameat(s.fd, fresh, s.fd, "state")
	}
	if err != nil {
		unix.Unlinkat(s.fd, fresh, 0)
		return fmt.Errorf("making %s again: %w", s.file("state"), s.advise(err))
	}
	return nil
}

// createAgain makes a file. Where it was removed while a process still has it open, it gets what that has.
func (s *Store) createAgain(name string, flags int) (int, error) {
	fd, err := s.createAt(s.fd, name, flags)
	if err == unix.EEXIST { // another was quicker
		return s.openAt(s.fd, name, flags, unix.S_IFREG)
	}
	if was := s.openElsewhere(name); err == nil && was >= 0 {
		pwriteFull(fd, contentOf(was), 0)
		unix.Close(was)
	}
	return fd, err
}

// has reports whether a file stands in the namespace.
func (s *Store) has(name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(s.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != unix.ENOENT
}

// contentOf is all of a file, at least what a new state has.
func contentOf(fd int) []byte {
	b := make([]byte, max(size(fd), initialSize))
	preadFull(fd, b, 0)
	return b
}

// refile gives a claim that waits another file where its own was removed: nobody could tell it anything.
func (c *change) refile(e *entry) error {
	r := c.img.find(e.id)
	if r == nil || r.grant != nil || samePlaceAt(int(e.life.Fd()), c.s.claims, e.file.name()) {
		return nil
	}
	file, life, err := c.takeFile()
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx.Err() != nil {
		life.Close()
		return nil // it leaves
	}
	e.life.Close()
	c.img.find(e.id).file, c.dirty = file, true
	e.file, e.life = file, life
	if e.ears != nil {
		e.ears.Close()
		if err := e.openEars(); err != nil {
			return err
		}
		e.running.Add(1)
		go e.hearWakes(e.ears)
	}
	return e.testify()
}

// recall lets all who wait look at the state where one of them cannot be told: each then sees to its own file. Not at
// once: the directory may be about to go.
func (c *change) recall(e *entry, sweep bool) {
	g := &e.gate
	stray := slices.ContainsFunc(c.survivors, func(s survivor) bool {
		return slices.ContainsFunc(c.img.claims, func(r record) bool { return r.file == s.file && r.standing() })
	})
	switch {
	case !stray:
		g.astray = g.astray && !sweep
	case !g.astray || !sweep:
		g.astray = true
		g.pollTimer.set(missingFor)
	default:
		g.astray = false
		c.head.keeper, c.dirty = id{}, true
		g.drop()
		notify(e.woken)
	}
}

// restoreClaims makes the directory claims again.
func (s *Store) restoreClaims() (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return -1, err
	}
	fd, err := makeDir(s.fd, "claims", uint32(st.Mode)&(0o777|unix.S_ISGID))
	if errors.Is(err, fs.ErrExist) {
		return openDir(s.fd, "claims")
	}
	return fd, err
}

// reopenClaims does so for a store that is in use.
func (s *Store) reopenClaims() error {
	fd, err := s.restoreClaims()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return dupOnto(fd, s.claims)
}

// followClaims opens the directory claims that was made again in place of one that was removed.
func (s *Store) followClaims() {
	var st unix.Stat_t
	if unix.Fstat(s.claims, &st) != nil || st.Nlink > 0 {
		return
	}
	if fd, err := openDir(s.fd, "claims"); err == nil {
		dupOnto(fd, s.claims)
		unix.Close(fd)
	}
}

// isNamespace reports whether a directory below the store's own is a namespace.
func isNamespace(dir, name string) bool {
	for _, has := range []string{"state", "claims"} {
		if exists(filepath.Join(dir, name, has)) {
			return true
		}
	}
	return false
}
