package etcd

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
)

// find reads a claim that stands.
func (s *Store) find(ctx context.Context, id string) (*seat, error) {
	resp, err := s.get(ctx, "reading the claim", s.keys.claim(id))
	if err != nil {
		return nil, err
	}
	if len(resp.Kvs) == 0 {
		return nil, &backend.NotFoundError{ID: id}
	}
	seat, err := readSeat(id, resp.Kvs[0])
	if err != nil {
		return nil, err
	}
	if !seat.stands() {
		return nil, &backend.NotFoundError{ID: id}
	}
	return seat, nil
}

// change finds a claim and sends a transaction about it until nobody has changed the claim in between.
func (s *Store) change(ctx context.Context, id, name string, then func(*seat) ([]clientv3.Op, error)) error {
	tried := false
	for {
		seat, err := s.find(ctx, id)
		if err != nil {
			if tried {
				return ignoreNotFound(err) // gone: by us, or by itself meanwhile
			}
			return err
		}
		ops, err := then(seat)
		if err != nil {
			return err
		}
		g := guards{}
		g.unchanged(s.keys.claim(id), seat.revision)
		resp, unsure, err := s.commit(ctx, name, txn{compare: g.list(), then: ops})
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return &backend.NotFoundError{ID: id} // its lease has ended
		}
		if err != nil || resp.Succeeded {
			return err
		}
		tried = tried || unsure
	}
}

func ignoreNotFound(err error) error {
	var none *backend.NotFoundError
	if errors.As(err, &none) {
		return nil
	}
	return err
}

// Cancel is the transaction "ask": its owner does what is asked.
func (s *Store) Cancel(ctx context.Context, id, reason string) error {
	return s.change(ctx, id, "ask", func(seat *seat) ([]clientv3.Op, error) {
		return []clientv3.Op{clientv3.OpPut(s.keys.ask(id), reason, clientv3.WithLease(clientv3.LeaseID(seat.lease)))},
			nil
	})
}

// Drop is the transaction "drop": every key of the claim goes, whatever its owner does.
func (s *Store) Drop(ctx context.Context, id string) error {
	return s.change(ctx, id, "drop", func(seat *seat) ([]clientv3.Op, error) {
		return s.keys.removal(seat.claim()), nil
	})
}

// Bump is the transaction "bump".
func (s *Store) Bump(ctx context.Context, id string, priority int32) error {
	return s.change(ctx, id, "bump", func(seat *seat) ([]clientv3.Op, error) {
		if seat.Grant != nil {
			return nil, backend.ErrHeld
		}
		r := seat.record
		r.Priority = priority
		return []clientv3.Op{clientv3.OpPut(s.keys.claim(id), rewrite(seat.value, r),
			clientv3.WithLease(clientv3.LeaseID(seat.lease)))}, nil
	})
}
