package keeper

import (
	"os"
	"strings"
	"testing"

	"limit/backend"
)

func TestAPolicyAllowsWhatARuleAllowsAndNothingElse(t *testing.T) {
	const alice, bob, ci, other = 100001, 100002, 200001, 200002
	claim := func(pools ...string) Request {
		c := &backend.Claim{ID: "c", Pools: map[string]int{}}
		for _, pool := range pools {
			c.Pools[pool] = 1
		}
		return Request{Op: OpEnter, Claim: c}
	}
	replacing := claim("db")
	replacing.Enter.Replace = true
	rules := []Rule{
		{UIDs: []int{alice}, Namespaces: []string{"prod"}, Pools: []string{"db", "api-*"}},
		{GIDs: []int{ci}, Namespaces: []string{"ci-*"}, ChangeLimits: true},
		{UIDs: []int{bob}, Namespaces: []string{"prod"}, Pools: []string{"files"}, CancelOthers: true},
	}
	user, member, joined := Peer{UID: alice, GID: other}, Peer{UID: 7, GID: ci},
		Peer{UID: 7, GID: 8, Groups: []int{9, ci}}
	for _, c := range []struct {
		what      string
		rules     []Rule
		peer      Peer
		namespace string
		request   Request
		own       bool
		refused   string // "": allowed
	}{
		{"without rules everybody uses everything", nil, user, "x", claim("any"), false, ""},
		{"without rules nobody changes limits", nil, user, "x", Request{Op: OpWrite}, false,
			"may not change limits of the namespace x"},
		{"without rules nobody cancels claims of others", nil, user, "x", Request{Op: OpCancel, ID: "c1"}, false,
			"may not cancel the claim c1"},
		{"without rules nobody drops claims of others", nil, user, "x", Request{Op: OpDrop, ID: "c1"}, false,
			"may not drop the claim c1"},
		{"without rules nobody bumps claims of others", nil, user, "x", Request{Op: OpBump, ID: "c1"}, false,
			"may not bump the claim c1"},
		{"without rules nobody replaces others", nil, user, "x", replacing, false, "may not replace"},
		{"whoever has a claim cancels it", nil, user, "x", Request{Op: OpCancel, ID: "c1"}, true, ""},
		{"whoever has a claim bumps it", nil, user, "x", Request{Op: OpBump, ID: "c1"}, true, ""},
		{"root does all", []Rule{}, Peer{UID: 0}, "x", Request{Op: OpWrite}, false, ""},
		{"the agent's own user does all", []Rule{}, Peer{UID: os.Geteuid()}, "x", replacing, false, ""},
		{"an empty list of rules allows nothing", []Rule{}, user, "prod", claim(), false,
			"may not use the namespace prod"},
		{"a user in a rule", rules, user, "prod", claim("db"), false, ""},
		{"the beginning of a name", rules, user, "prod", claim("api-eu", "db"), false, ""},
		{"a pool in no rule", rules, user, "prod", claim("db", "files"), false,
			"may not use the pool files of the namespace prod"},
		{"a pool in the rule of another user", rules, Peer{UID: bob}, "prod", claim("db"), false,
			"may not use the pool db"},
		{"a name that only begins like a pattern", rules, user, "prod", claim("db2"), false,
			"may not use the pool db2"},
		{"a namespace in no rule", rules, user, "ci-1", claim("db"), false, "may not use the namespace ci-1"},
		{"looking at a namespace in no rule", rules, user, "ci-1", Request{Op: OpSnapshot}, false,
			"may not use the namespace ci-1"},
		{"looking at a namespace", rules, user, "prod", Request{Op: OpSnapshot}, false, ""},
		{"a group", rules, member, "ci-1", claim("db"), false, ""},
		{"a group besides the first", rules, joined, "ci-1", Request{Op: OpWrite}, false, ""},
		{"limits of a namespace in no rule", rules, joined, "prod", Request{Op: OpWrite}, false,
			"may not use the namespace prod"},
		{"a rule that allows to cancel", rules, Peer{UID: bob}, "prod", Request{Op: OpCancel, ID: "c1"}, false, ""},
		{"a rule that allows to cancel and not to change limits", rules, Peer{UID: bob}, "prod", Request{Op: OpWrite},
			false, "may not change limits"},
		{"the end of a claim whose owner may do nothing any more", []Rule{}, user, "prod", Request{Op: OpRelease},
			false, ""},
		{"the return to an agent of a user who may do nothing any more", []Rule{}, user, "prod", Request{Op: OpResume},
			false, ""},
	} {
		p := &Policy{Rules: c.rules}
		err := p.Allow(c.peer, c.namespace, &c.request, c.own)
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s: %v", c.what, err)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s: %v, want %q", c.what, err, c.refused)
		}
	}
}
