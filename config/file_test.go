package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"limit/backend"
	"limit/config/yamlread"
)

func ptr[T any](v T) *T { return &v }

// heads are the first lines of the problems in an error.
func heads(err error) string {
	var all []string
	for _, p := range yamlread.Problems(err) {
		all = append(all, strings.TrimPrefix(p.Head(), "f:"))
	}
	return strings.Join(all, "\n")
}

// parse reads a configuration from a text, as Load reads it from a file in dir.
func parse(name, dir string, text []byte) (*Config, error) {
	return readDocument(yamlread.Parse(name, text), dir)
}

const whole = `backend:
  etcd:
    endpoints: [https://etcd-1:2379, https://etcd-2:2379]
    tls: {ca: ca.pem, cert: me.pem, key: /keys/me-key.pem, server_name: etcd}
    username: limit
    password_file: etcd.password
    agent: none
namespace: prod
concurrency:
  pools:
    default_limit: 5
    strict: true
    granularity: run
    limits:
      database: 2
      api: {limit: 4, rate: 10/1m}
      free: unlimited
      burst: {rate: 5/m}
      1: 1
  runs:
    max_concurrent_runs: 10
    tag_concurrency_limits:
      - {key: dagster/backfill, limit: 3}
      - {key: tenant, value: acme, limit: 1}
      - {key: tenant, value: {applyLimitPerUniqueValue: true}, limit: 2}
      - {key: tenant, value: {applyLimitPerUniqueValue: false}, limit: 7}
  reserve_after: 1m
  hide_commands: true
  history_entries: 100
agent:
  listen: agent.sock
  state: /run/limit/state
  ttl: 30s
  rules:
    - {users: [alice, 1001], groups: [ci], namespaces: [prod, ci-*], pools: [database], change_limits: true}
    - {groups: [0], cancel_others: true}
`

func wholeSettings() backend.Settings {
	return backend.Settings{
		DefaultLimit: ptr(5), Strict: true, Granularity: backend.GranularityRun,
		Pools: map[string]backend.Pool{
			"database": {Limit: 2}, "api": {Limit: 4, Rate: &backend.Rate{Slots: 10, Period: time.Minute}},
			"free": {Limit: backend.Unlimited}, "1": {Limit: 1},
			"burst": {Limit: backend.Unlimited, Rate: &backend.Rate{Slots: 5, Period: time.Minute}},
		},
		MaxRuns: 10,
		TagLimits: []backend.TagLimit{
			{Key: "dagster/backfill", Limit: 3}, {Key: "tenant", Value: ptr("acme"), Limit: 1},
			{Key: "tenant", PerValue: true, Limit: 2}, {Key: "tenant", Limit: 7},
		},
		ReserveAfter: time.Minute, HideCommands: true, HistoryEntries: 100,
	}
}

