package local

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"limit/backend"
)

const (
	newsApart    = 20 * time.Millisecond // looks at what blocks a claim, and a millisecond more for each that waits
	recheckProbe = 4                     // holders that are asked after at a recheck
	recheckCrowd = 10                    // waiting claims for which rechecks become rarer by once
)

// lookReason is why an entry looks at the state.
type lookReason struct {
	suspects []fileNumber // of claims that may be dead
	sweep    bool         // all may be
	recheck  bool         // nobody has looked for a while
	woken    bool         // somebody has told the claim to look
}

// add takes over another reason.
func (l *lookReason) add(o lookReason) {
	l.suspects = append(l.suspects, o.suspects...)
	l.sweep, l.recheck = l.sweep || o.sweep, l.recheck || o.recheck
}

// own reports whether the entry looks for its own sake alone.
func (l *lookReason) own() bool { return l.woken && len(l.suspects) == 0 && !l.sweep && !l.recheck }

// claimState is what an entry saw of its own claim.
type claimState struct {
	gone, aside, asked, standing bool

	reason string
	held   *backend.Claim     // nil: it is not
	err    error              // why it can never be granted
	blocks *backend.Obstacles // news for the owner; nil: none
	others int                // claims that stand
	alarm  time.Duration
	took   bool // the gate: now all claims are to be checked
}

// run is the entry's goroutine: whatever happens, it looks at the state and does what that says. While the state cannot
// be read or written, what there is to do is kept, and tried again ever more seldom.
func (e *entry) run() {
	defer e.running.Done()
	defer e.gate.rest()
	defer e.recheckTimer.stop()
	defer e.newsTimer.stop()
	defer e.trouble.retry.stop()
	why := lookReason{sweep: e.gate.hold != nil} // whoever took the gate in Enter has not looked at the others yet
	var st claimState
	if e.Claim().Grant == nil { // a holder sleeps until it is told something
		e.recheckTimer.set(e.recheckAfter(e.glimpsed.others))
	}
	for due := why.sweep; ; {
		if due && !e.trouble.waits {
			state, err := e.look(why)
			if isGone(err) {
				e.lostStore(err)
				return
			}
			if err != nil {
				e.failed(err)
				continue
			}
			st, why = state, lookReason{}
			e.setRecheck(st)
			if due = st.took; due {
				why.sweep = true
				continue
			}
		}
		select {
		case <-e.ctx.Done():
			return
		case <-e.woken:
			why.woken, due = true, true
		case <-e.gate.lost:
			e.gate.closeEar()
			due = true
		case seen := <-e.gate.seen():
			e.gate.note(seen)
		case n := <-e.gate.ended:
			e.gate.exited(n)
		case <-e.gate.sightTimer.C():
			found := e.gate.probe(e.s.unlocked)
			why.add(found)
			due = due || found.sweep || len(found.suspects) > 0
		case <-e.gate.pollTimer.C():
			why.sweep, due = true, true
		case <-e.gate.alarmTimer.C():
			due = e.gate.ring(st.alarm, e.s.clock()) || due
		case <-e.gate.reliefTimer.C():
			e.gate.checkRelief(e)
		case <-e.news:
			e.noteNews()
		case <-e.newsTimer.C():
			e.newsDue = false
			due = e.glimpse(false) || due
		case <-e.recheckTimer.C():
			why.recheck = e.gate.hold != nil || e.glimpse(true)
			due = due || why.recheck
			e.recheckTimer.set(e.recheckAfter(e.glimpsed.others))
		case <-e.trouble.retry.C():
			e.trouble.waits, due = false, true
		}
	}
}

// setRecheck sets the timer by which a claim looks though nothing has told it to. Only one that waits has any.
func (e *entry) setRecheck(st claimState) {
	e.recheckTimer.stop()
	if st.standing {
		e.recheckTimer.set(e.recheckAfter(st.others))
	}
}

// recheckAfter is when a waiting claim looks though nothing has told it to: somebody stopped (SIGSTOP) may keep the
// gate. The more wait the more seldom each does, but for the first of them it is never more than a little over the
// least time.
func (e *entry) recheckAfter(others int) time.Duration {
	least := e.s.opts.recheck
	return least + rand.N(least+least*time.Duration(others)/recheckCrowd)
}

