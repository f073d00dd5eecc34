package etcd

import (
	"slices"
	"testing"
	"time"

	"limit/backend"
	"limit/integration/etcdtest"
)

func TestAClaimKnowsOfItsPoolsWithoutALimitOnceItHasEntered(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	for name, open := range map[string]func(testing.TB, Options) backend.Backend{"plain": openPlain, "through the keeper": openKept} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{Endpoints: c.Endpoints(), Namespace: t.Name(), TTL: 5 * time.Second})
			t.Cleanup(func() { s.Close() })
			err := s.ChangeSettings(t.Context(), func(settings *backend.Settings, _ bool) error {
				settings.Pools = map[string]backend.Pool{"set": {Limit: 3}}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			pools := map[string]int{"set": 1, "zeal": 1, "air": 1}
			for _, who := range []string{"the holder", "the waiter"} {
				e := enter(t, s, claim(pools), backend.EnterOptions{})
				if got, want := e.(backend.Surveyed).Survey(), []string{"air", "zeal"}; !slices.Equal(got.Unset, want) || got.Unlimited {
					t.Errorf("%s of %v: %+v, want the pools %q without a limit", who, pools, got, want)
				}
			}
			if e := enter(t, s, claim(nil), backend.EnterOptions{}); !e.(backend.Surveyed).Survey().Unlimited {
				t.Error("a claim without pools and a store without a limit of runs: want nothing to limit it")
			}
		})
	}
}
