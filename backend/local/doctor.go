package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"limit/backend"

	"golang.org/x/sys/unix"
)

// Examine looks at everything that an embedded store needs, and makes nothing: opts.Create does not count.
func Examine(ctx context.Context, opts Options) []backend.Finding {
	d := &doctor{opts: opts}
	d.opts.Create, d.opts.examine, d.opts.Namespace = false, true, orDefault(opts.Namespace)
	if d.opts.Dir = absolute(opts.Dir); !d.directory() {
		return d.found
	}
	d.space()
	d.locks()
	d.inotify()
	if !d.missing {
		d.store(ctx)
	}
	return d.found
}

type doctor struct {
	opts    Options
	at      string // the directory, or the nearest parent that exists
	missing bool
	found   []backend.Finding
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

func (d *doctor) fine(about, format string, args ...any) {
	d.found = append(d.found, backend.Finding{Level: backend.Fine, About: about, Fact: fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(about, remedy, format string, args ...any) {
	d.found = append(d.found, backend.Finding{Level: backend.Warning, About: about, Fact: fmt.Sprintf(format, args...),
		Remedy: remedy})
}

func (d *doctor) broken(about, remedy, format string, args ...any) {
	d.found = append(d.found, backend.Finding{Level: backend.Broken, About: about, Fact: fmt.Sprintf(format, args...),
		Remedy: remedy})
}

const (
	remedyOther = "choose another directory, with --backend local:DIR"
	remedyShare = "let its owner share it (chgrp GROUP, chmod g+rwxs), or choose another with --backend local:DIR"
)

// directory looks at owner, mode and kind of file system; false: there is no use in looking further.
func (d *doctor) directory() bool {
	dir := d.opts.Dir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.noDirectory()
	case errors.Is(err, fs.ErrPermission):
		d.broken("directory", "ask its owner for access, or "+remedyOther, "%v", err)
		return false
	case err != nil:
		d.broken("directory", remedyOther, "%v", err)
		return false
	case !info.IsDir():
		d.broken("directory", remedyOther, "%s is no directory", dir)
		return false
	}
	d.at = dir
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		d.broken("directory", remedyOther, "%s: %v", dir, err)
		return false
	}
	mode := uint32(st.Mode)
	described := fmt.Sprintf("%s, of user %d, group %d, mode %04o", dir, st.Uid, st.Gid, mode&0o7777)
	shared := mode&unix.S_ISGID != 0 && mode&0o020 != 0
	switch {
	case mode&0o002 != 0:
		d.broken("directory", remedyPublic(mode), "%s can be written by everybody, so nobody could trust it", dir)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid() && !shared && os.Geteuid() != 0:
		d.broken("directory", remedyShare, "%s belongs to user %d, who does not share it", dir, st.Uid)
	case access(dir) != nil:
		d.broken("directory", remedyAccess(&st, access(dir)), "%s cannot be written by user %d: %v", described,
			os.Geteuid(), access(dir))
	case mode&0o020 != 0 && mode&unix.S_ISGID == 0:
		d.warn("directory", "to share it: chmod g+s it, and what is in it; to keep it to yourself: chmod g-w",
			"%s can be written by its group, but what others make in it belongs to their own", dir)
	default:
		d.fine("directory", "%s", described)
	}
	d.parents()
	d.cleaned()
	return d.fileSystem()
}

// noDirectory asks whether the directory could be made.
func (d *doctor) noDirectory() bool {
	d.missing = true
	parent := d.opts.Dir
	for {
		parent = filepath.Dir(parent)
		if _, err := os.Stat(parent); err == nil || parent == filepath.Dir(parent) {
			break
		}
	}
	d.at = parent
	if err := unix.Access(parent, unix.W_OK|unix.X_OK); err != nil {
		d.broken("directory", fmt.Sprintf("make it as root (install -d -m 2770 -g GROUP %s), or %s", d.opts.Dir,
			remedyOther),
			"%s does not exist, and %s cannot be written by user %d", d.opts.Dir, parent, os.Geteuid())
		return false
	}
	d.fine("directory", "%s does not exist yet: the first claim makes it", d.opts.Dir)
	d.cleaned()
	return d.fileSystem()
}

// parents warns of a parent in which anybody could put another directory in place of this one.
func (d *doctor) parents() {
	for dir := filepath.Dir(d.opts.Dir); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			d.warn("directory", "let its owner take that right away (chmod o-w "+dir+"), or "+remedyOther,
				"everybody can rename what is in %s", dir)
		}
		if dir == filepath.Dir(dir) {
			return
		}
	}
}

