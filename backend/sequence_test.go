package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sequence lets bytes decide what happens, to a State and to the model alike, and compares them after every step.
type sequence struct {
	bytes   []byte
	at      int
	state   *State
	model   *model
	entered int
	token   int64
	ordered bool     // nested claims ask for later pools than their ancestors hold, so that nobody can wait in a circle
	log     []string // what happened, for the one who has to understand a failure
	err     error
}

// play returns the first difference, with the story that led to it.
func play(bytes []byte) error {
	q := &sequence{bytes: bytes}
	q.ordered = q.pick(2) == 0
	settings := q.settings()
	q.state = NewState(settings, StoreNames())
	q.model = &model{settings: settings}
	q.note("limits %s", settingsText(settings))
	for q.at < len(q.bytes) && q.err == nil {
		q.step()
		q.advance()
		q.compare()
	}
	if q.err == nil {
		q.drain()
	}
	if q.err != nil {
		return fmt.Errorf("%w\n%s", q.err, strings.Join(q.log, "\n"))
	}
	return nil
}

// pick is a number below n. Where the bytes have come to their end it is 0.
func (q *sequence) pick(n int) int {
	if q.at >= len(q.bytes) {
		return 0
	}
	q.at++
	return int(q.bytes[q.at-1]) % n
}

func (q *sequence) note(format string, args ...any) {
	q.log = append(q.log, fmt.Sprintf(format, args...))
}

func (q *sequence) fail(format string, args ...any) {
	if q.err == nil {
		q.err = fmt.Errorf(format, args...)
	}
}

func (q *sequence) step() {
	switch q.pick(16) {
	case 0, 1, 2, 3, 4:
		q.enter()
	case 5, 6, 7:
		q.release(true)
	case 8:
		q.release(false)
	case 9, 10:
		q.tick()
	case 11:
		q.configure(q.settings())
	case 12:
		q.aside()
	case 13:
		q.bump()
	case 14:
		q.note("limits the same")
		q.state.Configure(q.model.settings)
	case 15:
		q.note("loaded anew")
		q.rebuild()
	}
}

var modelPools = []string{"a", "b", "c", "d"}

func (q *sequence) settings() Settings {
	s := NewSettings()
	s.ReserveAfter = []time.Duration{30 * time.Second, 10 * time.Second, NeverReserve}[q.pick(3)]
	s.MaxRuns = []int{Unlimited, 2, 4, 0, 1}[q.pick(5)]
	for _, pool := range modelPools {
		p := Pool{Limit: []int{1, 2, 4, Unlimited, 0, 3}[q.pick(6)]}
		if q.pick(4) == 3 {
			p.Rate = &Rate{Slots: 1 + q.pick(4), Period: time.Duration(2+q.pick(20)) * time.Second}
		}
		if q.pick(5) < 4 {
			if s.Pools == nil {
				s.Pools = map[string]Pool{}
			}
			s.Pools[pool] = p
		}
	}
	if n := q.pick(5) - 2; n >= -1 && n != 0 {
		s.DefaultLimit = &n
	}
	if q.pick(4) == 3 {
		s.Paused = map[string]Pause{}
		for _, limit := range []string{"runs", "pool:a", "pool:c"} {
			if q.pick(2) == 1 {
				s.Paused[limit] = Pause{Reason: limit}
			}
		}
	}
	value := "1"
	for _, t := range []TagLimit{{Key: "k"}, {Key: "k", Value: &value}, {Key: "k", PerValue: true}, {Key: "l", PerValue: true}} {
		if q.pick(3) == 2 {
			t.Limit = q.pick(4)
			s.TagLimits = append(s.TagLimits, t)
		}
	}
	return s
}

