package wrap

import (
	"strings"
	"testing"
)

func TestTextsAreCutToCells(t *testing.T) {
	for _, c := range []struct {
		text        string
		width       int
		end, middle string
	}{
		{"plain", 5, "plain", "plain"},
		{"plain text", 6, "plain…", "pl…ext"},
		{"plain text", 1, "…", "…"},
		{"plain text", 0, "…", "…"},
		{"plain", 2, "p…", "p…"},
		{"日本語の名前", 12, "日本語の名前", "日本語の名前"},
		{"日本語の名前", 7, "日本語…", "日…名前"},
		{"日本語の名前", 6, "日本…", "日…前"},
		{"e\u0301e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301…", "…e\u0301e\u0301"},
		{"👩‍👩‍👧 family of three", 6, "👩‍👩‍👧 fa…", "👩‍👩‍👧…ree"},
	} {
		if got := Cut(c.text, c.width); got != c.end {
			t.Errorf("%q cut to %d cells is %q, not %q", c.text, c.width, got, c.end)
		}
		if got := CutMiddle(c.text, c.width); got != c.middle {
			t.Errorf("%q cut to %d cells in its middle is %q, not %q", c.text, c.width, got, c.middle)
		}
	}
	texts := []string{"plain text", "日本語の名前", "a日b本c語", strings.Repeat("é", 9), "👩‍👩‍👧 family", "\u200b\u0301x"}
	for _, text := range texts {
		for width := 1; width < 20; width++ {
			for _, got := range []string{Cut(text, width), CutMiddle(text, width)} {
				if Cells(got) > width {
					t.Errorf("%q cut to %d cells is %q of %d", text, width, got, Cells(got))
				}
			}
		}
	}
}
