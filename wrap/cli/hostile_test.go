package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"

	"limit/backend"
)

// hostile clears a screen, writes a title, ends a line, a label and an attribute, and turns the order of letters.
const hostile = "\x1b[2J\x1b]0;owned\a\u009b31m\r\n \x1b[1A\u202eevil\u2066\u2028\x7f\xff\"\\<script>"

// hostileSnapshot has it wherever somebody else's text may stand. A store that others write to can have it in names
// that no flag takes.
func hostileSnapshot(now time.Time) *backend.Snapshot {
	settings := backend.NewSettings()
	settings.Pools = map[string]backend.Pool{hostile: {Limit: 1, Rate: &backend.Rate{Slots: 1, Period: time.Minute}}}
	settings.TagLimits = []backend.TagLimit{{Key: hostile, PerValue: true, Limit: 1}}
	claim := func(id string) backend.Claim {
		return backend.Claim{ID: id, RunID: hostile, Name: hostile, Command: []string{hostile}, Host: hostile, User: hostile, Pools: map[string]int{hostile: 1},
			Tags: map[string]string{hostile: hostile}, QueuedAt: now}
	}
	held := claim(hostile + "held")
	held.Grant = &backend.Grant{GrantedAt: now, Slots: map[string][]int{hostile: {0}}}
	value := hostile
	limit := "pool:" + hostile
	return &backend.Snapshot{
		Settings: settings, SettingsSet: true,
		Usage: []backend.Usage{{Limit: limit, Kind: backend.KindPool, Pool: hostile, Capacity: 1, Used: 1}, {Limit: "runs", Kind: backend.KindRuns},
			{Limit: "tag:" + hostile, Kind: backend.KindTag, Tag: backend.TagLimit{Key: hostile, Value: &value, PerValue: true}, Capacity: 1}},
		Held: []backend.HeldClaim{{Claim: held, Orphaned: true, PIDs: []int{7}, Asked: hostile}},
		Waiting: []backend.WaitingClaim{{Claim: claim(hostile + "waiting"), Position: 1,
			Blocks: []backend.Block{{Limit: limit, Used: 1, Capacity: 1, By: []string{held.ID}, Why: backend.WhyFull}}}},
	}
}

func TestNoViewLetsTheTextsOfOthersSteerATerminal(t *testing.T) {
	now := time.Now()
	s := hostileSnapshot(now)
	past := backend.Past{ID: hostile, RunID: hostile, Name: hostile, Pools: map[string]int{hostile: 1}, Runs: 1, Granted: true, Ended: now}
	for view, write := range map[string]func(b *bytes.Buffer) error{
		"status":          func(b *bytes.Buffer) error { return writeStatus(b, s, now, 0) },
		"status, 80 wide": func(b *bytes.Buffer) error { return writeStatus(b, s, now, 80) },
		"why of a holder": func(b *bytes.Buffer) error { return writeWhy(b, s, s.Held[0].ID, now) },
		"why of a waiter": func(b *bytes.Buffer) error { return writeWhy(b, s, s.Waiting[0].ID, now) },
		"stats":           func(b *bytes.Buffer) error { return writeStats(b, newStats([]backend.Past{past}, s, now), 80) },
		"metrics":         func(b *bytes.Buffer) error { _, err := b.WriteString(metricsText(s, hostile, now)); return err },
		"doctor":          func(b *bytes.Buffer) error { return writeDiagnosis(b, hostileDiagnosis(), 80) },
		"apply and diff":  func(b *bytes.Buffer) error { return (&program{Streams: Streams{Out: b}}).printLines([]string{hostile}) },
		"an error": func(b *bytes.Buffer) error {
			(&program{Streams: Streams{Err: b}}).complain(&backend.NotFoundError{ID: hostile})
			return nil
		},
		"what is proposed": func(b *bytes.Buffer) error { _, err := b.WriteString(candidate{"id", hostile}.line()); return err },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Errorf("%s: %v", view, err)
		}
		if b.Len() == 0 || !strings.Contains(b.String(), "evil") && view != "status, 80 wide" && view != "stats" {
			t.Errorf("%s does not show it: %q", view, b.String())
		}
		for _, r := range b.String() {
			if r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' {
				t.Errorf("%s has %U in it:\n%q", view, r, b.String())
				break
			}
		}
	}
}

func hostileDiagnosis() *diagnosis {
	d := &diagnosis{Version: "devel", Namespace: hostile, Backend: hostile}
	d.add(backend.Broken, "claims", hostile, "the limit of claim %s is gone", hostile)
	return d
}
