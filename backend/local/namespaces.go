package local

import (
	"context"
	"net/url"
	"slices"

	"golang.org/x/sys/unix"

	"limit/backend"
)

var _ backend.Lister = (*Store)(nil)

// Namespaces implements backend.Lister.
func (s *Store) Namespaces(context.Context) ([]string, error) { return Namespaces(s.opts.Dir) }

// Namespaces lists those of a store's directory, in order. It fails with fs.ErrNotExist where there is no store.
func Namespaces(dir string) ([]string, error) {
	s := newStore(Options{Dir: dir})
	root, err := s.openRoot()
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	if err := s.checkFormat(root); err != nil {
		return nil, err
	}
	found, err := namesIn(root)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range found {
		if unescaped, err := url.PathUnescape(name); err == nil && isNamespace(dir, name) && name != newName {
			names = append(names, unescaped)
		}
	}
	slices.Sort(names)
	return names, nil
}