// glimpsed is what a look without the lock has found.
type glimpsed struct {
	gen     uint64
	at      time.Time
	alarm   time.Duration
	others  int          // claims that stand
	keeper  fileNumber   // of the gate
	holders []fileNumber // of a few claims that hold
}

// noteNews is called when what blocks the claim may have changed: a look follows, but not too soon after the last.
func (e *entry) noteNews() {
	if e.newsDue {
		return
	}
	e.newsDue = true
	apart := newsApart + time.Duration(e.glimpsed.others)*time.Millisecond
	e.newsTimer.set(max(time.Millisecond, apart-time.Since(e.glimpsed.at)))
}

// glimpse looks without the lock. It tells an owner who wants to know what blocks the claim, and reports whether there
// is anything to be done with the lock. With probe it asks after those whose deaths the gatekeeper should have seen.
func (e *entry) glimpse(probe bool) (due bool) {
	e.work.Lock()
	defer e.work.Unlock()
	if !probe || e.glimpsed.gen != e.s.generation() {
		err := e.s.peek(e.ctx, func(c *change) error {
			due = c.glimpse(e)
			return nil
		})
		if due || err != nil {
			return true
		}
	}
	return probe && e.suspicious()
}

// glimpse does the part with the state.
func (c *change) glimpse(e *entry) (due bool) {
	r, keeper := c.img.find(e.id), c.img.find(c.head.keeper)
	switch {
	case r == nil || r.grant != nil || r.asked:
		return true
	case r.aside:
		return false
	case keeper == nil || !keeper.standing():
		return true
	}
	if e.opts.WatchBlocks {
		blocks := c.blocks(e.id)
		if len(blocks) == 0 {
			return true
		}
		if e.mindsBlocks(blocks) {
			e.blocked(c.nameObstacles(e.id, blocks))
		}
	}
	e.glimpsed = glimpsed{gen: c.head.gen, at: time.Now(), alarm: c.img.alarm, others: c.img.standing(),
		keeper: keeper.file, holders: c.img.someHolders(recheckProbe)}
	return false
}

// suspicious reports whether the gatekeeper is late, or it or one of a few holders is dead.
func (e *entry) suspicious() bool {
	g := &e.glimpsed
	if g.alarm < e.s.clock()-overdue || e.s.unlocked(g.keeper) {
		return true
	}
	return slices.ContainsFunc(g.holders, e.s.unlocked)
}

// someHolders are the files of so many holders, chosen at random.
func (m *image) someHolders(n int) (files []fileNumber) {
	for at, seen := rand.N(len(m.claims)), 0; seen < len(m.claims) && len(files) < n; seen++ {
		if r := &m.claims[(at+seen)%len(m.claims)]; r.grant != nil {
			files = append(files, r.file)
		}
	}
	return files
}

// look reads the state, mends what the reason is about, and tells the owner what has become of the claim.
func (e *entry) look(why lookReason) (claimState, error) {
	e.work.Lock()
	defer e.work.Unlock()
	if why.own() && e.gate.hold == nil {
		if held, err := e.s.ownGrant(e.ctx, e.id); err != nil || held != nil {
			return e.tell(claimState{held: held}, err)
		}
	}
	if why.sweep {
		all, err := e.s.files(e.ctx)
		if err != nil {
			return claimState{}, err
		}
		why.suspects = all
	}
	unlocked := slices.DeleteFunc(slices.Clone(why.suspects), func(n fileNumber) bool { return !e.s.unlocked(n) })
	var st claimState
	err := e.s.change(e.ctx, func(c *change) (err error) {
		st, err = c.look(e, unlocked, why.recheck)
		if e.gate.hold != nil {
			e.gate.await(e, c.survivors)
			c.recall(e, why.sweep)
		}
		return err
	})
	return e.tell(st, err)
}

// tell tells the owner what a look has found.
func (e *entry) tell(st claimState, err error) (claimState, error) {
	if err == nil {
		e.recovered()
		e.act(st)
	}
	return st, err
}

// files are those of all claims.
func (s *Store) files(ctx context.Context) (all []fileNumber, err error) {
	err = s.peek(ctx, func(c *change) error {
		for i := range c.img.claims {
			all = append(all, c.img.claims[i].file)
		}
		return nil
	})
	return all, err
}

