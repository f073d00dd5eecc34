// Package backendtest is the contract of a store as code. Every store passes it unchanged: its test calls Run.
package backendtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"limit/backend"
)

// patience is how long something that must happen may take before a test fails. Nothing waits for so long where all is
// well.
const patience = 20 * time.Second

// Open makes an empty namespace for one test. The function that it returns opens one more user of that namespace, as
// another process would; the suite closes each.
type Open func(t *testing.T) func() backend.Backend

// Exemption is what the contract leaves to a store.
type Exemption int

// NoPosition is that a store does not know the place of a claim in the order.
const NoPosition Exemption = iota

// Run tests a store against the contract. The tests run in parallel, each in a namespace of its own.
func Run(t *testing.T, open Open, but ...Exemption) {
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"admission", admission()},
		{"limits", limits()},
		{"rates", rates()},
		{"runs", runs()},
		{"steering", steering()},
		{"looking", looking()},
		{"history", history()},
		{"hiding", hiding()},
		{"settings", settings()},
		{"crowds", crowds()},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					k := newKit(t, open)
					k.noPosition = slices.Contains(but, NoPosition)
					c.run(k)
				})
			}
		})
	}
}

// testCase is one clause of the contract.
type testCase struct {
	name string
	run  func(k *kit)
}

// kit is what a test works with: two users of an empty namespace.
type kit struct {
	*testing.T
	ctx       context.Context
	open      func() backend.Backend
	b, other  backend.Backend
	sentinels int

	noPosition bool
}

func newKit(t *testing.T, open Open) *kit {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	k := &kit{T: t, ctx: ctx, open: open(t)}
	k.b, k.other = k.user(), k.user()
	return k
}

// user opens one more user of the namespace.
func (k *kit) user() backend.Backend {
	b := k.open()
	k.Cleanup(func() {
		if err := b.Close(); err != nil {
			k.Errorf("closing the backend: %v", err)
		}
	})
	return b
}

// claim is a claim of a run that asks for what the options say.
func claim(options ...func(*backend.Claim)) backend.Claim {
	id := backend.NewID()
	c := backend.Claim{ID: id, RunID: id, Name: "test", Command: []string{"test", "-x"},
		Host: "host", PID: 1, Holds: 2, User: "user", QueuedAt: time.Now()}
	for _, o := range options {
		o(&c)
	}
	return c
}

func pool(name string, slots int) func(*backend.Claim) {
	return func(c *backend.Claim) {
		if c.Pools == nil {
			c.Pools = map[string]int{}
		}
		c.Pools[name] = slots
	}
}

func priority(n int32) func(*backend.Claim) { return func(c *backend.Claim) { c.Priority = n } }

func run() func(*backend.Claim) { return func(c *backend.Claim) { c.Runs = 1 } }

func tag(key, value string) func(*backend.Claim) {
	return func(c *backend.Claim) {
		c.Runs = 1
		if c.Tags == nil {
			c.Tags = map[string]string{}
		}
		c.Tags[key] = value
	}
}

// inside is a run that says it is nested in the run of another claim, as a limit does that finds that in its
// environment.
func inside(outer *member, options ...func(*backend.Claim)) func(*backend.Claim) {
	return func(c *backend.Claim) {
		c.Runs, c.Within = 1, &backend.Within{Run: outer.Claim().RunID, Claim: outer.id}
		for _, o := range options {
			o(c)
		}
	}
}

func within(ancestors ...*member) func(*backend.Claim) {
	return func(c *backend.Claim) {
		for _, a := range ancestors {
			c.Ancestors = append(c.Ancestors, a.id)
		}
	}
}

// member is a claim that has entered.
type member struct {
	backend.Entry
	k  *kit
	id string
}

// enter puts a claim into the store; it must not fail.
func (k *kit) enter(options ...func(*backend.Claim)) *member {
	k.Helper()
	return k.enterWith(k.b, backend.EnterOptions{}, options...)
}

func (k *kit) enterWith(b backend.Backend, o backend.EnterOptions, options ...func(*backend.Claim)) *member {
	k.Helper()
	c := claim(options...)
	e, err := b.Enter(k.ctx, c, o)
	if err != nil {
		k.Fatalf("Enter(%s): %v", describe(c), err)
	}
	m := &member{e, k, c.ID}
	k.Cleanup(func() {
		if err := e.Release(context.WithoutCancel(k.ctx)); err != nil {
			k.Errorf("releasing %s at the end: %v", describe(c), err)
		}
	})
	return m
}

// try puts a claim into the store if it is granted at once, and returns what Enter said.
func (k *kit) try(options ...func(*backend.Claim)) (*member, error) {
	k.Helper()
	c := claim(options...)
	e, err := k.other.Enter(k.ctx, c, backend.EnterOptions{NoWait: true})
	if err != nil {
		return nil, err
	}
	m := &member{e, k, c.ID}
	k.Cleanup(func() { e.Release(context.WithoutCancel(k.ctx)) })
	return m, nil
}

// admits fails the test unless a claim is granted at once, and gives it back.
func (k *kit) admits(options ...func(*backend.Claim)) {
	k.Helper()
	m, err := k.try(options...)
	if err != nil {
		k.Fatalf("%s should be granted at once: %v", describe(claim(options...)), err)
	}
	m.release()
}

