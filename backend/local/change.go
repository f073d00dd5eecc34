package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"limit/backend"
)

// never is the alarm of a gatekeeper that waits for no time.
const never = time.Duration(math.MaxInt64)

// change is one change of the state, under its lock.
type change struct {
	s       *Store
	head    header
	img     *image
	now     time.Duration
	dirty   bool // the image is to be written
	within  id   // the claim of the caller, which need not be woken
	touched bool // others than the caller's claim have changed
	minded  bool // the rule was asked: next is when it is to be asked again
	next    time.Duration
	news    bool  // what blocks others may have changed
	unheard error // why somebody who is there could not be woken

	survivors []survivor     // found by dead
	buried    []backend.Past // to be remembered once the change is written
	hear      []fileNumber   // of those who are to hear of it then
	peeked    bool           // without the lock: nothing is to be written
	details   int            // of one who peeked: descriptor, or -1
}

// change locks the state, calls apply, and writes what apply has changed. When apply fails, nothing is written.
func (s *Store) change(ctx context.Context, apply func(c *change) error) error {
	return s.changeWithin(ctx, s.opts.Patience, apply)
}

// changeWithin is change with another patience. What needs no lock comes afterwards: those who want to know what blocks
// them hear of it, and the dead are remembered.
func (s *Store) changeWithin(ctx context.Context, patience time.Duration, apply func(c *change) error) error {
	c, err := s.changeLocked(ctx, patience, apply)
	if err != nil {
		return err
	}
	for _, n := range c.hear {
		s.send(n, newsByte)
	}
	for _, p := range c.buried {
		s.remember(ctx, p, c.img.settings)
	}
	return nil
}

