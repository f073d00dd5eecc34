package backend

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// crowd is a State of a full pool with so many waiters of so many different needs.
func crowd(waiters, needs int) *State {
	settings := NewSettings()
	settings.Pools = map[string]Pool{"hub": {Limit: 8}}
	for i := range needs {
		settings.Pools["p"+strconv.Itoa(i)] = Pool{Limit: 8}
	}
	s := NewState(settings, StoreNames())
	for i := range waiters + 8 {
		s.Wait(crowdClaim(i, needs), time.Duration(i))
	}
	s.Advance(time.Duration(waiters + 8))
	return s
}

func crowdClaim(i, needs int) *Claim {
	c := &Claim{ID: strconv.Itoa(i), Seq: int64(i), Pools: map[string]int{"hub": 1}}
	if needs > 1 {
		c.Pools["p"+strconv.Itoa(i%needs)] = 1
	}
	return c
}

// BenchmarkRelease is one release, the grant that it brings, and a newcomer that waits: the number of waiters stays.
func BenchmarkRelease(b *testing.B) {
	for _, needs := range []int{1, 8} {
		for _, waiters := range []int{10, 1_000, 100_000} {
			b.Run(fmt.Sprintf("needs=%d/waiters=%d", needs, waiters), func(b *testing.B) {
				s := crowd(waiters, needs)
				next, holder := waiters+8, "0"
				claims := make([]*Claim, b.N)
				for i := range claims {
					claims[i] = crowdClaim(next+i, needs)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					s.Remove(holder)
					s.Wait(claims[i], time.Duration(next+i))
					granted := s.Advance(time.Duration(next + i))
					if len(granted) != 1 {
						b.Fatalf("%d granted", len(granted))
					}
					holder = granted[0].ID
				}
			})
		}
	}
}

// BenchmarkReleaseAmongTheAged is the same where everybody has waited long enough to reserve.
func BenchmarkReleaseAmongTheAged(b *testing.B) {
	for _, waiters := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprintf("needs=8/waiters=%d", waiters), func(b *testing.B) {
			s := crowd(waiters, 8)
			now := time.Hour
			s.Advance(now)
			holder := "0"
			b.ResetTimer()
			for i := range b.N {
				s.Remove(holder)
				s.Wait(crowdClaim(waiters+8+i, 8), 0)
				holder = s.Advance(now)[0].ID
			}
		})
	}
}

// BenchmarkLoad is what a process pays that finds so many holders and waiters in a store.
func BenchmarkLoad(b *testing.B) {
	settings := NewSettings()
	settings.Pools = map[string]Pool{"hub": {Limit: 2}}
	for _, waiters := range []int{0, 1, 10, 1_000} {
		b.Run(fmt.Sprintf("waiters=%d", waiters), func(b *testing.B) {
			b.ReportAllocs()
			claims := make([]*Claim, waiters)
			for i := range claims {
				claims[i] = crowdClaim(i, 1)
			}
			holder := crowdClaim(-1, 1)
			holder.Grant = &Grant{Slots: map[string][]int{"hub": {0}}}
			for b.Loop() {
				s := NewState(settings, StoreNames())
				s.Expect(waiters + 1)
				s.Hold(holder, 0)
				for _, c := range claims {
					s.Wait(c, 0)
				}
			}
		})
	}
}

// BenchmarkExplain is the whole of status among so many.
func BenchmarkExplain(b *testing.B) {
	for _, waiters := range []int{10, 1_000} {
		b.Run(fmt.Sprintf("needs=8/waiters=%d", waiters), func(b *testing.B) {
			s := crowd(waiters, 8)
			b.ReportAllocs()
			for b.Loop() {
				s.Explain(time.Second)
			}
		})
	}
}

// BenchmarkExecutor drains 100,000 steps of 8 needs through 16 slots, as a dag run does; the figure is for one step.
func BenchmarkExecutor(b *testing.B) {
	const steps = 100_000
	settings := NewSettings()
	settings.MaxRuns, settings.ReserveAfter = 16, NeverReserve
	settings.TagLimits = []TagLimit{{Key: "k", PerValue: true, Limit: 3}}
	for b.Loop() {
		s := NewState(settings, ExecutorNames())
		for i := range steps {
			c := &Claim{ID: strconv.Itoa(i), Seq: int64(i), Runs: 1}
			if i%8 != 0 {
				c.Tags = map[string]string{"k": strconv.Itoa(i % 8)}
			}
			s.Wait(c, 0)
		}
		held := s.Advance(0)
		for len(held) > 0 {
			s.Remove(held[0].ID)
			held = append(held[1:], s.Advance(0)...)
		}
		if s.Waiting() > 0 {
			b.Fatalf("%d left waiting", s.Waiting())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/steps, "ns/step")
}