// refuses fails the test unless a claim is busy, and returns the limits that block it.
func (k *kit) refuses(options ...func(*backend.Claim)) []backend.Block {
	k.Helper()
	m, err := k.try(options...)
	var busy *backend.BusyError
	if err == nil {
		k.Fatalf("%s was granted, with %+v", describe(claim(options...)), m.Claim().Grant)
	}
	if !errors.As(err, &busy) {
		k.Fatalf("%s: %v, want a BusyError", describe(claim(options...)), err)
	}
	return busy.Blocks
}

// event waits for the next event of a kind; Blocked events are passed over unless asked for.
func (m *member) event(kind backend.EventKind) backend.Event {
	m.k.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case ev := <-m.Events():
			if ev.Kind == kind {
				return ev
			}
			if ev.Kind != backend.Blocked {
				m.k.Fatalf("%s: event %+v, want kind %d", describe(m.Claim()), ev, kind)
			}
		case <-timeout.C:
			m.k.Fatalf("%s: no event of kind %d within %s; the store has %s", describe(m.Claim()), kind, patience,
				m.k.describeAll())
		}
	}
}

// holds waits until the claim is granted.
func (m *member) holds() *member {
	m.k.Helper()
	m.event(backend.Granted)
	if m.Claim().Grant == nil {
		m.k.Fatalf("%s: Granted, but the claim has no grant", describe(m.Claim()))
	}
	return m
}

// waits fails the test if the claim is granted or gone although the store has had the occasion.
func (m *member) waits() *member {
	m.k.Helper()
	m.k.settle()
	for {
		select {
		case ev := <-m.Events():
			if ev.Kind != backend.Blocked {
				m.k.Fatalf("%s: event %+v, want the claim to wait; the store has %s", describe(m.Claim()), ev,
					m.k.describeAll())
			}
			continue
		default:
		}
		break
	}
	snap := m.k.snapshot()
	if !slices.ContainsFunc(snap.Waiting, func(w backend.WaitingClaim) bool { return w.ID == m.id }) {
		m.k.Fatalf("%s does not wait; the store has %s", describe(m.Claim()), m.k.describeAll())
	}
	return m
}

func (m *member) release() {
	m.k.Helper()
	if err := m.Release(m.k.ctx); err != nil {
		m.k.Fatalf("Release(%s): %v", describe(m.Claim()), err)
	}
}

// settle returns when the store has acted upon everything before: a waiter behind a holder, in a pool that nobody else
// uses, has been woken.
func (k *kit) settle() {
	k.Helper()
	k.sentinels++
	name := fmt.Sprintf("sentinel-%d", k.sentinels)
	first := k.enter(pool(name, 1)).holds()
	second := k.enterWith(k.other, backend.EnterOptions{}, pool(name, 1))
	first.release()
	second.holds().release()
}

// set changes the settings.
func (k *kit) set(change func(s *backend.Settings)) {
	k.Helper()
	err := k.other.ChangeSettings(k.ctx, func(s *backend.Settings, ok bool) error {
		if s.Pools == nil {
			s.Pools = map[string]backend.Pool{}
		}
		change(s)
		return nil
	})
	if err != nil {
		k.Fatalf("ChangeSettings: %v", err)
	}
}

// limit sets a pool's limit.
func (k *kit) limit(pool string, n int) {
	k.Helper()
	k.set(func(s *backend.Settings) {
		p := s.Pools[pool]
		p.Limit = n
		s.Pools[pool] = p
	})
}

func (k *kit) snapshot() *backend.Snapshot {
	k.Helper()
	snap, err := k.other.Snapshot(k.ctx)
	if err != nil {
		k.Fatalf("Snapshot: %v", err)
	}
	return snap
}

// empty waits until the store has no claims: a claim that is asked to leave may take a moment.
func (k *kit) empty() {
	k.Helper()
	k.eventually("an empty store", func(s *backend.Snapshot) bool { return len(s.Held)+len(s.Waiting) == 0 })
}

// eventually waits for a snapshot as wanted.
func (k *kit) eventually(what string, ok func(s *backend.Snapshot) bool) {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.ctx, patience)
	defer cancel()
	changes, err := k.other.Changes(ctx)
	if err != nil {
		k.Fatalf("Changes: %v", err)
	}
	for range changes {
		if ok(k.snapshot()) {
			return
		}
	}
	k.Fatalf("no %s within %s; the store has %s", what, patience, k.describeAll())
}

func describe(c backend.Claim) string {
	s := fmt.Sprintf("claim %.6s pools %v runs %d tags %v priority %d seq %d", c.ID, c.Pools, c.Runs, c.Tags,
		c.Priority, c.Seq)
	if c.Grant != nil {
		s += fmt.Sprintf(" grant %+v", *c.Grant)
	}
	return s
}

func (k *kit) describeAll() string {
	snap, err := k.other.Snapshot(context.WithoutCancel(k.ctx))
	if err != nil {
		return err.Error()
	}
	s := fmt.Sprintf("settings %+v", snap.Settings)
	for _, h := range snap.Held {
		s += "\n  held    " + describe(h.Claim)
	}
	for _, w := range snap.Waiting {
		s += fmt.Sprintf("\n  waiting %s aside %t blocks %+v", describe(w.Claim), w.Aside, w.Blocks)
	}
	return s
}
