package backendtest

import (
	"context"
	"reflect"
	"time"

	"limit/backend"
)

// looking is snapshots, changes, and what a waiting claim is told.
func looking() []testCase {
	return []testCase{
		{"a snapshot shows who holds, who waits and what blocks them", snapshotShows},
		{"a snapshot counts what is used and who waits", snapshotCounts},
		{"changes sends at the start, after every change, and ends with its context", changesSends},
		{"a claim that watches is told whenever what blocks it changes", watchesBlocks},
		{"a claim that waits can see who stands in its way", seesObstacles},
		{"a claim that is busy says who stands in its way", busyNames},
	}
}

func snapshotShows(k *kit) {
	k.limit("p", 2)
	held := k.enter(pool("p", 2), tag("tenant", "acme"), priority(3)).holds()
	first := k.enter(pool("p", 1), pool("q", 1)).waits()
	second := k.enter(pool("p", 1)).waits()
	s := k.snapshot()
	if len(s.Held) != 1 || len(s.Waiting) != 2 || !s.SettingsSet || s.Settings.Pools["p"].Limit != 2 {
		k.Fatalf("snapshot %+v", s)
	}
	want := held.Claim()
	got := s.Held[0].Claim
	for name, pair := range map[string][2]any{
		"id": {got.ID, want.ID}, "run": {got.RunID, want.RunID}, "pools": {got.Pools, want.Pools},
		"runs": {got.Runs, want.Runs},
		"tags": {got.Tags, want.Tags}, "priority": {got.Priority, want.Priority}, "seq": {got.Seq, want.Seq},
		"name":    {got.Name, want.Name},
		"command": {got.Command, want.Command}, "host": {got.Host, want.Host}, "pid": {got.PID, want.PID},
		"holds": {got.Holds, want.Holds}, "user": {got.User, want.User},
		"token": {got.Grant.Token, want.Grant.Token}, "slots": {got.Grant.Slots, want.Grant.Slots},
		"queued": {got.QueuedAt.UnixNano(), want.QueuedAt.UnixNano()},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			k.Errorf("%s of the held claim is %v, want %v", name, pair[0], pair[1])
		}
	}
	full := backend.Block{Limit: "pool:p", Used: 2, Capacity: 2, By: []string{held.id}, Why: backend.WhyFull}
	for i, m := range []*member{first, second} {
		w := s.Waiting[i]
		if w.ID != m.id || w.Position != i+1 || w.Aside || w.Name != "test" || w.Grant != nil ||
			!reflect.DeepEqual(w.Blocks, []backend.Block{full}) {
			k.Errorf("waiting %d: %+v, want %s blocked by %+v", i, w, m.id, full)
		}
	}
}

func snapshotCounts(k *kit) {
	k.set(func(s *backend.Settings) {
		s.MaxRuns = 5
		s.Pools["p"] = backend.Pool{Limit: 3}
		s.Pools["idle"] = backend.Pool{Limit: 9}
		s.TagLimits = []backend.TagLimit{{Key: "tenant", PerValue: true, Limit: 1}}
	})
	k.enter(pool("p", 2), tag("tenant", "acme")).holds()
	k.enter(pool("p", 1), tag("tenant", "acme")).waits()
	used := map[string][3]int{}
	for _, u := range k.snapshot().Usage {
		used[u.Limit] = [3]int{u.Used, u.Capacity, u.Waiting}
	}
	for limit, want := range map[string][3]int{
		"pool:p": {2, 3, 1}, "pool:idle": {0, 9, 0}, "runs": {1, 5, 1}, "tag:tenant=acme": {1, 1, 1},
	} {
		if used[limit] != want {
			k.Errorf("%s: used, capacity, waiting are %v, want %v", limit, used[limit], want)
		}
	}
}

