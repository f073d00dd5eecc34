package local

import (
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"limit/backend"
	"limit/backend/proc"
)

// findOrphans marks the held claims whose wrapper is gone while processes of its command live. /proc is searched only
// where the wrapper, by its recorded number, does not hold the claim's file open. Where neither the details, which may
// have been removed, nor /proc say who the wrapper is, a claim is not an orphan.
func (s *Store) findOrphans(snap *backend.Snapshot, held []fileNumber) {
	suspects := map[inode][]*backend.HeldClaim{}
	for n, i := range held {
		var st unix.Stat_t
		if unix.Fstatat(s.claims, i.name(), &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		at := inode{uint64(st.Dev), st.Ino}
		if h := &snap.Held[n]; h.PID > 0 && !holds(h.PID, at) {
			suspects[at] = append(suspects[at], h)
		}
	}
	if len(suspects) == 0 {
		return
	}
	for _, pid := range proc.All() {
		for _, at := range openFiles(pid) {
			for _, h := range suspects[at] {
				if !slices.Contains(h.PIDs, pid) {
					h.PIDs = append(h.PIDs, pid)
				}
			}
		}
	}
	for _, suspect := range suspects {
		for _, h := range suspect {
			h.Orphaned = len(h.PIDs) > 0 && !slices.ContainsFunc(h.PIDs, func(pid int) bool { return wraps(pid, h) })
			if !h.Orphaned {
				h.PIDs = nil
			}
		}
	}
}

// noteSurvivors marks the held claims that live without their locks, by a process of their command.
func noteSurvivors(snap *backend.Snapshot, held []fileNumber, survivors []survivor) {
	for n := range snap.Held {
		h := &snap.Held[n]
		if h.PID == 0 {
			continue
		}
		for _, s := range survivors {
			if pid := s.process.pid; !s.owner && s.file == held[n] && !wraps(pid, h) && !slices.Contains(h.PIDs, pid) {
				h.Orphaned, h.PIDs = true, append(h.PIDs, pid)
			}
		}
	}
}

// wraps reports whether a process is the wrapper of a claim.
func wraps(pid int, h *backend.HeldClaim) bool {
	number, _ := numberWithin(pid)
	return number == h.PID
}

// inode names a file.
type inode struct{ dev, ino uint64 }

// holds reports whether a process has a file open.
func holds(pid int, at inode) bool {
	for _, open := range openFiles(pid) {
		if open == at {
			return true
		}
	}
	return false
}

// openFiles are the FIFOs that a process has open for reading and writing, as those of a claim have its file. Others
// open it for the one or the other, for a moment.
func openFiles(pid int) []inode {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var open []inode
	for _, e := range entries {
		link, err := e.Info()
		if err != nil || link.Mode()&0o600 != 0o600 {
			continue
		}
		if at, ok := fifoAt(dir + "/" + e.Name()); ok {
			open = append(open, at)
		}
	}
	return open
}

// numberWithin is a process's number in its own PID namespace, which is what a wrapper in a container has recorded. It
// is below where that is not the PID namespace of this process.
func numberWithin(pid int) (number int, below bool) {
	numbers := proc.Numbers(pid)
	if len(numbers) == 0 {
		return pid, false
	}
	return numbers[len(numbers)-1], len(numbers) > 1
}
