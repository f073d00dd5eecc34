package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"limit/backend"
	"limit/config/yamlread"
)

// mustKnow fails for a pool that nobody has given a limit, holds, waits for or ever held: it is misspelt. "" is no
// pool.
func (s *store) mustKnow(ctx context.Context, pool string) error {
	if pool == "" {
		return nil
	}
	snapshot, err := s.Snapshot(ctx)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, u := range snapshot.Usage {
		if u.Kind == backend.KindPool {
			names[u.Pool] = true
		}
	}
	if names[pool] {
		return nil
	}
	pasts, err := s.History(ctx)
	if err != nil && !errors.Is(err, errNoHistory) {
		return err
	}
	for _, past := range pasts {
		for name := range past.Pools {
			names[name] = true
		}
	}
	if names[pool] {
		return nil
	}
	text := fmt.Sprintf("there is no pool %q, and none of that name in the history", pool)
	if near := yamlread.Closest(pool, slices.Sorted(maps.Keys(names))); near != "" {
		return fmt.Errorf("%s; did you mean %q?", text, near)
	}
	return fmt.Errorf("%s; 'limit pool list' shows those there are", text)
}

// nearPool is the pool with a limit of its own that was probably meant, or "".
func nearPool(name string, settings backend.Settings) string {
	return yamlread.Closest(name, slices.Sorted(maps.Keys(settings.Pools)))
}

// orMeant adds to the refusal of a pool that nobody declared which was probably meant.
func orMeant(err *backend.ImpossibleError, settings backend.Settings) error {
	if near := nearPool(err.Undeclared, settings); near != "" {
		return fmt.Errorf("%w; did you mean %q?", err, near)
	}
	return err
}
