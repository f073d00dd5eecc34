package etcd

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/backend/etcd/boot"
)

// A gatekeeper's ledger lags behind its store, and it may not learn whether a grant has arrived. Whatever happens
// meanwhile, no limit is exceeded in the store and no slot number is held twice. The store is simulated, and so is what
// a grant compares; ledger, rule and what a gatekeeper makes of answers are real.
func TestAGatekeeperThatSeesChangesLateGivesNothingTwice(t *testing.T) {
	const seeds, steps = 150, 200
	for seed := range uint64(seeds) {
		s := newLagging(t, seed)
		for range steps {
			s.happen()
			for n := s.random.IntN(3); n > 0 && s.next < len(s.log); n-- {
				s.see()
				s.decide()
			}
			if found := s.wrong(); found != "" {
				t.Fatalf("seed %d, revision %d: %s; what has happened:\n%s", seed, s.revision, found, strings.Join(s.told, "\n"))
			}
		}
	}
}

// lagging is a store with a gatekeeper that has seen its log up to next.
type lagging struct {
	t        *testing.T
	random   *rand.Rand
	keys     keyspace
	k        *gatekeeper
	revision int64
	kvs      map[string]*mvccpb.KeyValue
	log      [][]*clientv3.Event // by revision
	next     int
	came     int
	told     []string
}

func newLagging(t *testing.T, seed uint64) *lagging {
	s := &lagging{t: t, random: rand.New(rand.NewPCG(seed, 1)), keys: newKeyspace("lagging"), kvs: map[string]*mvccpb.KeyValue{}}
	s.configure()
	s.k = &gatekeeper{s: &Store{shared: &shared{keys: s.keys}}}
	s.load()
	return s
}

// load is what a gatekeeper does at its start, and when it is in doubt.
func (s *lagging) load() {
	l, err := newLedger(s.keys, slices.Collect(maps.Values(s.kvs)), s.revision)
	if err != nil {
		s.t.Fatal(err)
	}
	s.k.l, s.k.bases, s.k.stalled, s.next = l, map[string]int64{}, false, len(s.log)
}

// commit is a transaction that has arrived.
func (s *lagging) commit(what string, puts map[string]string, deletes []string) int64 {
	s.revision++
	var events []*clientv3.Event
	for key, value := range puts {
		kv := &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), ModRevision: s.revision, CreateRevision: s.revision}
		if before, ok := s.kvs[key]; ok {
			kv.CreateRevision = before.CreateRevision
		}
		s.kvs[key] = kv
		events = append(events, &clientv3.Event{Type: clientv3.EventTypePut, Kv: kv})
	}
	for _, key := range deletes {
		if _, ok := s.kvs[key]; ok {
			delete(s.kvs, key)
			events = append(events, &clientv3.Event{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: s.revision}})
		}
	}
	s.log = append(s.log, events)
	s.told = append(s.told, fmt.Sprintf("%d %s", s.revision, what))
	return s.revision
}

func (s *lagging) configure() {
	settings := backend.NewSettings()
	settings.MaxRuns = 4
	settings.Pools = map[string]backend.Pool{"a": {Limit: 2 + s.random.IntN(2)}, "b": {Limit: 2}}
	s.commit(fmt.Sprintf("limit of a: %d", settings.Pools["a"].Limit), map[string]string{s.keys.settings(): encode(stored{Settings: settings})}, nil)
}

