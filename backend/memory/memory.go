// Package memory is a store within one process, for tests: the one rule and nothing else. Several Backends opened on
// one Space are several processes as far as the contract can tell.
package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"limit/backend"
)

// Space is a namespace in memory.
type Space struct {
	mu       sync.Mutex
	began    time.Time
	state    *backend.State
	set      bool
	seq      int64
	token    int64
	entries  map[string]*entry
	started  map[string][]int // see Started
	watchers map[chan struct{}]struct{}
	alarm    *time.Timer
	pasts    []backend.Past
}

// NewSpace returns a namespace in which nothing was set.
func NewSpace() *Space {
	return &Space{
		began:    time.Now(),
		state:    backend.NewState(backend.NewSettings(), backend.StoreNames()),
		entries:  map[string]*entry{},
		started:  map[string][]int{},
		watchers: map[chan struct{}]struct{}{},
	}
}

// Open returns a Backend on the namespace.
func (s *Space) Open() *Store { return &Store{s} }

// Store is one user of a Space.
type Store struct{ space *Space }

var _ backend.Backend = (*Store)(nil)
var _ backend.Historian = (*Store)(nil)

// String is memory.
func (*Store) String() string { return "memory" }

// Close does nothing.
func (*Store) Close() error { return nil }

// Started returns the processes that a claim's owner has named as running under it.
func (s *Space) Started(id string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.started[id])
}

func (s *Space) now() time.Duration { return time.Since(s.began) }

// settle admits whom the rule admits, tells everybody what has changed, and sets the alarm. Called with mu held, after
// every change.
func (s *Space) settle() {
	for _, c := range s.state.Advance(s.now()) {
		s.token++
		c.Grant.Token, c.Grant.GrantedAt = s.token, time.Now()
		s.entries[c.ID].stay.Grant()
		s.entries[c.ID].send(backend.Event{Kind: backend.Granted})
	}
	for id, e := range s.entries {
		if c := s.state.Claim(id); e.opts.WatchBlocks && c != nil && c.Grant == nil && !e.aside {
			e.noteObstacles(s.snapshot().Obstacles(id))
		}
	}
	for w := range s.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
	if s.alarm != nil {
		s.alarm.Stop()
	}
	if at, ok := s.state.Next(); ok {
		s.alarm = time.AfterFunc(at-s.now(), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.settle()
		})
	}
}

// Enter implements backend.Backend.
func (b *Store) Enter(ctx context.Context, claim backend.Claim, o backend.EnterOptions) (backend.Entry, error) {
	s := b.space
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.entries[claim.ID] != nil {
		return nil, fmt.Errorf("claim %s is in the store already", claim.ID)
	}
	if err := s.state.Check(&claim); err != nil {
		return nil, err
	}
	s.seq++
	claim.Seq, claim.Grant, claim.Replaces = s.seq, nil, o.Replace
	e := &entry{space: s, claim: claim, opts: o, events: make(chan backend.Event, 64)}
	e.stay.Enter()
	s.entries[claim.ID] = e
	s.state.Wait(&claim, s.now())
	s.settle()
	if s.state.Claim(claim.ID).Grant != nil {
		return e, nil
	}
	obstacles := s.snapshot().Obstacles(claim.ID)
	e.noteObstacles(obstacles)
	switch {
	case o.NoWait:
		e.remove()
		obstacles.Position = 0
		return nil, &backend.BusyError{Obstacles: obstacles}
	case o.Replace:
		for _, h := range s.state.InTheWay(&claim) {
			s.entries[h.ID].ask("replaced by " + s.state.Settings().Conceal(claim).Name)
		}
	}
	return e, nil
}

// Snapshot implements backend.Backend.
func (b *Store) Snapshot(context.Context) (*backend.Snapshot, error) {
	b.space.mu.Lock()
	defer b.space.mu.Unlock()
	return b.space.snapshot(), nil
}

func (s *Space) snapshot() *backend.Snapshot {
	snap := &backend.Snapshot{
		Settings: s.state.Settings().Clone(), SettingsSet: s.set,
		Usage: s.state.Usage(s.now()), Waiting: s.state.Explain(s.now()),
	}
	for _, c := range s.state.Held() {
		snap.Held = append(snap.Held, backend.HeldClaim{Claim: *c, Asked: s.entries[c.ID].asked})
	}
	snap.Conceal()
	return snap
}

// History implements backend.Historian.
func (b *Store) History(context.Context) ([]backend.Past, error) {
	b.space.mu.Lock()
	defer b.space.mu.Unlock()
	return slices.Clone(b.space.pasts), nil
}

// remember keeps the Past of a claim that ends.
func (s *Space) remember(p backend.Past) {
	s.pasts = append(s.pasts, p)
	s.pasts = s.pasts[max(0, len(s.pasts)-s.state.Settings().Remembered()):]
}

// Changes implements backend.Backend.
func (b *Store) Changes(ctx context.Context) (<-chan struct{}, error) {
	s := b.space
	w := make(chan struct{}, 1)
	w <- struct{}{}
	s.mu.Lock()
	s.watchers[w] = struct{}{}
	s.mu.Unlock()
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
		close(w)
	})
	return w, nil
}

// Settings implements backend.Backend.
func (b *Store) Settings(context.Context) (backend.Settings, bool, error) {
	b.space.mu.Lock()
	defer b.space.mu.Unlock()
	return b.space.state.Settings().Clone(), b.space.set, nil
}

// ChangeSettings implements backend.Backend.
func (b *Store) ChangeSettings(_ context.Context, change func(s *backend.Settings, ok bool) error) error {
	s := b.space
	s.mu.Lock()
	defer s.mu.Unlock()
	settings := s.state.Settings().Clone()
	if err := change(&settings, s.set); err != nil {
		return err
	}
	s.set = true
	s.state.Configure(settings)
	s.refuse()
	return nil
}

// refuse takes away who can never be granted, and settles. Called where that may have become true of somebody.
func (s *Space) refuse() {
	for _, r := range s.state.Refuse() {
		e := s.entries[r.Claim.ID]
		delete(s.entries, r.Claim.ID)
		e.send(backend.Event{Kind: backend.Refused, Err: r.Err})
	}
	s.settle()
}

// Cancel implements backend.Backend.
func (b *Store) Cancel(_ context.Context, id, reason string) error {
	return b.steer(id, func(e *entry) error {
		e.ask(reason)
		return nil
	})
}

// Drop implements backend.Backend.
func (b *Store) Drop(_ context.Context, id string) error {
	return b.steer(id, func(e *entry) error {
		kind := backend.Cancelled
		if b.space.state.Claim(id).Grant != nil {
			kind = backend.Lost
		}
		e.remove()
		e.send(backend.Event{Kind: kind, Reason: "the claim was dropped from the store"})
		return nil
	})
}

// Bump implements backend.Backend.
func (b *Store) Bump(_ context.Context, id string, priority int32) error {
	return b.steer(id, func(e *entry) error {
		if !b.space.state.Bump(id, priority) {
			return backend.ErrHeld
		}
		b.space.settle()
		return nil
	})
}

func (b *Store) steer(id string, apply func(e *entry) error) error {
	b.space.mu.Lock()
	defer b.space.mu.Unlock()
	e := b.space.entries[id]
	if e == nil {
		return &backend.NotFoundError{ID: id}
	}
	return apply(e)
}
