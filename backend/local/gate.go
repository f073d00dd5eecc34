package local

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"limit/backend/proc"
)

const (
	pollEvery   = 100 * time.Millisecond // where the kernel cannot watch a directory
	alarmAtMost = 30 * time.Second       // timers stand still while the machine sleeps, the clock of the state does not
	overdue     = 2 * time.Second        // a gatekeeper so late for an alarm is stopped
	firstRelief = 200 * time.Microsecond
	lastRelief  = time.Second
)

// sightAfter are the pauses before a file that was closed is asked after: what was released cleanly may be in use again
// by then.
func sightAfter(asked int) time.Duration { return firstSight << (3 * asked) }

const (
	firstSight = time.Millisecond
	sights     = 3 // how often it is asked after
)

// gate is an entry's part in keeping the gate: it keeps it, or listens whether the keeper lives. It belongs to the
// goroutine of the entry, but for the time before that begins and after it has ended.
type gate struct {
	ear  *os.File // the reading end, of one who does not keep the gate
	lost chan struct{}

	hold    *os.File // the writing end, of the keeper
	watch   *watch   // nil where the kernel has none to give
	handing bool     // granted or gone: keeps the gate until another has taken it

	exits   map[survivor]*os.File // of processes whose claims live without a lock
	ended   chan fileNumber       // whose process has
	unheard bool                  // the end of one cannot be waited for
	astray  bool                  // one who waits cannot be told: its file is missing

	suspects map[fileNumber]int // seen, and how often asked after
	fresh    bool               // there are some that were not asked after yet
	overflow bool

	pollTimer, alarmTimer, reliefTimer, sightTimer timer

	reliefAfter time.Duration
}

// gateKept reports whether the gate has a keeper who lives.
func (c *change) gateKept() bool {
	keeper := c.img.find(c.head.keeper)
	return keeper != nil && keeper.standing() && !c.dead(keeper)
}

// joinGate takes the gate if it is vacant, and listens to its keeper if not. Under the lock, so a keeper cannot be lost
// between the question and the listening: his death closes the writing end.
func (c *change) joinGate(e *entry, recheck bool) error {
	g := &e.gate
	if c.head.keeper == e.id && g.hold != nil {
		return nil
	}
	g.drop() // a keeper who was stopped and relieved
	late := recheck && c.img.alarm < c.now-overdue
	if g.ear != nil && !late {
		if keeper := c.img.find(c.head.keeper); keeper != nil && keeper.standing() {
			return nil // the ear tells of his death
		}
	}
	if c.gateKept() && !late {
		if err := g.listen(e); !notFound(err) {
			return err // of a gate that a cleaner has removed the new one is taken: nobody else has its writing end
		}
	}
	return c.takeGate(e)
}

// takeGate makes the entry the keeper. Nobody is woken by that: the old keeper keeps his writing end until he sees it.
func (c *change) takeGate(e *entry) error {
	c.s.step("take gate")
	fd, err := c.s.openAt(c.s.fd, "gate", unix.O_RDWR|unix.O_NONBLOCK, unix.S_IFIFO)
	if err == unix.ENOENT {
		if err = c.s.makeFIFO(c.s.fd, c.s.path, "gate"); err == nil {
			fd, err = c.s.openAt(c.s.fd, "gate", unix.O_RDWR|unix.O_NONBLOCK, unix.S_IFIFO)
		}
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", c.s.file("gate"), c.s.advise(err))
	}
	g := &e.gate
	g.closeEar()
	g.hold = os.NewFile(uintptr(fd), c.s.file("gate"))
	if !c.s.opts.noWatch {
		g.watch = newWatch(c.s.file("claims"), watchDeaths)
		for dir := c.s.path; g.watch != nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			g.watch.add(dir, watchGone)
		}
	}
	if g.watch == nil {
		g.pollTimer.set(jitter(pollEvery))
	}
	c.head.keeper = e.id
	c.img.alarm, c.dirty = c.next, true
	return nil
}

// listen opens the reading end.
func (g *gate) listen(e *entry) (err error) {
	if g.ear != nil {
		return nil
	}
	if g.ear, err = e.s.listen(e.s.fd, "gate"); err != nil {
		return err
	}
	if g.lost == nil {
		g.lost = make(chan struct{}, 1)
	}
	e.running.Add(1)
	go e.hearGate(g.ear, g.lost)
	return nil
}

// await waits for the ends of processes whose claims live without their locks.
func (g *gate) await(e *entry, survivors []survivor) {
	if g.ended == nil && len(survivors) > 0 {
		g.ended = make(chan fileNumber)
	}
	for _, s := range survivors {
		if g.exits[s] != nil {
			continue
		}
		exit, err := proc.OpenExit(s.process.pid)
		if err != nil {
			g.unheard = true // it is asked again and again
			continue
		}
		if g.exits == nil {
			g.exits = map[survivor]*os.File{}
		}
		g.exits[s] = exit
		gone := !e.s.lives(s.process) // since it was found; the number may be another's now
		e.running.Go(func() {
			if !gone {
				proc.AwaitExit(exit)
			}
			select {
			case g.ended <- s.file:
			case <-e.ctx.Done():
			}
		})
	}
}

// exited notes that the process of a claim without lock has ended.
func (g *gate) exited(n fileNumber) {
	for s, exit := range g.exits {
		if s.file == n {
			exit.Close()
			delete(g.exits, s)
		}
	}
	g.note(sight{files: []fileNumber{n}})
}