// happen is what others do: come, go, ask a claim to go, change it, lose its lease and come again, change the limits.
func (s *lagging) happen() {
	var ids []string
	for key := range s.kvs {
		if kind, id, _ := s.keys.parse(key); kind == keyClaim {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	if len(ids) == 0 || len(ids) < 6 && s.random.IntN(2) == 0 {
		s.came++
		pools := []map[string]int{{"a": 1}, {"b": 1}, {"a": 1, "b": 1}, {"a": 2}}[s.random.IntN(4)]
		s.enter(fmt.Sprintf("c%03d", s.came), record{RunID: "r", Runs: 1, Pools: pools, Priority: int32(s.random.IntN(3))})
		return
	}
	id := ids[s.random.IntN(len(ids))]
	seat, err := readSeat(id, s.kvs[s.keys.claim(id)])
	if err != nil {
		s.t.Fatal(err)
	}
	switch what := s.random.IntN(12); {
	case what < 6:
		s.leave(seat)
	case what == 6:
		s.commit("asked to go: "+id, map[string]string{s.keys.ask(id): "why"}, nil)
	case what == 7 && seat.Grant == nil:
		seat.Priority++
		s.commit("another priority: "+id, map[string]string{s.keys.claim(id): encode(seat.record)}, nil)
	case what == 8 && seat.Grant == nil:
		s.leave(seat)
		s.enter(id, seat.record)
	case what == 9:
		s.configure()
	case what == 10:
		s.load()
	}
}

func (s *lagging) enter(id string, r record) {
	s.commit("comes: "+id+" "+encode(r), map[string]string{s.keys.claim(id): encode(r), s.keys.wait(id): ""}, nil)
}

func (s *lagging) leave(seat *seat) {
	keys := []string{s.keys.claim(seat.id), s.keys.ask(seat.id), s.keys.wait(seat.id)}
	for _, dim := range dimensions(seat.claim()) {
		keys = append(keys, s.keys.slot(dim, seat.id))
	}
	s.commit("goes: "+seat.id, nil, keys)
}

// see brings the gatekeeper forward by one revision.
func (s *lagging) see() {
	if err := s.k.follow(clientv3.WatchResponse{Events: s.log[s.next]}); err != nil {
		s.t.Fatal(err)
	}
	s.next++
}

// decide grants what the rule admits, some claims at a time. Of one grant in three the answer is lost, and the second
// try fails.
func (s *lagging) decide() {
	if s.k.stalled {
		return
	}
	granted := s.k.l.state.Advance(boot.Now())
	for len(granted) > 0 {
		n := 1 + s.random.IntN(len(granted))
		arrives := s.holds(granted[:n])
		if arrives {
			revision := s.grant(granted[:n])
			if s.random.IntN(3) > 0 {
				s.k.done(granted[:n], revision)
				granted = granted[n:]
				continue
			}
		}
		s.k.undo(granted)
		s.k.stalled = true
		return
	}
}

// holds reports whether the comparisons of a grant hold in the store.
func (s *lagging) holds(claims []*backend.Claim) bool {
	if s.kvs[s.keys.settings()].ModRevision != s.k.l.settingsRevision {
		return false
	}
	for _, c := range claims {
		kv, ok := s.kvs[s.keys.claim(c.ID)]
		if !ok || kv.ModRevision != s.k.l.seats[c.ID].revision {
			return false
		}
		for _, dim := range s.k.l.guarded(c) {
			for key, kv := range s.kvs {
				if strings.HasPrefix(key, s.keys.slots(dim)) && kv.ModRevision > s.k.base(dim) {
					return false
				}
			}
		}
	}
	return true
}

func (s *lagging) grant(claims []*backend.Claim) int64 {
	puts, deletes, what := map[string]string{}, []string{}, "granted:"
	for i, c := range claims {
		r := s.k.l.seats[c.ID].record
		r.Grant = &grant{Slots: c.Grant.Slots, Index: int64(i)}
		puts[s.keys.claim(c.ID)] = encode(r)
		for _, dim := range dimensions(c) {
			puts[s.keys.slot(dim, c.ID)] = encode(r)
		}
		deletes = append(deletes, s.keys.wait(c.ID))
		what += fmt.Sprintf(" %s %v", c.ID, c.Grant.Slots)
	}
	return s.commit(what, puts, deletes)
}

// wrong says what is held twice, or beyond the highest limit that there is.
func (s *lagging) wrong() string {
	holders, used := map[string]string{}, map[string]int{}
	for key, kv := range s.kvs {
		kind, id, _ := s.keys.parse(key)
		if kind != keyClaim {
			continue
		}
		seat, err := readSeat(id, kv)
		if err != nil {
			return err.Error()
		}
		if seat.Grant == nil {
			continue
		}
		used["runs"]++
		for pool, numbers := range seat.Grant.Slots {
			used[pool] += len(numbers)
			for _, n := range numbers {
				slot := fmt.Sprintf("slot %d of %s", n, pool)
				if other, taken := holders[slot]; taken {
					return slot + " is held by " + other + " and " + id
				}
				holders[slot] = id
			}
		}
	}
	for limit, most := range map[string]int{"a": 3, "b": 2, "runs": 4} {
		if used[limit] > most {
			return fmt.Sprintf("%d of %s are held, %d is the most", used[limit], limit, most)
		}
	}
	return ""
}
