package local

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A lock says that a claim lives, and its absence says little: the command may have closed what it inherited (daemons
// and closefrom(3) do), and a cleaner of old files may have removed the claim's file. So the file processes names the
// processes of each claim, as a second witness: 256 bytes for each number of a file in claims/, written by the claim's
// owner alone.
//
// A process is known by its number, its PID namespace and a moment at which it lived: one of that number which started
// later is another. What this cannot see: processes of a PID namespace that is neither the own nor below it. There the
// lock alone counts.

const (
	processesName = "processes"
	witnessSize   = 256
	witnessHead   = 4 + 16 + 16 + 3*8 + 4 // checksum, claim, boot, PID namespace, device and inode, number of processes
	processSize   = 4 + 8
	maxProcesses  = (witnessSize - witnessHead) / processSize
)

// lifeOf is a process, and a moment at which it lived.
type lifeOf struct {
	pid  int
	seen time.Duration // on the store's clock
}

// witness is what the file processes says of a claim.
type witness struct {
	claim        id
	boot         id
	pidNamespace uint64
	file         inode // of the claim's FIFO, as its owner sees it
	owner        lifeOf
	commands     []lifeOf
}

func (w *witness) encode() []byte {
	b := make([]byte, 4, witnessSize)
	b = append(b, w.claim[:]...)
	b = append(b, w.boot[:]...)
	b = binary.LittleEndian.AppendUint64(b, w.pidNamespace)
	b = binary.LittleEndian.AppendUint64(b, w.file.dev)
	b = binary.LittleEndian.AppendUint64(b, w.file.ino)
	n := min(len(w.commands), maxProcesses-1)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	for _, p := range append([]lifeOf{w.owner}, w.commands[:n]...) {
		b = binary.LittleEndian.AppendUint32(b, uint32(p.pid))
		b = binary.LittleEndian.AppendUint64(b, uint64(p.seen))
	}
	b = append(b, make([]byte, witnessSize-len(b))...)
	binary.LittleEndian.PutUint32(b, checksum(b[4:]))
	return b
}

// decodeWitness reads what encode wrote; ok is false for anything else.
func decodeWitness(b []byte) (w witness, ok bool) {
	if len(b) != witnessSize || binary.LittleEndian.Uint32(b) != checksum(b[4:]) {
		return w, false
	}
	d := &decoder{b: b[4:]}
	copy(w.claim[:], d.bytes(len(w.claim)))
	copy(w.boot[:], d.bytes(len(w.boot)))
	w.pidNamespace = binary.LittleEndian.Uint64(d.bytes(8))
	w.file.dev, w.file.ino = binary.LittleEndian.Uint64(d.bytes(8)), binary.LittleEndian.Uint64(d.bytes(8))
	n := binary.LittleEndian.Uint32(d.bytes(4))
	if n >= maxProcesses || w.claim.zero() {
		return w, false
	}
	process := func() lifeOf {
		pid := binary.LittleEndian.Uint32(d.bytes(4))
		return lifeOf{int(int32(pid)), time.Duration(binary.LittleEndian.Uint64(d.bytes(8)))}
	}
	w.owner = process()
	for range n {
		w.commands = append(w.commands, process())
	}
	return w, true
}

// openProcesses opens the file processes, which is made where it is missing. The lock witnessing is held.
func (s *Store) openProcesses() error {
	if s.processes >= 0 {
		return nil
	}
	flags := unix.O_RDWR
	if s.readOnly != nil {
		flags = unix.O_RDONLY
	}
	fd, err := s.openAt(s.fd, processesName, flags, unix.S_IFREG)
	if notFound(err) && s.readOnly == nil && !s.opts.examine {
		fd, err = s.createAgain(processesName, flags)
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", s.file(processesName), s.advise(err))
	}
	s.processes = fd
	return nil
}

// writeWitness writes one; nil takes away what is there.
func (s *Store) writeWitness(n fileNumber, w *witness) error {
	s.witnessing.Lock()
	defer s.witnessing.Unlock()
	if err := s.openProcesses(); err != nil {
		return err
	}
	b := make([]byte, witnessSize)
	if w != nil {
		b = w.encode()
	}
	s.step("write witness")
	if err := pwriteFull(s.processes, b, int64(n)*witnessSize); err != nil {
		return fmt.Errorf("writing %s: %w", s.file(processesName), s.advise(err))
	}
	return nil
}

func (s *Store) readWitness(n fileNumber) (witness, bool) {
	s.witnessing.Lock()
	defer s.witnessing.Unlock()
	if s.openProcesses() != nil {
		return witness{}, false
	}
	b := make([]byte, witnessSize)
	got, err := preadFull(s.processes, b, int64(n)*witnessSize)
	if err != nil {
		return witness{}, false
	}
	return decodeWitness(b[:got])
}

// testify writes down the owner of a claim, which is this process.
func (e *entry) testify() error {
	file, err := inodeOf(int(e.life.Fd()))
	if err != nil {
		return fmt.Errorf("examining %s: %w", e.s.file(e.file.path()), err)
	}
	e.witness = witness{
		claim: e.id, boot: e.s.boot, pidNamespace: pidNamespace(), file: file,
		owner: lifeOf{unix.Getpid(), e.s.clock()},
	}
	return e.s.writeWitness(e.file, &e.witness)
}

// Started implements backend.Entry: the claim lives as long as one of the processes, whatever they do with the
// descriptor that they have inherited. A failure is nobody's concern: the lock is there as well.
func (e *entry) Started(pids ...int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.released {
		return
	}
	w := &e.witness
	if len(w.commands)+len(pids) >= maxProcesses {
		w.commands = slices.DeleteFunc(w.commands, func(p lifeOf) bool { return !e.s.lives(p) })
	}
	for _, pid := range pids {
		if !slices.ContainsFunc(w.commands, func(p lifeOf) bool { return p.pid == pid && e.s.lives(p) }) {
			w.commands = append(w.commands, lifeOf{pid, e.s.clock()})
		}
	}
	e.s.writeWitness(e.file, w)
}

// retract takes the witness of a claim away that is released. Under the lock of the state: the claim's file is the next
// one's after that.
func (e *entry) retract() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.released = true
	e.s.writeWitness(e.file, nil)
}

