package yamlread

import (
	"testing"
	"unicode/utf8"
)

// walk reads everything that a value holds in every way there is.
func walk(v Value) {
	v.Text()
	v.Int(0, 5)
	v.Bool()
	v.Duration(0)
	v.OneOf("a", "b")
	if items, ok := v.OneOrMany(); ok && v.Kind() == Sequence {
		for _, item := range items {
			walk(item)
		}
	}
	if v.Kind() == Mapping {
		fields, _ := v.Fields(nil, "a", "b")
		fields.Require("a")
		for _, e := range fields.All() {
			walk(e.Value)
		}
	}
}

// checkPlaces holds every problem against the text it speaks of.
func checkPlaces(t *testing.T, text string, problems []*Problem) {
	lines := splitLines(text)
	for _, p := range problems {
		if p.Line < 1 || p.Line > len(lines) || p.Col < 1 || p.Col > utf8.RuneCountInString(lines[p.Line-1])+1 ||
			p.Length < 1 || p.Message == "" || !utf8.ValidString(p.Error()) {
			t.Errorf("%q: no place in the text: %#v", text, p)
		}
	}
}

func FuzzEveryProblemHasItsPlaceInTheText(f *testing.F) {
	for _, seed := range []string{"a: 1", "a: [1, b: 2", "a: &x {b: 1}\nc: {<<: *x, b: 3}\n", "\ufeffé: '\u2028'\r\n- b\rc",
		"a: &x [*x]", "a:\n\t- \xff", "? [a]\n: !!int x\n", "a: |\n  x\n  y\n b: 1", "a: 1\n---\nb", "a: \"\\x\"", "%TAG ! x\n--- !y z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := Parse("f", []byte(text))
		walk(d.Root())
		checkPlaces(t, d.text, Problems(d.Err()))
		if d.Root().Kind() == Absent && d.Err() == nil {
			t.Errorf("%q: unreadable without a problem", text)
		}
	})
}