func (q *sequence) enter() {
	q.entered++
	c := &Claim{ID: "c" + strconv.Itoa(q.entered), RunID: "c" + strconv.Itoa(q.entered), Seq: int64(q.entered), Priority: int32(max(0, q.pick(6)-3)), Rank: int64(max(0, q.pick(8)-6))}
	from := 0
	if held := q.model.holders(""); len(held) > 0 && q.pick(3) == 2 {
		parent := q.model.find(held[q.pick(len(held))])
		c.RunID, c.Ancestors = parent.claim.RunID, append(slices.Clone(parent.claim.Ancestors), parent.claim.ID)
		from = q.above(c.Ancestors)
	} else if q.pick(3) == 2 {
		c.Runs, c.Tags, c.Within = 1, q.tags(), q.within()
		from = q.above(q.claimsOf(c.Within.Run))
	} else if q.pick(2) == 1 {
		c.Runs = 1 + max(0, q.pick(5)-3)
		c.Tags = q.tags()
	}
	for n := q.pick(3); n >= 0 && from < len(modelPools); n-- {
		if c.Pools == nil {
			c.Pools = map[string]int{}
		}
		c.Pools[modelPools[from+q.pick(len(modelPools)-from)]] = []int{1, 1, 2, 1, 3, AllSlots}[q.pick(6)]
	}
	q.note("%s enter %s", q.model.now, claimText(c))
	err := q.state.Check(c)
	q.compareImpossible(c, err)
	if err != nil {
		return
	}
	waiting := *c
	q.state.Wait(&waiting, q.model.now)
	q.model.members = append(q.model.members, &modelMember{claim: *c, since: q.model.now})
}

// within names a run, or what was one or will be, and a claim that is or was of it, or of another.
func (q *sequence) within() *Within {
	any := func() string { return "c" + strconv.Itoa(1+q.pick(q.entered+1)) }
	w := &Within{Run: any(), Claim: any()}
	if o := q.one(func(o *modelMember) bool { return o.held }); o != nil && q.pick(4) > 0 {
		w.Run, w.Claim = o.claim.RunID, o.claim.ID
	}
	return w
}

// claimsOf are the claims that are of a run or in it, or say so.
func (q *sequence) claimsOf(run string) []string {
	var ids []string
	for _, o := range q.model.members {
		if o.claim.RunID == run || o.claim.Within != nil && o.claim.Within.Run == run {
			ids = append(append(ids, o.claim.Ancestors...), o.claim.ID)
		}
	}
	return ids
}

// above is the first pool that a claim of these ancestors may ask for.
func (q *sequence) above(ancestors []string) int {
	from := 0
	for i, pool := range modelPools {
		for _, id := range ancestors {
			if o := q.model.find(id); q.ordered && o != nil && o.claim.Pools[pool] > 0 {
				from = i + 1
			}
		}
	}
	return from
}

func (q *sequence) tags() map[string]string {
	tags := map[string]string{}
	for _, key := range []string{"k", "l"} {
		if v := q.pick(4); v > 0 {
			tags[key] = []string{"", "1", "2"}[v-1]
		}
	}
	return tags
}

func (q *sequence) compareImpossible(c *Claim, err error) {
	is := ""
	var impossible *ImpossibleError
	if errors.As(err, &impossible) {
		is = impossible.Limit
		if held := 0; len(impossible.Held) > 0 {
			for _, n := range impossible.Held {
				held += n
			}
			is += fmt.Sprintf(" held %d", held)
		}
		if impossible.Circle != nil {
			is += " circle"
		}
	}
	if want := q.model.impossible(c); is != want {
		q.fail("impossible: State says %q, model %q", is, want)
	}
}

func (q *sequence) release(held bool) {
	if o := q.one(func(o *modelMember) bool { return o.held == held }); o != nil {
		q.remove(o)
	}
}

func (q *sequence) remove(o *modelMember) {
	q.note("%s release %s", q.model.now, o.claim.ID)
	q.model.remove(o.claim.ID)
	if !q.state.Remove(o.claim.ID) {
		q.fail("State does not know %s", o.claim.ID)
	}
}

// one picks a member of a kind, or nil.
func (q *sequence) one(kind func(*modelMember) bool) *modelMember {
	var of []*modelMember
	for _, o := range q.model.members {
		if kind(o) {
			of = append(of, o)
		}
	}
	if len(of) == 0 {
		return nil
	}
	return of[q.pick(len(of))]
}

// tick goes on by some time, or to what the State waits for.
func (q *sequence) tick() {
	by := []time.Duration{time.Second, 3 * time.Second, 11 * time.Second, 31 * time.Second, -1}[q.pick(5)]
	if at, ok := q.state.Next(); by < 0 && ok && at > q.model.now {
		by = at - q.model.now
	}
	q.pass(max(by, 1))
}

