package local

import (
	"context"
	"errors"
	"slices"

	"limit/backend"

	"golang.org/x/sys/unix"
)

// peeks is how often one who only looks tries it without the lock.
const peeks = 16

// peek calls look with the state as it was last written, and takes no lock: header, image, and the header again, which
// has not changed where nothing was written into the image meanwhile. What has to be mended first is left to one who
// has the lock: no state yet, another boot, settings that are newer, another directory. What look does to the image is
// for itself alone.
func (s *Store) peek(ctx context.Context, look func(c *change) error) error {
	var buf []byte
	for range peeks {
		c := &change{s: s, now: s.clock(), peeked: true, details: -1}
		var err error
		c.head, c.img, err = s.readState(&buf, nil)
		switch {
		case errors.Is(err, errNoState):
			continue // a change was in the way, or there is none
		case err != nil:
			return err
		case s.glance() != c.head:
			continue
		}
		if c.img.boot != s.boot || c.head.unsure || !s.current() {
			break
		}
		if c.head.needy {
			if _, _, err := s.readSettings(); err != nil { // a feature is lacking here
				return err
			}
		}
		defer c.closeDetails()
		return look(c)
	}
	return s.change(ctx, func(c *change) error {
		if err := c.commit(); err != nil && s.readOnly == nil { // what was mended, before look makes the image its own
			return err
		}
		c.dirty, c.minded, c.peeked, c.details = false, false, true, -1
		defer func() {
			c.dirty, c.minded = false, false
			c.closeDetails()
		}()
		return look(c)
	})
}

// ownGrant returns a claim that is held, having decoded nothing but its record, where that is all there is to know of
// it; else nil. It takes the lock: who has woken the claim may not have written the state yet.
func (s *Store) ownGrant(ctx context.Context, i id) (*backend.Claim, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	h, b, err := s.readImage(&s.buf)
	if err != nil || h.unsure || h.needy {
		return nil, nil // who has the state mended sees to it
	}
	d := &decoder{b: b}
	m, n := d.head()
	var r record
	for ; n > 0 && !d.bad && r.id != i; n-- {
		if !d.skipWaiting(i) {
			d.record(&r, m)
		}
	}
	if d.bad || r.id != i || r.grant == nil || r.asked || m.boot != s.boot {
		return nil, nil
	}
	return r.claim(), nil
}

// detailsFile is the open file of the claims' details: the Store's for one who has the lock, else its own.
func (c *change) detailsFile() (int, error) {
	generation := c.img.detailsFile
	if !c.peeked {
		err := c.s.openDetails(generation)
		return c.s.details, err
	}
	if c.details < 0 {
		fd, err := c.s.openAt(c.s.fd, detailsName(generation), unix.O_RDONLY, unix.S_IFREG)
		if err != nil {
			return -1, err
		}
		c.details = fd
	}
	return c.details, nil
}

func (c *change) closeDetails() {
	if c.details >= 0 {
		unix.Close(c.details)
	}
}

// forgetDead leaves out the claims whose processes are gone.
func (c *change) forgetDead() {
	c.img.claims = slices.DeleteFunc(c.img.claims, func(r record) bool { return c.dead(&r) })
}
