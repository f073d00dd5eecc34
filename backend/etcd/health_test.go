package etcd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"limit/backend"
	"limit/backend/etcd/keeper"
	"limit/integration/etcdtest"
)

func TestHealthTellsOfMembersThatDoNotAnswerAndOfWhatAnOldVersionLacks(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	dead := etcdtest.FreeAddress(t)
	s := openStore(t, c, func(o *Options) { o.Endpoints, o.ConnectTimeout = append(o.Endpoints, dead), 2*time.Second })
	h, err := s.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	alive := h.Members[0]
	t.Logf("%+v, problems %+v", alive, h.Problems)
	if !strings.HasPrefix(alive.Version, "3.7.") || !alive.Leader || alive.DBSize == 0 || alive.Latency == 0 || alive.ClockAhead.Abs() > 2*time.Second {
		t.Errorf("the member that answers: %+v", alive)
	}
	if h.Members[1].Error == "" || len(h.Problems) != 1 || !strings.Contains(h.Problems[0].Fact, dead) {
		t.Errorf("the member that does not: %+v, problems %+v", h.Members[1], h.Problems)
	}
	for version, words := range map[string]string{
		"3.7.3": "", "3.6.5": "", "3.5.23": "", "3.5.22": "being revoked", "3.5.12": "old leader", "3.4.30": "old leader",
		"3.4.40": "being revoked", "3.3.9": "older than the oldest", "3.6.0-rc.1": "being revoked",
	} {
		problems := versionProblems("h", version)
		if words == "" && len(problems) > 0 || words != "" && (len(problems) == 0 || !strings.Contains(problems[0].Fact, words)) {
			t.Errorf("version %s: %+v, want one about %q", version, problems, words)
		}
	}
}

func TestHealthOfEtcd34SaysWhatItLacks(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Binary: etcdtest.Debian(t)})
	h, err := openStore(t, c).Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Problems) != 2 || !strings.HasPrefix(h.Members[0].Version, "3.4.") {
		t.Errorf("members %+v, problems %+v", h.Members, h.Problems)
	}
}

// TestHealthNoticesThatEtcdHasGoneBack: nothing in etcd tells.
func TestHealthNoticesThatEtcdHasGoneBack(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	dir := filepath.Join(t.TempDir(), "state", "seen")
	remembers := func(o *Options) { o.SeenDir = dir }
	hold := func() {
		t.Helper()
		s := openStore(t, c, remembers)
		e := enter(t, s, one(), backend.EnterOptions{})
		await(t, e, backend.Granted, 20*time.Second)
		release(t, e)
		s.noting.Wait()
	}
	fatal := func() (found []keeper.Problem) {
		t.Helper()
		h, err := openStore(t, c, remembers).Health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range h.Problems {
			if p.Fatal {
				found = append(found, p)
			}
		}
		return found
	}
	m := c.Members[0]
	hold()
	m.Kill()
	restore := m.Saved(t)
	m.Start(t)
	c.WaitReady(t)
	for range 5 {
		hold()
	}
	if found := fatal(); len(found) > 0 {
		t.Errorf("an etcd that goes on: %+v", found)
	}
	m.Kill()
	restore()
	m.Start(t)
	c.WaitReady(t)
	found := fatal()
	if len(found) != 1 || !strings.Contains(found[0].Fact, "older snapshot") ||
		!strings.Contains(found[0].Remedy, "--bump-revision") || !strings.Contains(found[0].Remedy, dir) {
		t.Fatalf("an etcd that has gone back: %+v", found)
	}
	file := found[0].Remedy[strings.Index(found[0].Remedy, dir):]
	if err := os.Remove(file); err != nil {
		t.Errorf("the remedy: %v", err)
	}
	if found := fatal(); len(found) > 0 {
		t.Errorf("a new etcd: %+v", found)
	}
}

func TestAKeeperAnswersAsTheStoreDoes(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	k := keep(t, Options{Endpoints: c.Endpoints()}, nil)
	defer k.Close()
	h, err := k.Health(t.Context())
	if err != nil || len(h.Members) != 1 || h.Members[0].Version == "" {
		t.Errorf("health: %+v, %v", h, err)
	}
	if want := openStore(t, c).String(); k.String() != want {
		t.Errorf("called %s, want %s", k, want)
	}
}

func TestOptionsBecomeWhatALeaseCanKeep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ ttl, grace, wantTTL, wantGrace time.Duration }{
		{0, 0, time.Minute, 10 * time.Second},
		{time.Second, time.Second, 5 * time.Second, time.Second},
		{5500 * time.Millisecond, 0, 6 * time.Second, 1500 * time.Millisecond},
		{10 * time.Second, time.Minute, 10 * time.Second, 5 * time.Second},
	} {
		got := keeper.Options{TTL: c.ttl, Grace: c.grace}.WithDefaults()
		if got.TTL != c.wantTTL || got.Grace != c.wantGrace {
			t.Errorf("TTL %s, grace %s: %s, %s; want %s, %s", c.ttl, c.grace, got.TTL, got.Grace, c.wantTTL, c.wantGrace)
		}
		if interval := (got.Fence() - got.Grace) / 3; interval <= 0 {
			t.Errorf("TTL %s, grace %s: no time to renew before the fence (%s)", got.TTL, got.Grace, interval)
		}
	}
}
