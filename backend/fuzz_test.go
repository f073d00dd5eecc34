package backend

import "testing"

// FuzzTheRule looks for bytes that make State and model differ, or the State break one of its promises; see play.
func FuzzTheRule(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(randomBytes(seed, 50+10*int(seed)))
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		if len(bytes) > 1_000 {
			return // the model is slow on purpose
		}
		if err := play(bytes); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"10/1m", "5/2s", "1/h", "3/ms", "0/1m", "9999999999999999999/1m", "1/-3s", "/", "2/1h30m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRate(s)
		if err != nil {
			return
		}
		if r.Slots < 1 || r.Period < MinRatePeriod {
			t.Fatalf("%q is read as %+v", s, r)
		}
		if again, err := ParseRate(r.String()); err != nil || again != r {
			t.Fatalf("%q is read as %+v, printed as %s, and read again as %+v: %v", s, r, r, again, err)
		}
	})
}