func TestAWholeFileIsRead(t *testing.T) {
	c, err := parse("f", "/etc/limit", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := Backend{Etcd: &Etcd{
		Endpoints: []string{"https://etcd-1:2379", "https://etcd-2:2379"}, CA: "/etc/limit/ca.pem", Cert: "/etc/limit/me.pem",
		Key: "/keys/me-key.pem", ServerName: "etcd", Username: "limit", PasswordFile: "/etc/limit/etcd.password",
		Agent: NoAgent}}
	if !reflect.DeepEqual(c.Backend, want) {
		t.Errorf("backend %+v", c.Backend.Etcd)
	}
	agent := Agent{Listen: "/etc/limit/agent.sock", State: "/run/limit/state", TTL: 30 * time.Second,
		Rules: []AgentRule{
			{Users: []string{"alice", "1001"}, Groups: []string{"ci"}, Namespaces: []string{"prod", "ci-*"},
				Pools: []string{"database"}, ChangeLimits: true},
			{Groups: []string{"0"}, CancelOthers: true},
		}}
	if !reflect.DeepEqual(c.Agent, agent) {
		t.Errorf("agent %+v", c.Agent)
	}
	if c.Namespace != "prod" || !c.HasSettings || !reflect.DeepEqual(c.Settings, wholeSettings()) || len(c.Warnings) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestDagstersExamplesAreRead(t *testing.T) {
	for _, c := range []struct {
		text string
		want backend.Settings
	}{
		{"concurrency:\n  pools:\n    default_limit: 5\n", backend.Settings{DefaultLimit: ptr(5), MaxRuns: backend.Unlimited}},
		{"concurrency:\n  runs:\n    max_concurrent_runs: 10\n    tag_concurrency_limits:\n      - key: 'dagster/backfill'\n        limit: 3\n",
			backend.Settings{MaxRuns: 10, TagLimits: []backend.TagLimit{{Key: "dagster/backfill", Limit: 3}}}},
		{"concurrency: {pools: {}, runs: {max_concurrent_runs: -1}}", backend.Settings{MaxRuns: backend.Unlimited}},
		{"concurrency: {pools: , runs: {max_concurrent_runs: , tag_concurrency_limits: }}", backend.Settings{MaxRuns: backend.Unlimited}},
		{"concurrency: {runs: {max_concurrent_runs: 0}}", backend.Settings{MaxRuns: 0}},
		{"concurrency: {pools: {default_limit: unlimited}}", backend.Settings{DefaultLimit: ptr(backend.Unlimited), MaxRuns: backend.Unlimited}},
	} {
		got, err := parse("f", "/", []byte(c.text))
		if err != nil || !got.HasSettings || !reflect.DeepEqual(got.Settings, c.want) {
			t.Errorf("%s:\n got %+v %v\nwant %+v", c.text, got, err, c.want)
		}
	}
}

func TestAFileWithoutTheBlockHasNoSettings(t *testing.T) {
	for _, text := range []string{"", "namespace: x", "concurrency:", "backend: {local: }", "backend:"} {
		c, err := parse("f", "/", []byte(text))
		if err != nil || c.HasSettings || !reflect.DeepEqual(c.Settings, backend.NewSettings()) || c.Backend != (Backend{}) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
}

func TestAWholeDagsterYamlIsTakenWithOneWarning(t *testing.T) {
	text := `storage:
  postgres: {postgres_db: {username: {env: PG}, port: {env: PORT}}}
run_launcher: {module: dagster.core.launcher, class: DefaultRunLauncher}
concurrency:
  pools: {granularity: op, default_limit: 1, op_granularity_run_buffer: 2}
telemetry: {enabled: false}
`
	c, err := parse("f", "/", []byte(text))
	if err != nil || len(c.Warnings) != 1 || *c.Settings.DefaultLimit != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	want := "f:1:1: ignored Dagster's keys storage, run_launcher, telemetry, concurrency.pools.op_granularity_run_buffer"
	if got := c.Warnings[0].Head(); got != want || !c.Warnings[0].Warning {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestEveryMistakeIsToldWithItsPlaceAndItsRemedy(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"- a", "1:1: the file must be a mapping, not a list"},
		{"concurency: {}", `1:1: unknown key "concurency"; did you mean "concurrency"?`},
		{"run_queue: {max_concurrent_runs: 3}", "1:1: run_queue is Dagster's older spelling; write concurrency.runs.max_concurrent_runs and concurrency.runs.tag_concurrency_limits"},
		{"run_coordinator: {}", "1:1: run_coordinator is Dagster's older spelling; write concurrency.runs.max_concurrent_runs and concurrency.runs.tag_concurrency_limits"},
		{"concurrency: {default_op_concurrency_limit: 1, run_queue: {}}", "1:15: default_op_concurrency_limit is Dagster's older spelling; write concurrency.pools.default_limit\n" +
			"1:48: run_queue is Dagster's older spelling; write concurrency.runs.max_concurrent_runs and concurrency.runs.tag_concurrency_limits"},
		{"pools: {}", "1:1: pools does not stand here; move it below concurrency"},
		{"max_concurrent_runs: 1", "1:1: max_concurrent_runs does not stand here; move it below concurrency.runs"},
		{"concurrency: {default_limit: 1}", "1:15: default_limit does not stand here; move it below concurrency.pools"},
		{"concurrency: {pools: {database: 2}}", `1:23: unknown key "database"; a pool's own limit stands below limits`},
		{"concurrency: {pools: {limit: {a: 1}}}", `1:23: unknown key "limit"; did you mean "limits"?`},
		{"concurrency: {pools: {granularity: ops}}", `1:36: granularity must be op or run, not "ops"; did you mean "op"?`},
		{"concurrency: {pools: {default_limit: -1}}", `1:38: default_limit must be at least 0, not -1; write unlimited`},
		{"concurrency: {pools: {default_limit: -2}}", `1:38: default_limit must be from 0 to 2147483647, not -2`},
		{"concurrency: {pools: {default_limit: unlimitd}}", `1:38: default_limit must be unlimited, not "unlimitd"; did you mean "unlimited"?`},
		{"concurrency: {pools: {limits: {a: '2'}}}", `1:35: a must be a whole number, not "2"; take off the quotes`},
		{"concurrency: {pools: {limits: {a: two}}}", `1:35: a must be a whole number or unlimited, not "two"`},
		{"concurrency: {pools: {limits: {a: }}}", `1:32: pool "a" has no limit; write a number or unlimited`},
		{"concurrency: {pools: {limits: {a: {}}}}", `1:32: pool "a" has neither limit nor rate; write a number or unlimited`},
		{"concurrency: {pools: {limits: {a: {rate: 10/1s}}}}", `1:42: rate "10/1s": the period must be at least 2s`},
		{"concurrency: {pools: {limits: {a: {rate: 9999999999/2s}}}}", `1:42: rate "9999999999/2s" is higher than 2147483647; leave it out`},
		{"concurrency: {pools: {limits: {a: {rate: 10}}}}", `1:42: rate must be text, not 10; put it in quotes: "10"`},
		{"concurrency: {pools: {limits: {'': 1, \"a\\tb\": 2}}}", "1:32: the name of a pool is empty\n1:39: the name of a pool has a character in it that is not text"},
		{"concurrency: {pools: {limits: [a]}}", `1:31: limits must be a mapping, not a list`},
		{"concurrency: {runs: {max_concurrent_runs: -2}}", `1:43: max_concurrent_runs must be from -1 to 2147483647, not -2`},
		{"concurrency: {runs: {max_concurrent_runs: unlimited}}", `1:43: max_concurrent_runs must be a whole number; write -1, or leave it out, for no limit`},
		{"concurrency: {runs: {tag_concurrency_limits: {key: a}}}", `1:46: tag_concurrency_limits must be a list, not a mapping`},
		{"concurrency: {runs: {tag_concurrency_limits: [{key: a}, {limit: 1}, ~, x]}}", "1:47: item 1 of tag_concurrency_limits has no limit; add limit: …\n" +
			"1:57: item 2 of tag_concurrency_limits has no key; add key: …\n1:69: a tag limit is empty; write {key: …, limit: …}\n" +
			`1:72: item 4 of tag_concurrency_limits must be a mapping, not "x"`},
		{"concurrency: {runs: {tag_concurrency_limits: [{key: a, value: , limit: 1}]}}", "1:56: value is empty; leave it out for all runs with the key"},
		{"concurrency: {runs: {tag_concurrency_limits: [{key: a, value: {}, limit: 1}]}}", "1:63: value has no applyLimitPerUniqueValue; add applyLimitPerUniqueValue: …"},
		{"concurrency: {runs: {tag_concurrency_limits: [{key: a, value: 5, limit: 1}]}}", `1:63: value must be text, not 5; put it in quotes: "5"`},
		{"concurrency: {runs: {tag_concurrency_limits: [{key: a=b, limit: 1}]}}", `1:53: the key of a tag has "=" in it, which ends a key`},
		{"concurrency: {runs: {tag_concurrency_limits: [{key: a, limit: 1}, {key: a, value: x, limit: 1}, {key: a, limit: 2}]}}",
			"1:97: duplicate limit for tag:a, first on line 1; keep one of them"},
		{"concurrency: {reserve_after: 0, hide_commands: yes, history_entries: 0}", "1:30: reserve_after must be at least 1ms, not 0\n" +
			`1:48: hide_commands must be true or false, not "yes"; write true` + "\n1:70: history_entries must be from 1 to 1000000, not 0"},
		{"namespace: ''", "1:12: the namespace is empty"},
		{"namespace: ..", `1:12: the namespace cannot be ".."`},
		{"namespace: 5", `1:12: namespace must be text, not 5; put it in quotes: "5"`},
		{"namespace: a\nnamespace: b", `2:1: duplicate key "namespace", first on line 1`},
		{"backend: local", "1:10: backend must be a mapping; write local: {}, or leave it out"},
		{"backend: {local: {}, etcd: {endpoints: h}}", "1:22: backend has both local and etcd; keep one of them"},
		{"backend: {local: {dir: ~/x}}", `1:24: dir begins with "~", which only a shell knows; write the path in full, or relative to this file`},
		{"backend: {local: {path: /x}}", `1:19: unknown key "path"`},
		{"backend: {etcd: }", "1:11: etcd has no endpoints; add endpoints: [https://HOST:2379]"},
		{"backend: {etcd: {}}", "1:17: etcd has no endpoints; add endpoints: …"},
		{"backend: {etcd: {endpoints: []}}", "1:29: endpoints is empty; add one: [https://HOST:2379]"},
		{"backend: {etcd: {endpoints: [~, h, 'h:2379', 'h:0', 'ftp://h', 'http://u@h', '::1', 'h/x', 5]}}", "1:30: an endpoint is empty\n" +
			"1:36: endpoint h:2379 is named twice\n1:46: endpoint \"h:0\": port \"0\" is not a number from 1 to 65535\n" +
			"1:53: endpoint \"ftp://h\": unknown scheme; give http:// or https://\n" +
			"1:64: an endpoint has a user in it; set username and password_file in limit.yaml\n" +
			"1:78: endpoint \"::1\" is ambiguous; put an IPv6 address in brackets: [::1]:2379\n" +
			"1:85: endpoint \"h/x\" is not HOST:PORT\n1:92: item 9 of endpoints must be text, not 5; put it in quotes: \"5\""},
		{"backend: {etcd: {endpoints: [h], tls: {cert: c}, username: u}}", "1:40: cert stands without key; add key: …\n1:50: username stands without password_file; add password_file: …"},
		{"backend: {etcd: {endpoints: ['http://h'], tls: {ca: c}}}", "1:29: tls is set, but the endpoints are not encrypted; give them https://"},
		{"backend: {etcd: {endpoints: ['http://h', 'https://g']}}", "1:29: some endpoints are encrypted and some are not; give all of them https:// or all http://"},
	} {
		if _, err := parse("f", "/", []byte(c.text)); heads(err) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.text, heads(err), c.want)
		}
	}
}

func TestAMistakeIsShownAsAnEditorWouldPointAtIt(t *testing.T) {
	_, err := parse("limit.yaml", "/", []byte("concurrency:\n  # five\n  pools:\n    defalt_limit: 5\n    limits: {a: x}\n"))
	want := `limit.yaml:4:5: unknown key "defalt_limit"; did you mean "default_limit"?
        defalt_limit: 5
        ^~~~~~~~~~~~
limit.yaml:5:17: a must be a whole number or unlimited, not "x"
        limits: {a: x}
                    ^`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
