package etcd

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"limit/backend"
)

// The protocol as an explicit-state model: three clients with one claim each, two limits; every interleaving of their
// reads, sendings, answers and watches, with a crash at any step, and a transaction whose outcome is unknown and that
// may arrive at any time later; and two claims of one agent, which dies and is started again at any step, or is not. The
// rule is the real one. What must hold in every state: nothing over its limit. In
// every state that nothing leads out of: everybody who lives is done and nothing is left in the store.
//
// What the model leaves out: the reading again every 30 to 60 s, so that the watches alone have to do, and real time:
// leases of the living do not end.

const (
	clients = 3
	none    = int8(-1)
)

// asks are what the clients ask of pools a and b, with their priorities.
type asks [clients]struct {
	a, b     int
	priority int32
}

// variant is a protocol, or one that lacks something.
type variant struct {
	capacity   [2]int
	asks       asks
	crashes    int8
	unknowns   int8
	endings    int8 // how often the gate's lease ends while its keeper lives and does not know it: there may be two gatekeepers then
	few        int  // up to so many holders of a pool are read one by one; more are summed up by an epoch
	deaths     int8 // how often the agent of clients 0 and 1 dies
	forgets    bool // the next agent does not know that a transaction may still arrive
	noCompare  bool // grants compare neither that nothing was added nor the gate
	noEpoch    bool // grants from a pool that has an epoch do not rewrite it
	watchesNow bool // watches start from now and not from the revision that was read

	naming bool // steps are named: for the way to what is wrong
	asked  map[question][]int8
}

// question is one that the rule was asked; names of revisions do not matter to it, their order does.
type question struct {
	waits, holds [clients]bool
	seq          [clients]int8
	more         int
}

// phases of a client.
const (
	idle int8 = iota
	viewed
	sent
	waiting
	held
	done
	dead
)

// content is what a read of the store finds; 0 is no revision.
type content struct {
	rev     int8
	waits   [clients]bool
	holds   [clients]bool
	changed [clients]int8 // revision of the record
	seq     [clients]int8 // of its arrival
	gate    int8          // whose; none
	gateRev int8
	epochs  [2]summary // of the pools
}

// summary is an epoch.
type summary struct {
	there bool
	used  int8
	rev   int8 // of its last writing or deletion
}

// act is a transaction of the protocol.
type act int8

const (
	nothing act = iota
	grants
	waits
	gates
	turns
	admits
	handsOver
	shuts
)

func (a act) String() string {
	return [...]string{"nothing", "grant", "wait", "gate", "turn", "admit", "hand over", "shut"}[a]
}

// request is a transaction on its way.
type request struct {
	kind    act
	from    int8
	target  int8
	base    int8 // what it compares: nothing added after this
	claim   int8 // revision of the target's record
	gateRev int8
	epochs  [2]summary // what it compares; where there is none, that nothing was added
	next    [2]summary // what it writes
	awaited bool       // its sender waits for this copy's answer
}

type client struct {
	phase   int8
	away    bool // its agent has died
	unsure  bool // a transaction of its entering may still arrive, when it is over
	view    content
	armed   bool
	arm     int8 // revision of the arming
	keeps   bool
	loaded  bool
	watched bool // the keeper's watch is armed
	since   int8
	ledger  content
	gateRev int8
	busy    bool // a transaction is awaited
}

type world struct {
	store    content
	handed   bool // the gate was handed to its owner, who has not taken it yet
	gone     [clients]bool
	clients  [clients]client
	flight   [4]request
	crashes  int8
	unknowns int8
	endings  int8
	deaths   int8
}

// needs is the claim of a client as the rule wants it.
func (v *variant) claim(c *content, i int) *backend.Claim {
	claim := &backend.Claim{ID: fmt.Sprint(i), Pools: map[string]int{}, Priority: v.asks[i].priority, Seq: int64(c.seq[i])}
	if v.asks[i].a > 0 {
		claim.Pools["a"] = v.asks[i].a
	}
	if v.asks[i].b > 0 {
		claim.Pools["b"] = v.asks[i].b
	}
	if c.holds[i] {
		claim.Grant = &backend.Grant{Token: int64(c.changed[i])}
	}
	return claim
}