// pass lets time pass, but not beyond a moment at which somebody is admitted without the State having announced it.
func (q *sequence) pass(by time.Duration) {
	to := q.model.now + by
	if at, ok := q.state.Next(); ok && at < to && at > q.model.now {
		to = at
	}
	if to > q.model.now+1 {
		q.model.now = to - 1
		if early := q.state.Advance(q.model.now); len(early) > 0 {
			q.fail("%s admitted at %s, which Next did not tell", early[0].ID, q.model.now)
		}
	}
	q.model.now = to
	q.note("at %s", to)
}

func (q *sequence) configure(s Settings) {
	q.note("limits %s", settingsText(s))
	q.state.Configure(s)
	q.model.settings = s
	var refused []string
	for _, o := range q.model.waiting() {
		if q.model.alone(&o.claim) != "" {
			refused = append(refused, o.claim.ID)
			q.model.remove(o.claim.ID)
		}
	}
	for last, _ := q.model.circle(nil); last != nil; last, _ = q.model.circle(nil) {
		refused = append(refused, last.claim.ID)
		q.model.remove(last.claim.ID)
	}
	var is []string
	for _, r := range q.state.Refuse() {
		is = append(is, r.Claim.ID)
	}
	slices.Sort(is)
	slices.Sort(refused)
	if !slices.Equal(is, refused) {
		q.fail("refused: State %v, model %v", is, refused)
	}
}

func (q *sequence) aside() {
	aside := q.pick(2) == 0
	if o := q.one(func(o *modelMember) bool { return o.aside != aside }); o != nil {
		q.note("%s aside %s %t", q.model.now, o.claim.ID, aside)
		q.model.setAside(o, aside)
		q.state.Aside(o.claim.ID, aside)
	}
}

func (q *sequence) bump() {
	if o := q.one(func(o *modelMember) bool { return !o.held }); o != nil {
		o.claim.Priority = int32(q.pick(4))
		q.note("%s bump %s %d", q.model.now, o.claim.ID, o.claim.Priority)
		if !q.state.Bump(o.claim.ID, o.claim.Priority) {
			q.fail("State does not bump %s", o.claim.ID)
		}
	}
}

// rebuild makes a State from what a store would have kept, in some order.
func (q *sequence) rebuild() {
	q.state = NewState(q.model.settings, StoreNames())
	members := slices.Clone(q.model.members)
	rand.New(rand.NewPCG(uint64(q.at), 0)).Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	for _, o := range members {
		c := o.claim
		if o.held {
			c.Grant = &Grant{Token: o.token, Slots: o.slots}
			q.state.Hold(&c, o.since)
			o.entered = c // what it was before is its owner's to know
			o.entered.Grant = nil
			continue
		}
		q.state.Wait(&c, o.since)
		if o.aside {
			q.state.Aside(c.ID, true)
		}
	}
	for _, st := range q.model.starts {
		q.state.HoldStart(st.pool, st.id, st.slots, st.at)
	}
}

// advance admits on both sides and compares who and what.
func (q *sequence) advance() {
	was := q.token
	fed, enough := q.feed()
	want := q.model.advance(func() int64 { q.token++; return q.token })
	got := q.state.Advance(q.model.now)
	for i, c := range got {
		c.Grant.Token = was + int64(i) + 1
	}
	var is, should []string
	for _, c := range got {
		is = append(is, c.ID+" "+slotsText(c.Grant.Slots))
	}
	for _, o := range want {
		should = append(should, o.claim.ID+" "+slotsText(o.slots))
	}
	if alone := fed.Advance(q.model.now); enough() && !slices.EqualFunc(alone, want, func(c *Claim, o *modelMember) bool { return c.ID == o.claim.ID }) {
		q.fail("granted where the first of each line were fed alone: %v, model %q", idsOf(alone), should)
	}
	if len(should) > 0 {
		q.note("   granted %s", strings.Join(should, ", "))
	}
	if !slices.Equal(is, should) {
		q.fail("granted: State %q, model %q", is, should)
	}
	if again := q.state.Advance(q.model.now); len(again) > 0 {
		q.fail("%s was left waiting", again[0].ID)
	}
}

