package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/backend/memory"
	"limit/wrap"
)

// withStore opens the store for a verb that runs no command, and closes it when that is done.
func (p *program) withStore(c *cli.Context, do func(s *store) error) error {
	return p.using(c, storeOptions{}, do)
}

// onlyLooking is withStore for a verb that only looks: it makes no store, and needs no right to write into one. Where
// there is none yet, it looks at an empty one.
func (p *program) onlyLooking(c *cli.Context, do func(s *store) error) error {
	return p.using(c, storeOptions{look: true}, do)
}

func (p *program) using(c *cli.Context, o storeOptions, do func(s *store) error) error {
	s, err := p.openFor(c, o)
	if err != nil {
		return err
	}
	defer s.Close()
	return do(s)
}

// heading says which store is shown, on one line of a terminal.
func (s *store) heading(width int) string {
	text := fmt.Sprintf("store %s, namespace %s", s, s.namespace)
	if agent := agentOf(s.Backend); agent != "" {
		text += ", through the agent at " + agent
	}
	if u, ok := s.Backend.(*unmade); ok && u.found() == nil {
		text += " (there is none yet: the first command that takes a slot makes it)"
	}
	if width > 0 {
		text = wrap.Cut(text, width)
	}
	return text
}

// unmade is an embedded store that does not exist yet: an empty one, until it does.
type unmade struct {
	*memory.Store
	name string
	open func(context.Context) (backend.Backend, error)

	mu   sync.Mutex
	made backend.Backend
}

// String names the store as if it were there.
func (u *unmade) String() string { return u.name }

func (u *unmade) found() backend.Backend {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.made
}

// Snapshot is that of the store once there is one: who looks for long sees it.
func (u *unmade) Snapshot(ctx context.Context) (*backend.Snapshot, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.made == nil {
		made, err := u.open(ctx)
		if errors.Is(err, fs.ErrNotExist) {
			return u.Store.Snapshot(ctx)
		}
		if err != nil {
			return nil, err
		}
		u.made = made
	}
	return u.made.Snapshot(ctx)
}

// Close closes the store that was found meanwhile.
func (u *unmade) Close() error {
	if made := u.found(); made != nil {
		return made.Close()
	}
	return nil
}
