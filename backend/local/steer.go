package local

import (
	"context"

	"limit/backend"
)

// Settings implements backend.Backend.
func (s *Store) Settings(ctx context.Context) (settings backend.Settings, ok bool, err error) {
	err = s.peek(ctx, func(c *change) error {
		settings, ok = c.img.settings.Clone(), c.img.settingsSet
		return nil
	})
	return settings, ok, err
}

// ChangeSettings implements backend.Backend. The new settings are on the disk before they are in force. Whoever dies in
// between has noted in the header that the file is to be read, and has woken the gatekeeper, who does it.
func (s *Store) ChangeSettings(ctx context.Context, edit func(s *backend.Settings, ok bool) error) error {
	return s.change(ctx, func(c *change) error {
		if s.readOnly != nil {
			return s.readOnly
		}
		settings := c.img.settings.Clone()
		if err := edit(&settings, c.img.settingsSet); err != nil {
			return err
		}
		err := s.writeSettings(settings, func() error {
			if keeper := c.img.find(c.head.keeper); keeper != nil {
				c.wake(keeper)
			}
			unsure := c.head
			unsure.unsure, unsure.needy = true, len(settings.Needs()) > 0
			return s.writeHeader(&unsure)
		})
		if err != nil {
			return err
		}
		c.img.configure(settings.Clone(), true)
		c.dirty, c.news = true, true
		c.head.needy = len(settings.Needs()) > 0
		c.refuse()
		c.advance()
		return nil
	})
}

// Cancel implements backend.Backend. A claim that waits removes itself when it is told, and stands in nobody's way
// until then.
func (s *Store) Cancel(ctx context.Context, claim, reason string) error {
	return s.steer(ctx, claim, func(c *change, r *record) error {
		r.asked, r.reason, c.dirty, c.news = true, reason, true, true
		c.wake(r)
		c.advance()
		return nil
	})
}

// Drop implements backend.Backend.
func (s *Store) Drop(ctx context.Context, claim string) error {
	return s.steer(ctx, claim, func(c *change, r *record) error {
		c.wake(r)
		c.remove(r.id)
		c.advance()
		return nil
	})
}

// Bump implements backend.Backend.
func (s *Store) Bump(ctx context.Context, claim string, priority int32) error {
	return s.steer(ctx, claim, func(c *change, r *record) error {
		if r.grant != nil {
			return backend.ErrHeld
		}
		r.priority, c.dirty, c.news = priority, true, true
		c.advance()
		return nil
	})
}

// steer changes the record of a claim that lives.
func (s *Store) steer(ctx context.Context, claim string, apply func(c *change, r *record) error) error {
	i, err := parseID(claim)
	if err != nil {
		return &backend.NotFoundError{ID: claim}
	}
	if s.readOnly != nil {
		return s.readOnly
	}
	found := true
	err = s.change(ctx, func(c *change) error {
		if c.buryDead([]id{i}) {
			c.advance()
		}
		r := c.img.find(i)
		if r == nil {
			found = false
			return nil
		}
		return apply(c, r)
	})
	if err == nil && !found {
		return &backend.NotFoundError{ID: claim}
	}
	return err
}
