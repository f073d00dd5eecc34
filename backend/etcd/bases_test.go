package etcd

import (
	"reflect"
	"testing"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
)

// A grant that no limit of runs concerns has not compared whether runs were added: it must not make the gatekeeper
// believe that it knows them all.
func TestAGrantVouchesForThoseDimensionsAloneThatItCompared(t *testing.T) {
	keys := newKeyspace("test")
	settings := backend.NewSettings()
	settings.TagLimits = []backend.TagLimit{{Key: "tenant", Limit: 1}}
	settings.Pools = map[string]backend.Pool{"limited": {Limit: 3}, "free": {Limit: backend.Unlimited}}
	claims := map[string]*backend.Claim{
		"plain":  {ID: "plain", Runs: 1, Pools: map[string]int{"limited": 1, "free": 1}},
		"tagged": {ID: "tagged", Runs: 1, Tags: map[string]string{"tenant": "acme"}},
	}
	kvs := []*mvccpb.KeyValue{{Key: []byte(keys.settings()), Value: []byte(encode(stored{Settings: settings})), ModRevision: 5, CreateRevision: 5}}
	for id, c := range claims {
		kvs = append(kvs, &mvccpb.KeyValue{Key: []byte(keys.claim(id)), Value: []byte(encode(recordOf(c))), ModRevision: 6, CreateRevision: 6})
	}
	l, err := newLedger(keys, kvs, 10)
	if err != nil {
		t.Fatal(err)
	}
	k := &gatekeeper{l: l, bases: map[string]int64{}}
	plain := *claims["plain"]
	plain.Grant = &backend.Grant{}
	k.done([]*backend.Claim{&plain}, 20) // at 11 another tagged run was granted, and our watch is late
	for dim, want := range map[string]int64{dimPool("limited"): 20, dimPool("free"): 10, dimRuns: 10} {
		if got := k.base(dim); got != want {
			t.Errorf("%s counts as known up to revision %d, want %d", dim, got, want)
		}
	}
	g := guards{}
	l.guard(g, claims["tagged"], k.base)
	want := clientv3.Compare(clientv3.ModRevision(keys.slots(dimRuns)), "<", 11).WithPrefix()
	if got := g[keys.slots(dimRuns)]; !reflect.DeepEqual(got, want) {
		t.Errorf("the grant of the tagged run compares %v, want %v", got, want)
	}
}
