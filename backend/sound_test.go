package backend

import "testing"

func TestClaimsThatTheRuleCannotCountWithAreNotSound(t *testing.T) {
	for _, c := range []struct {
		name  string
		claim Claim
		sound bool
	}{
		{"nothing", Claim{}, true},
		{"a pool and a run", Claim{Pools: map[string]int{"p": 1, "q": MaxSlots}, Runs: 1}, true},
		{"no slots of a pool", Claim{Pools: map[string]int{"p": 0}}, false},
		{"less than none", Claim{Pools: map[string]int{"p": -1 << 63}}, false},
		{"too many", Claim{Pools: map[string]int{"p": MaxSlots + 1}}, false},
		{"less than no run", Claim{Runs: -1}, false},
	} {
		if err := c.claim.Sound(); (err == nil) != c.sound {
			t.Errorf("%s: %v, want sound %t", c.name, err, c.sound)
		}
	}
}
