package etcd

import (
	"encoding/json"
	"math/bits"
	"slices"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
)

// fewHolders is up to how many holders of a dimension a newcomer reads one by one. Where there are more, the dimension
// has an epoch, which sums them up, so that neither the newcomer nor the comparison at the server walks them all.
const fewHolders = 8

// epoch is the value of epoch/DIM: at least what the holders of a dimension have, for it may count some who are gone.
// Every grant from a dimension that has one rewrites or deletes it.
type epoch struct {
	Settings int64  `json:"settings"` // revision of the settings under which all grants have rewritten it
	Used     int    `json:"used"`
	Numbers  []byte `json:"numbers,omitempty"` // of the pool, a bit each

	revision int64
	holders  int // how many were counted; not kept
}

// noteEpoch takes one that exists. One that cannot be read counts for nothing, as one of earlier settings does.
func (l *ledger) noteEpoch(dim string, kv *mvccpb.KeyValue) {
	var e epoch
	if json.Unmarshal(kv.Value, &e) != nil || e.Used < 0 {
		e = epoch{Settings: -1}
	}
	e.revision = kv.ModRevision
	l.epochs[dim] = &e
}

// epochOf is the epoch of a dimension that counts; nil where there is none or settings have changed since.
func (l *ledger) epochOf(dim string) *epoch {
	if e := l.epochs[dim]; e != nil && e.Settings == l.settingsRevision {
		return e
	}
	return nil
}

// summed reports whether a dimension may have an epoch: every grant from it compares it, whoever the claim is of.
func (l *ledger) summed(dim string) bool {
	if pool, ok := poolOf(dim); ok {
		p, _ := l.settings.Pool(pool)
		return p.Limit != backend.Unlimited
	}
	return l.settings.MaxRuns != backend.Unlimited
}

// add counts a holder, sign 1, or takes him away, -1.
func (e *epoch) add(dim string, c *backend.Claim, sign int) {
	e.holders += sign
	pool, ok := poolOf(dim)
	if !ok {
		e.Used += sign * c.Runs
		return
	}
	e.Used += sign * c.Pools[pool]
	for _, n := range c.Grant.Slots[pool] {
		if n < 0 || n >= maxNumber {
			continue
		}
		for n/8 >= len(e.Numbers) {
			e.Numbers = append(e.Numbers, 0)
		}
		if sign > 0 {
			e.Numbers[n/8] |= 1 << (n % 8)
		} else {
			e.Numbers[n/8] &^= 1 << (n % 8)
		}
	}
}

// maxNumber bounds the numbers that are believed.
const maxNumber = 1 << 20

// holder is a claim that holds what an epoch sums up, for the rule.
func (e *epoch) holder(dim string) *backend.Claim {
	c := &backend.Claim{ID: "epoch/" + dim, Grant: &backend.Grant{}}
	pool, ok := poolOf(dim)
	if !ok {
		c.Runs = e.Used
		return c
	}
	var numbers []int
	for i, b := range e.Numbers {
		for ; b != 0; b &= b - 1 {
			numbers = append(numbers, 8*i+bits.TrailingZeros8(b))
		}
	}
	c.Pools, c.Grant.Slots = map[string]int{pool: e.Used}, map[string][]int{pool: numbers}
	return c
}

// sum counts the holders of a dimension that the ledger has one by one.
func (l *ledger) sum(dim string) *epoch {
	e := &epoch{Settings: l.settingsRevision}
	for _, s := range l.seats {
		if c := s.claim(); c.Grant != nil && s.stands() && takes(c, dim) {
			e.add(dim, c, 1)
		}
	}
	return e
}

func takes(c *backend.Claim, dim string) bool {
	if pool, ok := poolOf(dim); ok {
		return c.Pools[pool] > 0
	}
	return c.Runs > 0
}

// nextEpochs are those of the dimensions of some claims after these are granted; nil where there is to be none.
func (l *ledger) nextEpochs(claims []*backend.Claim) map[string]*epoch {
	next := map[string]*epoch{}
	for _, c := range claims {
		for _, dim := range l.guarded(c) {
			if !l.summed(dim) {
				continue
			}
			if next[dim] == nil {
				next[dim] = l.presentEpoch(dim)
			}
			next[dim].add(dim, c, 1)
		}
	}
	for dim, e := range next {
		if e.holders <= fewHolders {
			next[dim] = nil
		}
	}
	return next
}

// presentEpoch is a copy of what the newcomer has read instead of the holders, else their sum.
func (l *ledger) presentEpoch(dim string) *epoch {
	if l.unread[dim] == nil {
		return l.sum(dim)
	}
	return l.epochs[dim].clone()
}

// clone is a copy of an epoch, which has more than a few holders.
func (e *epoch) clone() *epoch {
	c := *e
	c.Numbers, c.holders = slices.Clone(e.Numbers), fewHolders
	return &c
}

// epochPuts write them.
func (l *ledger) epochPuts(next map[string]*epoch) []clientv3.Op {
	var ops []clientv3.Op
	for dim, e := range next {
		switch {
		case e != nil:
			ops = append(ops, clientv3.OpPut(l.keys.epoch(dim), encode(e)))
		case l.epochs[dim] != nil:
			ops = append(ops, clientv3.OpDelete(l.keys.epoch(dim)))
		}
	}
	return ops
}

// keepEpochs notes that they are written.
func (l *ledger) keepEpochs(next map[string]*epoch, revision int64) {
	for dim, e := range next {
		if e == nil {
			delete(l.epochs, dim)
			continue
		}
		e.revision = revision
		l.epochs[dim] = e
	}
}

// withoutUs adds to a transaction that takes a claim away that its epochs count it no more, where they are as its own
// grant has written them and nobody keeps the gate. Else they count it until somebody sums up anew.
func (e *entry) withoutUs(t txn) txn {
	g := guards{}
	g.unchanged(e.s.keys.gate(), 0)
	then := slices.Clone(t.then)
	for dim, written := range e.epochs {
		if written == nil {
			continue
		}
		g.unchanged(e.s.keys.epoch(dim), written.revision)
		next := written.clone()
		next.add(dim, &e.claim, -1)
		then = append(then, clientv3.OpPut(e.s.keys.epoch(dim), encode(next)))
	}
	if len(then) == len(t.then) {
		return t
	}
	return txn{compare: g.list(), then: then, otherwise: t.then}
}
