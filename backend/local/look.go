package local

import (
	"context"
	"slices"
	"time"

	"limit/backend"
)

const (
	retryAfter = time.Second // after a failure to read or write the state: a full disk, most likely
	watchAfter = 500 * time.Millisecond
)

// quest is why an entry looks at the state.
type quest struct {
	suspects []fileNumber // of claims that may be dead
	sweep    bool         // all may be
	recheck  bool         // nobody has looked for a while
}

// finding is what an entry saw of its own claim.
type finding struct {
	gone, aside, asked, standing bool

	reason string
	grant  *backend.Grant
	err    error              // why it can never be granted
	blocks *backend.Obstacles // news for the owner; nil: none
	gen    uint64
	others int // claims that stand
	alarm  time.Duration
	failed bool // nothing was seen; look again soon
	took   bool // the gate: now all claims are to be checked
}

// watchAfter is when one who wants to know what blocks him looks whether anything has changed.
func (f *finding) watchAfter() time.Duration {
	return watchAfter + time.Duration(f.others)*time.Millisecond
}

// run is the entry's goroutine: whatever happens, it looks at the state and does what that says.
func (e *entry) run() {
	defer e.running.Done()
	defer e.gate.rest()
	recheck, watch := time.NewTimer(e.recheckAfter()), time.NewTimer(watchAfter)
	defer recheck.Stop()
	defer watch.Stop()
	if e.Claim().Grant != nil {
		recheck.Stop() // a holder sleeps until it is told something
		watch.Stop()
	}
	q := quest{sweep: e.gate.hold != nil} // whoever took the gate in Enter has not looked at the others yet
	var f finding
	for due := q.sweep; ; {
		if due {
			var err error
			if f, err = e.look(q); isGone(err) {
				e.lostStore(err)
				return
			} else if err != nil {
				f.failed = true
				watch.Reset(retryAfter)
			} else {
				e.rest(f, recheck, watch)
			}
		}
		if f.took {
			q, f.took = quest{sweep: true}, false
			continue
		}
		q, due = quest{}, true
		select {
		case <-e.ctx.Done():
			return
		case <-e.woken:
		case <-e.gate.lost:
			e.gate.closeEar()
		case seen := <-e.gate.seen():
			e.gate.note(seen)
			due = false
		case n := <-e.gate.ended:
			e.gate.exited(n)
			due = false
		case <-e.gate.sightTimer.C():
			q = e.gate.noted()
			due = q.sweep || slices.ContainsFunc(q.suspects, e.s.unlocked)
		case <-e.gate.pollTimer.C():
			q.sweep = true
		case <-e.gate.alarmTimer.C():
			due = e.gate.ring(f.alarm, e.s.clock())
		case <-e.gate.reliefTimer.C():
			e.gate.checkRelief(e)
			due = false
		case <-watch.C:
			if due = f.failed || e.s.generation() != f.gen; !due {
				watch.Reset(f.watchAfter())
			}
		case <-recheck.C:
			q.recheck = true
		}
	}
}

// rest sets the timers by which a claim looks though nothing has told it to. Only one that waits has any.
func (e *entry) rest(f finding, recheck, watch *time.Timer) {
	recheck.Stop()
	watch.Stop()
	if f.standing {
		recheck.Reset(e.recheckAfter())
	}
	if f.standing && e.opts.WatchBlocks {
		watch.Reset(f.watchAfter())
	}
}

// recheckAfter is when a waiting claim looks though nothing has told it to: somebody stopped (SIGSTOP) may keep the gate.
func (e *entry) recheckAfter() time.Duration { return jitter(e.s.opts.recheck) }

