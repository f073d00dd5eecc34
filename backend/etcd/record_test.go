package etcd

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/integration/etcdtest"
)

// addField writes a field that this version does not know into a key, as a newer version would, and keeps the key's
// lease.
func addField(t *testing.T, s *Store, key string) {
	t.Helper()
	kv := keyOf(t, s, key)
	value := strings.Replace(string(kv.Value), "{", `{"later":{"n":1},`, 1)
	if _, err := s.client.Put(t.Context(), key, value, clientv3.WithLease(clientv3.LeaseID(kv.Lease))); err != nil {
		t.Fatal(err)
	}
}

func keyOf(t *testing.T, s *Store, key string) *mvccpb.KeyValue {
	t.Helper()
	resp, err := s.client.Get(t.Context(), key)
	if err != nil || len(resp.Kvs) == 0 {
		t.Fatalf("reading %s: %v", key, err)
	}
	return resp.Kvs[0]
}

func mustHaveField(t *testing.T, s *Store, key, after string) {
	t.Helper()
	var fields map[string]json.RawMessage
	value := keyOf(t, s, key).Value
	if err := json.Unmarshal(value, &fields); err != nil || string(fields["later"]) != `{"n":1}` {
		t.Errorf("after %s the field of a newer version is gone: %s", after, value)
	}
}

func TestFieldsOfANewerVersionSurviveEveryRewrite(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	s, other := openStore(t, c), openStore(t, c)
	setPool(t, s, backend.Pool{Limit: 1})
	addField(t, s, s.keys.settings())
	setPool(t, s, backend.Pool{Limit: 2})
	mustHaveField(t, s, s.keys.settings(), "a change of the limits")

	holder := enter(t, s, claim(map[string]int{"p": 2}), backend.EnterOptions{})
	e := enter(t, other, one(), backend.EnterOptions{}).(*entry)
	key := s.keys.claim(e.id)
	addField(t, s, key)
	if err := s.Bump(t.Context(), e.id, 3); err != nil {
		t.Fatal(err)
	}
	mustHaveField(t, s, key, "a bump")
	release(t, holder)
	await(t, e, backend.Granted, 10*time.Second)
	mustHaveField(t, s, key, "the gatekeeper's grant")
	if err := e.Yield(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustHaveField(t, s, key, "standing aside")
}

func TestARecordOfANewerFormatIsNamedAndNotCalledDamaged(t *testing.T) {
	const unknown = "; update limit on this machine if a newer one has written it, else remove it with etcdctl del " +
		"when no command runs under the limits of this namespace"
	for value, want := range map[string]string{
		`{"format":2,"pools":["a"]}`: `k has the format 2, of a newer limit; update limit on this machine`,
		`{"pools":["a"],"format":7}`: `k has the format 7, of a newer limit; update limit on this machine`,
		`[1]`:                        `reading k: json: cannot unmarshal array into Go value of type etcd.record` + unknown,
	} {
		_, err := readSeat("k", &mvccpb.KeyValue{Key: []byte("k"), Value: []byte(value)})
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", value, err, want)
		}
	}
}

func TestSettingsThatNeedAFeatureThatIsLackingAreRefused(t *testing.T) {
	for _, value := range []string{`{"needs":["telepathy"],"by":"x"}`, `{"needs":["telepathy"],"by":["x"]}`} {
		_, err := decodeSettings([]byte(value))
		want := `the settings of the store need the feature "telepathy", which this limit does not have (it has: pause, strict); update limit on this machine`
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", value, err, want)
		}
	}
}

func TestAClaimForAllSlotsHasAFormatThatTheFirstReleasesRefuse(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	s := openStore(t, c)
	setPool(t, s, backend.Pool{Limit: 2})
	holder := enter(t, s, one(), backend.EnterOptions{})
	writer := enter(t, openStore(t, c), claim(map[string]int{"p": backend.AllSlots}), backend.EnterOptions{}).(*entry)
	format := func() int {
		t.Helper()
		resp, err := s.client.Get(t.Context(), s.keys.claim(writer.id))
		if err != nil || len(resp.Kvs) != 1 {
			t.Fatalf("reading the record: %+v, %v", resp, err)
		}
		seat, err := readSeat(writer.id, resp.Kvs[0])
		if err != nil {
			t.Fatal(err)
		}
		return seat.Format
	}
	if got := format(); got != 1 {
		t.Errorf("while it waits its record has the format %d, want 1", got)
	}
	release(t, holder)
	await(t, writer, backend.Granted, 10*time.Second)
	if got := format(); got != 0 {
		t.Errorf("once it holds 2 slots its record has the format %d, want 0", got)
	}
}
