package local

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"limit/backend"
)

func TestARateHasTheSameWindowInAllTimeNamespaces(t *testing.T) {
	unshare := []string{"unshare", "--time", "--boottime", "315360000", "--monotonic", "315360000", "--fork"} // ten years ahead
	if out, err := exec.Command(unshare[0], append(unshare[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("needs time namespaces, and may not make one here: %v: %s", err, out)
	}
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	err := s.ChangeSettings(t.Context(), func(st *backend.Settings, _ bool) error {
		rate := &backend.Rate{Slots: 1, Period: backend.MinRatePeriod}
		st.Pools = map[string]backend.Pool{"p": {Limit: backend.Unlimited, Rate: rate}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ahead := exec.Command(unshare[0], append(unshare[1:], os.Args[0], dir, "p", "1")...)
	ahead.Env = append(os.Environ(), helperVariable+"=claim") // enters, and releases at the end of its standard input
	if out, err := ahead.CombinedOutput(); err != nil {
		t.Fatalf("a claim of a namespace ahead: %v: %s", err, out)
	}
	e := enter(t, s, "p")
	defer e.Release(t.Context())
	if e.Claim().Grant != nil {
		return // the machine was so slow that the period is over
	}
	if event := next(t, e); event.Kind != backend.Granted { // within a period of the start that a namespace ahead has made
		t.Errorf("%v, want that it is granted", event)
	}
}

func TestTheOffsetOfATimeNamespaceIsRead(t *testing.T) {
	for offsets, want := range map[string]time.Duration{
		"monotonic           0         0\nboottime            0         0\n": 0,
		"monotonic           5         0\nboottime    315360000         7\n": 315360000*time.Second + 7,
		"monotonic           5         0\nboottime           -3 500000000\n": -2500 * time.Millisecond,
		"1           5         0\n7           8         0\n":                 8 * time.Second, // as earlier kernels write it
		"":                           0,
		"boottime\nboottime 1\nhm\n": 0,
	} {
		if got := parseOffset(offsets); got != want {
			t.Errorf("%q: %v, want %v", offsets, got, want)
		}
	}
}
