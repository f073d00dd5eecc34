//go:build linux

package soak

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// timeline tells which values of a limit can have been in force.
type timeline []segment

type segment struct {
	from        int64
	least, most int
}

// lines makes a timeline of each limit from the changes in the order in which they were made; each limit's changes were
// made one after another.
func (j *journal) lines() map[string]timeline {
	lines := map[string]timeline{}
	for name, value := range j.limits {
		lines[name] = timeline{{0, value, value}}
	}
	changes := slices.SortedFunc(slices.Values(j.changes), func(a, b change) int { return cmp.Compare(a.from, b.from) })
	for _, c := range changes {
		line := lines[c.limit]
		before := line[len(line)-1]
		line = append(line, segment{c.from, min(before.least, c.value), max(before.most, c.value)})
		if c.ok {
			line = append(line, segment{c.to, c.value, c.value})
		}
		lines[c.limit] = line
	}
	return lines
}

// most is the largest value that can have been in force between two times.
func (l timeline) most(from, to int64) int {
	most := 0
	for i, s := range l {
		if s.from <= to && (i+1 == len(l) || l[i+1].from >= from) {
			most = max(most, s.most)
		}
	}
	return most
}

// overLimits finds the moments at which more slots were held than any limit allows that can have been in force when the
// last of the holders was granted. That one was granted after all of them had come, and before it started: by then all
// of them had been granted, and none had ended.
func (j *journal) overLimits() []string {
	var found []string
	lines := j.lines()
	for limit, line := range lines {
		holders := j.holders(limit)
		for _, e := range holders {
			used, come := 0, int64(0)
			var with []int
			for _, h := range holders {
				if h.started <= e.started && (h == e || h.surely() > e.started) {
					used += h.needs[limit]
					come = max(come, h.spawned)
					with = append(with, h.id)
				}
			}
			if most := line.most(come, e.started); used > most {
				found = append(found, fmt.Sprintf("%s: %d slots were held at %d by calls %v, at most %d were "+
					"allowed; the last:\n%v",
					limit, used, e.started, with, most, e))
			}
		}
	}
	return found
}

// holders are the calls that held slots of a limit.
func (j *journal) holders(limit string) []*entry {
	var all []*entry
	for _, e := range j.entries {
		if e.needs[limit] > 0 && e.started > 0 {
			all = append(all, e)
		}
	}
	return all
}

// disorder finds tokens that did not rise: whoever came after another's command had ended has the larger one. greatest
// is that of the epochs before.
func (j *journal) disorder(namespace string, greatest int64) (found []string, greatestNow int64) {
	var came, gone []*entry
	for _, e := range j.entries {
		if e.started == 0 || e.dag || e.namespace != namespace {
			continue
		}
		came = append(came, e)
		if e.ended > 0 {
			gone = append(gone, e)
		}
	}
	slices.SortFunc(came, func(a, b *entry) int { return cmp.Compare(a.spawned, b.spawned) })
	slices.SortFunc(gone, func(a, b *entry) int { return cmp.Compare(a.ended, b.ended) })
	last := &entry{what: "the epochs before", token: greatest}
	seen := map[int64]*entry{}
	for _, e := range came {
		for len(gone) > 0 && gone[0].ended < e.spawned {
			if gone[0].token > last.token {
				last = gone[0]
			}
			gone = gone[1:]
		}
		if e.token <= last.token {
			found = append(found, fmt.Sprintf("token %d was given after %d:\n%v\n%v", e.token, last.token, e, last))
		}
		if twin := seen[e.token]; twin != nil {
			found = append(found, fmt.Sprintf("token %d was given twice:\n%v\n%v", e.token, e, twin))
		}
		seen[e.token] = e
		greatest = max(greatest, e.token)
	}
	return found, greatest
}

// Stall is the longest time in which a call that was admissible waited, less the time in which faults were at work; and
// the longest with it.
type Stall struct {
	Length, Faulty time.Duration
	Call           string
	Whole          time.Duration
}

// worse takes over what is longer of another stall.
func (s *Stall) worse(than Stall) {
	whole := max(s.Whole, than.Whole)
	if than.Length > s.Length {
		*s = than
	}
	s.Whole = whole
}

// stall sweeps the epoch. A call is admissible for certain when it is the first in order of those who wait in each of
// its limits, and fits whatever value of each is in force, whoever may still hold; those that reserve, and those whose
// place in the order is not known, are left out.
func (j *journal) stall(reserve, settle time.Duration) Stall {
	s := &sweep{journal: j, reserve: int64(reserve), settle: settle, used: map[string]int{}, least: map[string]int{},
		since: map[*entry]int64{}}
	for name, value := range j.limits {
		s.least[name] = value
	}
	for _, m := range s.moments() {
		m.do()
		s.look(m.at)
	}
	return s.worst
}

type sweep struct {
	journal *journal
	reserve int64
	settle  time.Duration
	used    map[string]int
	least   map[string]int
	waiting []*entry
	since   map[*entry]int64 // when a call became admissible
	worst   Stall
}

type moment struct {
	at int64
	do func()
}

func (s *sweep) moments() []moment {
	var all []moment
	for _, e := range s.journal.entries {
		if e.started > 0 {
			since := e.started
			if e.dag {
				since = e.spawned
			}
			all = append(all, moment{since, func() { s.hold(e, 1) }},
				moment{e.perhaps(s.settle), func() { s.hold(e, -1) }})
		}
		if !e.waits {
			continue
		}
		all = append(all, moment{e.spawned, func() { s.waiting = append(s.waiting, e) }})
		leaves := e.started
		if leaves == 0 {
			leaves = e.exited
		}
		for _, k := range e.killed {
			leaves = min(leaves, k.from)
		}
		if leaves > 0 {
			all = append(all, moment{leaves, func() { s.leave(e, leaves) }})
		}
	}
	for name, line := range s.journal.lines() {
		for _, part := range line {
			all = append(all, moment{part.from, func() { s.least[name] = part.least }})
		}
	}
	slices.SortStableFunc(all, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	return all
}

func (s *sweep) hold(e *entry, sign int) {
	for limit, slots := range e.needs {
		s.used[limit] += sign * slots
	}
}

func (s *sweep) leave(e *entry, at int64) {
	s.close(e, at)
	s.waiting = slices.DeleteFunc(s.waiting, func(w *entry) bool { return w == e })
}

// close ends the time in which a call was admissible.
func (s *sweep) close(e *entry, at int64) {
	since, ok := s.since[e]
	if !ok {
		return
	}
	delete(s.since, e)
	faulty := s.journal.faulty(since, at)
	whole := time.Duration(at - since)
	s.worst.worse(Stall{whole - faulty, faulty, e.String(), whole})
}

func (s *sweep) look(at int64) {
	for _, e := range s.waiting {
		admissible := s.admissible(e, at)
		if _, known := s.since[e]; !admissible {
			s.close(e, at)
		} else if !known {
			s.since[e] = at
		}
	}
}

func (s *sweep) admissible(e *entry, at int64) bool {
	for limit, slots := range e.needs {
		if e.bumped || s.used[limit]+slots > s.least[limit] {
			return false
		}
		for _, w := range s.waiting {
			if w == e || w.needs[limit] == 0 {
				continue
			}
			first := w.priority > e.priority || w.priority == e.priority && w.spawned < e.spawned
			if first || w.bumped || at-w.spawned > s.reserve*9/10 {
				return false
			}
		}
	}
	return true
}
