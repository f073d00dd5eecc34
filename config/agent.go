package config

import (
	"fmt"
	"math"
	"time"

	"limit/config/grammar"
	"limit/config/yamlread"
)

// NoAgent in place of the path of an agent's socket says that none is to be used.
const NoAgent = "none"

// minAgentTTL is the shortest lease of an agent.
const minAgentTTL = 5 * time.Second

// Agent is the agent block: how limit agent works on this machine.
type Agent struct {
	Listen string        // its socket; "": the default
	State  string        // the directory of what the next agent takes over; "": beside the socket
	TTL    time.Duration // of its leases; 0: the default
	Rules  []AgentRule   // nil: whoever can connect may use everything, and change nothing of others
}

// AgentRule lets users do something through an agent.
type AgentRule struct {
	Users, Groups     []string // names or numbers; none of either: everybody
	Namespaces, Pools []string // a name, or the beginning of names and *; none: all
	ChangeLimits      bool
	CancelOthers      bool
}

func agentKeys() []string { return []string{"listen", "state", "ttl", "rules"} }
func agentRuleKeys() []string {
	return []string{"users", "groups", "namespaces", "pools", "change_limits", "cancel_others"}
}

func (r *reader) agent(v yamlread.Value) {
	fields, _ := v.Fields(nil, agentKeys()...)
	a := &r.config.Agent
	a.Listen, a.State = r.path(fields.Get("listen")), r.path(fields.Get("state"))
	a.TTL, _ = fields.Get("ttl").Duration(minAgentTTL)
	if rules, ok := fields.Get("rules").List(); ok {
		a.Rules = make([]AgentRule, len(rules))
		for i, rule := range rules {
			a.Rules[i] = readAgentRule(rule)
		}
	}
	r.origins("agent", fields, agentKeys()...)
}

func readAgentRule(v yamlread.Value) (rule AgentRule) {
	if v.Kind() == yamlread.Null {
		v.Reject("a rule is empty", "write {} for one that lets everybody use everything")
	}
	fields, _ := v.Fields(nil, agentRuleKeys()...)
	rule.Users, rule.Groups = accounts(fields.Get("users")), accounts(fields.Get("groups"))
	rule.Namespaces, rule.Pools = patterns(fields.Get("namespaces")), patterns(fields.Get("pools"))
	rule.ChangeLimits, _ = fields.Get("change_limits").Bool()
	rule.CancelOthers, _ = fields.Get("cancel_others").Bool()
	return rule
}

// accounts reads names and numbers of users or groups.
func accounts(v yamlread.Value) []string {
	return listOf(v, func(item yamlread.Value) (string, bool) {
		if item.Kind() == yamlread.Int {
			_, ok := item.Int(0, math.MaxUint32-1)
			return item.Written(), ok
		}
		return item.Text()
	})
}

func patterns(v yamlread.Value) []string {
	return listOf(v, yamlread.Value.Text)
}

// listOf reads a list of names, which cannot be empty: nobody could tell whether that means all or none.
func listOf(v yamlread.Value, read func(yamlread.Value) (string, bool)) []string {
	items, ok := v.List()
	if ok && len(items) == 0 {
		v.Reject(v.Name()+" is empty", "name one, or leave it out")
	}
	var names []string
	for _, item := range items {
		name, ok := read(item)
		switch fault := grammar.NameFault(name); {
		case item.Kind() == yamlread.Null:
			item.Reject(item.Name()+" is empty", "")
		case ok && fault != "":
			item.Reject(fmt.Sprintf("%s %s", item.Name(), fault), "")
		case ok:
			names = append(names, name)
		}
	}
	return names
}
