package local

import (
	"context"
	"time"

	"limit/backend"
)

// Snapshot implements backend.Backend. It takes no lock and changes nothing: dead claims are left out, the gatekeeper
// removes them.
func (s *Store) Snapshot(ctx context.Context) (*backend.Snapshot, error) {
	var snap *backend.Snapshot
	var held []fileNumber
	var survivors []survivor
	err := s.peek(ctx, func(c *change) error {
		c.forgetDead()
		snap, held = c.snapshot()
		survivors = c.survivors
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.findOrphans(snap, held)
	noteSurvivors(snap, held, survivors)
	return snap, nil
}

func (c *change) snapshot() (*backend.Snapshot, []fileNumber) {
	m := c.img
	rule := c.rule(everybody, id{})
	snap := &backend.Snapshot{
		Settings: m.settings.Clone(), SettingsSet: m.settingsSet,
		Usage: rule.Usage(c.now), Waiting: rule.Explain(c.now),
	}
	records := make(map[string]*record, len(m.claims))
	for i := range m.claims {
		records[m.claims[i].id.String()] = &m.claims[i]
	}
	var held []fileNumber
	for _, claim := range rule.Held() {
		r := records[claim.ID]
		h := backend.HeldClaim{Claim: *claim}
		if r.asked {
			h.Asked = r.reason
		}
		decodeDetails(c.readDetails(r), &h.Claim)
		snap.Held, held = append(snap.Held, h), append(held, r.file)
	}
	for n := range snap.Waiting {
		w := &snap.Waiting[n]
		decodeDetails(c.readDetails(records[w.ID]), &w.Claim)
	}
	snap.Conceal()
	return snap, held
}

const (
	changesApart = 20 * time.Millisecond  // changes closer than this become one
	changesPoll  = 250 * time.Millisecond // where the kernel cannot watch
)

// Changes implements backend.Backend.
func (s *Store) Changes(ctx context.Context) (<-chan struct{}, error) {
	changes := make(chan struct{}, 1)
	changes <- struct{}{}
	var w *watch
	if !s.opts.noWatch {
		if w = newWatch(s.file("state"), watchWrites); w != nil {
			w.add(s.file("claims"), watchDeaths)
		}
	}
	s.background.Add(1)
	go func() {
		defer s.background.Done()
		defer close(changes)
		if w != nil {
			defer w.close()
		}
		s.passOn(ctx, w, changes)
	}()
	return changes, nil
}

// passOn sends when the watch has seen something, or when the generation has changed.
func (s *Store) passOn(ctx context.Context, w *watch, changes chan<- struct{}) {
	var seen <-chan sight
	pause := time.NewTimer(changesPoll)
	defer pause.Stop()
	last := s.generation()
	for {
		if w != nil {
			seen = w.seen
		}
		select {
		case <-ctx.Done():
			return
		case <-seen:
			pause.Reset(changesApart)
			select {
			case <-ctx.Done():
				return
			case <-pause.C:
			}
		case <-pause.C:
			if w != nil {
				continue
			}
			pause.Reset(changesPoll)
			if now := s.generation(); now == last {
				continue
			} else {
				last = now
			}
		}
		select {
		case changes <- struct{}{}:
		default:
		}
	}
}
