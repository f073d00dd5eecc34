package etcd

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/backend/etcd/boot"
)

// readState reads what decides, in one read.
func (s *Store) readState(ctx context.Context) (*ledger, error) {
	from, to := s.keys.state()
	return s.read(ctx, from, to)
}

func (s *Store) read(ctx context.Context, from, to string) (*ledger, error) {
	resp, err := s.get(ctx, "reading the claims", from, clientv3.WithRange(to))
	if err != nil {
		return nil, err
	}
	return newLedger(s.keys, resp.Kvs, resp.Header.Revision)
}

// watchState watches what decides.
func (s *Store) watchState(ctx context.Context, revision int64) clientv3.WatchChan {
	from, to := s.keys.state()
	return s.watch(ctx, from, to, revision)
}

// Snapshot reads one consistent state.
func (s *Store) Snapshot(ctx context.Context) (*backend.Snapshot, error) {
	from, to := s.keys.all()
	l, err := s.read(ctx, from, to)
	if err != nil {
		return nil, err
	}
	return l.snapshot(), nil
}

func (l *ledger) snapshot() *backend.Snapshot {
	now := boot.Now()
	snapshot := &backend.Snapshot{Settings: l.settings, SettingsSet: l.settingsSet, Usage: l.state.Usage(now)}
	for _, seat := range l.held() {
		snapshot.Held = append(snapshot.Held,
			backend.HeldClaim{Claim: *l.described(seat.claim()), Asked: l.asked[seat.id]})
	}
	for _, w := range l.state.Explain(now) {
		w.Claim = *l.described(&w.Claim)
		snapshot.Waiting = append(snapshot.Waiting, w)
	}
	snapshot.Conceal()
	return snapshot
}

// described adds to a claim what tells people who asks. Who writes below about/ decides nothing: what cannot be read is
// left out.
func (l *ledger) described(c *backend.Claim) *backend.Claim {
	var about backend.Claim
	if json.Unmarshal(l.abouts[c.ID], &about) != nil {
		return c
	}
	described := *c
	described.Name, described.Command, described.Host, described.User = about.Name, about.Command, about.Host,
		about.User
	described.PID, described.QueuedAt, described.Rank = about.PID, about.QueuedAt, about.Rank
	described.Holds = about.Holds
	return &described
}

// Changes sends after every change of claims or settings.
func (s *Store) Changes(ctx context.Context) (<-chan struct{}, error) {
	revision, err := s.revision(ctx)
	if err != nil {
		return nil, err
	}
	changes := make(chan struct{}, 1)
	changes <- struct{}{}
	go func() {
		defer close(changes)
		for retry := (backoff{}); ; {
			revision = s.forward(ctx, revision, changes)
			if !pause(ctx, retry.next()) {
				return
			}
			if now, err := s.revision(ctx); err == nil {
				retry, revision = backoff{}, now
				nudge(changes) // what happened in between is not known
			}
		}
	}()
	return changes, nil
}

// forward sends for every change after a revision until the watch ends.
func (s *Store) forward(ctx context.Context, revision int64, changes chan<- struct{}) int64 {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	recheck := time.NewTimer(recheckAfter())
	defer recheck.Stop()
	watch := s.watchState(watching, revision+1)
	for {
		select {
		case <-ctx.Done():
			return revision
		case <-recheck.C:
			return revision
		case resp, ok := <-watch:
			if !ok || resp.Err() != nil {
				return revision
			}
			if len(resp.Events) > 0 {
				nudge(changes)
			}
		}
	}
}

func nudge(changes chan<- struct{}) {
	select {
	case changes <- struct{}{}:
	default:
	}
}

// revision is that of the store now.
func (s *Store) revision(ctx context.Context) (int64, error) {
	resp, err := s.get(ctx, "reading the claims", s.keys.settings(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return resp.Header.Revision, nil
}

// How often what blocks a claim is found out for those who want to know: each has to read everything, so that the more
// wait the more seldom it is.
const (
	blocksAtMost    = 300 * time.Millisecond
	blocksPerWaiter = 30 * time.Millisecond
)

// watchBlocks posts Blocked whenever what blocks the claim has changed.
func (e *entry) watchBlocks(ctx context.Context) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changes, err := e.s.Changes(watching)
	for retry := (backoff{}); err != nil; {
		if !pause(ctx, retry.next()) {
			return
		}
		changes, err = e.s.Changes(watching)
	}
	var last []backend.Block
	for range changes {
		if !e.waiting() {
			continue // it may stand aside and wait again
		}
		l, err := e.s.readState(ctx)
		if err != nil {
			continue
		}
		if blocks := l.state.BlocksOf(e.id, boot.Now()); len(blocks) > 0 && !reflect.DeepEqual(blocks, last) {
			last = blocks
			e.postBlocks(blocks)
		}
		if !pause(ctx, max(blocksAtMost, time.Duration(l.state.Waiting())*blocksPerWaiter)) {
			break
		}
	}
	stop()
	for range changes { // until it is closed: its goroutine has ended then
	}
}

// postBlocks tells the owner, unless the claim has been granted meanwhile.
func (e *entry) postBlocks(blocks []backend.Block) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.held && !e.over {
		e.mail.Post(backend.Event{Kind: backend.Blocked, Obstacles: backend.Obstacles{Blocks: blocks}})
	}
}
