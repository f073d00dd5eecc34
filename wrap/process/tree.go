package process

import (
	"context"
	"os"
	"syscall"
	"time"
)

// info is what /proc tells of a process.
type info struct {
	pid, parent, group, session int
	state                       byte   // of its first thread
	threads                     int    // 0: not known
	start                       uint64 // in ticks since boot: tells it from a later process of the same number
	marked                      bool   // it has the mark that was asked for
	unsure                      bool   // or may have it
}

// identity is what of a process never changes.
func (i info) identity() info { return info{pid: i.pid, start: i.start} }

// dead reports whether nothing of the process runs. It does while threads are left, though the first has exited and
// shows as a zombie.
func (i info) dead() bool { return i.state == 'X' || i.state == 'Z' && i.threads <= 1 }

// tree returns the living processes of all that are roots or descend from one, and neither are apart nor descend
// through one that is.
func tree(all []info, root, apart func(info) bool) []info {
	children := map[int][]info{}
	var left []info
	for _, i := range all {
		children[i.parent] = append(children[i.parent], i)
		if root(i) {
			left = append(left, i)
		}
	}
	var found []info
	seen := map[int]bool{}
	for len(left) > 0 {
		i := left[len(left)-1]
		left = left[:len(left)-1]
		if seen[i.pid] || apart(i) {
			continue
		}
		seen[i.pid] = true
		if !i.dead() {
			found = append(found, i)
		}
		left = append(left, children[i.pid]...)
	}
	return found
}

// members returns what lives of the command, of its group and of its tree. A command with Forward also has the orphans
// that this process adopted. Unsure: it may be more. The lock is held.
func (p *Process) members() (found []info, unsure bool) {
	s := p.s
	root := func(i info) bool {
		switch {
		case i.pid == p.pid && !p.gone && (p.other == nil || p.other.identity() == i.identity()):
			return true
		case p.c.ownGroup() && i.group == p.pid, p.kin[i.identity()]:
			return true
		case p.c.Forward && i.parent == s.self && s.procs[i.pid] == nil:
			return true
		}
		unsure = unsure || i.unsure && i.parent == s.self
		return i.marked
	}
	apart := func(i info) bool {
		other := s.procs[i.pid]
		return i.pid == s.self || s.apart[i.pid] || other != nil && other != p
	}
	all, _ := processes(p.c.Mark)
	found = append(groupLeft(p), tree(all, root, apart)...)
	for _, i := range found {
		if p.other != nil {
			p.kin[i.identity()] = true
		}
	}
	return found, unsure
}

// KillTree kills root with all that descends from it and all processes with the entry mark (NAME=value, "": none) in
// the environment they were started with, again and again until none is left or ctx ends: then its error. It needs no
// parenthood: a guardian beside the wrapper uses it when the wrapper is dead. This process itself is spared. A process
// that this one may not signal is waited for. Without /proc (darwin) it kills root and its process group alone.
func KillTree(ctx context.Context, root int, mark string) error {
	killGroup(root)
	first := find(root)
	h := &treeKiller{root: first.identity(), mark: mark, died: map[info]bool{}}
	const patience = 20 // scans without a find, though there may be somebody: it is a busy machine
	for empty := 0; empty < patience; {
		pause := time.Millisecond
		switch h.killAll() {
		case allGone:
			if empty++; h.sure {
				return nil
			}
		case someSpared:
			empty, pause = 0, tick
		case someKilled:
			empty = 0
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil
}

// What killAll found.
const (
	allGone    = iota // nothing
	someSpared        // only processes that may not be signalled
	someKilled
)

// treeKiller looks for processes that come and go while it looks.
type treeKiller struct {
	root info
	mark string
	died map[info]bool // zombies of the scans so far
	// nobody exited during the last scan, whose children it may have missed, and nobody was in an exec
	sure bool
}

func (h *treeKiller) scan() []info {
	all, vanished := processes(h.mark)
	h.sure = !vanished
	for _, i := range all {
		key := i.identity()
		if i.unsure || i.dead() && !h.died[key] {
			h.sure = false
		}
		if i.dead() {
			h.died[key] = true
		}
	}
	root := func(i info) bool { return i.marked || i.identity() == h.root }
	return tree(all, root, func(i info) bool { return i.pid == os.Getpid() })
}

// killAll kills what is found. First all are stopped, until a scan finds no others: what is
// stopped makes no children, and its children do not lose their parent.
func (h *treeKiller) killAll() (result int) {
	stopped := map[info]bool{}
	const rounds = 10 // against one who makes children as fast as that
	found := h.scan()
	for range rounds {
		more := false
		for _, i := range found {
			if key := i.identity(); !stopped[key] {
				stopped[key] = true
				more = i.signal(syscall.SIGSTOP) == nil || more
			}
		}
		if !more {
			break
		}
		found = h.scan()
	}
	for _, i := range found {
		switch i.signal(syscall.SIGKILL) {
		case nil:
			result = someKilled
		case syscall.EPERM:
			result = max(result, someSpared)
		}
	}
	return result
}
