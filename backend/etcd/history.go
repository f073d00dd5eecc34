package etcd

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
)

// What has ended is remembered by a key without lease each, in the order of their ends, outside the range that decides:
// nobody who watches is woken by it. It is written beside the revocation of the lease, or in the transaction "release",
// so it costs no round trip. One in trimEvery of those who write counts the keys, and where they are a tenth too many
// deletes the surplus.

const trimEvery = 32

var _ backend.Historian = (*Store)(nil)

// remember writes the Past of the last claim of a process, whose lease is being revoked, and takes it out of its
// epochs. Its errors are ignored: the history decides nothing, and an epoch may count too many.
func (e *entry) remember(ctx context.Context, p *backend.Past) {
	past := e.s.pastOps(*p)
	t := e.withoutUs(txn{then: past})
	if len(t.compare) > 0 {
		t.then = append(t.then, e.s.keys.removal(&e.claim)...) // in one step with the epochs
	}
	resp, _, err := e.s.commit(ctx, "remember", t)
	if err == nil {
		e.s.trimPasts(ctx, resp, e.remembered)
	}
}

// pastOps writes a Past, and now and then counts them all.
func (s *Store) pastOps(p backend.Past) []clientv3.Op {
	ops := []clientv3.Op{clientv3.OpPut(s.keys.past(&p), encode(p))}
	if n, err := strconv.ParseUint(p.ID[max(0, len(p.ID)-4):], 16, 64); err != nil || n%trimEvery == 0 {
		ops = append(ops, clientv3.OpGet(s.keys.pasts(), clientv3.WithPrefix(), clientv3.WithCountOnly()))
	}
	return ops
}

// trimPasts deletes the oldest where the answer to pastOps says that there are too many.
func (s *Store) trimPasts(ctx context.Context, resp *clientv3.TxnResponse, most int) {
	count := int64(0)
	for _, r := range resp.Responses {
		if found := r.GetResponseRange(); found != nil {
			count = found.Count
		}
	}
	surplus := count - int64(most)
	if surplus <= int64(most)/10 {
		return
	}
	first, err := s.get(ctx, "trimming the history", s.keys.pasts(), clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithLimit(surplus))
	if err != nil || len(first.Kvs) == 0 {
		return
	}
	end := string(first.Kvs[len(first.Kvs)-1].Key) + "\x00"
	s.commit(ctx, "trim", txn{then: []clientv3.Op{clientv3.OpDelete(s.keys.pasts(), clientv3.WithRange(end))}})
}

// History implements backend.Historian.
func (s *Store) History(ctx context.Context) ([]backend.Past, error) {
	settings, _, err := s.Settings(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := s.get(ctx, "reading the history", s.keys.pasts(), clientv3.WithPrefix(),
		clientv3.WithLimit(int64(settings.Remembered())),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	if err != nil {
		return nil, err
	}
	pasts := make([]backend.Past, 0, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		var p backend.Past
		if json.Unmarshal(kv.Value, &p) == nil { // else of another version: it decides nothing
			pasts = append(pasts, p)
		}
	}
	slices.Reverse(pasts)
	return pasts, nil
}
