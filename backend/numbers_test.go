package backend

import "testing"

// TestAnAmountHasNoNumbers: a claim for many megabytes of memory would have a variable that no exec takes, and for more of them the
// numbers alone would not fit into memory.
func TestAnAmountHasNoNumbers(t *testing.T) {
	playScript(t, `
		limits mem=2147483647
		enter a mem=1024
		> a
		enter b mem=1025
		> b
		slots b none
		enter c mem=2147400000
		> c
		slots c none
		enter d mem=2
		> d
		slots d mem=1024,1025
		usage pool:mem 2147402051/2147483647 +0
		release a
		enter e mem=1
		> e
		slots e mem=0
	`)
}

func TestNumbersThatNobodyHasGivenAreLeftOut(t *testing.T) {
	s := NewState(Settings{Pools: map[string]Pool{"p": {Limit: 3}}, MaxRuns: Unlimited}, StoreNames())
	s.Hold(&Claim{ID: "a", Pools: map[string]int{"p": 1}, Grant: &Grant{Slots: map[string][]int{"p": {-5, 1, 1 << 40}}}}, 0)
	s.Wait(&Claim{ID: "b", Pools: map[string]int{"p": 2}}, 0)
	granted := s.Advance(0)
	if len(granted) != 1 || len(granted[0].Grant.Slots["p"]) != 2 || granted[0].Grant.Slots["p"][0] != 0 || granted[0].Grant.Slots["p"][1] != 2 {
		t.Errorf("granted %+v", granted)
	}
}