// admitted asks the rule who of a content is admitted; more is a newcomer behind all, none: nobody.
func (v *variant) admitted(c *content, more int) []int8 {
	q := question{waits: c.waits, holds: c.holds, more: more}
	for i := range clients {
		if c.waits[i] {
			q.seq[i] = c.seq[i]
		}
	}
	ids, known := v.asked[q]
	if !known {
		ids = v.ask(c, more)
		v.asked[q] = ids
	}
	return ids
}

func (v *variant) ask(c *content, more int) []int8 {
	settings := backend.NewSettings()
	settings.Pools = map[string]backend.Pool{"a": {Limit: v.capacity[0]}, "b": {Limit: v.capacity[1]}}
	settings.ReserveAfter = backend.NeverReserve
	state := backend.NewState(settings, backend.StoreNames())
	for i := range clients {
		switch {
		case c.holds[i]:
			state.Hold(v.claim(c, i), 0)
		case c.waits[i]:
			state.Wait(v.claim(c, i), 0)
		case i == more:
			newcomer := v.claim(c, i)
			newcomer.Seq = 127
			state.Wait(newcomer, 0)
		}
	}
	var ids []int8
	for _, granted := range state.Advance(0) {
		ids = append(ids, int8(granted.ID[0]-'0'))
	}
	return ids
}

// of is what a client asks of a pool.
func (v *variant) of(client int8, pool int) int {
	return [2]int{v.asks[client].a, v.asks[client].b}[pool]
}

// nothingAdded is the comparison of a grant: of each pool, that its epoch is as it was read, else that no slot was
// added.
func (v *variant) nothingAdded(c *content, r request, target int8) bool {
	for pool := range c.epochs {
		if v.of(target, pool) == 0 {
			continue
		}
		if r.epochs[pool].there {
			if !c.epochs[pool].there || c.epochs[pool].rev != r.epochs[pool].rev {
				return false
			}
			continue
		}
		for j := range int8(clients) {
			if c.holds[j] && v.of(j, pool) > 0 && c.changed[j] > r.base {
				return false
			}
		}
	}
	return true
}

// sumUp puts into a request what the grant of target compares and writes. exact says that its sender knows the holders
// themselves, where they have an epoch too.
func (v *variant) sumUp(r *request, c *content, target int8, exact bool) {
	r.epochs = c.epochs
	for pool := range c.epochs {
		asks := v.of(target, pool)
		if asks == 0 {
			continue
		}
		holders, used := 1, asks
		for j := range int8(clients) {
			if c.holds[j] && v.of(j, pool) > 0 {
				holders, used = holders+1, used+v.of(j, pool)
			}
		}
		if e := c.epochs[pool]; e.there && !exact {
			holders, used = v.few+1, int(e.used)+asks
		}
		if holders > v.few {
			r.next[pool] = summary{there: true, used: int8(used)}
		}
	}
}

// write is what a grant writes into the epochs.
func (v *variant) write(c *content, r request, target int8) {
	for pool := range c.epochs {
		if v.of(target, pool) > 0 && (r.next[pool].there || c.epochs[pool].there) && !(v.noEpoch && c.epochs[pool].there) {
			c.epochs[pool] = summary{r.next[pool].there, r.next[pool].used, c.rev}
		}
	}
}

// fits reports whether a newcomer fits as it has read the pools: the epochs, else the holders.
func (v *variant) fits(c *content, i int8) bool {
	for pool, e := range c.epochs {
		used := int(e.used)
		for j := range int8(clients) {
			if c.holds[j] && !e.there {
				used += v.of(j, pool)
			}
		}
		if asks := v.of(i, pool); asks > 0 && used+asks > v.capacity[pool] {
			return false
		}
	}
	return true
}

