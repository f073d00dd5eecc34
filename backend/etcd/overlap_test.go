package etcd

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"limit/backend"
	"limit/integration/etcdtest"
)

// span is when one command ran, as it saw it, and under which grant.
type span struct {
	start, end time.Time
	token      int64
	slot       int
}

// sweep looks for moments at which more than limit commands ran, for two commands with one slot at once, and for tokens
// that do not rise from holder to holder of a slot.
func sweep(spans []span, limit int) (findings []string) {
	type edge struct {
		at   time.Time
		step int
	}
	var edges []edge
	bySlot := map[int][]span{}
	for _, s := range spans {
		edges = append(edges, edge{s.start, 1}, edge{s.end, -1})
		bySlot[s.slot] = append(bySlot[s.slot], s)
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.step, b.step)) })
	running := 0
	for _, e := range edges {
		if running += e.step; running > limit && e.step > 0 {
			findings = append(findings, fmt.Sprintf("%d commands at once, limit %d", running, limit))
		}
	}
	for slot, s := range bySlot {
		slices.SortFunc(s, func(a, b span) int { return a.start.Compare(b.start) })
		for i := 1; i < len(s); i++ {
			if s[i].start.Before(s[i-1].end) {
				findings = append(findings, fmt.Sprintf("slot %d: token %d starts %s before %d ends", slot, s[i].token, s[i-1].end.Sub(s[i].start), s[i-1].token))
			}
			if s[i].token <= s[i-1].token {
				findings = append(findings, fmt.Sprintf("slot %d: token %d after %d", slot, s[i].token, s[i-1].token))
			}
		}
	}
	return findings
}

func TestCommandsNeverOverlapBeyondTheLimitAndTheSweepWouldSeeIt(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	const limit, seed = 2, 7
	var both sync.WaitGroup
	both.Go(func() {
		t.Run("fenced", func(t *testing.T) {
			spans, cuts := storm(t, c, limit, seed, false)
			findings := sweep(spans, limit)
			t.Logf("seed %d: %d commands, %d cuts, %d overlaps", seed, len(spans), cuts, len(findings))
			for _, f := range findings {
				t.Error(f)
			}
		})
	})
	both.Go(func() {
		t.Run("self-fencing switched off", func(t *testing.T) {
			spans, cuts := storm(t, c, limit, seed, true)
			findings := sweep(spans, limit)
			t.Logf("seed %d: %d commands, %d cuts, %d overlaps", seed, len(spans), cuts, len(findings))
			if len(findings) == 0 {
				t.Error("nothing found: the oracle is blind")
			}
		})
	})
	both.Wait()
}

// storm lets six machines run commands for a while, with their networks cut at random for longer than their leases.
func storm(t *testing.T, c *etcdtest.Cluster, limit int, seed uint64, unfenced bool) (spans []span, cuts int) {
	t.Helper()
	const machines, lasting = 6, 20 * time.Second
	setPool(t, openStore(t, c), backend.Pool{Limit: limit})
	ctx, stop := context.WithTimeout(t.Context(), lasting)
	defer stop()
	var mu sync.Mutex
	var running sync.WaitGroup
	var cutters []func(bool)
	holding := make([]atomic.Bool, machines)
	for i := range machines {
		s, cut := machine(t, c, func(o *Options) { o.ConnectTimeout = 15 * time.Second })
		s.unfenced = unfenced
		cutters = append(cutters, cut)
		dice := rand.New(rand.NewPCG(seed, uint64(i)))
		running.Go(func() {
			for ctx.Err() == nil {
				if done, ok := runOne(ctx, s, 50*time.Millisecond+time.Duration(dice.IntN(400))*time.Millisecond, unfenced, &holding[i]); ok {
					mu.Lock()
					spans = append(spans, done)
					mu.Unlock()
				}
			}
		})
	}
	dice := rand.New(rand.NewPCG(seed, machines))
	cutOff := map[int]time.Time{}
	for pause(ctx, 100*time.Millisecond+time.Duration(dice.IntN(200))*time.Millisecond) {
		i := dice.IntN(machines)
		if _, already := cutOff[i]; !already && holding[i].Load() && len(cutOff) < 3 {
			cutters[i](true)
			cutOff[i] = time.Now()
			cuts++
		}
		for i, since := range cutOff {
			if time.Since(since) > 7*time.Second {
				cutters[i](false)
				delete(cutOff, i)
			}
		}
	}
	for _, cut := range cutters {
		cut(false)
	}
	running.Wait()
	return spans, cuts
}

// runOne enters, waits, and is the command: it ends after a time, or, cut off, at the last moment that it is left. A
// command that cannot tell its end to the store takes longer.
func runOne(ctx context.Context, s *Store, lasting time.Duration, unfenced bool, holding *atomic.Bool) (done span, ok bool) {
	e, err := s.Enter(ctx, one(), backend.EnterOptions{})
	if err != nil {
		return span{}, false
	}
	defer func() {
		settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), 12*time.Second)
		defer cancel()
		e.Release(settle)
	}()
	for {
		select {
		case <-ctx.Done():
			return span{}, false
		case event := <-e.Events():
			if event.Kind != backend.Granted {
				continue
			}
		}
		break
	}
	g := e.Claim().Grant
	done = span{start: time.Now(), token: g.Token, slot: g.Slots["p"][0]}
	holding.Store(true)
	defer holding.Store(false)
	end := time.NewTimer(lasting)
	defer end.Stop()
	for {
		select {
		case <-end.C:
			// The machine may be cut off: then the command goes on until it is told to stop, as a long one would.
			check, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			_, err := s.revision(check)
			cancel()
			if err == nil || ctx.Err() != nil {
				done.end = time.Now()
				return done, true
			}
			end.Reset(50 * time.Millisecond)
		case event := <-e.Events():
			if event.Kind == backend.Lost && !unfenced {
				<-time.After(time.Until(event.KillBy.Add(-10 * time.Millisecond))) // it ignores TERM and is killed
				done.end = time.Now()
				return done, true
			}
		}
	}
}

// setPool sets the limit of pool p.
func setPool(t testing.TB, s *Store, pool backend.Pool) {
	t.Helper()
	if err := s.ChangeSettings(t.Context(), func(settings *backend.Settings, _ bool) error {
		settings.Pools = map[string]backend.Pool{"p": pool}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
