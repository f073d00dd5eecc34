package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"limit/backend"
	"limit/backend/etcd/keeper"
)

// Options say which etcd to use and how; they are the keeper's, so that a process without the etcd client can fill them
// in.
type Options = keeper.Options

// Store is the etcd store as one process sees it, or one wrapper of an agent: what differs between these are the
// options alone. It implements backend.Backend.
type Store struct {
	options Options
	*shared
}

// shared is what all who use a namespace in this process have together.
type shared struct {
	options Options // of the sessions
	keys    keyspace
	files   *credentials
	client  *clientv3.Client
	proven  atomic.Bool  // a request was answered: the credentials were right
	latest  atomic.Int64 // the highest revision of an answer
	setBack atomic.Bool  // an answer had a lower revision than an earlier one
	noting  sync.WaitGroup
	gate    *gate

	joining sync.Mutex
	mu      sync.Mutex
	session *session
	stays   bool               // an agent keeps sessions beyond their last claim
	leases  []clientv3.LeaseID // of the latest sessions

	log     *slog.Logger
	renewed func(*session) // told of every answered renewal, and with nil of the end of the last claim; nil: nobody

	// For tests: where to kill the client, and not to fence itself.
	hook     func(point string)
	unfenced bool
	watchNow bool
}

var _ backend.Backend = (*Store)(nil)

// open makes a Store. It connects in the background: the first request shows whether etcd can be reached. ctx is not
// kept.
func open(ctx context.Context, o Options, dial []grpc.DialOption) (*Store, error) {
	o = o.WithDefaults()
	if len(o.Endpoints) == 0 {
		return nil, errors.New("no endpoints of etcd are given; name at least one, such as etcd://localhost:2379")
	}
	files, err := readCredentials(ctx, o)
	if err != nil {
		return nil, err
	}
	client, err := connect(o, files, dial)
	if err != nil {
		return nil, err
	}
	return newStore(o, files, client), nil
}

func newStore(o Options, files *credentials, client *clientv3.Client) *Store {
	s := &Store{o, &shared{options: o, keys: newKeyspace(o.Namespace), files: files, client: client,
		log: slog.New(slog.DiscardHandler)}}
	s.gate = newGate(s)
	return s
}

// with is the same store for one who has other options.
func (s *Store) with(o Options) *Store { return &Store{o, s.shared} }

// String is etcd://h1:2379,h2:2379.
func (s *Store) String() string { return s.options.String() }

// latestLeases is how many leases of its own a Store remembers: keys of older ones are gone.
const latestLeases = 8

// ours reports whether a lease is or was that of a session of this Store.
func (s *Store) ours(lease int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.leases, clientv3.LeaseID(lease))
}

// Close hands on the gate if this process keeps it, and disconnects.
func (s *Store) Close() error {
	s.gate.close()
	s.noting.Wait()
	err := s.client.Close()
	if errors.Is(err, context.Canceled) {
		return nil // what Close of the client always returns for its own context
	}
	return err
}

// Settings returns the limits in force.
func (s *Store) Settings(ctx context.Context) (backend.Settings, bool, error) {
	settings, _, err := s.readSettings(ctx)
	if err != nil {
		return backend.Settings{}, false, err
	}
	return settings.Settings, settings.By.text != "", nil
}

// readSettings returns the settings with their revision, 0 where there are none.
func (s *Store) readSettings(ctx context.Context) (stored, int64, error) {
	resp, err := s.get(ctx, "reading the limits", s.keys.settings())
	if err != nil {
		return stored{}, 0, err
	}
	if len(resp.Kvs) == 0 {
		return stored{Settings: backend.NewSettings()}, 0, nil
	}
	settings, err := decodeSettings(resp.Kvs[0].Value)
	return settings, resp.Kvs[0].ModRevision, err
}

// ChangeSettings reads, changes and writes the settings, again and again until nobody else has written in between.
func (s *Store) ChangeSettings(ctx context.Context, change func(*backend.Settings, bool) error) error {
	for {
		was, revision, err := s.readSettings(ctx)
		if err != nil {
			return err
		}
		settings := was.Settings.Clone()
		if err := change(&settings, revision != 0); err != nil {
			return err
		}
		if written, err := s.writeSettings(ctx, was, settings, revision); err != nil || written {
			return err
		}
	}
}

// writeSettings is the transaction "settings"; false where somebody has written after the revision.
func (s *Store) writeSettings(ctx context.Context, was stored, settings backend.Settings,
	revision int64) (bool, error) {
	next := newStored(settings)
	value, err := backend.Rewrite(was.value, next)
	if err != nil {
		return false, fmt.Errorf("encoding the limits: %w", err)
	}
	known, err := s.fitStarts(ctx, settings, true)
	if err != nil {
		return false, fmt.Errorf("writing the limits: %w", err)
	}
	resp, _, err := s.commit(ctx, "settings", s.settingsTxn(next, string(value), revision, known))
	if err != nil {
		return false, fmt.Errorf("writing the limits: %w", err)
	}
	if !resp.Succeeded && !s.wroteSettings(resp, next) {
		return false, nil
	}
	s.fitStarts(ctx, settings, false) // failing, some starts count for longer than they need
	return true, nil
}

// settingsTxn keeps, with the limits themselves, the key queue, which says that limits of runs are set, so that others
// need not read all runs where none is. It compares that no start was added to the rates since their starts were known.
func (s *Store) settingsTxn(next stored, value string, revision, known int64) txn {
	queue := clientv3.OpDelete(s.keys.queue())
	if next.MaxRuns != backend.Unlimited || len(next.TagLimits) > 0 || next.PauseOf(backend.StoreNames().Runs) != nil {
		queue = clientv3.OpPut(s.keys.queue(), "")
	}
	g := guards{}
	g.unchanged(s.keys.settings(), revision)
	if known > 0 {
		g.nothingAdded(s.keys.allCools(), known)
	}
	return txn{
		compare:   g.list(),
		then:      []clientv3.Op{clientv3.OpPut(s.keys.settings(), value), queue},
		otherwise: []clientv3.Op{clientv3.OpGet(s.keys.settings())},
	}
}

// wroteSettings reports whether an earlier try of the same transaction has succeeded unseen.
func (s *Store) wroteSettings(resp *clientv3.TxnResponse, next stored) bool {
	kvs := resp.Responses[0].GetResponseRange().Kvs
	if len(kvs) == 0 {
		return false
	}
	found, err := decodeSettings(kvs[0].Value)
	return err == nil && found.By.text == next.By.text
}
