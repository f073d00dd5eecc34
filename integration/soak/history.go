//go:build linux

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// The histories have a namespace of their own, in which nothing but the pool fixed delays anybody.
const (
	historyNamespace = "histories"
	fixedPool        = "fixed"
	fixedLimit       = 3
	historyClients   = 4
	historyCalls     = 6 // of each client, in one history
)

// step is one operation on the pool.
type step struct {
	kind   string // ask, grant, leave, release, busy
	call   int    // in the history
	weight int
}

// poolState is a weighted pool: which calls wait and which hold, as bits.
type poolState struct {
	used          int
	waiting, held uint32
}

// poolModel is a weighted pool as a sequential machine. Who waits may be granted only when it fits; busy is told only
// to one who does not fit, or while somebody waits.
func poolModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return poolState{} },
		Step: func(state, input, _ any) (bool, any) {
			s, in := state.(poolState), input.(step)
			bit := uint32(1) << in.call
			switch in.kind {
			case "ask":
				s.waiting |= bit
			case "leave":
				if s.waiting&bit == 0 {
					return false, state
				}
				s.waiting &^= bit
			case "grant":
				if s.waiting&bit == 0 || s.used+in.weight > fixedLimit {
					return false, state
				}
				s.waiting &^= bit
				s.held |= bit
				s.used += in.weight
			case "release":
				if s.held&bit == 0 {
					return false, state
				}
				s.held &^= bit
				s.used -= in.weight
			case "busy":
				return s.used+in.weight > fixedLimit || s.waiting != 0, state
			}
			return true, s
		},
		DescribeOperation: func(input, _ any) string {
			in := input.(step)
			return fmt.Sprintf("%s %d×%d", in.kind, in.call, in.weight)
		},
	}
}

// historyCall is one call of a history.
type historyCall struct {
	*entry
	client, weight int
	try            bool // --if-busy fail
}

// steps makes of a call what it did to the pool. A call that never started has only waited, as far as anybody can tell:
// what it may have held meanwhile only made others wait. Where the wrapper was killed, the slots come free at a time
// that nobody is told, before the quiet moment.
func (c historyCall) steps(number int, quiet int64) []porcupine.Operation {
	operation := func(kind string, from, to int64) porcupine.Operation {
		return porcupine.Operation{ClientId: c.client, Input: step{kind, number, c.weight}, Call: from,
			Return: max(from, to)}
	}
	told := c.exited
	if c.unsettled() {
		told = quiet
	}
	switch {
	case c.started > 0:
		return []porcupine.Operation{
			operation("ask", c.spawned, c.started),
			operation("grant", c.spawned, c.started),
			operation("release", c.surely(), told),
		}
	case c.try && c.code == 75:
		return []porcupine.Operation{operation("busy", c.spawned, c.exited)}
	default:
		return []porcupine.Operation{operation("ask", c.spawned, c.exited), operation("leave", c.spawned, told)}
	}
}

// unsettled reports whether the store may have kept what the call had for longer than the call lived: it was killed, or
// lost its claim, or did not reach the store, or tried for long to give back what it had.
func (e *entry) unsettled() bool {
	return len(e.killed) > 0 || e.code == 76 || e.code >= 125 || e.ended > 0 && e.exited-e.ended > int64(time.Second)
}

// history is one history, from an idle pool to an idle pool.
type history struct {
	calls []historyCall
	quiet int64
}

func (h history) operations() []porcupine.Operation {
	var all []porcupine.Operation
	for i, c := range h.calls {
		all = append(all, c.steps(i, h.quiet)...)
	}
	return all
}

func (h history) check() porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(poolModel(), h.operations(), 10*time.Second)
}

func (h history) String() string {
	var b strings.Builder
	for _, o := range h.operations() {
		fmt.Fprintf(&b, "  %d %+v [%d, %d]\n", o.ClientId, o.Input, o.Call, o.Return)
	}
	for _, c := range h.calls {
		fmt.Fprintln(&b, c.entry)
	}
	return b.String()
}

// record makes histories until ctx ends.
func (s *soak) record(ctx context.Context, randoms []*rand.Rand, clients []*Client) []history {
	var all []history
	for ctx.Err() == nil {
		var mu sync.Mutex
		var group sync.WaitGroup
		var h history
		for i := range historyClients {
			group.Go(func() {
				for n := 0; n < historyCalls && ctx.Err() == nil; n++ {
					c := s.historyCall(randoms[i], clients[i%len(clients)])
					c.client = i
					mu.Lock()
					h.calls = append(h.calls, c)
					mu.Unlock()
					rest(ctx,
						time.Duration(randoms[i].ExpFloat64()*float64(historyClients)/
							(s.figures.Pace*historyShare)*float64(time.Second)))
				}
			})
		}
		group.Wait()
		if !s.idle(clients) {
			return all
		}
		h.quiet = now()
		all = append(all, h)
	}
	return all
}

// historyShare is the part of the pace that the histories' calls come to, about.
const historyShare = 0.2

func (s *soak) historyCall(r *rand.Rand, client *Client) historyCall {
	c := historyCall{weight: 1 + r.IntN(fixedLimit), try: r.IntN(3) == 0}
	pool := fmt.Sprintf("%s=%d", fixedPool, c.weight)
	argv := append([]string{"run"}, client.RunFlags...)
	argv = append(argv, "--pool", pool)
	if c.try {
		argv = append(argv, "--if-busy", "fail")
	}
	c.entry = s.journal.open(entry{what: strings.Join(slices.Concat([]string{"limit"}, argv), " "),
		namespace: client.namespace(),
		needs:     map[string]int{historyNamespace + ":" + fixedPool: c.weight}, spawned: now()})
	argv = append(argv, "--", s.command, s.commandsJournal, s.locks, strconv.Itoa(c.id), "work",
		strconv.Itoa(r.IntN(60)))
	s.run(client, c.entry, argv, nil)
	return c
}

// idle waits until nobody holds or waits in the histories' namespaces.
func (s *soak) idle(clients []*Client) bool {
	for end := time.Now().Add(s.patience()); time.Now().Before(end); {
		busy := false
		for _, client := range clients {
			st, ok := s.status(client)
			busy = busy || !ok || len(st.Held)+len(st.Waiting) > 0
		}
		if !busy {
			return true
		}
		rest(context.Background(), 50*time.Millisecond)
	}
	s.problem("the pool of the histories is not idle %s after its calls have ended", s.patience())
	return false
}