// access asks whether this user can read and write a directory.
func access(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK|unix.R_OK) }

// remedyAccess is what to do about a directory that cannot be written.
func remedyAccess(st *unix.Stat_t, err error) string {
	switch {
	case err == unix.EROFS:
		return remedyOther
	case int(st.Uid) == os.Geteuid():
		return "chmod u+rwx it"
	}
	return remedyShare
}

// cleaned warns of a directory from which something removes what was not used for long, or at the end of a session.
func (d *doctor) cleaned() {
	places := map[string]string{
		"/tmp":      "cleaners of old files look there, and many machines empty it at boot",
		"/var/tmp":  "cleaners of old files look there",
		"/run/user": "it is removed when the user logs out",
		"/dev/shm":  "what a user has there is removed when he logs out",
	}
	if d.opts.cleaned != nil {
		places = d.opts.cleaned
	}
	dir, err := filepath.EvalSymlinks(d.opts.Dir)
	if err != nil {
		dir = d.opts.Dir
	}
	for place, why := range places {
		if strings.HasPrefix(dir, place+"/") {
			d.warn("directory", remedyOther+"; or keep cleaners off it (in tmpfiles.d: x "+dir+")",
				"%s is below %s: %s", dir, place, why)
		}
	}
}

// fileSystem refuses what locks of other machines do not hold on.
func (d *doctor) fileSystem() bool {
	fd, err := unix.Open(d.at, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		d.broken("file system", remedyShare, "%s cannot be opened: %v", d.at, err)
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		d.broken("file system", remedyOther, "%s: %v", d.at, err)
		return false
	}
	fault, err := (&Store{opts: d.opts}).fileSystemFault(fd, &st)
	switch {
	case err != nil:
		d.broken("file system", remedyOther, "%s: %v", d.at, err)
		return false
	case fault != "":
		d.broken("file system", remedyFileSystem, "%s is on %s", d.at, fault)
		return false
	}
	switch kind := fileSystemName(fd); kind {
	case "":
		d.fine("file system", "local")
	case "tmpfs":
		d.fine("file system", "tmpfs: a reboot empties it, and the limits are gone then")
	case "overlayfs":
		d.fine("file system", "overlayfs: what a container keeps goes with it")
	default:
		d.fine("file system", "%s", kind)
	}
	return true
}

// Less than this is told.
const (
	littleSpace  = 16 << 20 // bytes
	littleInodes = 1000
)

func (d *doctor) space() {
	var f unix.Statfs_t
	if err := unix.Statfs(d.at, &f); err != nil {
		d.warn("space", "look at the file system", "%s: %v", d.at, err)
		return
	}
	free := uint64(f.Bavail) * uint64(f.Bsize)
	const remedy = "free some there: a claim needs a few hundred bytes and a file; what is held can be released all " +
		"the same"
	switch {
	case free < 1<<16:
		d.broken("space", remedy, "the disk of %s is full", d.at)
	case free < littleSpace:
		d.warn("space", remedy, "%d KiB are free on the disk of %s", free>>10, d.at)
	default:
		d.fine("space", "%d MiB are free", free>>20)
	}
	if f.Files == 0 {
		return // the file system has no fixed number of inodes
	}
	switch {
	case f.Ffree < 4:
		d.broken("inodes", remedy, "no inodes are left on the disk of %s", d.at)
	case f.Ffree < littleInodes:
		d.warn("inodes", remedy, "%d inodes are left on the disk of %s", f.Ffree, d.at)
	}
}