func noWaitsAdded(c *content, base int8) bool {
	for j := range clients {
		if c.waits[j] && c.changed[j] > base {
			return false
		}
	}
	return true
}

// apply carries a transaction out at the server; it reports whether its comparisons held.
func (v *variant) apply(w *world, r request) bool {
	s := &w.store
	absent := !s.waits[r.from] && !s.holds[r.from]
	gate := s.gate == r.from && s.gateRev == r.gateRev || v.noCompare
	switch r.kind {
	case grants:
		if !absent || w.gone[r.from] || !v.noCompare && (!v.nothingAdded(s, r, r.from) || !noWaitsAdded(s, r.base)) {
			return false
		}
		s.rev++
		v.write(s, r, r.from)
		s.holds[r.from], s.changed[r.from], s.seq[r.from] = true, s.rev, s.rev
	case waits:
		if !absent || w.gone[r.from] {
			return false
		}
		s.rev++
		s.waits[r.from], s.changed[r.from], s.seq[r.from] = true, s.rev, s.rev
	case gates:
		if s.gate != none {
			return false
		}
		s.rev++
		s.gate, s.gateRev, w.handed = r.from, s.rev, false
	case turns:
		if s.gate != r.from || s.gateRev != r.gateRev || !w.handed {
			return false
		}
		s.rev++
		s.gateRev, w.handed = s.rev, false
	case admits:
		if !gate || !s.waits[r.target] || s.changed[r.target] != r.claim || !v.noCompare && !v.nothingAdded(s, r, r.target) {
			return false
		}
		s.rev++
		v.write(s, r, r.target)
		s.waits[r.target], s.holds[r.target], s.changed[r.target] = false, true, s.rev
	case handsOver:
		if !gate || !s.waits[r.target] || s.changed[r.target] != r.claim {
			return false
		}
		s.rev++
		s.gate, s.gateRev, w.handed = r.target, s.rev, true
	case shuts:
		if !gate || !noWaitsAdded(s, r.base) {
			return false
		}
		s.rev++
		s.gate, s.gateRev = none, 0
	}
	return true
}

// answer tells the sender what became of its transaction.
func (v *variant) answer(w *world, r request, ok bool) {
	c := &w.clients[r.from]
	c.busy = false
	own := w.store.waits[r.from] || w.store.holds[r.from]
	switch r.kind {
	case grants, waits:
		switch {
		case ok && r.kind == grants || own && w.store.holds[r.from]:
			c.phase = held
		case own:
			c.phase, c.armed, c.arm = waiting, !v.watchesNow, w.store.changed[r.from]
		default:
			c.phase, c.view = viewed, w.store
		}
	case gates, turns:
		if ok || w.store.gate == r.from && !w.handed {
			c.keeps, c.loaded, c.gateRev = true, false, w.store.gateRev
		}
	case admits:
		switch {
		case w.store.gate != r.from || w.store.gateRev != c.gateRev:
			c.keeps = false
		case !ok:
			c.sync(v, &w.store) // what made it fail is on its way
		default:
			c.ledger.waits[r.target], c.ledger.holds[r.target], c.ledger.changed[r.target] = false, true, w.store.changed[r.target]
			for pool := range c.ledger.epochs {
				if v.of(r.target, pool) > 0 {
					c.ledger.epochs[pool] = w.store.epochs[pool]
				}
			}
		}
	case handsOver, shuts:
		switch {
		case ok || w.store.gate != r.from || w.store.gateRev != c.gateRev:
			c.keeps = false
		default:
			c.ledger = w.store
		}
	}
}

