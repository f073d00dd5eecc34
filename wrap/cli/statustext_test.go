package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rivo/uniseg"

	"limit/backend"
)

// crowd is a snapshot with names as people and attackers choose them.
func crowd(now time.Time) *backend.Snapshot {
	names := []string{"sleep 600", "バックアップを作成する処理", "evil\x1b[31m\x1b]0;title\a\nname \u202egnp.exe", strings.Repeat("long-", 40), "👩‍👩‍👧‍👦 family", ""}
	pools := []string{"database", "非常に長いプール名前", strings.Repeat("pool-", 20)}
	s := &backend.Snapshot{Settings: backend.NewSettings()}
	for _, pool := range pools {
		s.Usage = append(s.Usage, backend.Usage{Limit: "pool:" + pool, Kind: backend.KindPool, Pool: pool, Capacity: 2, Used: 2, Waiting: 3})
	}
	for i, name := range names {
		c := backend.Claim{ID: fmt.Sprintf("%032x", i+1), Name: name, Pools: map[string]int{pools[i%3]: 1 + i%2}, Runs: 1,
			User: "ann", Host: "web1.example.com", PID: 4242, QueuedAt: now.Add(-time.Hour)}
		w := backend.WaitingClaim{Claim: c, Position: i + 1, Blocks: []backend.Block{{Limit: "pool:database", Used: 2, Capacity: 2, By: []string{c.ID, c.ID}, Why: backend.WhyFull}}}
		s.Waiting = append(s.Waiting, w)
		c.Grant = &backend.Grant{GrantedAt: now.Add(-3 * time.Minute)}
		s.Held = append(s.Held, backend.HeldClaim{Claim: c, Asked: []string{"", "replaced\x1b[2J"}[i%2]})
	}
	return s
}

func TestStatusFitsTheTerminalAndNobodysNameSteersIt(t *testing.T) {
	now := time.Now()
	for _, width := range []int{72, 80, 120, 200, 0} {
		var b bytes.Buffer
		if err := writeStatus(&b, crowd(now), now, width); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if w := uniseg.StringWidth(line); width > 0 && w > width {
				t.Errorf("at width %d a line has %d columns: %s", width, w, line)
			}
			if strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e }) {
				t.Errorf("a line could steer the terminal: %q", line)
			}
		}
		if width == 80 && !strings.Contains(b.String(), "pool:database 2/2 by 00000000 +1") {
			t.Errorf("at 80 columns what blocks is cut:\n%s", b.String())
		}
	}
}

func TestTheScreenIsDrawnOverTheLastOneAndAnewWhereItsSizeHasChanged(t *testing.T) {
	var b bytes.Buffer
	height := 24
	s := &screen{w: &b, terminal: true, size: func() (int, int) { return 80, height }}
	draw := func(lines int) string {
		t.Helper()
		b.Reset()
		if err := s.draw(func(w io.Writer) error { _, err := io.WriteString(w, strings.Repeat("x\n", lines)); return err }); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got := draw(2); got != "\r\x1b[Jx\nx\n" {
		t.Errorf("the first: %q", got)
	}
	if got := draw(2); got != "" {
		t.Errorf("the same again: %q", got)
	}
	if got := draw(3); got != "\x1b[2A\r\x1b[Jx\nx\nx\n" {
		t.Errorf("one more line: %q", got)
	}
	height = 5
	if got := draw(9); got != "\x1b[H\r\x1b[Jx\nx\nx\n… 6 more lines\n" {
		t.Errorf("a lower terminal: %q", got)
	}
	if height = 24; draw(9) == "" {
		t.Error("a higher terminal is not drawn anew")
	}
}
