// Package local is the embedded store: a directory on this machine, and the kernel as the lock server. There
// is no daemon and no cleaning-up pass; waiting is for events, with a rare recheck in case somebody is stopped.
//
// A namespace is a directory DIR/NAMESPACE:
//
//	state       who holds and who waits, and the limits, as one compact image; its flock is the lock under which
//	            everything changes
//	settings    the limits as JSON, synced to the disk: they survive a loss of power, claims need not
//	tokens      a number above every token ever given, synced to the disk
//	details.N   what decides nothing: names, commands, users
//	processes   the processes of each claim, where its lock does not say that it lives
//	history     claims that have ended, at most so many (history.old: those before)
//	claims/N    a FIFO for each claim; the claim's processes hold it open, with an flock
//	gate        a FIFO through which the death of the gatekeeper is noticed
//
// Life. Every process of a claim shares one open file description of claims/N, which has an exclusive flock. The kernel
// ends that lock when the last of them is gone, whatever killed it: a claim whose file another can lock is dead. The
// same FIFO wakes the claim: a byte in it means "look at the state".
//
// Changes. A process locks the state, reads the image, asks the rule (backend.State), wakes those whom it admits,
// writes the new image where the old one is not, and then points the header of the file to it: one write of 80 bytes
// within a page, which a SIGKILL cannot split. Written so, a change takes 2 µs where a renamed file took 140 µs (ext4
// flushes on rename). Wakes go out before the write: whoever is woken waits for the lock, so if the writer dies in
// between, somebody looks at the old state and does what is to be done.
//
// Looking (Snapshot, Settings, Obstacles, the rechecks) takes no lock: header, image, and the header again, with a
// checksum.
//
// Costs, with H holders, W waiters and N different needs (claims that no limit in force tells apart have the same):
//
//	Enter, Release, a grant   one lock each; the image is read, and written if it has changed: 60 bytes for each
//	                          claim. The rule is fed H holders and the first few of each of the N queues, and a
//	                          pass in which a queue ran dry is repeated with more of it. One process is woken for
//	                          each grant, which decodes its own record.
//	waiting                   nothing, but for the gatekeeper; a recheck after 30 s to 60 s, which with W waiters
//	                          becomes 1+W/10 times as rare, reads the header alone where nothing has changed, and
//	                          the image where something has.
//	who wants to know         one byte in its FIFO for each change of what blocks it, and a read of the image, at
//	what blocks it            most one in 20 ms + 1 ms for each waiter.
//	Snapshot                  one read of the image, a look at each claim's file, and one pass of the rule over
//	                          all: O((H+W) log W).
//
// A failure is a state of the waiter: while the state cannot be read or written, what there is to do is kept and tried
// again ever more seldom, 5 s apart at most; the owner hears Unreachable once, and Reachable when it works again.
//
// The gate. One waiter, the last in order, watches for what no process reports: deaths (inotify tells when the last
// writer of a file in claims/ has closed it) and time (rates, reservation). It holds the gate's writing end; the others
// hold its reading end, so its death wakes them, and the first takes over. Everybody else only waits for a byte in his
// own FIFO. Should the keeper be stopped, one of the others finds out at its recheck.
//
// What this cannot do: a process that is stopped (SIGSTOP, ^Z) within the 50 µs of a change has the lock until it goes
// on, and everybody waits for it, as long as the store has patience (Options.Patience). The error says which process
// that is.
package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"limit/backend"

	"golang.org/x/sys/unix"
)

// Options say which store to open.
type Options struct {
	Dir       string // of the store
	Namespace string // "": default
	// make the directory and the namespace where they do not exist; else Open fails with fs.ErrNotExist
	Create bool

	Patience time.Duration // how long any call waits for the lock of the store; 0: DefaultPatience

	step       func(string)      // tests: called at each step of each change
	fileSystem func() string     // tests: what is wrong with the kind of file system, in place of asking the kernel
	cleaned    map[string]string // tests: directories that are cleaned, and how, in place of the usual
	noWatch    bool              // tests: as where the kernel cannot watch a directory
	recheck    time.Duration
	examine    bool // nothing is made again: doctor looks at what is missing
}

// DefaultPatience bounds the wait for the lock of a store: changes take microseconds.
const DefaultPatience = 10 * time.Second