// sync brings a keeper's ledger forward by its watch.
func (c *client) sync(v *variant, s *content) {
	if !v.watchesNow {
		c.deliver(s)
		return
	}
	for j := range clients { // what changed between the read and the arming was never told
		if s.changed[j] > c.since {
			c.ledger.waits[j], c.ledger.holds[j], c.ledger.changed[j], c.ledger.seq[j] = s.waits[j], s.holds[j], s.changed[j], s.seq[j]
		}
	}
	c.ledger.rev = s.rev
}

// deliver brings the ledger forward by the next revision at which something changed that is still so; a watch may be
// late for the rest.
func (c *client) deliver(s *content) {
	next := s.rev
	for _, rev := range append(s.changed[:], s.epochs[0].rev, s.epochs[1].rev) {
		if rev > c.ledger.rev {
			next = min(next, rev)
		}
	}
	for j := range clients {
		if s.changed[j] == next {
			c.ledger.waits[j], c.ledger.holds[j], c.ledger.changed[j], c.ledger.seq[j] = s.waits[j], s.holds[j], s.changed[j], s.seq[j]
		}
	}
	for pool, e := range s.epochs {
		if e.rev == next {
			c.ledger.epochs[pool] = e
		}
	}
	c.ledger.rev = next
}

// release takes a client's claim away, and out of the epochs that its own grant has written last, where nobody keeps
// the gate.
func (w *world) release(v *variant, i int) {
	granted := w.store.changed[i]
	gone := w.gone[i] || w.clients[i].unsure
	w.remove(i)
	w.gone[i] = gone
	for pool, e := range w.store.epochs {
		if asks := v.of(int8(i), pool); asks > 0 && e.there && e.rev == granted && w.store.gate == none {
			w.store.epochs[pool] = summary{true, e.used - int8(asks), w.store.rev}
		}
	}
}

// remove takes a client's claim away.
func (w *world) remove(i int) {
	s := &w.store
	if s.waits[i] || s.holds[i] {
		s.rev++
		s.waits[i], s.holds[i], s.changed[i], s.seq[i] = false, false, s.rev, 0
	}
	w.gone[i] = true
}

// send puts a transaction on its way.
func (w *world) send(r request) bool {
	r.awaited = true
	for i := range w.flight {
		if w.flight[i].kind == nothing {
			w.flight[i] = r
			w.clients[r.from].busy = true
			return true
		}
	}
	return false
}

