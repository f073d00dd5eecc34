package etcd

import (
	"cmp"
	"slices"
	"time"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/backend/etcd/boot"
)

// ledger is a copy of the state of a namespace at one revision, with the rule applied to it. It is made
// from one read and brought forward by watching.
type ledger struct {
	keys     keyspace
	revision int64 // everything up to here is in it

	settings         backend.Settings
	settingsSet      bool
	settingsRevision int64
	gate             *mvccpb.KeyValue // nil: nobody keeps it

	seats  map[string]*seat
	asked  map[string]string // reasons of requests to cancel, by claim
	cools  map[coolKey]coolStart
	epochs map[string]*epoch
	unread map[string]*epoch // dimensions of which the epoch was read and not the holders, for the rule
	abouts map[string][]byte
	state  *backend.State
}

type coolKey struct{ pool, id string }

type coolStart struct {
	slots int
	at    time.Duration // on this process's clock: no sooner than it was
}

// newLedger takes what one read has found. Unreadable records are errors: deciding without them would give away what
// they hold.
func newLedger(keys keyspace, kvs []*mvccpb.KeyValue, revision int64) (*ledger, error) {
	l := &ledger{keys: keys, revision: revision, settings: backend.NewSettings(), seats: map[string]*seat{},
		asked: map[string]string{}, cools: map[coolKey]coolStart{}, abouts: map[string][]byte{},
		epochs: map[string]*epoch{}, unread: map[string]*epoch{}}
	for _, kv := range kvs {
		if err := l.note(kv); err != nil {
			return nil, err
		}
	}
	l.rebuild()
	return l, nil
}

// note takes one key that exists into the maps, not into the State.
func (l *ledger) note(kv *mvccpb.KeyValue) error {
	switch kind, first, second := l.keys.parse(string(kv.Key)); kind {
	case keySettings:
		settings, err := decodeSettings(kv.Value)
		if err != nil {
			return err
		}
		l.settings, l.settingsSet, l.settingsRevision = settings.Settings, true, kv.ModRevision
	case keyGate:
		l.gate = kv
	case keyAbout:
		l.abouts[first] = kv.Value
	case keyClaim:
		return l.noteClaim(first, kv)
	case keyAsk:
		l.asked[first] = string(kv.Value)
	case keyEpoch:
		l.noteEpoch(first, kv)
	case keyCool:
		c, err := parseCool(string(kv.Value))
		if err != nil {
			return unreadable(kv.Key, err)
		}
		l.cools[coolKey{first, second}] = coolStart{c.slots, boot.Now() - c.age}
	}
	return nil
}

func (l *ledger) noteClaim(id string, kv *mvccpb.KeyValue) error {
	seat, err := readSeat(id, kv)
	if err != nil {
		return err
	}
	seat.since = boot.Now() - seat.Waited
	if was, ok := l.seats[id]; ok {
		seat.since = min(seat.since, was.since)
	}
	l.seats[id] = seat
	return nil
}

// rebuild makes the State anew.
func (l *ledger) rebuild() {
	l.state = backend.NewState(l.settings, backend.StoreNames())
	for key, c := range l.cools {
		l.state.HoldStart(key.pool, key.id, c.slots, c.at)
	}
	for dim, e := range l.unread {
		if e.Used > 0 {
			l.state.Hold(e.holder(dim), 0)
		}
	}
	for _, s := range l.seats {
		l.sit(s)
	}
}

// sit puts a claim into the State as its record says, whatever it was there before. Who is asked to leave while
// waiting is in the order no more.
func (l *ledger) sit(s *seat) {
	l.state.Remove(s.id)
	_, asked := l.asked[s.id]
	switch {
	case !s.stands():
	case s.Grant != nil:
		l.state.Hold(s.claim(), s.since)
	case asked:
	default:
		l.state.Wait(s.claim(), s.since)
		if s.Aside {
			l.state.Aside(s.id, true)
		}
	}
}

// apply brings the ledger forward by one event.
func (l *ledger) apply(e *clientv3.Event) error {
	kind, first, second := l.keys.parse(string(e.Kv.Key))
	if e.Type == clientv3.EventTypeDelete {
		l.forget(kind, first, second)
		return nil
	}
	if kind == keyClaim {
		if was, ok := l.seats[first]; ok && was.revision >= e.Kv.ModRevision {
			return nil // our own grant, known already
		}
	}
	if kind == keyAbout || kind == keyOther || kind == keyTurn {
		return nil
	}
	if known := l.epochs[first]; kind == keyEpoch && known != nil && known.revision >= e.Kv.ModRevision {
		return nil // our own grant has written it
	}
	if err := l.note(e.Kv); err != nil {
		return err
	}
	switch kind {
	case keySettings:
		l.rebuild()
	case keyClaim:
		l.sit(l.seats[first])
	case keyAsk:
		if s, ok := l.seats[first]; ok {
			l.sit(s)
		}
	case keyCool:
		c := l.cools[coolKey{first, second}]
		l.state.ForgetStart(first, second) // ours may be in already
		l.state.HoldStart(first, second, c.slots, c.at)
	}
	return nil
}

// forget takes a deleted key out.
func (l *ledger) forget(kind kind, first, second string) {
	switch kind {
	case keySettings:
		l.settings, l.settingsSet, l.settingsRevision = backend.NewSettings(), false, 0
		l.rebuild()
	case keyGate:
		l.gate = nil
	case keyAbout:
		delete(l.abouts, first)
	case keyClaim:
		delete(l.seats, first)
		l.state.Remove(first)
	case keyAsk:
		delete(l.asked, first)
		if s, ok := l.seats[first]; ok {
			l.sit(s)
		}
	case keyEpoch:
		delete(l.epochs, first)
	case keyCool:
		delete(l.cools, coolKey{first, second})
		l.state.ForgetStart(first, second)
	}
}

// lastWaiting finds the last in order of those who wait, not counting those that skip says; nil if there is none.
func (l *ledger) lastWaiting(skip func(*seat) bool) *seat {
	var last *seat
	for _, s := range l.seats {
		_, asked := l.asked[s.id]
		if s.Grant != nil || s.Aside || asked || !s.stands() || skip(s) {
			continue
		}
		if last == nil || s.Priority < last.Priority || (s.Priority == last.Priority && s.Seq > last.Seq) {
			last = s
		}
	}
	return last
}

// held lists the holders by token.
func (l *ledger) held() []*seat {
	var held []*seat
	for _, s := range l.seats {
		if s.Grant != nil && s.stands() {
			held = append(held, s)
		}
	}
	slices.SortFunc(held, func(a, b *seat) int {
		return cmp.Compare(a.Grant.token(a.revision),
			b.Grant.token(b.revision))
	})
	return held
}
