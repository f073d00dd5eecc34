package stepfile

import (
	"slices"
	"testing"
)

const selectable = `
steps:
  a: {run: x, tags: {k: v}}
  b: {run: x, needs: a, matrix: {m: [one, "two,three"]}}
  c: {run: x, needs: b, tags: {k: w}}
  d: x
`

// FuzzSelections: whatever is typed selects steps or is refused; what is excluded is not selected, and a comma is an
// or.
func FuzzSelections(f *testing.F) {
	for _, s := range []string{"a", "+c", "2+b+1", "tag:k=v,d", "*", "b[one]", "b[two,three]", "c+", "+", "tag:", ",,", "99999999999999999999+a", "[", "]["} {
		f.Add(s, "d")
	}
	file, _, err := Parse("f", []byte(selectable), Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		chosen, err := file.Select([]string{one}, nil)
		if err != nil {
			return
		}
		if !slices.Contains(chosen, true) {
			t.Errorf("%q selects nothing, and that is no error", one)
		}
		without, err := file.Select([]string{one}, []string{one})
		if err != nil || slices.Contains(without, true) {
			t.Errorf("%q without itself is %v, %v", one, without, err)
		}
		second, err := file.Select([]string{other}, nil)
		if err != nil {
			return
		}
		both, err := file.Select([]string{one, other}, nil)
		for i := range both {
			if err != nil || both[i] != (chosen[i] || second[i]) {
				t.Fatalf("%q is %v, %q %v, both %v, %v", one, chosen, other, second, both, err)
			}
		}
	})
}