// look reads the state, mends what the quest is about, and tells the owner what has become of the claim.
func (e *entry) look(q quest) (finding, error) {
	e.work.Lock()
	defer e.work.Unlock()
	if q.sweep {
		all, err := e.s.files(e.ctx)
		if err != nil {
			return finding{}, err
		}
		q.suspects = all
	}
	q.suspects = slices.DeleteFunc(q.suspects, func(n fileNumber) bool { return !e.s.unlocked(n) })
	var f finding
	err := e.s.change(e.ctx, func(c *change) (err error) {
		f, err = c.look(e, q)
		if e.gate.hold != nil {
			e.gate.await(e, c.survivors)
			c.recall(e, q)
		}
		return err
	})
	if err != nil {
		return f, err
	}
	e.act(f)
	return f, nil
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
func (c *change) look(e *entry, q quest) (finding, error) {
	c.within = e.id
	if err := c.refile(e); err != nil {
		return finding{}, err
	}
	if c.buryDead(c.owners(q.suspects)) {
		c.advance()
	}
	r := c.img.find(e.id)
	if r != nil && r.grant == nil && r.asked {
		reason := r.reason
		c.leave(e)
		f := c.find(e)
		f.asked, f.reason = true, reason
		return f, nil
	}
	if e.gate.hold != nil {
		c.advance() // its duty for all
		r = c.img.find(e.id)
	}
	if r != nil && r.standing() {
		if err := c.rule(1, e.id).Check(r.claim()); err != nil {
			c.leave(e)
			f := c.find(e)
			f.err = err
			return f, nil
		}
		c.advance()
		c.recheck(e, q)
	}
	f := c.find(e)
	if f.standing {
		kept := e.gate.hold
		if err := c.joinGate(e, q.recheck); err != nil {
			return f, err
		}
		f.took = e.gate.hold != nil && e.gate.hold != kept
	}
	if c.head.keeper == e.id && c.minded {
		f.alarm = c.next // as mindGate will write it
	}
	return f, nil
}

// recheck verifies what a gatekeeper should have seen.
func (c *change) recheck(e *entry, q quest) {
	for q.recheck && c.img.find(e.id).standing() && c.buryDead(culprits(c.blocks(e.id))) {
		c.advance()
	}
}

// leave takes the entry's own claim out of the order.
func (c *change) leave(e *entry) {
	c.remove(e.id)
	c.advance()
}

// find is what the entry's claim has become, and its part in keeping the gate.
func (c *change) find(e *entry) finding {
	f := finding{gen: c.head.gen, alarm: c.img.alarm}
	r := c.img.find(e.id)
	if r == nil {
		f.gone = true
	} else {
		f.grant, f.aside, f.asked, f.reason, f.standing = r.grant, r.aside, r.asked, r.reason, r.standing()
	}
	for i := range c.img.claims {
		if c.img.claims[i].standing() {
			f.others++
		}
	}
	if f.standing && e.opts.WatchBlocks {
		if blocks := c.blocks(e.id); e.mindsBlocks(blocks) {
			o := c.nameObstacles(e.id, blocks)
			f.blocks = &o
		}
	}
	e.gate.handing = e.gate.hold != nil && !f.standing && f.others > 0 && c.head.keeper == e.id
	if e.gate.hold != nil && !f.standing && !e.gate.handing {
		e.gate.drop()
	}
	return f
}

// act tells the owner and sets the timers of the gate.
func (e *entry) act(f finding) {
	e.gate.setTimers(f.alarm, e.s.clock())
	e.mu.Lock()
	held := e.claim.Grant != nil
	e.mu.Unlock()
	const dropped = "the claim was dropped from the store"
	switch {
	case e.over:
	case f.err != nil:
		e.end(backend.Event{Kind: backend.Refused, Err: f.err})
	case f.asked && f.grant == nil:
		e.end(backend.Event{Kind: backend.Cancelled, Reason: f.reason})
	case f.gone && !held && e.s.moves.Load() != e.moves:
		e.end(backend.Event{Kind: backend.Refused, Err: &goneError{e.s.path}})
	case f.gone && held:
		e.end(backend.Event{Kind: backend.Lost, Reason: dropped})
	case f.gone:
		e.end(backend.Event{Kind: backend.Cancelled, Reason: dropped})
	case f.grant != nil:
		e.granted(f.grant)
		if f.asked && !e.asked {
			e.asked = true
			e.emit(backend.Event{Kind: backend.Cancelled, Reason: f.reason})
		}
	case f.blocks != nil:
		e.blocked(*f.blocks)
	}
}

// lostStore tells the owner of a claim that waits that its store is gone, and the others who wait: the gate opens. A holder goes on.
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