func (s *Store) changeLocked(ctx context.Context, patience time.Duration,
	apply func(c *change) error) (*change, error) {
	if err := s.lockWithin(ctx, patience); err != nil {
		return nil, err
	}
	defer s.unlock()
	c, err := s.load()
	if err != nil {
		return nil, err
	}
	if err := apply(c); err != nil {
		return nil, err
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	c.hear = c.watchers()
	return c, nil
}

// watchers are the files of those who want to know what has changed.
func (c *change) watchers() (files []fileNumber) {
	for i := range c.img.claims {
		if r := &c.img.claims[i]; c.news && r.watches && r.standing() && r.id != c.within {
			files = append(files, r.file)
		}
	}
	return files
}

// load reads the state and mends what a death has left: settings that are newer than the image, the claims of an
// earlier boot.
func (s *Store) load() (*change, error) {
	c := &change{s: s, now: s.clock()}
	var err error
	c.head, c.img, err = s.readState(&s.buf, s.records)
	if err == nil {
		s.records = c.img.claims
		c.passTokens()
	}
	switch {
	case errors.Is(err, errNoState):
		err = c.startAnew()
	case err == nil && c.img.boot != s.boot && !c.sameBoot():
		err = c.startBoot()
	case err == nil && c.head.unsure:
		err = c.takeSettings()
	case err == nil && c.head.needy:
		_, _, err = s.readSettings() // it fails where a feature is lacking
	}
	if err == nil {
		err = c.mend()
	}
	if err != nil {
		return nil, err
	}
	if s.readOnly != nil {
		c.dirty = false // what was mended is for this reader alone
	}
	return c, nil
}

// mend writes again what a cleaner of old files has removed: once for each process, as nothing that is needed soon is
// among it.
func (c *change) mend() error {
	if c.s.mended || c.s.readOnly != nil || c.s.opts.examine {
		return nil
	}
	c.s.mended = true
	if c.img.ceiling > 0 && !c.s.has("tokens") {
		c.img.ceiling, c.dirty = 0, true
	}
	if c.img.settingsSet && !c.s.has("settings") {
		return c.s.writeSettings(c.img.settings, nil)
	}
	return nil
}

// startAnew makes an empty state where there is none or a damaged one, provided that no claim lives. What rates had
// admitted is unknown then, so they count as exhausted.
func (c *change) startAnew() error {
	s := c.s
	if err := c.clearClaims(); err != nil {
		return err
	}
	ceiling, known, err := s.readTokens()
	if err != nil {
		return err
	}
	c.head = header{}
	c.img = &image{boot: s.boot, token: ceiling, ceiling: ceiling, alarm: never}
	if c.img.settings, c.img.settingsSet, err = s.readSettings(); err != nil {
		return err
	}
	c.head.needy = len(c.img.settings.Needs()) > 0
	if known {
		for name, p := range c.img.settings.Pools {
			if p.Rate != nil {
				c.img.starts = append(c.img.starts, start{name, id{}, p.Rate.Slots, c.now})
			}
		}
	}
	c.dirty = true
	return nil
}

// startBoot carries the state over a reboot. It may be older than the last that was written, settings and tokens are
// not.
func (c *change) startBoot() error {
	if err := c.clearClaims(); err != nil {
		return err
	}
	c.img.restart(c.s.boot, c.now)
	ceiling, _, err := c.s.readTokens()
	if err != nil {
		return err
	}
	c.img.token, c.img.ceiling = max(c.img.token, ceiling), ceiling
	c.head.keeper = id{}
	return c.takeSettings()
}

// sameBoot reports whether the state is of this boot though its identity is another: a container may have one of its
// own. A lock that is held proves it. From then on the state's counts.
func (c *change) sameBoot() bool {
	names, err := namesIn(c.s.claims)
	if err != nil {
		return false
	}
	for _, name := range names {
		if n, ok := parseFile(name); ok && !c.s.unlocked(n) {
			c.s.boot = c.img.boot
			return true
		}
	}
	return false
}

// takeSettings brings the image up to the file settings.
func (c *change) takeSettings() error {
	settings, set, err := c.s.readSettings()
	if err != nil {
		return err
	}
	if set || !c.img.settingsSet { // else the file was removed: mend writes it again
		c.img.configure(settings, set)
	}
	c.head.needy, c.dirty = len(c.img.settings.Needs()) > 0, true
	c.news = true
	c.refuse()
	c.advance()
	return nil
}

// clearClaims removes the files of claims that are not in a state any more, if none of them lives.
func (c *change) clearClaims() error {
	names, err := namesIn(c.s.claims)
	if err != nil {
		return fmt.Errorf("reading the claims: %w", err)
	}
	var found, alive []fileNumber
	for _, name := range names {
		if n, ok := parseFile(name); ok {
			found = append(found, n)
			if c.s.inUse(n) {
				alive = append(alive, n)
			}
		}
	}
	if len(alive) > 0 {
		return &damagedError{c.s.file("state"), len(alive), c.s.file(alive[0].path())}
	}
	if c.s.readOnly == nil {
		for _, i := range found {
			c.s.removeFile(i)
		}
	}
	return nil
}

// commit writes the image if it has changed.
func (c *change) commit() error {
	if c.s.readOnly == nil {
		c.mindGate()
	}
	if !c.dirty {
		return nil
	}
	if c.s.readOnly != nil {
		return c.s.readOnly
	}
	if c.unheard != nil {
		return c.unheard
	}
	if err := c.s.coverTokens(c.img); err != nil {
		return err
	}
	c.img.forgetStarts(c.now)
	c.head.unsure, c.head.whole = false, c.img.anyWhole()
	if err := c.s.writeState(&c.head, c.img); err != nil {
		return err
	}
	c.dirty = false
	return nil
}

// remove takes a claim out of the state.
func (c *change) remove(i id) {
	if c.img.remove(i) {
		c.dirty, c.news = true, true
	}
}

// bury removes a claim that is dead. Its file is free for the next.
func (c *change) bury(i id) {
	if r := c.img.find(i); r != nil {
		c.buried = append(c.buried, c.epitaph(r))
	}
	c.remove(i)
	c.touched = true
}

// epitaph is what is remembered of a claim that was found dead.
func (c *change) epitaph(r *record) backend.Past {
	claim := *r.claim()
	decodeDetails(c.readDetails(r), &claim)
	p := backend.NewPast(&claim)
	p.Met(c.img.settings.Capacities(claim.Pools, claim.Runs))
	p.Ended, p.Waited, p.Outcome = wallClock(), max(0, c.now-r.since), backend.Outcome{How: backend.Abandoned}
	if r.asked {
		p.Reason = "asked to stop: " + r.reason
	}
	if r.grant != nil {
		p.Granted, p.Held = true, max(0, p.Ended.Sub(r.grant.GrantedAt))
		p.Waited = max(0, p.Waited-p.Held)
	}
	return p
}

// buryDead removes those of the claims that are dead, and reports whether there were any.
func (c *change) buryDead(ids []id) bool {
	found := false
	for _, i := range ids {
		if r := c.img.find(i); r != nil && i != c.within && c.dead(r) {
			c.bury(i)
			found = true
		}
	}
	return found
}

// owners are the claims that have the files.
func (c *change) owners(files []fileNumber) []id {
	var ids []id
	for i := range c.img.claims {
		if r := &c.img.claims[i]; slices.Contains(files, r.file) {
			ids = append(ids, r.id)
		}
	}
	return ids
}

// rotate checks one claim in turn: two changes for each claim outrun the deaths, so nothing piles up.
func (c *change) rotate() {
	n := len(c.img.claims)
	if n == 0 {
		return
	}
	c.img.cursor = (c.img.cursor + 1) % uint32(n)
	if c.buryDead([]id{c.img.claims[c.img.cursor].id}) {
		c.advance()
	}
}

// advance admits everyone whom the rule admits now and wakes them. One who is not there any more is buried, and the
// rule is asked again.
func (c *change) advance() {
	c.next = never
	for again := true; again && c.s.readOnly == nil && c.img.anyStanding(); {
		again = false
		var granted []*backend.Claim
		granted, c.next = c.admissible()
		if again = c.buryDead(c.outer(granted)); again {
			continue
		}
		for _, claim := range granted {
			i, _ := parseID(claim.ID) // the rule got it from a record
			r := c.img.find(i)
			c.grant(r, claim)
			if i != c.within && !c.reach(r) {
				c.img.forgetStart(i)
				c.bury(i)
				again = true
			}
		}
	}
	c.minded = true
}

// outer are the held claims of the runs that claims which are to be granted say they are nested in: they are if one of
// these lives.
func (c *change) outer(granted []*backend.Claim) []id {
	var ids []id
	for _, claim := range granted {
		i, _ := parseID(claim.ID)
		if w := c.img.find(i).shape.decoded().Within; w != nil {
			ids = append(ids, c.img.holdersOf(w.Run)...)
		}
	}
	return ids
}

// grant makes a waiting claim a held one.
func (c *change) grant(r *record, granted *backend.Claim) {
	c.img.token++
	c.touched = c.touched || r.id != c.within
	if asks := r.shape.decoded(); asks.Within != nil || asks.Whole() {
		r.shape = c.img.intern(granted) // the rule has settled what run it is of, and its number of slots
	}
	r.grant = &backend.Grant{Token: c.img.token, Slots: granted.Grant.Slots, GrantedAt: wallClock()}
	for pool, slots := range granted.Pools {
		if p, _ := c.img.settings.Pool(pool); p.Rate != nil {
			c.img.starts = append(c.img.starts, start{pool, r.id, slots, c.now})
		}
	}
	c.dirty, c.news = true, true
}

// refuse wakes those whom the limits in force make impossible: each finds that out for itself, and leaves.
func (c *change) refuse() {
	if c.s.readOnly != nil {
		return
	}
	state := c.rule(everybody, id{})
	for i := range c.img.claims {
		if r := &c.img.claims[i]; r.grant == nil && state.Check(r.claim()) != nil {
			c.wake(r)
		}
	}
}

// wake tells a claim to look at the state. It returns false where nobody is there to be told. Who is there and cannot
// be told makes the change fail: nothing of it is written.
func (c *change) wake(r *record) bool {
	there, err := c.s.wake(r.file)
	if err != nil && c.unheard == nil {
		c.unheard = fmt.Errorf("waking the owner of %s: %w", c.s.file(r.file.path()), c.s.advise(err))
	}
	return there
}

// mindGate sees to it that somebody keeps the gate while anybody waits, and that he wakes in time. To be called last,
// before the image is written: whoever is woken waits for the lock.
func (c *change) mindGate() {
	if !c.minded {
		return
	}
	keeper := c.img.find(c.head.keeper)
	if keeper == nil || !keeper.standing() {
		for c.img.anyStanding() {
			heir := c.img.last()
			if heir.id == c.within || c.reach(heir) {
				return // it finds the gate vacant, and takes it
			}
			c.bury(heir.id)
			c.advance()
		}
		return
	}
	mine := keeper.id == c.within
	if mine && c.next != c.img.alarm || c.next < c.img.alarm {
		c.img.alarm, c.dirty, c.news = c.next, true, true
		if !mine {
			c.wake(keeper)
		}
	}
}
