package etcd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
)

// A start that a rate remembers is a key with a lease of its own, that the server's clock ends: the period of the rate
// and coolSlack after the start. Where another period is set, the keys that are there get leases that end with that
// one: longer leases before the settings are written, so that nothing is forgotten meanwhile, and shorter ones after.
// The value has the slots, and how old the start was, in milliseconds, when its lease began; nothing stands for 0.

// coolSlack is added to a period, so that the window is not shorter for the time that the grant took to arrive.
const coolSlack = time.Second

// cool is such a start as its key has it.
type cool struct {
	slots int
	age   time.Duration // when the lease began
}

func (c cool) String() string {
	if c.age == 0 {
		return fmt.Sprint(c.slots)
	}
	return fmt.Sprint(c.slots, c.age.Milliseconds())
}

func parseCool(value string) (c cool, err error) {
	var age int64
	if n, err := fmt.Sscan(value, &c.slots, &age); n == 0 {
		return c, err
	}
	c.age = time.Duration(age) * time.Millisecond
	return c, nil
}

// coolLease is what the server says of a lease, in its whole seconds.
type coolLease struct{ granted, left time.Duration }

// fitStarts gives the starts of rated pools leases that end with the periods of these settings: the longer ones, or the
// shorter. It returns the revision up to which all starts are known, 0 where no pool has a rate.
func (s *Store) fitStarts(ctx context.Context, settings backend.Settings, longer bool) (known int64, err error) {
	if !slices.ContainsFunc(slices.Collect(maps.Values(settings.Pools)),
		func(p backend.Pool) bool { return p.Rate != nil }) {
		return 0, nil
	}
	for moved := 1; moved > 0; {
		resp, err := s.get(ctx, "reading the starts of rates", s.keys.allCools(), clientv3.WithPrefix())
		if err != nil {
			return 0, err
		}
		known = resp.Header.Revision
		if moved, err = s.fit(ctx, resp, settings, longer); err != nil {
			return 0, err
		}
	}
	return known, nil
}

// fit does that for what was read, and returns how many starts got another lease.
func (s *Store) fit(ctx context.Context, starts *clientv3.GetResponse, settings backend.Settings,
	longer bool) (moved int, err error) {
	leases := map[int64]coolLease{}
	next := map[time.Duration]clientv3.LeaseID{} // by the time that they last
	for _, kv := range starts.Kvs {
		_, name, _ := s.keys.parse(string(kv.Key))
		rate := settings.Pools[name].Rate
		if rate == nil {
			continue
		}
		c, err := parseCool(string(kv.Value))
		if err != nil {
			return 0, unreadable(kv.Key, err)
		}
		lease, ok := leases[kv.Lease]
		if !ok {
			if lease, err = s.coolLease(ctx, clientv3.LeaseID(kv.Lease)); err != nil {
				return 0, err
			}
			leases[kv.Lease] = lease
		}
		c.age += max(0, lease.granted-lease.left-time.Second) // no older than it is
		lasts := max(rate.Period+coolSlack-c.age, backend.MinRatePeriod).Truncate(time.Second) + time.Second
		if lease.left < 0 || longer && lease.left+time.Second >= lasts || !longer && lasts+time.Second >= lease.left {
			continue // gone by now; or it ends as it should
		}
		if next[lasts] == 0 {
			if next[lasts], _, err = s.newLease(ctx, "asking etcd for the lease of a rate", lasts); err != nil {
				return 0, err
			}
		}
		g := guards{}
		g.unchanged(string(kv.Key), kv.ModRevision)
		put := clientv3.OpPut(string(kv.Key), c.String(), clientv3.WithLease(next[lasts]))
		if _, _, err := s.commit(ctx, "fit", txn{compare: g.list(), then: []clientv3.Op{put}}); err != nil {
			return 0, err
		}
		moved++
	}
	return moved, nil
}

func (s *Store) coolLease(ctx context.Context, id clientv3.LeaseID) (l coolLease, err error) {
	_, err = s.call(ctx, "asking after the lease of a rate", func(ctx context.Context) error {
		r, err := s.client.TimeToLive(ctx, id)
		if err == nil {
			l = coolLease{time.Duration(r.GrantedTTL) * time.Second, time.Duration(r.TTL) * time.Second}
		}
		return err
	})
	return l, err
}
