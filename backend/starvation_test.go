package backend

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A claim that has begun to reserve is kept out by nobody but the holders of that moment, whatever comes and goes
// afterwards.
func TestAReservingClaimWaitsForNobodyButTheHoldersOfThatMoment(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for i := range uint64(2_000) {
		if story, ok := starve(rand.New(rand.NewPCG(seed+i, 2))); !ok {
			t.Fatalf("seed %d:\n%s", seed+i, story)
		}
	}
}

// starve sends newcomers, most of a higher priority, against a claim that reserves.
func starve(random *rand.Rand) (story string, ok bool) {
	var log strings.Builder
	settings := NewSettings()
	settings.Pools = map[string]Pool{}
	for _, pool := range modelPools {
		settings.Pools[pool] = Pool{Limit: 1 + random.IntN(4)}
	}
	s := NewState(settings, StoreNames())
	entered := int64(0)
	enter := func(now time.Duration, priority int) *Claim {
		entered++
		c := &Claim{ID: strconv.FormatInt(entered, 10), Seq: entered, Priority: int32(priority), Pools: map[string]int{}}
		for range 1 + random.IntN(3) {
			pool := modelPools[random.IntN(len(modelPools))]
			c.Pools[pool] = 1 + random.IntN(settings.Pools[pool].Limit)
		}
		s.Wait(c, now)
		fmt.Fprintf(&log, "enter %s\n", claimText(c))
		return c
	}
	for range 6 {
		enter(0, 0)
	}
	s.Advance(0)
	for _, w := range s.Explain(0) {
		s.Remove(w.ID)
	}
	poor := enter(0, 0)
	now := DefaultReserveAfter
	s.Advance(now)
	present := s.Held()
	for poor.Grant == nil {
		enter(now, random.IntN(4))
		if held := s.Held(); random.IntN(2) == 0 {
			gone := held[random.IntN(len(held))]
			fmt.Fprintf(&log, "release %s\n", gone.ID)
			s.Remove(gone.ID)
		}
		for _, c := range s.Advance(now) {
			fmt.Fprintf(&log, "   granted %s\n", c.ID)
		}
		if poor.Grant == nil && fitsBeside(s, poor, present) {
			return fmt.Sprintf("%s%s is left waiting: %s", log.String(), claimText(poor), blocksText(s.BlocksOf(poor.ID, now))), false
		}
	}
	return "", true
}

// fitsBeside reports whether a claim fits beside those of some holders that still hold.
func fitsBeside(s *State, c *Claim, present []*Claim) bool {
	for pool, slots := range c.Pools {
		for _, o := range present {
			if s.Claim(o.ID) != nil {
				slots += o.Pools[pool]
			}
		}
		if limit, _ := s.Settings().Pool(pool); slots > limit.Limit {
			return false
		}
	}
	return true
}
