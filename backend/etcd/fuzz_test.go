package etcd

import (
	"math"
	"testing"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"

	"limit/backend"
	"limit/backend/etcd/boot"
)

// FuzzWhateverStandsBelowThePrefix reads, decides on and shows keys that others have written. There may be an error, no
// panic.
func FuzzWhateverStandsBelowThePrefix(f *testing.F) {
	held := encode(record{RunID: "r", Pools: map[string]int{"p": 2}, Runs: 1, Tags: map[string]string{"k": "v"}, Grant: &grant{Slots: map[string][]int{"p": {0, 1}}}})
	waits := encode(record{RunID: "r", Pools: map[string]int{"p": 1}, Ancestors: []string{"a"}, Aside: true, Waited: 5})
	about := encode(backend.Claim{ID: "a", Name: "n", Command: []string{"n"}, Pools: map[string]int{"p": 2}})
	settings := encode(stored{Settings: backend.Settings{Pools: map[string]backend.Pool{"p": {Limit: 2, Rate: &backend.Rate{Slots: 1, Period: 2e9}}}, MaxRuns: 1}})
	f.Add(settings, "a", held, "b", waits, about, "1")
	f.Add("{}", "a", "{}", "a", "{}", "{}", "-1")
	f.Add(`{"max_runs":-5,"tag_limits":[{"key":"k","per_value":true,"limit":-3}]}`, "%2f", `{"pools":{"":-9223372036854775808},"runs":-1}`, "", `null`, `null`, "9223372036854775807")
	f.Fuzz(func(t *testing.T, settings, one, first, other, second, about, cool string) {
		k := newKeyspace("n/s")
		kvs := []*mvccpb.KeyValue{pair(k.about(one), about, 3), pair(k.claim(one), first, 4), pair(k.claim(other), second, 5), pair(k.cool("p", one), cool, 6), pair(k.settings(), settings, 7)}
		l, err := newLedger(k, kvs, math.MaxInt32)
		if err != nil {
			return
		}
		l.snapshot()
		l.lastWaiting(func(*seat) bool { return false })
		for _, c := range l.state.Advance(boot.Now()) {
			if c.Grant == nil {
				t.Errorf("%+v was admitted without a grant", c)
			}
		}
	})
}

func pair(key, value string, revision int64) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), CreateRevision: revision, ModRevision: revision, Lease: revision}
}

// FuzzKeysComeApart as they were put together, and those of one namespace are nobody else's.
func FuzzKeysComeApart(f *testing.F) {
	for _, s := range []string{"default", "a/b", "..", "%2F", "", "claim", "ü\xff"} {
		f.Add(s, "p", "id")
		f.Add("n", s, s)
	}
	f.Fuzz(func(t *testing.T, namespace, pool, id string) {
		k := newKeyspace(namespace)
		for key, want := range map[string][3]any{
			k.about(id): {keyAbout, id, ""}, k.claim(id): {keyClaim, id, ""}, k.ask(id): {keyAsk, id, ""}, k.turn(id): {keyTurn, id, ""},
			k.cool(pool, id): {keyCool, pool, id}, k.settings(): {keySettings, "", ""}, k.gate(): {keyGate, "", ""},
		} {
			if kind, one, two := k.parse(key); want != [3]any{kind, one, two} {
				t.Errorf("%q is read as %d %q %q, want %v", key, kind, one, two, want)
			}
			if kind, _, _ := newKeyspace(namespace + "x").parse(key); kind != keyOther {
				t.Errorf("%q is a key of another namespace too", key)
			}
		}
		if got, dim, ok := k.holder(k.slot(dimPool(pool), id)); !ok || got != id || dim != dimPool(pool) {
			t.Errorf("the slot of %q in %q is of %q, %t", id, pool, got, ok)
		}
	})
}
