package etcd

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/integration/etcdtest"
)

func TestTheHistoryIsTrimmedWhereATenthTooManyAreKept(t *testing.T) {
	ctx := context.Background()
	c := etcdtest.Start(t, etcdtest.Options{})
	s := openPlain(t, Options{Endpoints: c.Endpoints()}).(*Store)
	defer s.Close()
	const most = 20
	began := time.Now().Add(-time.Hour)
	for i := range 200 { // the last digits of an id decide who counts: here every one in 32
		p := backend.Past{ID: fmt.Sprintf("%032x", i), Name: "test", Ended: began.Add(time.Duration(i) * time.Second)}
		(&entry{s: s, remembered: most}).remember(ctx, &p)
		resp, err := s.client.Get(ctx, s.keys.pasts(), clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		if kept := resp.Count; kept > most+trimEvery {
			t.Fatalf("after %d ends %d are kept", i+1, kept)
		} else if i%trimEvery == 0 && i > most && kept != most {
			t.Fatalf("after %d ends and a trim %d are kept, want %d", i+1, kept, most)
		}
	}
	pasts, err := s.History(ctx)
	if err != nil || len(pasts) < most || pasts[len(pasts)-1].ID != fmt.Sprintf("%032x", 199) {
		t.Errorf("%d pasts, the last %+v, error %v", len(pasts), pasts[len(pasts)-1], err)
	}
}
