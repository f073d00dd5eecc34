package local

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"limit/backend"
)

// FuzzTheRuleOfWhateverImage lets the rule decide on images that nobody has written: whoever may write the store may
// write them.
func FuzzTheRuleOfWhateverImage(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(randomImage(rand.New(rand.NewPCG(seed, 3)), int(2+seed)).encode(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeImage(b, nil)
		if err != nil || len(m.claims) > 100 {
			return
		}
		for i := range m.claims {
			if n := m.claims[i].file; n != noFile && uint32(n) >= m.files {
				t.Fatalf("claim %d has file %d of %d", i, n, m.files)
			}
		}
		c := &change{s: &Store{}, img: m, now: time.Hour}
		rule := c.rule(everybody, id{})
		rule.Usage(c.now)
		rule.Explain(c.now)
		rule.Held()
		c.admissible()
		for i := range m.claims {
			c.blocks(m.claims[i].id)
		}
	})
}

// FuzzWhatIsRememberedIsFoundBetweenDamage reads a history in which a Past stands between bytes that a death or a
// stranger has left.
func FuzzWhatIsRememberedIsFoundBetweenDamage(f *testing.F) {
	f.Add([]byte{}, []byte{}, "load", int64(5))
	f.Add([]byte{pastMarker}, []byte{pastMarker, 1, 0, 0}, "\xff", int64(-1))
	f.Add([]byte{pastMarker, 200, 0, 1, 2, 3, 4}, []byte("x"), "", int64(0))
	f.Fuzz(func(t *testing.T, before, after []byte, name string, held int64) {
		p := backend.Past{ID: "id", RunID: "run", Name: name, Pools: map[string]int{name: 2}, Runs: 1, Granted: true, Held: time.Duration(held), Ended: time.Unix(0, held)}
		b := encodePast(p)
		if b == nil {
			return // too long to be kept
		}
		found := decodePasts(slices.Concat(before, b, after))
		if !slices.ContainsFunc(found, func(q backend.Past) bool { return reflect.DeepEqual(p, q) }) {
			t.Errorf("%+v is not among %d found between %x and %x", p, len(found), before, after)
		}
	})
}

// FuzzNamesOfNamespaces: each has a directory of its own, within the store's.
func FuzzNamesOfNamespaces(f *testing.F) {
	for _, s := range []string{"default", "a/b", "..", ".", "format", "%66ormat", ".new", "a%2Fb", "ü\x00"} {
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		a, b := escape(one), escape(other)
		if (a == b) != (one == other) {
			t.Errorf("%q is %q, %q is %q", one, a, other, b)
		}
		if one != "" && (a == "" || a == formatName || a[0] == '.' || strings.ContainsAny(a, "/\x00")) {
			t.Errorf("%q is %q", one, a)
		}
	})
}
