package cli

import (
	"strings"
	"testing"
	"time"

	"limit/backend"
)

func TestWhyNamesTheClaimsThatWaitForEachOther(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := &backend.Snapshot{Settings: backend.NewSettings()}
	s.Settings.Pools = map[string]backend.Pool{"db": {Limit: 2}}
	for i, id := range []string{"aaaaaaaaaaaa", "bbbbbbbbbbbb"} {
		c := backend.Claim{ID: id, RunID: id, Name: "run" + id[:1], Pools: map[string]int{"db": 1}, Grant: &backend.Grant{Token: int64(i), GrantedAt: now}}
		w := backend.Claim{ID: "w" + id, RunID: id, Name: "in" + id[:1], Pools: map[string]int{"db": 1}, Ancestors: []string{id}, QueuedAt: now, Seq: int64(i + 3)}
		s.Held = append(s.Held, backend.HeldClaim{Claim: c})
		s.Waiting = append(s.Waiting, backend.WaitingClaim{Claim: w, Position: i + 1})
	}
	var b strings.Builder
	if err := writeWhy(&b, s, "waaaaaaaaaaaa", now); err != nil {
		t.Fatal(err)
	}
	want := "  claims wait for each other for ever; cancel one of them, or raise a limit:\n" +
		"    aaaaaaaa runa holds 1 of pool:db until waaaaaaa ina within it is granted pool:db\n" +
		"    bbbbbbbb runb holds 1 of pool:db until wbbbbbbb inb within it is granted pool:db\n"
	if !strings.HasSuffix(b.String(), want) {
		t.Errorf("got\n%s\nwant at its end\n%s", b.String(), want)
	}
	s.Held = s.Held[:1]
	s.Waiting = s.Waiting[:1]
	b.Reset()
	if err := writeWhy(&b, s, "waaaaaaaaaaaa", now); err != nil || strings.Contains(b.String(), "each other") {
		t.Errorf("of a claim that waits in no circle: %v\n%s", err, b.String())
	}
}
