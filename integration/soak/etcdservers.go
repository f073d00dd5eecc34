//go:build linux

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"limit/integration/etcdtest"
)

// serverFaults befall the cluster. Each returns when every member is well again.
func (f *fleet) serverFaults() []Fault {
	lane := Lane{"servers", 10 * time.Second}
	fault := func(kind string, weight int, do func(ctx context.Context, r *rand.Rand)) Fault {
		return Fault{kind, weight, lane, func(ctx context.Context, r *rand.Rand, _ *Field) bool {
			do(ctx, r)
			f.whole()
			return true
		}}
	}
	return []Fault{
		fault("kill a member", 4, func(ctx context.Context, r *rand.Rand) {
			f.without(ctx, between(r, 500*time.Millisecond, 4*time.Second), (*etcdtest.Member).Kill, f.drawn(r, 1)...)
		}),
		fault("kill the leader", 4, func(ctx context.Context, r *rand.Rand) {
			f.without(ctx, between(r, 500*time.Millisecond, 4*time.Second), (*etcdtest.Member).Kill,
				f.cluster.Leader(f.t))
		}),
		fault("stop a member", 3, func(ctx context.Context, r *rand.Rand) {
			f.without(ctx, between(r, 2*time.Second, 6*time.Second), (*etcdtest.Member).Stop, f.drawn(r, 1)...)
		}),
		fault("stop the leader past the election", 3, func(ctx context.Context, r *rand.Rand) {
			f.without(ctx, between(r, 2*time.Second, 6*time.Second), (*etcdtest.Member).Stop, f.cluster.Leader(f.t))
		}),
		fault("no quorum, briefly", 2, func(ctx context.Context, r *rand.Rand) {
			f.without(ctx, between(r, 200*time.Millisecond, 1500*time.Millisecond), (*etcdtest.Member).Stop,
				f.drawn(r, 2)...)
		}),
		fault("no quorum, longer than the fence", 1, func(ctx context.Context, r *rand.Rand) {
			f.without(ctx, between(r, etcdFence, etcdTTL+3*time.Second), (*etcdtest.Member).Stop, f.drawn(r, 2)...)
		}),
		fault("two members killed", 1, func(ctx context.Context, r *rand.Rand) {
			f.without(ctx, between(r, 0, 2*time.Second), (*etcdtest.Member).Kill, f.drawn(r, 2)...)
		}),
		fault("compaction every 100 ms, defragmentation", 3, f.compact),
		fault("password renewed", 3, f.renewPassword),
		fault("another leads", 3, func(_ context.Context, r *rand.Rand) {
			f.cluster.MoveLeader(f.cluster.Leader(f.t), f.drawn(r, 1)[0]) // to itself: refused
		}),
	}
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// drawn are n of the members.
func (f *fleet) drawn(r *rand.Rand, n int) []*etcdtest.Member {
	var members []*etcdtest.Member
	for _, i := range r.Perm(len(f.cluster.Members))[:n] {
		members = append(members, f.cluster.Members[i])
	}
	return members
}

// without takes members away for a while.
func (f *fleet) without(ctx context.Context, d time.Duration, away func(*etcdtest.Member),
	members ...*etcdtest.Member) {
	for _, m := range members {
		away(m)
	}
	rest(ctx, d)
	for _, m := range members {
		if m.Running() {
			m.Continue()
		} else {
			m.Start(f.t)
		}
	}
}

// whole waits until every member is well; who is not within a minute fails the soak.
func (f *fleet) whole() { f.cluster.WaitReady(f.t) }

// compact forgets all that is past, again and again, and at last makes each member rewrite its database. That a
// compaction is refused, as when nothing has changed, is no matter.
func (f *fleet) compact(ctx context.Context, r *rand.Rand) {
	during, stop := context.WithTimeout(ctx, between(r, time.Second, 5*time.Second))
	defer stop()
	for during.Err() == nil {
		f.cluster.Compact(f.drawn(r, 1)[0])
		rest(during, 100*time.Millisecond)
	}
	for _, m := range f.cluster.Members {
		f.cluster.Defragment(m)
	}
}

// renewPassword gives the user another password, on the servers and in the file: in either order, with a pause.
func (f *fleet) renewPassword(ctx context.Context, r *rand.Rand) {
	word := fmt.Sprintf("word-%d", r.Uint64())
	steps := []func(){
		func() { f.write(f.password, word+"\n") },
		func() { // the other faults of servers wait, but a busy machine may be slow
			for f.cluster.SetPassword(f.drawn(r, 1)[0], etcdUser, word) != nil {
				rest(context.WithoutCancel(ctx), 100*time.Millisecond)
			}
		},
	}
	order := r.Perm(2)
	steps[order[0]]()
	rest(ctx, between(r, 0, etcdFence-etcdGrace))
	steps[order[1]]()
}

// Faults are all of the fleet's.
func (f *fleet) Faults() []Fault {
	faults := append(append(f.processFaults(), f.networkFaults()...), f.serverFaults()...)
	if f.agents() {
		faults = append(faults, f.agentFaults()...)
	}
	return faults
}