// forgetExits waits for no process any more.
func (g *gate) forgetExits() {
	for _, exit := range g.exits {
		exit.Close()
	}
	g.exits, g.unheard = nil, false
}

// seen are the deaths that the keeper's watch reports.
func (g *gate) seen() <-chan sight {
	if g.watch == nil {
		return nil
	}
	return g.watch.seen
}

// note collects what the watch has seen; the sight timer says when to ask after it.
func (g *gate) note(s sight) {
	if g.suspects == nil {
		g.suspects = map[fileNumber]int{}
	}
	for _, n := range s.files {
		g.suspects[n] = 0
	}
	g.overflow = g.overflow || s.overflow
	if !g.fresh {
		g.fresh = true
		g.sightTimer.set(sightAfter(0))
	}
	if s.blind && g.watch != nil {
		g.watch.close()
		g.watch = nil // it polls from now on
	}
}

// probe returns the suspects that are not locked. A file that is locked may be in use again, or its process is not
// quite dead: the kernel tells that it was closed before it gives up the lock. So it is asked after again.
func (g *gate) probe(unlocked func(fileNumber) bool) lookReason {
	why := lookReason{sweep: g.overflow}
	g.overflow, g.fresh = false, false
	next := sights
	for n, asked := range g.suspects {
		switch asked++; {
		case unlocked(n):
			why.suspects = append(why.suspects, n)
			delete(g.suspects, n)
		case asked == sights:
			delete(g.suspects, n)
		default:
			g.suspects[n] = asked
			next = min(next, asked)
		}
	}
	if next < sights {
		g.sightTimer.set(sightAfter(next))
	}
	return why
}

// setTimers is called after each look, at a time of the store's clock.
func (g *gate) setTimers(alarm, now time.Duration) {
	switch {
	case g.hold == nil:
		return
	case g.watch == nil || g.unheard:
		g.pollTimer.set(jitter(pollEvery))
	}
	g.alarmTimer.stop()
	if alarm != never {
		g.alarmTimer.set(min(max(alarm-now, 0), alarmAtMost))
	}
	if g.handing && g.reliefAfter == 0 {
		g.reliefAfter = firstRelief
		g.reliefTimer.set(g.reliefAfter)
	}
}

// ring reports whether the alarm is due now, and winds the timer again if not.
func (g *gate) ring(alarm, now time.Duration) bool {
	if left := alarm - now; left > 0 {
		g.alarmTimer.set(min(left, alarmAtMost))
		return false
	}
	return true
}

// checkRelief lets the gate go once another keeps it.
func (g *gate) checkRelief(e *entry) {
	if !g.handing {
		g.reliefAfter = 0
		return
	}
	if e.s.keeper() != e.id {
		g.drop()
		return
	}
	g.reliefAfter = min(2*g.reliefAfter, lastRelief)
	g.reliefTimer.set(g.reliefAfter)
}

// handGateOn is called by a keeper who has left the order: it keeps the gate until the heir has it, so that its going
// wakes nobody else. An heir who does not come within a second leaves the gate to whoever that wakes first.
func (e *entry) handGateOn(ctx context.Context, heirs bool) {
	if e.gate.hold == nil || !heirs {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	wait := time.NewTimer(0)
	defer wait.Stop()
	for after := firstRelief; ; after *= 2 {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		if e.s.keeper() != e.id || !e.s.anyHeir(ctx) {
			return
		}
		wait.Reset(after)
	}
}

// anyHeir reports whether anybody waits, and may take the gate.
func (s *Store) anyHeir(ctx context.Context) (heirs bool) {
	s.peek(ctx, func(c *change) error {
		heirs = c.img.anyStanding()
		return nil
	})
	return heirs
}

// drop lets the gate go.
func (g *gate) drop() {
	if g.hold != nil {
		g.hold.Close()
	}
	g.hold, g.handing, g.reliefAfter = nil, false, 0
	g.suspects, g.overflow, g.fresh = nil, false, false
	g.forgetExits()
	g.stop()
	if g.watch != nil {
		g.watch.close()
		g.watch = nil
	}
}

// rest is called when nothing is to be heard or timed any more; the gate itself stays held.
func (g *gate) rest() {
	g.forgetExits()
	g.stop()
	g.closeEar()
}

// stop stops the timers.
func (g *gate) stop() {
	g.pollTimer.stop()
	g.alarmTimer.stop()
	g.reliefTimer.stop()
	g.sightTimer.stop()
}

func (g *gate) closeEar() {
	if g.ear != nil {
		g.ear.Close()
		g.ear = nil
	}
}

func (g *gate) close() {
	g.drop()
	g.closeEar()
}

// timer is a time.Timer that is made when it is first set.
type timer struct{ t *time.Timer }

func (t *timer) C() <-chan time.Time {
	if t.t == nil {
		return nil
	}
	return t.t.C
}

func (t *timer) set(d time.Duration) {
	if t.t == nil {
		t.t = time.NewTimer(d)
		return
	}
	t.t.Reset(d)
}

func (t *timer) stop() {
	if t.t != nil {
		t.t.Stop()
	}
}

// jitter is d to 2d, so that many do not do the same at the same time.
func jitter(d time.Duration) time.Duration { return d + rand.N(d) }
