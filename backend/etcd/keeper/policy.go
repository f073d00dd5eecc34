package keeper

import (
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// AgentConfig is how an agent works.
type AgentConfig struct {
	Options Options // without Namespace and WarnOnLost
	Version string  // of the agent
	State   string  // the directory of what the next agent has to know
	Policy  Policy
}

// Peer is who has connected, as the kernel knows it.
type Peer struct {
	PID, UID, GID int
	Groups        []int // besides GID
}

// Trusted reports whether the peer is root or the agent's own user, who may do all.
func (p Peer) Trusted() bool { return p.UID == 0 || p.UID == os.Geteuid() }

func (p Peer) String() string {
	if u, err := user.LookupId(strconv.Itoa(p.UID)); err == nil {
		return "the user " + u.Username
	}
	return fmt.Sprintf("the user %d", p.UID)
}

// Policy says who may do what. Each thing that one rule allows is allowed. Root and the agent's own user may do all.
type Policy struct {
	Rules []Rule // nil: whoever can connect may use everything, and change nothing of others
}

// Rule lets users do something.
type Rule struct {
	UIDs, GIDs        []int    // none of either: everybody
	Namespaces, Pools []string // a name, or the beginning of names and *; none: all
	ChangeLimits      bool
	CancelOthers      bool
}

// Allow fails where the policy does not let the peer do what the request asks for. own says that the claim which it is
// about is the peer's. What becomes of a claim that has entered is its owner's to say under any policy: one that was
// narrowed ends no command.
func (p *Policy) Allow(peer Peer, namespace string, r *Request, own bool) error {
	if peer.Trusted() {
		return nil
	}
	switch r.Op {
	case OpOpen, OpResume, OpGiveUp, OpAside, OpUp, OpStarted, OpRelease, OpObstacles, OpStop:
		return nil
	}
	rules := p.of(peer, namespace)
	if len(rules) == 0 {
		return p.refuse(peer, "use the namespace %s", namespace)
	}
	switch r.Op {
	case OpEnter:
		return p.enter(peer, namespace, rules, r)
	case OpWrite:
		if !slices.ContainsFunc(rules, func(r Rule) bool { return r.ChangeLimits }) {
			return p.refuse(peer, "change limits of the namespace %s", namespace)
		}
	case OpCancel, OpDrop, OpBump:
		if !own && !cancelsOthers(rules) {
			return p.refuse(peer, "%s the claim %s, which this agent does not keep for that user", r.Op, r.ID)
		}
	}
	return nil
}

// enter is Allow for a claim that is to enter.
func (p *Policy) enter(peer Peer, namespace string, rules []Rule, r *Request) error {
	for _, pool := range slices.Sorted(maps.Keys(r.Claim.Pools)) {
		if !slices.ContainsFunc(rules, func(r Rule) bool { return matches(r.Pools, pool) }) {
			return p.refuse(peer, "use the pool %s of the namespace %s", pool, namespace)
		}
	}
	if r.Enter.Replace && !cancelsOthers(rules) {
		return p.refuse(peer, "replace what holds slots of the namespace %s", namespace)
	}
	return nil
}

func cancelsOthers(rules []Rule) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool { return r.CancelOthers })
}

// of are the rules for a peer in a namespace.
func (p *Policy) of(peer Peer, namespace string) []Rule {
	if p.Rules == nil {
		return []Rule{{}}
	}
	var rules []Rule
	for _, r := range p.Rules {
		if r.isFor(peer) && matches(r.Namespaces, namespace) {
			rules = append(rules, r)
		}
	}
	return rules
}

func (r *Rule) isFor(peer Peer) bool {
	return len(r.UIDs)+len(r.GIDs) == 0 || slices.Contains(r.UIDs, peer.UID) || slices.Contains(r.GIDs, peer.GID) ||
		slices.ContainsFunc(peer.Groups, func(gid int) bool { return slices.Contains(r.GIDs, gid) })
}

// matches reports whether a name is one of those that the patterns stand for.
func matches(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
		beginning, open := strings.CutSuffix(pattern, "*")
		return pattern == name || open && strings.HasPrefix(name, beginning)
	})
}

func (p *Policy) refuse(peer Peer, format string, args ...any) error {
	return fmt.Errorf("%s may not %s through this agent; ask whoever keeps agent.rules in its limit.yaml", peer,
		fmt.Sprintf(format, args...))
}