// locks tries whether the kernel keeps two open files apart.
func (d *doctor) locks() {
	one, err := unix.Open(d.at, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // told already
	}
	defer unix.Close(one)
	two, err := unix.Open(d.at, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(two)
	switch err := flock(one, unix.LOCK_SH|unix.LOCK_NB); err {
	case unix.EWOULDBLOCK: // somebody is making the store: locks work
	case nil:
		if err := flock(two, unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
			d.broken("locks", remedyOther, "the file system of %s keeps no locks: a second was given (%v)", d.at, err)
			return
		}
	default:
		d.broken("locks", remedyOther, "the file system of %s keeps no locks: %v", d.at, err)
		return
	}
	d.fine("locks", "flock works")
}

// store opens the namespace and reads it as a claim would.
func (d *doctor) store(ctx context.Context) {
	if d.pieces() {
		return
	}
	s, err := Open(ctx, d.opts)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := d.foreign(); err != nil {
			d.found = append(d.found, backend.FindingOf(backend.Broken, "store", err))
			return
		}
		d.fine("store", "no claims were ever made in namespace %s", d.opts.Namespace)
		return
	case err != nil:
		d.found = append(d.found, backend.FindingOf(backend.Broken, "store", err))
		return
	}
	defer s.Close()
	if s.readOnly != nil {
		d.found = append(d.found, backend.FindingOf(backend.Broken, "store", s.readOnly))
	}
	began := time.Now()
	var snapshot *backend.Snapshot
	err = s.change(ctx, func(*change) error { return nil }) // the lock, which a snapshot does not need
	if err == nil {
		snapshot, err = s.Snapshot(ctx)
	}
	took := time.Since(began)
	switch {
	case err != nil:
		d.found = append(d.found, backend.FindingOf(backend.Broken, "store", err))
		return
	case took > 100*time.Millisecond:
		d.warn("latency", "look for a slow disk, or for a process that is stopped in the middle of a change",
			"reading the state took %s", took.Round(time.Millisecond))
	default:
		d.fine("latency", "reading the state took %s", took.Round(10*time.Microsecond))
	}
	if _, set, err := s.readSettings(); err != nil {
		d.found = append(d.found, backend.FindingOf(backend.Broken, "settings", err))
	} else if snapshot.SettingsSet && !set {
		d.removed(s.file("settings"))
	} else if set {
		d.fine("settings", "limits are set")
	} else {
		d.fine("settings", "nobody has set any limit")
	}
	d.claims(snapshot)
	d.claimFiles(ctx, s)
}

// removed warns of a file that a store has had.
func (d *doctor) removed(file string) {
	d.warn("files", "keep cleaners of old files off "+d.opts.Dir+"; the next claim makes it again", "%s is missing",
		file)
}

// pieces looks for the files without which nobody can read the store, and reports whether one is missing.
func (d *doctor) pieces() (missing bool) {
	path := newStore(d.opts).path
	if !isNamespace(d.opts.Dir, filepath.Base(path)) {
		return false
	}
	for _, file := range []string{filepath.Join(d.opts.Dir, formatName), filepath.Join(path, "state"),
		filepath.Join(path, "claims")} {
		if !exists(file) {
			d.removed(file)
			missing = true
		}
	}
	return missing
}

// claimFiles looks for the files that are there once somebody has claimed.
func (d *doctor) claimFiles(ctx context.Context, s *Store) {
	var files []string
	err := s.change(ctx, func(c *change) error {
		files = []string{"gate"}
		if c.img.ceiling > 0 {
			files = append(files, "tokens")
		}
		for i := range c.img.claims {
			files = append(files, processesName, detailsName(c.img.detailsFile), c.img.claims[i].file.path())
		}
		c.dirty = false
		return nil
	})
	if err != nil {
		return // told already
	}
	slices.Sort(files)
	for _, file := range slices.Compact(files) {
		if !exists(s.file(file)) {
			d.removed(s.file(file))
		}
	}
}

// foreign fails where the directory has what no store has.
func (d *doctor) foreign() error {
	if exists(filepath.Join(d.opts.Dir, formatName)) {
		return nil
	}
	fd, err := unix.Open(d.opts.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		err = refuseForeign(fd, d.opts.Dir)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d.opts.Dir, err)
	}
	return nil
}

// claims reports who holds and waits, and whose wrapper has died.
func (d *doctor) claims(snapshot *backend.Snapshot) {
	d.fine("claims", "%d held, %d waiting", len(snapshot.Held), len(snapshot.Waiting))
	for _, h := range snapshot.Held {
		if h.Orphaned {
			pids := strings.Trim(fmt.Sprint(h.PIDs), "[]")
			d.warn("claims", "let them end, or: kill "+pids,
				"the wrapper of claim %s (%s) is gone, processes of its command hold the slots", h.ID[:8], h.Name)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func orDefault(namespace string) string {
	if namespace == "" {
		return "default"
	}
	return namespace
}
