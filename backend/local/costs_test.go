package local

import (
	"reflect"
	"testing"

	"limit/backend"
)

func TestLookingTakesNoLock(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	holder := enter(t, s, "p")
	defer holder.Release(t.Context())
	waiter := enter(t, s, "p")
	defer waiter.Release(t.Context())
	looking, err := Open(t.Context(), Options{Dir: s.opts.Dir, step: func(name string) {
		if name == "lock" || name == "write image" {
			t.Errorf("a look takes the step %q", name)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer looking.Close()
	if snap, err := looking.Snapshot(t.Context()); err != nil || len(snap.Held) != 1 || len(snap.Waiting) != 1 {
		t.Errorf("Snapshot: %+v, %v, want one that holds and one that waits", snap, err)
	}
	if _, _, err := looking.Settings(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := (&entry{s: looking, id: waiter.(*entry).id}).Obstacles(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhatAChangeCostsDoesNotDependOnTagsThatNoLimitMatches(t *testing.T) {
	const waiting = 300
	s := crowded(t, waiting, tagged)
	fed := func() (claims, queues int) {
		err := s.peek(t.Context(), func(c *change) error {
			for _, l := range c.rule(firstFeed, id{}).lines {
				claims += len(l.records)
			}
			queues = len(c.img.queues)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return claims, queues
	}
	if claims, queues := fed(); claims != firstFeed || queues != 1 {
		t.Errorf("the rule is fed %d claims of %d queues, want %d of one", claims, queues, firstFeed)
	}
	err := s.ChangeSettings(t.Context(), func(s *backend.Settings, _ bool) error {
		s.TagLimits = []backend.TagLimit{{Key: "build", PerValue: true, Limit: 1}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if claims, queues := fed(); claims != waiting || queues != waiting {
		t.Errorf("under a limit for each value the rule is fed %d claims of %d queues, want %d", claims, queues, waiting)
	}
}

func TestAWaitingClaimTakesFewBytesOfTheState(t *testing.T) {
	const waiting, most = 300, 64
	s := crowded(t, 1, newClaim)
	before := s.glance().size
	crowdOf(t, s, waiting, newClaim)
	if each := (s.glance().size - before) / waiting; each > most {
		t.Errorf("a waiting claim takes %d bytes of the image, want %d at most", each, most)
	}
}

func TestAWokenClaimFindsItsGrantAmongMany(t *testing.T) {
	s := crowded(t, 1, newClaim)
	holder := enter(t, s, "q")
	defer holder.Release(t.Context())
	crowdOf(t, s, 50, newClaim)
	other := enter(t, s, "r")
	defer other.Release(t.Context())
	waiter := enter(t, s, "p")
	defer waiter.Release(t.Context())
	check := func(what string, e backend.Entry, want *backend.Grant) {
		t.Helper()
		got, err := s.ownGrant(t.Context(), e.(*entry).id)
		if err != nil || (got == nil) != (want == nil) || got != nil && !reflect.DeepEqual(got.Grant, want) {
			t.Errorf("%s: %+v, %v, want the grant %+v", what, got, err, want)
		}
	}
	check("the first that holds", holder, holder.Claim().Grant)
	check("the last that holds", other, other.Claim().Grant)
	check("one that waits", waiter, nil)
	check("one that is not there", &entry{id: id{1}}, nil)
	if err := s.Cancel(t.Context(), other.Claim().ID, "enough"); err != nil {
		t.Fatal(err)
	}
	check("one that is asked to stop", other, nil)
}
