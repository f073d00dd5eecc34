package local

import (
	"context"
	"fmt"

	"limit/backend"
)

// Enter implements backend.Backend. Where the claim is granted at once it costs two locks, one FIFO and three small
// writes; what waits has a goroutine for each of the things that it waits for.
func (s *Store) Enter(ctx context.Context, claim backend.Claim, o backend.EnterOptions) (backend.Entry, error) {
	i, err := parseID(claim.ID)
	if err != nil {
		return nil, err
	}
	if s.readOnly != nil {
		return nil, s.readOnly
	}
	claim.Grant, claim.Replaces = nil, o.Replace
	e := newEntry(s, i, claim, o)
	var busy error
	patience := s.opts.Patience
	if o.NoWait {
		patience = min(patience, busyPatience)
	}
	err = s.changeWithin(ctx, patience, func(c *change) (err error) {
		c.within, e.moves = i, s.moves.Load()
		busy, err = c.enter(e, o)
		return err
	})
	if err == nil {
		err = busy
	}
	if err != nil {
		e.discard()
		return nil, err
	}
	e.begin()
	return e, nil
}

// enter adds the entry's claim. busy is returned instead of an error where the change is to be written all the same:
// others may have been admitted.
func (c *change) enter(e *entry, o backend.EnterOptions) (busy, err error) {
	if c.img.find(e.id) != nil {
		return nil, fmt.Errorf("claim %s is in the store already; ids are to be random", e.id)
	}
	c.rotate()
	if w := e.claim.Within; w != nil && c.buryDead(c.img.holdersOf(w.Run)) {
		c.advance()
	}
	before := c.dirty
	c.add(e)
	if err := c.rule(1, e.id).Check(&e.claim); err != nil {
		return nil, err
	}
	c.advance()
	if blocks, blocked := c.verifyBlocks(e, o); blocked {
		obstacles := c.nameObstacles(e.id, blocks)
		switch {
		case o.NoWait:
			obstacles.Position = 0 // it leaves
			c.remove(e.id)
			c.advance() // for those whom the newcomer had been before
			c.dirty = before || c.touched
			return &backend.BusyError{Obstacles: obstacles}, nil
		case o.Replace:
			c.replace(e)
		}
		if c.img.find(e.id).grant == nil {
			e.blocked(obstacles)
		}
	}
	return nil, c.settleIn(e)
}

// add appends the record of a claim that arrives.
func (c *change) add(e *entry) {
	m := c.img
	m.seq++
	e.claim.Seq = m.seq
	m.claims = append(m.claims, record{
		id: e.id, file: noFile, seq: m.seq, since: c.now, priority: e.claim.Priority, shape: m.intern(&e.claim),
		watches: e.opts.WatchBlocks, replaces: e.claim.Replaces,
	})
	c.dirty = true
	newcomer := &m.claims[len(m.claims)-1]
	for i := range m.claims {
		if r := &m.claims[i]; r.watches && r.standing() && newcomer.before(r) {
			c.news = true
		}
	}
}

// verifyBlocks returns what blocks the newcomer, once those who block it are known to live. Where it is to wait and
// there is a gatekeeper, that is not its business.
func (c *change) verifyBlocks(e *entry, o backend.EnterOptions) (blocks []backend.Block, blocked bool) {
	for c.img.find(e.id).grant == nil {
		blocks = c.blocks(e.id)
		if !o.NoWait && !o.Replace && c.gateKept() || !c.buryDead(culprits(blocks)) {
			return blocks, true
		}
		c.advance()
	}
	return nil, false
}

// culprits are the claims that blocks name.
func culprits(blocks []backend.Block) []id {
	var ids []id
	for _, b := range blocks {
		for _, by := range b.By {
			if i, err := parseID(by); err == nil {
				ids = append(ids, i)
			}
		}
	}
	return ids
}

// replace asks those in the way to stop, or to leave.
func (c *change) replace(e *entry) {
	reason := "replaced by " + c.img.settings.Conceal(e.claim).Name
	for _, claim := range c.rule(everybody, e.id).InTheWay(&e.claim) {
		i, _ := parseID(claim.ID)
		if r := c.img.find(i); r != nil && !r.asked {
			r.asked, r.reason = true, reason
			c.wake(r)
		}
	}
	c.advance()
}

// settleIn takes a file for the claim, and what else the entry needs where it waits.
func (c *change) settleIn(e *entry) error {
	var err error
	if e.file, e.life, err = c.takeFile(); err != nil {
		return err
	}
	r := c.img.find(e.id)
	r.file = e.file
	if err := e.testify(); err != nil {
		return err
	}
	if err := c.addDetails(r, &e.claim); err != nil {
		return err
	}
	if r.grant != nil {
		e.granted(r.claim())
		return nil
	}
	if err := e.openEars(); err != nil {
		return err
	}
	e.glimpsed.others = c.img.standing()
	return c.joinGate(e, false)
}
