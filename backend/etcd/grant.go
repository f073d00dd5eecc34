package etcd

import (
	"context"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
)

// guards collects the comparisons of a grant, each range once however many claims it concerns.
type guards map[string]clientv3.Cmp

func (g guards) list() []clientv3.Cmp {
	cmps := make([]clientv3.Cmp, 0, len(g))
	for _, key := range slices.Sorted(maps.Keys(g)) {
		cmps = append(cmps, g[key])
	}
	return cmps
}

// unchanged adds: the key has not been written since it was read at this revision; 0: it does not exist.
func (g guards) unchanged(key string, revision int64) {
	g[key] = clientv3.Compare(clientv3.ModRevision(key), "=", revision)
}

// nothingAdded adds: no key below the prefix has been written after the revision. Deletions are no obstacle: they only
// make room.
func (g guards) nothingAdded(prefix string, revision int64) {
	g[prefix] = clientv3.Compare(clientv3.ModRevision(prefix), "<", revision+1).WithPrefix()
}

// guard adds what the grant of a claim counts on: the limits, and that nobody was granted slots of a limit
// that it takes from since base, the revision up to which the ledger knows that limit.
func (l *ledger) guard(g guards, c *backend.Claim, base func(dim string) int64) {
	g.unchanged(l.keys.settings(), l.settingsRevision)
	for pool := range c.Pools {
		p, _ := l.settings.Pool(pool)
		if p.Limit != backend.Unlimited {
			l.guardSlots(g, dimPool(pool), base)
		}
		if p.Rate != nil {
			g.nothingAdded(l.keys.cools(pool), base(dimPool(pool)))
		}
	}
	if l.runLimited(c) {
		l.guardSlots(g, dimRuns, base)
	}
}

// guardSlots adds that no slots of a dimension were granted since base: by its epoch where it has one, else by its
// slots.
func (l *ledger) guardSlots(g guards, dim string, base func(dim string) int64) {
	e := l.epochOf(dim)
	if e == nil || !l.summed(dim) {
		g.nothingAdded(l.keys.slots(dim), base(dim))
		return
	}
	g.unchanged(l.keys.epoch(dim), e.revision)
	from, to := l.keys.firstSlots(dim)
	g[from] = clientv3.Compare(clientv3.ModRevision(from), "<", base(dim)+1).WithRange(to)
}

// guardNesting adds what a claim counts on that the rule has found to be in another run: that a claim of that is held.
func (l *ledger) guardNesting(g guards, w *backend.Within, id string) {
	if witness := l.state.Witness(w, id); witness != nil {
		g.unchanged(l.keys.claim(witness.ID), l.seats[witness.ID].revision)
	}
}

// guarded are the dimensions of a claim in which guard compares that nothing was added: those with a limit that
// concerns it.
func (l *ledger) guarded(c *backend.Claim) []string {
	var dims []string
	for pool := range c.Pools {
		if p, _ := l.settings.Pool(pool); p.Limit != backend.Unlimited || p.Rate != nil {
			dims = append(dims, dimPool(pool))
		}
	}
	if l.runLimited(c) {
		dims = append(dims, dimRuns)
	}
	return dims
}

// runLimited reports whether a limit of runs concerns the claim.
func (l *ledger) runLimited(c *backend.Claim) bool {
	if c.Runs == 0 {
		return false
	}
	return l.settings.MaxRuns != backend.Unlimited || l.tagLimited(c)
}

// tagLimited reports whether a limit of its tags concerns a claim.
func (l *ledger) tagLimited(c *backend.Claim) bool {
	return slices.ContainsFunc(l.settings.TagLimits, func(t backend.TagLimit) bool {
		value, tagged := c.Tags[t.Key]
		return tagged && t.Matches(t.Key, value)
	})
}

// coolLeases gives each rated pool of some claims a lease of its period. It is never renewed: the server's clock frees
// the start.
type coolLeases map[string]clientv3.LeaseID

// leaseStarts asks for the leases that the starts of these claims need; none where no pool of theirs has a rate.
func (s *Store) leaseStarts(ctx context.Context, l *ledger, claims ...*backend.Claim) (coolLeases, error) {
	leases := coolLeases{}
	for _, c := range claims {
		for pool := range c.Pools {
			p, _ := l.settings.Pool(pool)
			if p.Rate == nil || leases[pool] != 0 {
				continue
			}
			s.at("cool:before")
			lease, _, err := s.newLease(ctx, "asking etcd for the lease of a rate", p.Rate.Period+coolSlack)
			s.at("cool:after")
			if err != nil {
				return nil, err
			}
			leases[pool] = lease
		}
	}
	return leases, nil
}

// puts are the writes of a grant: the record with its grant set, a slot for each dimension, a start for each rate.
func (l *ledger) puts(c *backend.Claim, value string, owner clientv3.LeaseID, cools coolLeases) []clientv3.Op {
	ops := []clientv3.Op{clientv3.OpPut(l.keys.claim(c.ID), value, clientv3.WithLease(owner))}
	for _, dim := range dimensions(c) {
		ops = append(ops, clientv3.OpPut(l.keys.slot(dim, c.ID), value, clientv3.WithLease(owner)))
	}
	for _, pool := range slices.Sorted(maps.Keys(c.Pools)) {
		if lease := cools[pool]; lease != 0 {
			ops = append(ops, clientv3.OpPut(l.keys.cool(pool, c.ID), cool{slots: c.Pools[pool]}.String(),
				clientv3.WithLease(lease)))
		}
	}
	return ops
}

// removal deletes everything of a claim but the starts that rates remember.
func (k keyspace) removal(c *backend.Claim) []clientv3.Op {
	return append(k.vacating(c),
		clientv3.OpDelete(k.claim(c.ID)),
		clientv3.OpDelete(k.claim(c.ID)+"/", clientv3.WithPrefix()),
		clientv3.OpDelete(k.about(c.ID)),
		clientv3.OpDelete(k.wait(c.ID)))
}

// vacating deletes the slots of a claim.
func (k keyspace) vacating(c *backend.Claim) []clientv3.Op {
	var ops []clientv3.Op
	for _, dim := range dimensions(c) {
		ops = append(ops, clientv3.OpDelete(k.slot(dim, c.ID)))
	}
	if w := c.Within; w != nil { // a grant that may have been written may have settled that
		ops = append(ops, clientv3.OpDelete(k.slot(dimRun(w.Run), c.ID)))
	}
	return ops
}