// feed makes a State that knows of the waiters only the first three of each line. It decides as one that knows
// everybody does, as long as two of a line stay: a store need not load the others.
func (q *sequence) feed() (s *State, enough func() bool) {
	s = NewState(q.model.settings, StoreNames())
	fed, more := map[string][]*Claim{}, map[string]bool{}
	for _, o := range q.model.members {
		if c := o.claim; o.held {
			c.Grant = &Grant{Token: o.token, Slots: o.slots}
			s.Hold(&c, o.since)
		}
	}
	for _, o := range q.model.waiting() {
		c := o.claim
		line := fmt.Sprint(q.model.needs(&c), q.model.ancestors(&c), withinText(c.Within), q.model.now-o.since >= q.model.settings.Reserve())
		switch {
		case o.aside:
		case len(fed[line]) == 3:
			more[line] = true
		default:
			fed[line] = append(fed[line], &c)
			s.Wait(&c, o.since)
		}
	}
	for _, st := range q.model.starts {
		s.HoldStart(st.pool, st.id, st.slots, st.at)
	}
	return s, func() bool {
		for line := range more {
			if fed[line][1].Grant != nil {
				return false
			}
		}
		return true
	}
}

func idsOf(claims []*Claim) []string {
	var ids []string
	for _, c := range claims {
		ids = append(ids, c.ID)
	}
	return ids
}

// compare checks all that can be asked of a State, and what always holds.
func (q *sequence) compare() {
	if q.err != nil {
		return
	}
	explained := map[string]WaitingClaim{}
	got, want := q.state.Explain(q.model.now), q.model.explain()
	for i := range got {
		got[i].Grant = nil
		explained[got[i].ID] = got[i]
	}
	if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		q.fail("explained: State\n%s\nmodel\n%s", explainedText(got), explainedText(want))
	}
	if held := q.state.Held(); !slices.EqualFunc(held, q.model.holders(""), func(c *Claim, id string) bool { return c.ID == id }) {
		q.fail("held: State %v, model %v", held, q.model.holders(""))
	}
	for id, w := range explained {
		if blocks := q.state.BlocksOf(id, q.model.now); !reflect.DeepEqual(blocks, w.Blocks) {
			q.fail("blocks of %s: %v alone, %v among all", id, blocks, w.Blocks)
		}
	}
	q.compareUsage()
	q.checkNumbers()
}

func (q *sequence) compareUsage() {
	for _, u := range q.state.Usage(q.model.now) {
		limit := u.Limit
		if u.Kind == KindTag {
			limit = "tag:" + strconv.Itoa(slices.IndexFunc(q.model.settings.TagLimits, func(t TagLimit) bool {
				t.Limit, u.Tag.Limit = 0, 0
				if t.PerValue {
					return u.Tag.PerValue && t.Key == u.Tag.Key
				}
				return reflect.DeepEqual(t, u.Tag)
			}))
			if u.Tag.PerValue && u.Tag.Value != nil {
				limit += ":" + *u.Tag.Value
			}
		}
		if used := q.model.used(limit); u.Used != used {
			q.fail("used of %s: State %d, model %d", limit, u.Used, used)
		}
		if started := q.model.used("rate:" + u.Pool); u.Kind == KindPool && u.Started != started {
			q.fail("started of %s: State %d, model %d", limit, u.Started, started)
		}
		waiting := 0
		for _, o := range q.model.members {
			if !o.held && !o.aside && q.model.asks(&o.claim, limit) != 0 {
				waiting++
			}
		}
		if u.Waiting != waiting {
			q.fail("waiting for %s: State %d, model %d", limit, u.Waiting, waiting)
		}
	}
}

// checkNumbers: no two holders of a pool share a slot number.
func (q *sequence) checkNumbers() {
	taken := map[string]string{}
	for _, c := range q.state.Held() {
		for pool, numbers := range c.Grant.Slots {
			for _, n := range numbers {
				key := pool + strconv.Itoa(n)
				if other, twice := taken[key]; twice {
					q.fail("%s and %s hold %s %d", other, c.ID, pool, n)
				}
				taken[key] = c.ID
			}
		}
	}
}

