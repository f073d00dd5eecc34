package backend

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// LimitKind tells the four kinds of limits apart.
type LimitKind int

const (
	KindPool LimitKind = iota
	KindRuns
	KindTag
	KindRate // of a pool; shares its name
)

// Names are how a State calls its limits.
type Names struct{ Pool, Runs, Tag string }

// StoreNames are the names of the limits that all runs share: pool:NAME, runs, tag:KEY, tag:KEY=VALUE.
func StoreNames() Names { return Names{Pool: "pool:", Runs: "runs", Tag: "tag:"} }

// ExecutorNames are the names of the limits of one dag run: max_concurrent, step-tag:KEY, step-tag:KEY=VALUE.
func ExecutorNames() Names { return Names{Pool: "pool:", Runs: "max_concurrent", Tag: "step-tag:"} }

// TagLimit names the limit of a tag, or of one value of it.
func (n Names) TagLimit(key string, value *string) string {
	if value == nil {
		return n.Tag + key
	}
	return n.Tag + key + "=" + *value
}

// limitKey is what makes a limit the same limit: its kind, the pool's name or the tag limit's
// place in the settings, and the tag's value where each value has its own.
type limitKey struct {
	kind  LimitKind
	pool  string
	tag   int
	value string
}

// limit is one limit with what is used of it.
type limit struct {
	key      limitKey
	ordinal  uint64 // in order of creation; names the limit within the key of a line
	name     string
	capacity int
	rate     *Rate  // of KindRate
	pause    *Pause // nobody enters; the capacity is kept
	used     int    // by holders; of a rate: slots started within the period
	waiting  int    // members in line that need it
	refs     int    // members that need it
	numbers  numbers
	starts   []start // of a rate, oldest first
	shape    []need  // needs that begin with it, for the next member that has the same

	// What a pass over the order has found so far; valid where pass is the State's.
	pass     uint64
	blocked  []*member // heads of lines that do not fit here, in order: nobody behind them is admitted
	fits     int       // the most slots asked of it by one that it does not block and others do
	reserver *member   // what comes free is kept for it
	seen     uint64    // the last search that met it
}

// need is what one claim asks of one limit.
type need struct {
	limit *limit
	slots int
}

// start is a grant within the period of a rate.
type start struct {
	id    string
	slots int
	at    time.Duration
}

// shut reports whether nobody enters, whoever leaves: the limit is paused, or 0.
func (l *limit) shut() bool { return l.pause != nil || l.capacity == 0 }

// impossible reports whether the limit can never hold so many slots, whoever leaves. A limit of 0 is a pause.
func (l *limit) impossible(slots int) bool {
	return l.capacity > 0 && slots > l.capacity
}

// room is the number of free slots; negative after the limit was lowered below its use.
func (l *limit) room() int {
	if l.capacity == Unlimited {
		return int(^uint(0) >> 1)
	}
	return l.capacity - l.used
}

// needsOf finds the limits that a claim meets under the settings in force: pools by name, each before its rate, the run
// queue, the tag limits in the order of the settings. They are valid until the next call.
func (s *State) needsOf(c *Claim) []need {
	s.pools = appendSortedKeys(s.pools[:0], c.Pools)
	needs := s.needs[:0]
	for _, name := range s.pools {
		pool, _ := s.settings.Pool(name)
		slots := c.Pools[name]
		if slots == AllSlots && pool.Limit != Unlimited { // else it stays so, and nothing admits it
			slots = max(pool.Limit, 1)
		}
		needs = append(needs, need{s.poolLimit(name, pool), slots})
		if pool.Rate != nil {
			needs = append(needs, need{s.rateLimit(name, pool.Rate), slots})
		}
	}
	if nested, _ := s.nesting(c); c.Runs > 0 && !nested {
		needs = append(needs, need{s.runsLimit(), c.Runs})
		for i, t := range s.settings.TagLimits {
			if value, tagged := c.Tags[t.Key]; tagged && t.Matches(t.Key, value) {
				needs = append(needs, need{s.tagLimit(i, t, value), 1})
			}
		}
	}
	s.needs = needs
	return needs
}

// shared returns needs like these that stay valid and are not changed: those of the last member alike, if there was
// one.
func shared(needs []need) []need {
	if len(needs) == 0 {
		return nil
	}
	first := needs[0].limit
	if !slices.Equal(first.shape, needs) {
		first.shape = slices.Clone(needs)
	}
	return first.shape
}

func (s *State) poolLimit(name string, pool Pool) *limit {
	key := limitKey{kind: KindPool, pool: name}
	if l, ok := s.limits[key]; ok {
		return l
	}
	return s.newLimit(&limit{key: key, name: s.names.Pool + name, capacity: pool.Limit})
}

func (s *State) rateLimit(pool string, rate *Rate) *limit {
	key := limitKey{kind: KindRate, pool: pool}
	if l, ok := s.limits[key]; ok {
		return l
	}
	l := s.newLimit(&limit{key: key, name: s.names.Pool + pool, capacity: rate.Slots, rate: rate})
	s.rates[pool] = l
	return l
}

func (s *State) runsLimit() *limit {
	key := limitKey{kind: KindRuns}
	if l, ok := s.limits[key]; ok {
		return l
	}
	return s.newLimit(&limit{key: key, name: s.names.Runs, capacity: s.settings.MaxRuns})
}

func (s *State) tagLimit(i int, t TagLimit, value string) *limit {
	key := limitKey{kind: KindTag, tag: i}
	if t.PerValue {
		key.value = value
	}
	if l, ok := s.limits[key]; ok {
		return l
	}
	name := s.names.TagLimit(t.Key, nil)
	if t.PerValue || t.Value != nil {
		name = s.names.TagLimit(t.Key, &value)
	}
	return s.newLimit(&limit{key: key, name: name, capacity: t.Limit})
}

func (s *State) newLimit(l *limit) *limit {
	s.ordinal++
	l.ordinal = s.ordinal
	if l.key.kind != KindRate { // it shares the name of its pool
		l.pause = s.settings.PauseOf(l.name)
	}
	s.limits[l.key] = l
	return l
}

// expire forgets the starts that are out of the window at now.
func (l *limit) expire(now time.Duration) {
	for len(l.starts) > 0 && l.starts[0].at+l.rate.Period <= now {
		l.used -= l.starts[0].slots
		l.starts = l.starts[1:]
	}
}

func (l *limit) addStart(st start) {
	i, _ := slices.BinarySearchFunc(l.starts, st.at+1,
		func(a start, at time.Duration) int { return cmp.Compare(a.at, at) })
	l.starts = slices.Insert(l.starts, i, st)
	l.used += st.slots
}

func (l *limit) removeStart(id string) {
	l.starts = slices.DeleteFunc(l.starts, func(st start) bool {
		if st.id == id {
			l.used -= st.slots
		}
		return st.id == id
	})
}

// MaxNumbered is the most slots of a pool that a claim is given numbers of. Who asks for more means an amount, such as
// megabytes, and a list of their numbers would fit into no variable.
const MaxNumbered = 1024

// maxNumber is above every slot's number: more than 16,000 holders of so many do not share a pool. Higher ones were
// written by others.
const maxNumber = 1 << 24

// numbers are the slot numbers that are taken in a pool, a bit each. A store that is told of changes late can know of a
// number's next holder before it hears of an earlier one's coming and going: while several have it, again counts those
// beyond the first.
type numbers struct {
	taken []uint64
	again map[int]int
}

// take marks the n lowest free numbers and returns them.
func (t *numbers) take(n int) []int {
	taken := make([]int, 0, n)
	for word := 0; len(taken) < n; word++ {
		t.reach(word)
		for free := ^t.taken[word]; free != 0 && len(taken) < n; free &= free - 1 {
			bit := bits.TrailingZeros64(free)
			t.taken[word] |= 1 << bit
			taken = append(taken, word*64+bit)
		}
	}
	return taken
}

// mark adds a holder of given numbers, free takes one away.
func (t *numbers) mark(given []int) {
	for _, n := range given {
		if n < 0 || n >= maxNumber {
			continue
		}
		t.reach(n / 64)
		bit := uint64(1) << (n % 64)
		if t.taken[n/64]&bit != 0 {
			if t.again == nil {
				t.again = map[int]int{}
			}
			t.again[n]++
		}
		t.taken[n/64] |= bit
	}
}

func (t *numbers) free(given []int) {
	for _, n := range given {
		switch {
		case n < 0 || n >= maxNumber || n/64 >= len(t.taken):
		case t.again[n] > 1:
			t.again[n]--
		case t.again[n] == 1:
			delete(t.again, n)
		default:
			t.taken[n/64] &^= 1 << (n % 64)
		}
	}
}

func (t *numbers) reach(word int) {
	for word >= len(t.taken) {
		t.taken = append(t.taken, 0)
	}
}
