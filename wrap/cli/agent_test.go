//go:build !slim

package cli

import (
	"reflect"
	"strings"
	"testing"

	"limit/backend/etcd/keeper"
	"limit/config"
)

func TestTheConfigurationOfAnAgentIsLookedAtInWhole(t *testing.T) {
	cfg := &config.Config{
		Backend: config.Backend{Etcd: &config.Etcd{Endpoints: []string{"https://h:1"}, CA: "/no/such/ca.pem"}},
		Agent: config.Agent{Rules: []config.AgentRule{
			{Users: []string{"root", "4711", "no-such-user"}, Groups: []string{"no-such-group"}},
		}},
	}
	_, err := agentConfig(cfg, "/s/agent.sock")
	for _, want := range []string{"/no/such/ca.pem", "no user no-such-user", "no group no-such-group"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	cfg.Backend.Etcd.CA = ""
	cfg.Agent.Rules[0] = config.AgentRule{Users: []string{"root", "4711"}, Groups: []string{"root", "7"},
		Pools: []string{"a*"}}
	resolved, err := agentConfig(cfg, "/s/agent.sock")
	want := []keeper.Rule{{UIDs: []int{0, 4711}, GIDs: []int{0, 7}, Pools: []string{"a*"}}}
	if err != nil || !reflect.DeepEqual(resolved.Policy.Rules, want) || resolved.State != "/s/state" {
		t.Errorf("%+v, %v", resolved, err)
	}
	cfg.Agent.Rules = nil
	if resolved, err = agentConfig(cfg, "/s/agent.sock"); err != nil || resolved.Policy.Rules != nil {
		t.Errorf("without rules: %+v, %v", resolved.Policy, err)
	}
	cfg.Agent.Rules = []config.AgentRule{}
	if resolved, err = agentConfig(cfg, "/s/agent.sock"); err != nil || resolved.Policy.Rules == nil {
		t.Errorf("with an empty list of rules: %+v, %v", resolved.Policy, err)
	}
	cfg.Backend = config.Backend{Dir: "/d"}
	if _, err := agentConfig(cfg, "/s/agent.sock"); err == nil ||
		!strings.Contains(err.Error(), "an agent is for etcd") {
		t.Errorf("on an embedded store: %v", err)
	}
}
