package local

import (
	"reflect"
	"testing"

	"limit/backend"
)

func TestAClaimThatWaitsIsToldOnEnteringWhoIsInItsWay(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	holder := enter(t, s, "p")
	defer holder.Release(t.Context())
	waiter := enter(t, s, "p")
	defer waiter.Release(t.Context())
	select {
	case ev := <-waiter.Events():
		h := holder.Claim()
		want := []backend.Party{{ID: h.ID, Name: h.Name, Host: h.Host, PID: h.PID, User: h.User, Since: ev.Parties[0].Since}}
		if ev.Kind != backend.Blocked || ev.Position != 1 || len(ev.Blocks) != 1 || !reflect.DeepEqual(ev.Parties, want) {
			t.Errorf("event %+v, want that %+v is in the way", ev, want)
		}
		if !ev.Parties[0].Since.Equal(h.Grant.GrantedAt) {
			t.Errorf("since %v, granted at %v", ev.Parties[0].Since, h.Grant.GrantedAt)
		}
	default:
		t.Error("no event after Enter")
	}
}