func changesSends(k *kit) {
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	changes, err := k.other.Changes(ctx)
	k.must(err)
	wait := func(what string) {
		k.Helper()
		select {
		case _, open := <-changes:
			if !open {
				k.Fatalf("%s: the channel is closed", what)
			}
		case <-time.After(patience):
			k.Fatalf("%s: nothing sent", what)
		}
	}
	wait("at the start")
	until := func(what string, ok func(s *backend.Snapshot) bool) {
		k.Helper()
		for !ok(k.snapshot()) {
			wait(what)
		}
	}
	m := k.enter(pool("p", 1)).holds()
	until("after Enter", func(s *backend.Snapshot) bool { return len(s.Held) == 1 })
	next := k.enter(pool("p", 1))
	until("after a claim that waits", func(s *backend.Snapshot) bool { return len(s.Waiting) == 1 })
	m.release()
	until("after Release", func(s *backend.Snapshot) bool { return len(s.Held) == 1 && s.Held[0].ID == next.id })
	k.limit("p", 7)
	until("after ChangeSettings", func(s *backend.Snapshot) bool { return s.Settings.Pools["p"].Limit == 7 })
	cancel()
	for range changes { // ends, or the test does
	}
}

func watchesBlocks(k *kit) {
	k.limit("p", 2)
	a := k.enter(pool("p", 1)).holds()
	b := k.enter(pool("p", 1)).holds()
	m := k.enterWith(k.b, backend.EnterOptions{WatchBlocks: true}, pool("p", 2))
	until := func(used int, by ...string) {
		k.Helper()
		for {
			ev := m.event(backend.Blocked)
			if len(ev.Blocks) == 0 {
				k.Fatalf("a Blocked event without blocks: %+v", ev)
			}
			if got := ev.Blocks[0]; got.Used == used && reflect.DeepEqual(got.By, by) {
				return
			}
		}
	}
	until(2, a.id, b.id)
	a.release()
	until(1, b.id)
	b.release()
	m.holds()
}

// party is a claim as those see it whom it keeps waiting.
func (m *member) party() backend.Party {
	c := m.Claim()
	p := backend.Party{ID: c.ID, Name: c.Name, Host: c.Host, PID: c.PID, User: c.User}
	if c.Grant != nil {
		p.Since = c.Grant.GrantedAt
	}
	return p
}

// sees fails the test unless obstacles are those of a limit with holders, of whom the parties are named.
func (k *kit) sees(o backend.Obstacles, position int, holders []*member, parties ...*member) {
	k.Helper()
	block := backend.Block{Limit: "pool:p", Used: len(holders), Capacity: len(holders), Why: backend.WhyFull,
		By: []string{}}
	for _, h := range holders {
		block.By = append(block.By, h.id)
	}
	if !reflect.DeepEqual(o.Blocks, []backend.Block{block}) {
		k.Errorf("blocks %+v, want %+v", o.Blocks, block)
	}
	if o.Position != position && !(k.noPosition && o.Position == 0) {
		k.Errorf("position %d, want %d", o.Position, position)
	}
	for i, p := range o.Parties {
		if i < len(parties) && p.Since.Equal(parties[i].party().Since) {
			p.Since = parties[i].party().Since // the same time in another place
		}
		if i >= len(parties) || p != parties[i].party() {
			k.Errorf("party %d is %+v", i, p)
		}
	}
	if len(o.Parties) != len(parties) {
		k.Errorf("%d parties are named, want %d", len(o.Parties), len(parties))
	}
}

func seesObstacles(k *kit) {
	k.limit("p", 4)
	var holders []*member
	for range 4 {
		holders = append(holders, k.enter(pool("p", 1)).holds())
	}
	k.enter(pool("p", 1), priority(1)).waits()
	m := k.enter(pool("p", 1)).waits()
	o, err := m.Obstacles(k.ctx)
	k.must(err)
	k.sees(o, 2, holders, holders[:backend.MaxParties]...)
	if o, err := holders[0].Obstacles(k.ctx); err != nil || len(o.Blocks) > 0 {
		k.Errorf("a claim that is held has obstacles %+v, %v", o, err)
	}
}

func busyNames(k *kit) {
	k.limit("p", 1)
	held := k.enter(pool("p", 1)).holds()
	k.enter(pool("p", 1)).waits()
	_, err := k.try(pool("p", 1))
	busy, ok := err.(*backend.BusyError)
	if !ok {
		k.Fatalf("%v, want a BusyError", err)
	}
	k.sees(busy.Obstacles, 0, []*member{held}, held)
}