func inodeOf(fd int) (inode, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return inode{uint64(st.Dev), uint64(st.Ino)}, err
}

// free reports whether nobody has the lock of a claim's file, and which file that is: none where it is missing. What
// cannot be examined counts as locked.
func (s *Store) free(n fileNumber) (file inode, free bool) {
	fd, err := unix.Openat(s.claims, n.name(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return file, err == unix.ENOENT
	}
	defer unix.Close(fd)
	if flock(fd, unix.LOCK_SH|unix.LOCK_NB) != nil {
		return file, false
	}
	file, err = inodeOf(fd)
	return file, err == nil
}

// unlocked is free for those who only want to know whether a closer look is worth while.
func (s *Store) unlocked(n fileNumber) bool {
	_, free := s.free(n)
	return free
}

// inUse reports whether a file has a claim that lives, whichever that is.
func (s *Store) inUse(n fileNumber) bool {
	file, free := s.free(n)
	if !free {
		return true
	}
	_, alive := s.survivor(n, id{}, file)
	return alive
}

// survivor returns a process for which a claim counts as alive though its file can be locked: one of its commands, and
// where the file is not the one that the claim has locked, its owner. claim is zero where nobody knows whose the file
// is.
func (s *Store) survivor(n fileNumber, claim id, file inode) (who survivor, ok bool) {
	w, ok := s.readWitness(n)
	if !ok || w.boot != s.boot || !claim.zero() && w.claim != claim {
		return who, false
	}
	processes := w.commands
	if file != w.file {
		processes = append(processes, w.owner)
	}
	for i, p := range processes {
		if here, ok := s.find(p, w.pidNamespace); ok {
			return survivor{n, here, i == len(w.commands)}, true
		}
	}
	return who, false
}

// dead reports whether a claim has no process any more: its lock is free, and none of its processes lives. Of one that
// lives without its lock the change remembers the process, so that the gatekeeper can wait for its end.
func (c *change) dead(r *record) bool {
	file, free := c.s.free(r.file)
	if !free {
		return false
	}
	who, alive := c.s.survivor(r.file, r.id, file)
	if alive {
		c.survivors = append(c.survivors, who)
	}
	return !alive
}

// survivor is a process that keeps a claim alive without its lock.
type survivor struct {
	file    fileNumber
	process lifeOf
	owner   bool // not the command: the claim has lost its file alone
}