// busyPatience bounds the wait of one who is not to wait for slots.
const busyPatience = 5 * time.Second

// Store is one namespace of an embedded store.
type Store struct {
	opts     Options
	path     string // of the namespace
	fd       int    // of the namespace's directory
	claims   int    // of its directory claims
	state    int    // of the file state
	former   int    // of the file state that this process had before and has locked, or -1
	mode     uint32 // of new files
	readOnly error  // why the state can only be read; nil where it can be written
	boot     id
	ahead    time.Duration // of this process's clock before the machine's, see clock

	turn    chan struct{} // one goroutine of this process at a time changes the state
	buf     []byte        // scratch, of whoever has the turn
	records []record      // likewise
	details int           // descriptor, or -1
	opened  uint32        // the generation that details is of

	witnessing sync.Mutex // of the next
	processes  int        // descriptor of the file processes, or -1

	mended bool         // what cleaners remove was looked for
	moves  atomic.Int32 // how often another directory came into the place of the namespace's

	background sync.WaitGroup // goroutines of Changes
}

var _ backend.Backend = (*Store)(nil)

// Open opens a namespace. It makes nothing that exists and keeps six descriptors at most; nothing runs in the
// background.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.Namespace == "" {
		opts.Namespace = "default"
	}
	if opts.recheck == 0 {
		opts.recheck = 30 * time.Second
	}
	if opts.Patience == 0 {
		opts.Patience = DefaultPatience
	}
	if opts.Dir == "" {
		return nil, errors.New("no directory given for the embedded store; name one, as in local:/var/lib/limit")
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", opts.Dir, err)
	}
	opts.Dir = dir
	s := newStore(opts)
	if s.boot, err = bootID(); err != nil {
		return nil, err
	}
	s.ahead = clockAhead()
	if err := s.openDirectory(ctx); err != nil {
		s.closeFiles()
		return nil, err
	}
	if err := s.checkNeeds(); err != nil {
		s.closeFiles()
		return nil, err
	}
	return s, nil
}

func newStore(opts Options) *Store {
	return &Store{
		opts: opts, path: filepath.Join(opts.Dir, directoryOf(opts)), turn: make(chan struct{}, 1),
		fd: -1, claims: -1, state: -1, former: -1, details: -1, processes: -1,
	}
}

// String is local:DIR.
func (s *Store) String() string { return "local:" + s.opts.Dir }

// Close closes the store's files, and waits for the goroutines of Changes, whose contexts are to be ended before. Files
// that an abandoned wait for the lock still uses are left to the end of the process.
func (s *Store) Close() error {
	s.background.Wait()
	select {
	case s.turn <- struct{}{}:
		s.closeFiles()
	case <-time.After(closeWait):
	}
	return nil
}

// closeWait is how long Close waits for a change that is under way.
const closeWait = 100 * time.Millisecond

func (s *Store) closeFiles() {
	for _, fd := range []*int{&s.details, &s.processes, &s.state, &s.claims, &s.fd} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// step tells a test which step comes next.
func (s *Store) step(name string) {
	if s.opts.step != nil {
		s.opts.step(name)
	}
}

// file is the path of a file of the namespace, for messages.
func (s *Store) file(name string) string { return filepath.Join(s.path, name) }

// lock waits for the turn and for the lock of the state, as long as the store has patience.
func (s *Store) lock(ctx context.Context) error { return s.lockWithin(ctx, s.opts.Patience) }

// lockWithin is lock with another patience. Changes take microseconds, so whoever has the lock for so long hangs or is
// stopped.
func (s *Store) lockWithin(ctx context.Context, patience time.Duration) error {
	waiting, cancel := s.patient(ctx, patience)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
	case <-waiting.Done():
		return s.notLocked(ctx, waiting)
	}
	if err := s.lockState(ctx, waiting); err != nil {
		return err
	}
	if !s.current() {
		if err := s.relock(ctx, waiting); err != nil {
			return err
		}
	}
	s.followClaims()
	return nil
}

