package wrap

import (
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzPrintable: what it returns is valid text, steers no terminal, and says the same of whatever had nothing to be
// escaped.
func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"", "plain\ttext ü語", "\x1b]0;owned\a\x1b[2J", "\u009b31m", "\u202eevil\u2066", "\xff\xc2", "a\r\nb", "\u200b\u2028\ufeff\U000e0041", "e\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown := Printable(s)
		if !utf8.ValidString(shown) {
			t.Errorf("%q is shown as %q: not UTF-8", s, shown)
		}
		for _, r := range shown {
			if r != '\t' && unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
				t.Errorf("%q is shown as %q: it has %U in it", s, shown, r)
			}
		}
		if again := Printable(shown); again != shown {
			t.Errorf("%q is shown as %q, and that as %q", s, shown, again)
		}
	})
}
