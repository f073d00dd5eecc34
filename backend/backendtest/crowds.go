package backendtest

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"limit/backend"
)

// crowds is many claims at the same time.
func crowds() []testCase {
	return []testCase{
		{"200 claims at once are never over the limit and are granted in order", crowd},
		{"claims that come, go, stand aside and change priority leave nothing", turmoil},
	}
}

// awaitGrant waits for a claim of many. That a store is out of reach for a moment, on a machine that is busy with all
// of them, does not matter.
func (k *kit) awaitGrant(e backend.Entry) bool {
	for impatience := time.After(2 * patience); ; {
		select {
		case ev := <-e.Events():
			switch ev.Kind {
			case backend.Granted:
				return true
			case backend.Blocked, backend.Unreachable, backend.Reachable:
			default:
				k.Errorf("event %+v, want Granted", ev)
				return false
			}
		case <-impatience:
			k.Errorf("%s was never granted; the store has %s", describe(e.Claim()), k.describeAll())
			return false
		}
	}
}

// rendezvous lets holders go on when so many are there at once. A store that admits fewer keeps them waiting.
type rendezvous struct {
	mu      sync.Mutex
	waiting int
	size    int
	met     chan struct{}
}

func (r *rendezvous) meet() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	met := r.met
	if r.waiting++; r.waiting == r.size {
		r.waiting, r.met = 0, make(chan struct{})
		close(met)
	}
	return met
}

func crowd(k *kit) {
	const claims, users, limit = 200, 8, 4 // the last meet too
	k.limit("p", limit)
	backends := make([]backend.Backend, users)
	for i := range backends {
		backends[i] = k.user()
	}
	var inside atomic.Int32
	grants := make([]backend.Claim, claims)
	holders := rendezvous{size: limit, met: make(chan struct{})}
	counted := make(chan struct{})
	var all, entered sync.WaitGroup
	for i := range claims {
		entered.Add(1)
		all.Go(func() {
			e, err := backends[i%users].Enter(k.ctx, claim(pool("p", 1)), backend.EnterOptions{})
			entered.Done()
			if err != nil {
				k.Errorf("Enter: %v", err)
				return
			}
			granted := k.awaitGrant(e)
			if n := inside.Add(1); n > limit {
				k.Errorf("%d hold at once, limit %d", n, limit)
			}
			grants[i] = e.Claim()
			if granted {
				k.await(holders.meet(), "as many hold at once as the limit says")
				k.await(counted, "all have entered")
			}
			inside.Add(-1)
			if err := e.Release(k.ctx); err != nil {
				k.Errorf("Release: %v", err)
			}
		})
	}
	entered.Wait()
	if s, err := k.b.Snapshot(k.ctx); err != nil || len(s.Held) > limit {
		k.Errorf("%d hold at once while nobody releases, limit %d (%v)", len(s.Held), limit, err)
	}
	close(counted)
	all.Wait()
	if k.Failed() {
		return
	}
	slices.SortFunc(grants, func(a, b backend.Claim) int { return cmp.Compare(a.Seq, b.Seq) })
	for i := 1; i < claims; i++ {
		if a, b := grants[i-1], grants[i]; a.Grant.Token >= b.Grant.Token {
			k.Fatalf("%s came before %s and was granted after it", describe(a), describe(b))
		}
	}
	k.empty()
}

// await waits for a channel to close; it may be called by any goroutine.
func (k *kit) await(closed <-chan struct{}, what string) {
	select {
	case <-closed:
	case <-time.After(patience):
		k.Errorf("it did not come true that %s", what)
	}
}

func turmoil(k *kit) {
	k.set(func(s *backend.Settings) {
		s.MaxRuns = 4
		s.Pools["a"], s.Pools["b"] = backend.Pool{Limit: 2}, backend.Pool{Limit: 3}
		s.TagLimits = []backend.TagLimit{{Key: "t", PerValue: true, Limit: 1}}
	})
	var used [2]atomic.Int32
	var all sync.WaitGroup
	for user := range 6 {
		b := k.user()
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(user), 1))
			for range 12 {
				c := claim(pool("a", 1+random.IntN(2)), pool("b", 1+random.IntN(3)), priority(int32(random.IntN(3))))
				if random.IntN(2) == 0 {
					tag("t", string(rune('a'+random.IntN(2))))(&c)
				}
				stir(k, b, c, random, &used)
			}
		})
	}
	all.Wait()
	k.empty()
}

// stir lets one claim come and go in one of many ways.
func stir(k *kit, b backend.Backend, c backend.Claim, random *rand.Rand, used *[2]atomic.Int32) {
	e, err := b.Enter(k.ctx, c, backend.EnterOptions{})
	if err != nil {
		k.Errorf("Enter(%s): %v", describe(c), err)
		return
	}
	defer e.Release(k.ctx)
	switch random.IntN(5) {
	case 0:
		return // whatever it was
	case 1:
		if err := b.Bump(k.ctx, c.ID, 9); err != nil && err != backend.ErrHeld {
			k.Errorf("Bump: %v", err)
		}
	case 2:
		if err := e.Yield(k.ctx); err != nil {
			k.Errorf("Yield: %v", err)
		}
		if err := e.Reacquire(k.ctx); err != nil {
			k.Errorf("Reacquire: %v", err)
		}
	}
	if !k.awaitGrant(e) {
		return
	}
	for i, p := range []string{"a", "b"} {
		if n := used[i].Add(int32(c.Pools[p])); int(n) > 2+i {
			k.Errorf("%d slots of %s are held, limit %d", n, p, 2+i)
		}
	}
	for i, p := range []string{"a", "b"} {
		used[i].Add(-int32(c.Pools[p]))
	}
}
