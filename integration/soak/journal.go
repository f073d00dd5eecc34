//go:build linux

package soak

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// now is CLOCK_MONOTONIC in nanoseconds.
func now() int64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// entry is one call in the journal. Times are nanoseconds of CLOCK_MONOTONIC, 0: not happened.
type entry struct {
	id        int
	namespace string
	what      string         // the call as it was typed
	needs     map[string]int // limit → slots: pool:a, runs, tag:tenant=acme
	priority  int
	waits     bool   // it takes part in the order as what it is: no inner call, no step, no rate
	outer     *entry // the call that this one is nested in or a step of
	bumped    bool   // its place in the order is not known any more
	dag       bool   // it holds what it needs without a command of its own, while its steps run

	spawned, exited int64
	code            int // exit status as a shell shows it
	killed          []death
	output          string

	// From what the command wrote.
	started, ended, lastEnded int64
	token                     int64
	slots                     string
}

type span struct{ from, to int64 }

// death is when processes of a call were killed: they lived at from, and were dead at to.
type death struct {
	span
	wrapper, command bool
}

// change is a change of a limit: begun and ended, with the value that may be in force from begun on and is surely from
// ended on, if ok.
type change struct {
	limit string
	value int
	span
	ok bool
}

// journal is what happened when in one epoch.
type journal struct {
	mu       sync.Mutex
	entries  []*entry
	changes  []change
	failing  []span         // times in which calls may fail
	outages  []span         // times in which a fault was at work
	limits   map[string]int // in force when the epoch began
	late     int            // locks that came free after the slot, by the death of processes
	overlaps []string       // as the commands noted them
}

func newJournal(limits map[string]int) *journal { return &journal{limits: limits} }

// open makes an entry; the ids begin at 1.
func (j *journal) open(e entry) *entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.id = len(j.entries) + 1
	j.entries = append(j.entries, &e)
	return &e
}

func (j *journal) exited(e *entry, at int64, code int, output string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.exited, e.code, e.output = at, code, output
}

// killed notes that processes of a call were killed.
func (j *journal) killed(call int, d death) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if call > 0 {
		e := j.entries[call-1]
		e.killed = append(e.killed, d)
	}
}

// changing notes that a change has begun, and returns its number; changed that it has succeeded.
func (j *journal) changing(c change) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changes = append(j.changes, c)
	return len(j.changes) - 1
}

func (j *journal) changed(number int, at int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changes[number].to, j.changes[number].ok = at, true
}

// bump notes that a call was given another priority.
func (j *journal) bump(call string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if id, err := strconv.Atoi(call); err == nil && id > 0 && id <= len(j.entries) {
		j.entries[id-1].bumped = true
	}
}

// outage notes that a fault was at work; where it fails, calls may end with 125 or 76 meanwhile.
func (j *journal) outage(from, to int64, fails bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.outages = append(j.outages, span{from, to})
	if fails {
		j.failing = append(j.failing, span{from, to})
	}
}

// read takes in what the commands wrote.
func (j *journal) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading the commands' journal: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if err := j.take(strings.Split(lines.Text(), " ")); err != nil {
			return fmt.Errorf("the commands' journal has %q: %w", lines.Text(), err)
		}
	}
	return lines.Err()
}

func (j *journal) take(fields []string) error {
	if len(fields) < 4 {
		return fmt.Errorf("too few fields")
	}
	id, err := strconv.Atoi(fields[1])
	if err != nil || id < 1 || id > len(j.entries) {
		return fmt.Errorf("no such call")
	}
	at, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return err
	}
	e := j.entries[id-1]
	switch fields[0] {
	case "start":
		if e.started != 0 {
			return fmt.Errorf("the call has started before: %s", e.what)
		}
		e.started, e.slots = at, fields[5]
		e.token, err = strconv.ParseInt(fields[4], 10, 64)
		return err
	case "end", "gone":
		if e.ended == 0 && fields[0] == "end" {
			e.ended = at
		}
		e.lastEnded = max(e.lastEnded, at)
	case "overlap":
		j.overlaps = append(j.overlaps, fmt.Sprintf("slot %s was given to call %d (token %s) while process %s lived "+
			"in it%s\n%v",
			fields[4], id, fields[5], fields[6], j.livedThere(fields[4], at), e))
	case "late":
		j.late++
	}
	return nil
}

