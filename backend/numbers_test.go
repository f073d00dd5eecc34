package backend

import "testing"

// TestAnAmountHasNoNumbers: a claim for many megabytes of memory would have a variable that no exec takes, and for more
// of them the numbers alone would not fit into memory.
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

// TestANumberIsTakenUntilTheLastOfThoseWhoHaveItIsGone: a state that follows its store from behind has given a number
// away that was free by then, and hears only afterwards that somebody else had it and left.
func TestANumberIsTakenUntilTheLastOfThoseWhoHaveItIsGone(t *testing.T) {
	holder := func(id string, numbers ...int) *Claim {
		return &Claim{ID: id, Pools: map[string]int{"p": len(numbers)}, Grant: &Grant{Slots: map[string][]int{"p": numbers}}}
	}
	for name, leave := range map[string][]string{"the earlier": {"earlier"}, "two of three": {"earlier", "between"}, "the later": {"later", "between"}} {
		s := NewState(Settings{Pools: map[string]Pool{"p": {Limit: 5}}, MaxRuns: Unlimited}, StoreNames())
		for _, id := range []string{"later", "earlier", "between"} {
			s.Hold(holder(id, 0), 0)
		}
		for _, id := range leave {
			s.Remove(id)
		}
		s.Wait(&Claim{ID: "next", Pools: map[string]int{"p": 1}}, 0)
		if granted := s.Advance(0); len(granted) != 1 || granted[0].Grant.Slots["p"][0] != 1 {
			t.Errorf("%s left: granted %+v, want the number 1", name, granted)
		}
		for _, id := range []string{"later", "earlier", "between", "next"} {
			s.Remove(id)
		}
		s.Wait(&Claim{ID: "last", Pools: map[string]int{"p": 2}}, 0)
		if granted := s.Advance(0); len(granted) != 1 || granted[0].Grant.Slots["p"][0] != 0 || granted[0].Grant.Slots["p"][1] != 1 {
			t.Errorf("%s left: granted %+v at the end, want the numbers 0 and 1", name, granted)
		}
	}
}
