//go:build linux

package soak

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// calm is a store that nothing befalls.
type calm struct{ Store }

func (calm) Faults() []Fault { return nil }

// The oracles must see overlaps when there are some: here every other call goes by a guard that knows nothing of the
// first, and nothing else is wrong.
func TestTheOraclesSeeCallsThatKnowNothingOfEachOther(t *testing.T) {
	o := options(t, 0)
	o.For, o.Unguarded = 6*time.Second, true
	var sum Result
	for range 15 { // on a crowded machine little happens in one
		r, err := Run(t.Context(), calm{newEmbedded(t)}, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("\n%s", r)
		if r.Leaks+r.Disorder+r.Surprises > 0 {
			t.Errorf("seed %d: things that are not wrong: %v", r.Seed, r.Problems)
		}
		sum.Overlaps, sum.OverLimits, sum.Illegal = sum.Overlaps+r.Overlaps, sum.OverLimits+r.OverLimits, sum.Illegal+r.Illegal
		if sum.Overlaps > 0 && sum.OverLimits > 0 && sum.Illegal > 0 {
			return
		}
		o.Seed++
	}
	t.Errorf("up to seed %d: %d slots given to two, %d moments over a limit, %d illegal histories: want some of each", o.Seed, sum.Overlaps, sum.OverLimits, sum.Illegal)
}

// journalOf is a journal of calls of one pool of 2.
func journalOf(calls ...entry) *journal {
	j := newJournal(map[string]int{"pool:p": 2})
	for _, c := range calls {
		c.namespace = "default"
		if c.needs == nil {
			c.needs = map[string]int{"pool:p": 1}
		}
		j.open(c)
	}
	return j
}

const second = int64(time.Second)

func TestMoreThanTheLimitIsSeenUnlessALargerOneCanHaveBeenInForce(t *testing.T) {
	three := []entry{
		{spawned: 1, started: 10, ended: 100, exited: 101},
		{spawned: 1, started: 20, ended: 100, exited: 101},
		{spawned: 15, started: 30, ended: 100, exited: 101},
	}
	if found := journalOf(three...).overLimits(); len(found) != 1 {
		t.Errorf("three in a pool of 2: %v", found)
	}
	if found := journalOf(three[:2]...).overLimits(); len(found) != 0 {
		t.Errorf("two in a pool of 2: %v", found)
	}
	for _, c := range []struct {
		name  string
		raise change
		want  int
	}{
		{"raised before", change{"pool:p", 3, span{5, 6}, true}, 0},
		{"being raised when the last came", change{"pool:p", 3, span{14, 40}, true}, 0},
		{"perhaps raised", change{"pool:p", 3, span{5, 0}, false}, 0},
		{"raised after", change{"pool:p", 3, span{31, 32}, true}, 1},
	} {
		j := journalOf(three...)
		j.changes = append(j.changes, c.raise)
		if found := j.overLimits(); len(found) != c.want {
			t.Errorf("%s: %v", c.name, found)
		}
	}
	lowered := journalOf(three[:2]...)
	lowered.changes = append(lowered.changes, change{"pool:p", 1, span{25, 26}, true})
	if found := lowered.overLimits(); len(found) != 0 {
		t.Errorf("lowered while two are held: %v", found)
	}
}

func TestTokensThatDoNotRiseAreSeen(t *testing.T) {
	first := entry{spawned: 1, started: 10, ended: 20, exited: 21, token: 7}
	for token, want := range map[int64]int{8: 0, 7: 2, 6: 1} { // the same token is out of order and given twice
		if found, _ := journalOf(first, entry{spawned: 30, started: 40, ended: 50, exited: 51, token: token}).disorder("default", 0); len(found) != want {
			t.Errorf("token %d after 7: %v", token, found)
		}
	}
	if found, _ := journalOf(first).disorder("default", 9); len(found) != 1 {
		t.Errorf("token 7 after an epoch with 9: %v", found)
	}
	if found, _ := journalOf(first, entry{spawned: 15, started: 40, ended: 50, exited: 51, token: 6}).disorder("default", 0); len(found) != 0 {
		t.Errorf("token 6 of one who came before the end of 7: %v", found)
	}
}

func TestOneWhoWaitsThoughHeIsAdmissibleIsSeen(t *testing.T) {
	waits := func(e entry) entry { e.waits = true; return e }
	holder := entry{spawned: 0, started: 1, ended: 2 * second, exited: 2 * second, needs: map[string]int{"pool:p": 2}}
	late := waits(entry{spawned: second, started: 5 * second, ended: 6 * second, exited: 6 * second})
	j := journalOf(holder, late)
	if got := j.stall(time.Hour, 0).Length; got != 3*time.Second {
		t.Errorf("granted at 5 s, free since 2 s: stall %s", got)
	}
	j.outages = []span{{3 * second, 4 * second}}
	if got := j.stall(time.Hour, 0).Length; got != 2*time.Second {
		t.Errorf("the same with a fault of 1 s: stall %s", got)
	}
	behind := journalOf(holder, late, waits(entry{spawned: 0, exited: 7 * second, needs: map[string]int{"pool:p": 3}}))
	if got := behind.stall(time.Hour, 0).Length; got != 0 {
		t.Errorf("behind one who asks for more: stall %s", got)
	}
	never := journalOf(waits(entry{spawned: 0, exited: 9 * second, code: 75}))
	if got := never.stall(time.Hour, 0).Length; got != 9*time.Second {
		t.Errorf("gave up though the pool was free: stall %s", got)
	}
}

func TestHistoriesThatNoPoolHasAreIllegal(t *testing.T) {
	call := func(client, weight int, try bool, e entry) historyCall {
		return historyCall{&e, client, weight, try}
	}
	first := call(0, 2, false, entry{spawned: 1, started: 2, ended: 10, exited: 12})
	busy := entry{spawned: 3, exited: 4, code: 75}
	for _, c := range []struct {
		name  string
		calls []historyCall
		want  porcupine.CheckResult
	}{
		{"one after another", []historyCall{first, call(1, 2, false, entry{spawned: 3, started: 11, ended: 13, exited: 14})}, porcupine.Ok},
		{"two that do not fit", []historyCall{first, call(1, 2, false, entry{spawned: 3, started: 5, ended: 6, exited: 7})}, porcupine.Illegal},
		{"two that fit", []historyCall{first, call(1, 1, false, entry{spawned: 3, started: 5, ended: 6, exited: 7})}, porcupine.Ok},
		{"busy while it is", []historyCall{first, call(1, 2, true, busy)}, porcupine.Ok},
		{"busy though it fits", []historyCall{first, call(1, 1, true, busy)}, porcupine.Illegal},
		{"busy for one who waits", []historyCall{first, call(1, 3, false, entry{spawned: 2, started: 13, ended: 14, exited: 15}), call(2, 1, true, busy)}, porcupine.Ok},
		{"a holder whose wrapper was killed", []historyCall{
			call(0, 3, false, entry{spawned: 1, started: 2, ended: 8, exited: 3, killed: []death{{span{2, 3}, true, false}}}),
			call(1, 3, false, entry{spawned: 4, started: 20, ended: 21, exited: 22})}, porcupine.Ok},
		{"its slots given away while its command lived", []historyCall{
			call(0, 3, false, entry{spawned: 1, started: 2, ended: 8, exited: 3, killed: []death{{span{2, 3}, true, false}}}),
			call(1, 3, false, entry{spawned: 4, started: 6, ended: 21, exited: 22})}, porcupine.Illegal},
	} {
		h := history{calls: c.calls, quiet: 100}
		if got := h.check(); got != c.want {
			t.Errorf("%s: %s, want %s:\n%v", c.name, got, c.want, h)
		}
	}
}

func TestWhatIsLeftIsSeen(t *testing.T) {
	o := options(t, 0)
	store := newEmbedded(t)
	s := &soak{Options: o, store: store, figures: Figures{Settle: 10 * time.Millisecond, Stall: time.Second}, clients: store.Clients(), dir: o.Dir,
		binary: o.Binary, command: o.Command, journal: newJournal(nil)}
	s.field = &Field{Store: store, calls: map[int]*Call{}, journal: s.journal}
	s.leaks(t.Context())
	if s.result.Leaks != 0 {
		t.Fatalf("nothing is left, but: %v", s.result.Problems)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		e := s.journal.open(entry{what: "limit run", spawned: now()})
		s.run(s.clients[0].in("default"), e, []string{"run", "--pool", "p", "--", "sleep", "60"}, nil)
	}()
	var c *Call
	for end := time.Now().Add(10 * time.Second); c == nil && time.Now().Before(end); {
		c = s.field.Pick(newRandom(), func(c *Call) bool { return c.Command() > 0 })
	}
	if c == nil {
		t.Fatal("the command does not start")
	}
	s.leaks(t.Context())
	s.field.Kill(c, c.Command(), c.PID)
	<-done
	text := strings.Join(s.result.Problems, "\n")
	if s.result.Leaks == 0 || !strings.Contains(text, "sleep 60") {
		t.Errorf("a claim is held and processes live, found: %s", text)
	}
}

func newRandom() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }
