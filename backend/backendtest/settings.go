package backendtest

import (
	"errors"
	"reflect"
	"sync"
	"time"

	"limit/backend"
)

// settings is how limits are kept.
func settings() []testCase {
	return []testCase{
		{"a store in which nothing was set says so", nothingSet},
		{"settings come back as they were set", settingsKept},
		{"an error of the change is returned as it is and nothing is written", settingsError},
		{"changes of settings do not lose each other", settingsAtomic},
	}
}

func nothingSet(k *kit) {
	s, ok, err := k.b.Settings(k.ctx)
	if err != nil || ok || !reflect.DeepEqual(s, backend.NewSettings()) {
		k.Fatalf("Settings: %+v, %t, %v; want those of a new store, not set", s, ok, err)
	}
	if snap := k.snapshot(); snap.SettingsSet {
		k.Fatal("the snapshot says that settings were set")
	}
	k.must(k.b.ChangeSettings(k.ctx, func(s *backend.Settings, ok bool) error {
		if ok {
			k.Error("ChangeSettings says that settings were set")
		}
		return nil
	}))
	if _, ok, _ := k.other.Settings(k.ctx); !ok {
		k.Fatal("settings were set, and the store says they were not")
	}
}

func settingsKept(k *kit) {
	limit := 7
	want := backend.Settings{
		DefaultLimit: &limit, Granularity: backend.GranularityRun, MaxRuns: 10, ReserveAfter: time.Minute,
		HideCommands: true, HistoryEntries: 5,
		Strict: true, Paused: map[string]backend.Pause{"runs": {By: "ü@h", At: time.Unix(1700000000, 0).UTC(),
			Reason: "a\nb"}, "pool:p": {}},
		Pools: map[string]backend.Pool{"a/b c": {Limit: backend.Unlimited,
			Rate: &backend.Rate{Slots: 3, Period: time.Minute}}, "ü": {Limit: 0}},
		TagLimits: []backend.TagLimit{{Key: "k", Limit: 1}, {Key: "k", Value: value(""), Limit: 2},
			{Key: "k", Value: value("v=w"), Limit: 3},
			{Key: "t", PerValue: true, Limit: 0}},
	}
	k.must(k.b.ChangeSettings(k.ctx, func(s *backend.Settings, _ bool) error { *s = want.Clone(); return nil }))
	for _, b := range []backend.Backend{k.b, k.other, k.user()} {
		got, ok, err := b.Settings(k.ctx)
		if err != nil || !ok || !reflect.DeepEqual(got, want) {
			k.Fatalf("Settings: %+v, %t, %v; want %+v", got, ok, err, want)
		}
	}
}

func settingsError(k *kit) {
	k.limit("p", 4)
	wrong := errors.New("wrong")
	err := k.b.ChangeSettings(k.ctx, func(s *backend.Settings, _ bool) error {
		s.Pools["p"] = backend.Pool{Limit: 99}
		return wrong
	})
	if err != wrong {
		k.Fatalf("error %v, want the one that change returned", err)
	}
	if s, _, _ := k.other.Settings(k.ctx); s.Pools["p"].Limit != 4 {
		k.Fatalf("settings %+v, want those from before", s)
	}
}

func settingsAtomic(k *kit) {
	var all sync.WaitGroup
	const users, each = 4, 10
	for range users {
		b := k.user()
		all.Go(func() {
			for range each {
				err := b.ChangeSettings(k.ctx, func(s *backend.Settings, _ bool) error {
					s.HistoryEntries++
					return nil
				})
				if err != nil {
					k.Errorf("ChangeSettings: %v", err)
				}
			}
		})
	}
	all.Wait()
	if s, _, _ := k.b.Settings(k.ctx); s.HistoryEntries != users*each {
		k.Fatalf("%d changes are left of %d", s.HistoryEntries, users*each)
	}
}