// look does the part under the lock.
func (c *change) look(e *entry, suspects []fileNumber, recheck bool) (claimState, error) {
	c.within = e.id
	if err := c.refile(e); err != nil {
		return claimState{}, err
	}
	if c.buryDead(c.owners(suspects)) {
		c.advance()
	}
	r := c.img.find(e.id)
	if r != nil && r.grant == nil && r.asked {
		reason := r.reason
		c.leave(e)
		st := c.stateOf(e)
		st.asked, st.reason = true, reason
		return st, nil
	}
	if e.gate.hold != nil {
		c.advance() // its duty for all
		r = c.img.find(e.id)
	}
	if r != nil && r.standing() {
		if err := c.rule(1, e.id).Check(r.claim()); err != nil {
			c.leave(e)
			c.refuse() // others may have been in a circle with it
			st := c.stateOf(e)
			st.err = err
			return st, nil
		}
		c.advance()
		c.recheck(e, recheck)
	}
	st := c.stateOf(e)
	if st.standing {
		kept := e.gate.hold
		if err := c.joinGate(e, recheck); err != nil {
			return st, err
		}
		st.took = e.gate.hold != nil && e.gate.hold != kept
	}
	if c.head.keeper == e.id && c.minded {
		st.alarm = c.next // as mindGate will write it
	}
	return st, nil
}

// recheck verifies what a gatekeeper should have seen.
func (c *change) recheck(e *entry, due bool) {
	for due && c.img.find(e.id).standing() && c.buryDead(culprits(c.blocks(e.id))) {
		c.advance()
	}
}

// leave takes the entry's own claim out of the order.
func (c *change) leave(e *entry) {
	c.remove(e.id)
	c.advance()
}

// stateOf is what the entry's claim has become, and its part in keeping the gate.
func (c *change) stateOf(e *entry) claimState {
	st := claimState{alarm: c.img.alarm, others: c.img.standing()}
	r := c.img.find(e.id)
	if r == nil {
		st.gone = true
	} else {
		st.aside, st.asked, st.reason, st.standing = r.aside, r.asked, r.reason, r.standing()
		if r.grant != nil {
			st.held = r.claim()
		}
	}
	if st.standing && e.opts.WatchBlocks {
		if blocks := c.blocks(e.id); e.mindsBlocks(blocks) {
			o := c.nameObstacles(e.id, blocks)
			st.blocks = &o
		}
	}
	e.gate.handing = e.gate.hold != nil && !st.standing && st.others > 0 && c.head.keeper == e.id
	if e.gate.hold != nil && !st.standing && !e.gate.handing {
		e.gate.drop()
	}
	return st
}

// act tells the owner and sets the timers of the gate.
func (e *entry) act(st claimState) {
	e.gate.setTimers(st.alarm, e.s.clock())
	e.mu.Lock()
	held := e.claim.Grant != nil
	e.mu.Unlock()
	const dropped = "the claim was dropped from the store"
	switch {
	case e.over:
	case st.err != nil:
		e.end(backend.Event{Kind: backend.Refused, Err: st.err})
	case st.asked && st.held == nil:
		e.end(backend.Event{Kind: backend.Cancelled, Reason: st.reason})
	case st.gone && !held && e.s.moves.Load() != e.moves:
		e.end(backend.Event{Kind: backend.Refused, Err: &goneError{e.s.path}})
	case st.gone && held:
		e.end(backend.Event{Kind: backend.Lost, Reason: dropped})
	case st.gone:
		e.end(backend.Event{Kind: backend.Cancelled, Reason: dropped})
	case st.held != nil:
		e.granted(st.held)
		if st.asked && !e.told {
			e.told = true
			e.emit(backend.Event{Kind: backend.Cancelled, Reason: st.reason})
		}
	case st.blocks != nil:
		e.blocked(*st.blocks)
	}
}

// lostStore tells the owner of a claim that waits that its store is gone, and the others who wait: the gate opens. A
// holder goes on.
func (e *entry) lostStore(err error) {
	e.gate.drop()
	if e.Claim().Grant == nil && !e.over {
		e.end(backend.Event{Kind: backend.Refused, Err: err})
	}
}

// end tells the owner that the store does not have the claim any more.
func (e *entry) end(ev backend.Event) {
	e.over = true
	e.emit(ev)
}