// patient returns a context that ends when the state has not changed for as long as the patience. A crowd before the
// lock may wait longer than that: while others change the state, the store can be reached.
func (s *Store) patient(ctx context.Context, patience time.Duration) (context.Context, func()) {
	waiting, cancel := context.WithCancelCause(ctx)
	var timer *time.Timer
	var seen time.Time
	looked := false
	created := make(chan struct{})
	timer = time.AfterFunc(min(patience, firstLook), func() {
		<-created
		changed := time.Time{}
		if info, err := os.Stat(s.file("state")); err == nil {
			changed = info.ModTime()
		}
		if looked && changed.Equal(seen) {
			cancel(errLockHeld)
			return
		}
		looked, seen = true, changed
		timer.Reset(patience)
	})
	close(created)
	return waiting, func() { timer.Stop(); cancel(nil) }
}

// firstLook is how long the lock is waited for before the first look at when the state has changed.
const firstLook = 100 * time.Millisecond

// relock locks the state that the path leads to now, in place of one that it does not lead to any more.
func (s *Store) relock(ctx, waiting context.Context) error {
	for !s.current() {
		err := s.follow(waiting)
		if err != nil {
			s.unlock()
			return err
		}
		if err := s.lockState(ctx, waiting); err != nil { // the lock of the old one went with its descriptor
			return err
		}
	}
	return nil
}

// lockState waits for the lock. Where that fails the turn is given back, at once or when the lock has come.
func (s *Store) lockState(ctx, waiting context.Context) error {
	s.step("lock")
	err := waiting.Err()
	if err == nil {
		err = flock(s.state, unix.LOCK_EX|unix.LOCK_NB)
	}
	switch {
	case err == nil:
		return nil
	case err == unix.EWOULDBLOCK:
		return s.lockBusy(ctx, waiting)
	}
	<-s.turn
	if waiting.Err() != nil {
		return s.notLocked(ctx, waiting)
	}
	return fmt.Errorf("locking %s: %w", s.file("state"), err)
}

// lockBusy waits for the lock in a goroutine, so that the context can end the wait. The goroutine then gives lock and
// turn back.
func (s *Store) lockBusy(ctx, waiting context.Context) error {
	got := make(chan error)
	go func() { // ends with the lock; has the turn until then
		err := flock(s.state, unix.LOCK_EX)
		select {
		case got <- err:
		case <-waiting.Done():
			if err == nil {
				flock(s.state, unix.LOCK_UN)
			}
			<-s.turn
		}
	}()
	select {
	case err := <-got:
		if err == nil {
			return nil
		}
		<-s.turn
		return fmt.Errorf("locking %s: %w", s.file("state"), err)
	case <-waiting.Done():
		return s.notLocked(ctx, waiting)
	}
}

// errLockHeld says that the patience of a store is over.
var errLockHeld = errors.New("the lock of the store is held")

// notLocked is the error of a wait for the lock that has ended: the caller's own, or that the store is out of reach.
func (s *Store) notLocked(ctx, waiting context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("locking %s: %w", s.file("state"), describeHolder(s.state, context.Cause(ctx)))
	}
	return fmt.Errorf("%w: locking %s: %w", backend.ErrUnreachable, s.file("state"),
		describeHolder(s.state, context.Cause(waiting)))
}

func (s *Store) unlock() {
	flock(s.state, unix.LOCK_UN)
	s.step("unlocked")
	<-s.turn
}

// lockWhile waits for the lock of a file that is locked for moments only and closed by the caller, until ctx ends.
// After its deadline the store is out of reach.
func lockWhile(ctx context.Context, fd int, name string) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		switch err := flock(fd, unix.LOCK_EX|unix.LOCK_NB); err {
		case nil:
			return nil
		case unix.EWOULDBLOCK:
		default:
			return fmt.Errorf("locking %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			err := fmt.Errorf("locking %s: %w", name, describeHolder(fd, context.Cause(ctx)))
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("%w: %w", backend.ErrUnreachable, err)
			}
			return err
		case <-time.After(jitter(wait)):
		}
	}
}

// flock is flock(2), restarted where a signal interrupts it.
func flock(fd, how int) error {
	for {
		if err := unix.Flock(fd, how); err != unix.EINTR {
			return err
		}
	}
}

// wallClock is the time that people see; it decides nothing.
func wallClock() time.Time { return time.Now().Round(0) }

// notFound reports whether an error says that a file does not exist.
func notFound(err error) bool { return errors.Is(err, os.ErrNotExist) }
