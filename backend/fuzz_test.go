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
