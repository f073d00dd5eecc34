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
	state                       byte
	start                       uint64 // in ticks since boot: tells it from a later process of the same number
}

func (i info) dead() bool { return i.state == 'Z' || i.state == 'X' }

// tree returns the living processes of all that are roots or descend from one, and neither are apart nor descend through
// one that is.
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

// members returns what lives of the command, of its group and of its tree. A command with Forward also has the orphans that this
// process adopted. The lock is held.
func (p *Process) members() []info {
	s := p.s
	root := func(i info) bool {
		switch {
		case i.pid == p.pid && !p.gone:
			return true
		case p.c.ownGroup() && i.group == p.pid:
			return true
		case p.c.Forward && i.parent == s.self && s.procs[i.pid] == nil:
			return true
		}
		return marked(i.pid, p.c.Mark)
	}
	apart := func(i info) bool {
		other := s.procs[i.pid]
		return i.pid == s.self || s.apart[i.pid] || other != nil && other != p
	}
	return append(groupLeft(p), tree(processes(), root, apart)...)
}

// KillTree kills root with all that descends from it and all processes with the entry mark (NAME=value, "": none) in the
// environment they were started with, again and again until none is left or ctx ends: then its error. It needs no
// parenthood: a guardian beside the wrapper uses it when the wrapper is dead. This process itself is spared, and so are
// processes it may not signal.
// Without /proc (darwin) it kills root and its process group alone.
func KillTree(ctx context.Context, root int, mark string) error {
	killGroup(root)
	first := find(root)
	isRoot := func(i info) bool { return i.pid == first.pid && i.start == first.start || marked(i.pid, mark) }
	self := func(i info) bool { return i.pid == os.Getpid() }
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		alive := 0
		for _, i := range tree(processes(), isRoot, self) {
			if i.signal(syscall.SIGKILL) {
				alive++
			}
		}
		if alive == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
