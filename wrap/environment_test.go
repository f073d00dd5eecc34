package wrap_test

import (
	"slices"
	"strings"
	"testing"

	"limit/backend"
	"limit/wrap"
)

func TestACommandSeesItsOwnClaimAndWhatItsRunStillHolds(t *testing.T) {
	outer := []string{"PATH=/bin", "LIMIT_RUN_ID=outer", "LIMIT_CLAIM_ID=outer", "LIMIT_TOKEN=3", "LIMIT_NAMESPACE=far", "LIMIT_POOLS=gpu=1,db=1",
		"LIMIT_SLOT_GPU=1", "LIMIT_SLOT_DB=0", "LIMIT_SLOT_GPU=7", "LIMIT_AGENT=none", "LIMIT_SLOTH=x"}
	held := &backend.Grant{Token: 9, Slots: map[string][]int{"db": {2, 3}}}
	for _, c := range []struct {
		name, want string
		claim      *backend.Claim
	}{
		{"a run of its own", "PATH=/bin LIMIT_AGENT=none LIMIT_SLOTH=x LIMIT_RUN_ID=own LIMIT_CLAIM_ID=own LIMIT_NAMESPACE=near LIMIT_POOLS=db=2 LIMIT_TOKEN=9 LIMIT_SLOT_DB=2,3",
			&backend.Claim{ID: "own", RunID: "own", Pools: map[string]int{"db": 2}, Grant: held}},
		{"a claim of the outer run", "PATH=/bin LIMIT_SLOT_GPU=1 LIMIT_SLOT_GPU=7 LIMIT_AGENT=none LIMIT_SLOTH=x LIMIT_RUN_ID=outer LIMIT_CLAIM_ID=own LIMIT_NAMESPACE=near LIMIT_POOLS=db=2 LIMIT_TOKEN=9 LIMIT_SLOT_DB=2,3",
			&backend.Claim{ID: "own", RunID: "outer", Pools: map[string]int{"db": 2}, Grant: held}},
		{"a pool without limit", "PATH=/bin LIMIT_SLOT_DB=0 LIMIT_AGENT=none LIMIT_SLOTH=x LIMIT_RUN_ID=outer LIMIT_CLAIM_ID=own LIMIT_NAMESPACE=near LIMIT_POOLS=gpu=1 LIMIT_TOKEN=9",
			&backend.Claim{ID: "own", RunID: "outer", Pools: map[string]int{"gpu": 1}, Grant: &backend.Grant{Token: 9}}},
		{"no claim", "PATH=/bin LIMIT_RUN_ID=outer LIMIT_NAMESPACE=far LIMIT_AGENT=none LIMIT_SLOTH=x", nil},
	} {
		before := slices.Clone(outer)
		got := wrap.Unclaimed(outer)
		if c.claim != nil {
			got = wrap.Environment(outer, *c.claim, "near")
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, strings.Join(got, " "), c.want)
		}
		if !slices.Equal(outer, before) {
			t.Errorf("%s: the environment that was handed in has changed to %v", c.name, outer)
		}
	}
}
