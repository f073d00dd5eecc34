package etcd

import (
	"bytes"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/integration/etcdtest"
)

// TestAHiddenCommandIsInNoKey looks at every key of the server while one holds and another waits, and when they have
// ended.
func TestAHiddenCommandIsInNoKey(t *testing.T) {
	s := openStore(t, etcdtest.Start(t, etcdtest.Options{}))
	err := s.ChangeSettings(t.Context(), func(st *backend.Settings, _ bool) error {
		st.HideCommands = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := func() backend.Claim {
		c := claim(map[string]int{"p": 1})
		c.Name, c.Command = "psql -W hunter2", []string{"psql", "-W", "hunter2"}
		return c
	}
	holder := enter(t, s, secret(), backend.EnterOptions{})
	next := enter(t, s, secret(), backend.EnterOptions{Replace: true})
	inNoKey(t, s, "while they live")
	release(t, holder)
	await(t, next, backend.Granted, 10*time.Second)
	release(t, next)
	inNoKey(t, s, "when they have ended")
}

func inNoKey(t *testing.T, s *Store, when string) {
	t.Helper()
	resp, err := s.client.Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		if bytes.Contains(kv.Value, []byte("hunter2")) {
			t.Errorf("%s, it is in %s: %s", when, kv.Key, kv.Value)
		}
	}
	if len(resp.Kvs) == 0 {
		t.Error("no key was read")
	}
}