// drain opens the limits that are shut, then lets every run end whose claims are all done: in the end nobody may be
// left.
func (q *sequence) drain() {
	s := q.model.settings.Clone()
	s.MaxRuns, s.Paused = open(s.MaxRuns), nil
	for name, p := range s.Pools {
		s.Pools[name] = Pool{Limit: open(p.Limit)}
	}
	for i, t := range s.TagLimits {
		s.TagLimits[i].Limit = open(t.Limit)
	}
	q.configure(s)
	for _, o := range q.model.members {
		if o.aside {
			q.model.setAside(o, false)
			q.state.Aside(o.claim.ID, false)
		}
	}
	for q.advance(); q.err == nil && len(q.model.members) > 0; q.advance() {
		q.model.now += 11 * time.Second
		if o := q.done(); o != nil {
			q.remove(o)
			continue
		}
		q.fail("nobody can go on: %s", explainedText(q.state.Explain(q.model.now)))
	}
	for _, u := range q.state.Usage(q.model.now) {
		if u.Used != 0 || u.Waiting != 0 {
			q.fail("%d used of %s and %d waiting when all is over", u.Used, u.Limit, u.Waiting)
		}
	}
	if n := len(q.state.members) + len(q.state.lines) + len(q.state.order) + len(q.state.heirs) + q.state.waiting + q.state.aged + q.state.nested; n != 0 {
		q.fail("the State keeps something: %+v", q.state)
	}
}

// open is a limit that is not 0.
func open(limit int) int {
	if limit == 0 {
		return 1
	}
	return limit
}

// done is a holder none of whose nested claims is left. Where claims may wait in a circle, any holder will do.
func (q *sequence) done() *modelMember {
	for _, o := range q.model.members {
		nested := slices.ContainsFunc(q.model.members, func(n *modelMember) bool { return slices.Contains(n.claim.Ancestors, o.claim.ID) })
		if o.held && !nested {
			return o
		}
	}
	if q.ordered {
		return nil
	}
	return q.one(func(o *modelMember) bool { return o.held })
}

func claimText(c *Claim) string {
	text := c.ID
	for _, pool := range sortedKeys(c.Pools) {
		text += fmt.Sprintf(" %s=%d", pool, c.Pools[pool])
	}
	if c.Runs > 0 {
		text += fmt.Sprintf(" runs=%d", c.Runs)
	}
	for _, key := range sortedKeys(c.Tags) {
		text += " #" + key + "=" + c.Tags[key]
	}
	for _, id := range c.Ancestors {
		text += " ^" + id
	}
	return fmt.Sprintf("%s%s !%d ~%d", text, withinText(c.Within), c.Priority, c.Rank)
}

func withinText(w *Within) string {
	if w == nil {
		return ""
	}
	return " ^^" + w.Run + "/" + w.Claim
}

func settingsText(s Settings) string {
	b, err := json.Marshal(s)
	return fmt.Sprint(string(b), err)
}

func explainedText(waiting []WaitingClaim) string {
	var b strings.Builder
	for _, w := range waiting {
		fmt.Fprintf(&b, "  %d %s aside %t:%s\n", w.Position, w.ID, w.Aside, blocksText(w.Blocks))
	}
	return b.String()
}

// TestTheRuleAgreesWithTheModel plays random sequences. LIMIT_SEED plays one of them again, LIMIT_ROUNDS sets how many
// are tried.
func TestTheRuleAgreesWithTheModel(t *testing.T) {
	rounds := 500
	if testing.Short() {
		rounds = 50
	}
	if n, err := strconv.Atoi(os.Getenv("LIMIT_ROUNDS")); err == nil {
		rounds = n
	}
	first := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("LIMIT_SEED"), 10, 64); err == nil {
		first, rounds = n, 1
	}
	for i := range uint64(rounds) {
		seed := first + i
		bytes := randomBytes(seed, 60+int(seed%700))
		if err := play(bytes); err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			t.Fatalf("LIMIT_SEED=%d: %s; the shortest that fails:\n%v", seed, first, play(shrink(bytes)))
		}
	}
}

func randomBytes(seed uint64, n int) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	bytes := make([]byte, n)
	for i := range bytes {
		bytes[i] = byte(random.Uint32())
	}
	return bytes
}

// shrink drops what a failure does not need.
func shrink(bytes []byte) []byte {
	for size := len(bytes) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(bytes); {
			shorter := slices.Delete(slices.Clone(bytes), from, from+size)
			if play(shorter) != nil {
				bytes = shorter
				continue
			}
			from += size
		}
	}
	return bytes
}