func (v *variant) name(format string, args ...any) string {
	if !v.naming {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

// next lists the worlds that one step leads to, with the names of the steps.
func (v *variant) next(w world) (worlds []world, steps []string) {
	step := func(name string, change func(*world) bool) {
		n := w
		if change(&n) {
			worlds, steps = append(worlds, n), append(steps, name)
		}
	}
	for f, r := range w.flight {
		if r.kind == nothing {
			continue
		}
		step(v.name("%s of %d arrives", r.kind, r.from), func(n *world) bool {
			n.flight[f] = request{}
			ok := v.apply(n, r)
			if r.awaited && n.clients[r.from].phase != dead {
				v.answer(n, r, ok)
			}
			return true
		})
		if r.awaited && w.unknowns > 0 && w.clients[r.from].phase != dead {
			step(v.name("%s of %d: no answer, sent again", r.kind, r.from), func(n *world) bool {
				n.unknowns--
				n.flight[f].awaited = false
				n.clients[r.from].unsure = n.clients[r.from].unsure || r.kind == grants || r.kind == waits
				return n.send(r)
			})
		}
		if !r.awaited {
			step(v.name("%s of %d never arrives", r.kind, r.from), func(n *world) bool {
				n.flight[f] = request{}
				return true
			})
		}
	}
	v.agentSteps(&w, step)
	for i := range clients {
		if !w.clients[i].away {
			v.stepsOf(&w, i, step)
		}
	}
	if g := w.store.gate; g != none {
		owner := w.clients[g]
		if owner.keeps && w.endings > 0 {
			step(v.name("the gate of %d ends, who does not know it", g), func(n *world) bool {
				n.endings--
				n.store.rev++
				n.store.gate, n.store.gateRev, n.handed = none, 0, false
				return true
			})
		}
		abandoned := owner.phase == dead || owner.away || !owner.keeps && !owner.busy && (!w.handed || owner.phase != waiting)
		if abandoned {
			step(v.name("the gate of %d ends", g), func(n *world) bool {
				n.store.rev++
				n.store.gate, n.store.gateRev, n.handed = none, 0, false
				return true
			})
		}
	}
	return worlds, steps
}

// agentClients is how many clients, from the first on, share an agent, where that dies.
const agentClients = 2

// agentSteps are the death of an agent, and what comes after: another takes over, or none does and the lease ends.
func (v *variant) agentSteps(w *world, step func(string, func(*world) bool)) {
	if w.deaths > 0 && !w.clients[0].away {
		step("the agent dies", func(n *world) bool {
			n.deaths--
			for i := range n.clients[:agentClients] {
				c := &n.clients[i]
				if c.phase == done || c.phase == dead {
					c.away = true
					continue
				}
				*c = client{phase: c.phase, away: true, unsure: c.unsure && !v.forgets || c.phase == sent}
			}
			for f := range n.flight {
				if n.flight[f].from < agentClients {
					n.flight[f].awaited = false
				}
			}
			return true
		})
	}
	if !w.clients[0].away {
		return
	}
	step("another agent takes over", func(n *world) bool {
		for i := range n.clients[:agentClients] {
			n.clients[i].takenOver(&n.store, i)
		}
		return true
	})
	step("no other agent comes", func(n *world) bool {
		for i := range n.clients[:agentClients] {
			if n.clients[i].away = false; n.clients[i].phase != done {
				n.clients[i] = client{phase: dead}
			}
		}
		return true
	})
}

// takenOver is how a claim goes on with another agent: as it stands in the store, or its wrapper enters it again.
func (c *client) takenOver(s *content, i int) {
	c.away = false
	switch {
	case c.phase == done || c.phase == dead || c.phase == idle:
	case s.holds[i]:
		c.phase = held
	case s.waits[i]:
		c.phase, c.armed, c.arm = waiting, true, s.rev
	default:
		c.phase, c.view = viewed, *s
	}
}

// stepsOf are those of one client.
func (v *variant) stepsOf(w *world, i int, step func(string, func(*world) bool)) {
	c, s, me := w.clients[i], w.store, int8(i)
	name := func(what string) string { return v.name("%d %s", i, what) }
	if c.phase == dead {
		if s.waits[i] || s.holds[i] || !w.gone[i] {
			step(name("expires"), func(n *world) bool { n.remove(i); return true })
		}
		return
	}
	if c.phase != done && w.crashes > 0 {
		step(name("crashes"), func(n *world) bool {
			n.crashes--
			n.clients[i] = client{phase: dead}
			for f := range n.flight {
				if n.flight[f].from == me {
					n.flight[f].awaited = false
				}
			}
			return true
		})
	}
	if c.busy {
		return
	}
	switch c.phase {
	case idle:
		step(name("reads"), func(n *world) bool { n.clients[i].phase, n.clients[i].view = viewed, n.store; return true })
	case viewed:
		r := request{kind: waits, from: me, base: c.view.rev}
		if !slices.Contains(c.view.waits[:], true) && v.fits(&c.view, me) {
			r.kind = grants
			v.sumUp(&r, &c.view, me, false)
		}
		step(name("sends "+r.kind.String()), func(n *world) bool {
			n.clients[i].phase = sent
			return n.send(r)
		})
	case waiting:
		if !c.armed {
			step(name("watches its claim"), func(n *world) bool { n.clients[i].armed, n.clients[i].arm = true, n.store.rev; return true })
		}
		if c.armed && s.holds[i] && s.changed[i] > c.arm {
			step(name("learns of its grant"), func(n *world) bool { n.clients[i].phase = held; return true })
		}
		if !c.keeps && s.gate == none {
			step(name("sends gate"), func(n *world) bool { return n.send(request{kind: gates, from: me}) })
		}
		if !c.keeps && s.gate == me && w.handed {
			step(name("sends turn"), func(n *world) bool { return n.send(request{kind: turns, from: me, gateRev: s.gateRev}) })
		}
	case held:
		if !c.keeps {
			step(name("releases"), func(n *world) bool { n.release(v, i); n.clients[i] = client{phase: done}; return true })
		}
	}
	if c.keeps {
		v.keeperSteps(w, i, step)
	}
}

// keeperSteps are those of the client that keeps the gate.
func (v *variant) keeperSteps(w *world, i int, step func(string, func(*world) bool)) {
	c, s, me := w.clients[i], w.store, int8(i)
	name := func(what string) string { return v.name("%d, keeping, %s", i, what) }
	if s.gate != me || s.gateRev != c.gateRev {
		step(name("learns that the gate is not its own"), func(n *world) bool { n.clients[i].keeps = false; return true })
	}
	if !c.loaded {
		step(name("reads all"), func(n *world) bool {
			k := &n.clients[i]
			k.loaded, k.ledger, k.watched, k.since = true, n.store, !v.watchesNow, n.store.rev
			return true
		})
		return
	}
	if !c.watched {
		step(name("watches all"), func(n *world) bool { n.clients[i].watched, n.clients[i].since = true, n.store.rev; return true })
		return
	}
	if synced := c; true {
		synced.sync(v, &s)
		synced.ledger.gate, synced.ledger.gateRev = c.ledger.gate, c.ledger.gateRev
		if synced.ledger != c.ledger {
			step(name("learns what has changed"), func(n *world) bool { n.clients[i] = synced; return true })
		}
	}
	if c.phase == held {
		r := request{kind: shuts, from: me, base: c.ledger.rev, gateRev: c.gateRev}
		last := none
		for j := range clients {
			if j != i && c.ledger.waits[j] && (last == none || cmp.Or(cmp.Compare(v.asks[last].priority, v.asks[j].priority), cmp.Compare(c.ledger.seq[j], c.ledger.seq[last])) > 0) {
				last = int8(j)
			}
		}
		if last != none {
			r.kind, r.target, r.claim = handsOver, last, c.ledger.changed[last]
		}
		step(name("sends "+r.kind.String()), func(n *world) bool { return n.send(r) })
		return
	}
	if granted := v.admitted(&c.ledger, -1); len(granted) > 0 {
		target := granted[0]
		step(name(v.name("admits %d", target)), func(n *world) bool {
			r := request{kind: admits, from: me, target: target, base: c.ledger.rev, claim: c.ledger.changed[target], gateRev: c.gateRev}
			v.sumUp(&r, &c.ledger, target, true)
			return n.send(r)
		})
	}
}

// normal renumbers revisions by rank, so that worlds that differ in nothing else are one.
func (w *world) normal() {
	seen := [128]bool{}
	each := func(visit func(*int8)) {
		contents := []*content{&w.store}
		for i := range w.clients {
			contents = append(contents, &w.clients[i].view, &w.clients[i].ledger)
			for _, r := range []*int8{&w.clients[i].arm, &w.clients[i].since, &w.clients[i].gateRev} {
				visit(r)
			}
		}
		for _, c := range contents {
			visit(&c.rev)
			visit(&c.gateRev)
			for j := range clients {
				visit(&c.changed[j])
				visit(&c.seq[j])
			}
			for pool := range c.epochs {
				visit(&c.epochs[pool].rev)
			}
		}
		for f := range w.flight {
			visit(&w.flight[f].base)
			visit(&w.flight[f].claim)
			visit(&w.flight[f].gateRev)
			for pool := range w.flight[f].epochs {
				visit(&w.flight[f].epochs[pool].rev)
			}
		}
	}
	for i := range w.clients { // what is no longer looked at
		c := &w.clients[i]
		if c.phase != viewed {
			c.view = content{}
		}
		if !c.keeps {
			c.loaded, c.watched, c.since, c.ledger, c.gateRev = false, false, 0, content{}, 0
		}
		if c.phase != waiting {
			c.armed, c.arm = false, 0
		}
	}
	for i := range w.store.changed {
		if !w.store.waits[i] && !w.store.holds[i] && w.gone[i] && !slices.ContainsFunc(w.clients[:], func(c client) bool { return c.keeps && c.loaded }) {
			w.store.changed[i] = 0
		}
	}
	slices.SortFunc(w.flight[:], func(a, b request) int {
		awaited := func(r request) int {
			if r.awaited {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(b.kind, a.kind), cmp.Compare(b.from, a.from), cmp.Compare(b.target, a.target), cmp.Compare(b.base, a.base),
			cmp.Compare(b.claim, a.claim), cmp.Compare(b.gateRev, a.gateRev), cmp.Compare(awaited(b), awaited(a)))
	})
	each(func(r *int8) { seen[*r] = true })
	var rank [128]int8
	count := int8(0)
	for r := 1; r < len(seen); r++ {
		if seen[r] {
			count++
			rank[r] = count
		}
	}
	each(func(r *int8) { *r = rank[*r] })
}

// wrong says what is wrong with a world.
func (v *variant) wrong(w *world, terminal bool) string {
	var used [2]int
	for i := range clients {
		if w.store.holds[i] {
			used[0] += v.asks[i].a
			used[1] += v.asks[i].b
		}
	}
	if used[0] > v.capacity[0] || used[1] > v.capacity[1] {
		return fmt.Sprintf("over the limit: %v of %v", used, v.capacity)
	}
	for pool, e := range w.store.epochs {
		if e.there && int(e.used) < used[pool] && !v.noEpoch {
			return fmt.Sprintf("the epoch of pool %d counts %d, %d are used", pool, e.used, used[pool])
		}
	}
	if !terminal {
		return ""
	}
	for i, c := range w.clients {
		if c.phase != done && c.phase != dead {
			return fmt.Sprintf("client %d waits for ever", i)
		}
		if w.store.waits[i] || w.store.holds[i] {
			return fmt.Sprintf("the claim of client %d is left", i)
		}
	}
	return ""
}

// explore visits every world and returns how many there are, with the way to the first that is wrong.
func (v *variant) explore() (visited int, wrong string, way []string) {
	v.asked = map[question][]int8{}
	type from struct{ parent, step int32 }
	start := world{crashes: v.crashes, unknowns: v.unknowns, endings: v.endings, deaths: v.deaths}
	start.store.gate = none
	start.normal()
	known := map[world]struct{}{start: {}}
	queue, origins := []world{start}, []from{{-1, 0}}
	for at := int32(0); int(at) < len(queue); at++ {
		w := queue[at]
		worlds, _ := v.next(w)
		if wrong = v.wrong(&w, len(worlds) == 0); wrong != "" {
			v.naming = true
			for i := at; origins[i].parent >= 0; i = origins[i].parent {
				_, steps := v.next(queue[origins[i].parent])
				way = append(way, steps[origins[i].step])
			}
			slices.Reverse(way)
			return len(queue), wrong, way
		}
		for i := range worlds {
			worlds[i].normal()
			if _, there := known[worlds[i]]; !there {
				known[worlds[i]] = struct{}{}
				queue, origins = append(queue, worlds[i]), append(origins, from{at, int32(i)})
			}
		}
	}
	return len(queue), "", nil
}

func models() map[string]variant {
	return map[string]variant{
		"one slot each":         {capacity: [2]int{1, 1}, asks: asks{{a: 1}, {a: 1}, {a: 1}}, crashes: 1, unknowns: 1, few: clients},
		"weights":               {capacity: [2]int{2, 1}, asks: asks{{a: 1}, {a: 2}, {a: 1, b: 1}}, crashes: 1, unknowns: 1, few: clients},
		"two limits":            {capacity: [2]int{1, 1}, asks: asks{{a: 1}, {a: 1, b: 1}, {b: 1}}, crashes: 1, unknowns: 1, few: clients},
		"priorities":            {capacity: [2]int{1, 1}, asks: asks{{a: 1}, {a: 1, priority: 1}, {a: 1, b: 1, priority: 2}}, crashes: 1, unknowns: 1, few: clients},
		"two crash":             {capacity: [2]int{1, 1}, asks: asks{{a: 1}, {a: 1}, {a: 1, priority: 1}}, crashes: 2, few: clients},
		"epochs":                {capacity: [2]int{2, 1}, asks: asks{{a: 1}, {a: 1}, {a: 1, b: 1}}, unknowns: 1},
		"some epochs":           {capacity: [2]int{2, 1}, asks: asks{{a: 1}, {a: 2}, {a: 1}}, crashes: 1, few: 1},
		"two gatekeepers":       {capacity: [2]int{1, 1}, asks: asks{{a: 1}, {a: 1}, {a: 1, b: 1}}, endings: 1, few: clients},
		"an agent dies":         {capacity: [2]int{1, 1}, asks: asks{{a: 1}, {a: 1}, {a: 1}}, unknowns: 1, deaths: 1, few: clients},
		"an agent dies, epochs": {capacity: [2]int{2, 1}, asks: asks{{a: 1}, {a: 2}, {a: 1}}, deaths: 1, few: 1},
		"two unknown":           {capacity: [2]int{2, 1}, asks: asks{{a: 1}, {a: 2}, {a: 1}}, unknowns: 2, few: clients},
	}
}

func TestTheModelOfTheProtocolNeverOvercommitsAndNeverSticks(t *testing.T) {
	t.Parallel()
	for name, v := range models() {
		if raced && name != "two crash" {
			continue // scripts/test.sh explores them without the race detector
		}
		t.Run(name, func(t *testing.T) {
			visited, wrong, way := v.explore()
			t.Logf("%d states", visited)
			if wrong != "" {
				t.Errorf("%s, after:", wrong)
				for _, step := range way {
					t.Log("  ", step)
				}
			}
		})
	}
}

func TestTheModelFindsWhatIsWrongWithAProtocolThatLacksAComparison(t *testing.T) {
	v := models()["weights"]
	v.noCompare = true
	visited, wrong, way := v.explore()
	t.Logf("%d states: %q after %d steps", visited, wrong, len(way))
	if wrong == "" {
		t.Error("grants that compare nothing pass: the model is blind")
	}
}

func TestTheModelFindsWhatIsWrongWithGrantsThatDoNotWriteTheEpoch(t *testing.T) {
	v := models()["epochs"]
	v.noEpoch = true
	visited, wrong, way := v.explore()
	t.Logf("%d states: %q after %d steps", visited, wrong, len(way))
	if wrong == "" {
		t.Error("grants that leave an epoch as it is pass: the model is blind")
	}
}

func TestTheModelFindsWhatIsWrongWithAnAgentThatForgetsWhatMayArrive(t *testing.T) {
	if raced {
		return // scripts/test.sh explores it without the race detector
	}
	v := models()["an agent dies"]
	v.forgets = true
	visited, wrong, way := v.explore()
	t.Logf("%d states: %q after %d steps: %v", visited, wrong, len(way), way)
	if wrong == "" {
		t.Error("a late grant to a claim that is over passes: the model is blind")
	}
}

func TestTheModelFindsWhatIsWrongWithWatchesFromNow(t *testing.T) {
	t.Parallel()
	v := models()["one slot each"]
	v.watchesNow = true
	visited, wrong, way := v.explore()
	t.Logf("%d states: %q after %d steps: %v", visited, wrong, len(way), way)
	if wrong == "" {
		t.Error("watches from now pass: the model is blind")
	}
}
