package etcdtest

import (
	"testing"
	"time"
)

func TestAClusterIsSteered(t *testing.T) {
	c := Start(t, Options{Members: 3})
	leader := c.Leader(t)
	other := c.Members[0]
	if other == leader {
		other = c.Members[1]
	}
	if err := c.MoveLeader(leader, other); err != nil {
		t.Fatal(err)
	}
	if now := c.Leader(t); now != other {
		t.Errorf("%s leads, want %s", now.Name, other.Name)
	}
	if err := c.post(leader, "/v3/lease/grant", map[string]any{"TTL": "60", "ID": "77"}, nil); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"MQ==", "Mg=="} {
		if err := c.post(leader, "/v3/kv/put", map[string]any{"key": "L2EvYg==", "value": value, "lease": "77"}, nil); err != nil { // /a/b
			t.Fatal(err)
		}
	}
	if err := c.Compact(other); err != nil {
		t.Error(err)
	}
	for _, m := range c.Members {
		if err := c.Defragment(m); err != nil {
			t.Error(err)
		}
	}
	leader.Restart(t)
	c.WaitReady(t)
	for _, m := range c.Members {
		keys, err := c.Keys(m, "/a/")
		if err != nil || len(keys) != 1 || keys[0] != (Key{"/a/b", "2", 77}) {
			t.Errorf("%s has %v, %v", m.Name, keys, err)
		}
		if n, err := c.Leases(m); n != 1 || err != nil {
			t.Errorf("%s has %d leases, %v", m.Name, n, err)
		}
	}
	other.Stop()
	defer other.Continue()
	end := time.Now().Add(15 * time.Second)
	for !c.Healthy(leader) { // the others elect another
		if time.Now().After(end) {
			t.Fatal("the others do not go on without a leader that is stopped")
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestAClusterThatAsksForPasswordsIsSteeredByRoot(t *testing.T) {
	c := Start(t, Options{Flags: []string{"--bcrypt-cost", "4"}})
	c.AskForPasswords(t, "user", "word")
	m := c.Members[0]
	if err := c.send(m, "/v3/kv/range", "", map[string]any{"key": "L2EvYg=="}, nil); err == nil {
		t.Error("a key is read without a password")
	}
	login := map[string]any{"name": "user", "password": "word"}
	if err := c.send(m, "/v3/auth/authenticate", "", login, nil); err != nil {
		t.Error(err)
	}
	if err := c.SetPassword(m, "user", "other"); err != nil {
		t.Error(err)
	}
	if err := c.send(m, "/v3/auth/authenticate", "", login, nil); err == nil {
		t.Error("the former password is good")
	}
	if _, err := c.Keys(m, "/limit/"); err != nil {
		t.Error(err)
	}
}