// livedThere shows the last call that was in a slot before a time.
func (j *journal) livedThere(slot string, at int64) string {
	var last *entry
	for _, e := range j.entries {
		if e.started > 0 && e.started < at && slices.Contains(strings.Split(e.slots, ","), slot) &&
			(last == nil || last.started < e.started) {
			last = e
		}
	}
	if last == nil {
		return ""
	}
	return "; the last there:\n" + last.String()
}

// surely is until when the call surely held its slots, once it had started.
func (e *entry) surely() int64 {
	if e.ended > 0 {
		return e.ended
	}
	for _, k := range e.killed {
		if k.command {
			return max(e.started, k.from)
		}
	}
	return e.started
}

// perhaps is until when it may have held them; settle is how long after a death the store may keep them.
func (e *entry) perhaps(settle time.Duration) int64 {
	end := max(e.exited, e.lastEnded)
	if e.outer != nil {
		return max(end, e.outer.perhaps(settle))
	}
	for _, k := range e.killed {
		if k.wrapper {
			end = max(end, k.to+int64(settle))
		}
	}
	return end
}

// gather gives the dags of the epoch the times of their steps.
func (j *journal) gather() {
	for _, e := range j.entries {
		if dag := e.outer; dag != nil && dag.dag && e.started > 0 {
			if dag.started == 0 || e.started < dag.started {
				dag.started = e.started
			}
			dag.ended = max(dag.ended, e.ended)
		}
	}
}

// faulty is how long faults were at work between two times.
func (j *journal) faulty(from, to int64) time.Duration {
	total := int64(0)
	at := from
	for _, o := range j.outages { // sorted and joined by tidy
		if o.to <= at || o.from >= to {
			continue
		}
		total += min(o.to, to) - max(o.from, at)
	}
	return time.Duration(total)
}

// tidy sorts the outages and joins those that overlap.
func (j *journal) tidy() {
	slices.SortFunc(j.outages, func(a, b span) int { return int(min(max(a.from-b.from, -1), 1)) })
	var joined []span
	for _, o := range j.outages {
		if n := len(joined); n > 0 && o.from <= joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, o.to)
			continue
		}
		joined = append(joined, o)
	}
	j.outages = joined
}

// String shows a call as it went.
func (e *entry) String() string {
	return fmt.Sprintf("call %d: %s\n  needs %v spawned %d started %d ended %d exited %d code %d killed %v token %d "+
		"slots %s\n  %s",
		e.id, e.what, e.needs, e.spawned, e.started, e.ended, e.exited, e.code, e.killed, e.token, e.slots, e.output)
}

// surprising tells why a call's end is none that the faults, the limits and the other calls can have brought about; "":
// it is one.
func (j *journal) surprising(e *entry) string {
	if strings.Contains(e.output, "panic:") || strings.Contains(e.output, "goroutine 1") {
		return "a panic"
	}
	if e.exited == 0 || len(e.killed) > 0 {
		return ""
	}
	switch e.code {
	case 0, 75, 124, 137, 143:
		return ""
	case 1:
		if e.dag {
			return ""
		}
	case 76, 125:
		for _, o := range j.failing {
			if o.from <= e.exited && o.to >= e.spawned {
				return ""
			}
		}
		steers := !strings.HasPrefix(e.what, "limit run") && !strings.HasPrefix(e.what, "limit pool") &&
			!strings.HasPrefix(e.what, "limit status") && !e.dag
		if e.code == 125 && (steers || e.needs["pool:wide"]+e.needs["pool:narrow"] > 1) {
			return "" // there is no such claim any more, or the limit is lower than what is asked for
		}
	}
	return fmt.Sprintf("exit status %d is none that can be", e.code)
}
