package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("limit.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("limit.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// asJSON is a YAML document as the schema sees it.
func asJSON(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return plain(v)
}

func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = plain(v[key])
		}
	case map[any]any:
		object := map[string]any{}
		for key := range v {
			object[fmt.Sprint(key)] = plain(v[key])
		}
		return object
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case int:
		return json.Number(fmt.Sprint(v))
	case float64:
		return json.Number(fmt.Sprint(v))
	}
	return v
}

// compare holds the schema's word on a document against the parser's.
func compare(t *testing.T, schema *jsonschema.Schema, text string) (accepted bool) {
	t.Helper()
	_, parser := parse("f", "/", []byte(text))
	editor := schema.Validate(asJSON(t, text))
	if (parser == nil) != (editor == nil) {
		t.Errorf("%s\nparser: %v\nschema: %v", text, parser, editor)
	}
	return parser == nil
}

func TestSchemaAndParserAgreeOnACorpus(t *testing.T) {
	schema := compiled(t)
	for want, texts := range map[bool][]string{
		true: {
			whole, "", "{}", "backend:", "backend: {local: }", "backend: {local: {dir: x}}", "backend: {etcd: {endpoints: h}}",
			"backend: {etcd: {endpoints: ['http://[::1]:5/'], tls: }}", "concurrency:", "concurrency: {pools: , runs: , reserve_after: }",
			"concurrency: {reserve_after: 5}", "concurrency: {reserve_after: 5d}", "concurrency: {reserve_after: '90'}",
			"storage: {sqlite: {base_dir: x}}\ntelemetry: {enabled: false}\nconcurrency: {pools: {op_granularity_run_buffer: 1}}",
			"concurrency: {pools: {limits: {a: {rate: 10/1m}, b: {limit: 0}, c: unlimited, d: {limit: unlimited, rate: ' 5 / 1h30m '}}}}",
			"concurrency: {runs: {max_concurrent_runs: -1, tag_concurrency_limits: []}}",
			"backend: {etcd: {endpoints: [h], tls: {cert: , key: }, username: , password_file: }}",
			"dag:", "dag: {keep_runs: 5, keep_days: 3, keep_bytes: 2GiB, log_limit: 5000000, log_dir: runs}", "dag: {log_limit: 100 KiB}",
		},
		false: {
			"5", "[]", "backend: local", "backend: {local: {}, etcd: {endpoints: h}}", "backend: {etcd: {}}", "backend: {etcd: }",
			"backend: {local: {dir: '~/x'}}", "backend: {local: {dir: ''}}", "backend: {etcd: {endpoints: ['h x']}}", "run_queue: {}",
			"run_coordinator:", "default_op_concurrency_limit: 1", "concurrency: {default_op_concurrency_limit: 1}", "unknown: 1",
			"namespace: ..", "namespace: ''", "backend: {etcd: {endpoints: h, tls: {cert: x}}}", "backend: {etcd: {endpoints: h, username: x}}",
			"backend: {etcd: {endpoints: [h, h]}}", "concurrency: {pools: {limits: {'': 1}}}", "concurrency: {pools: {limits: {a: -1}}}",
			"concurrency: {pools: {limits: {a: {rate: 0/1m}}}}", "concurrency: {pools: {limits: {a: {rate: 1/x}}}}",
			"concurrency: {runs: {tag_concurrency_limits: [{key: a, limit: 1}, {key: a, limit: 1}]}}",
			"concurrency: {runs: {tag_concurrency_limits: [{key: a=b, limit: 1}]}}", "concurrency: {reserve_after: 5x}",
			"dag: {keep_runs: 0}", "dag: {keep_days: x}", "dag: {keep_bytes: 0}", "dag: {keep_bytes: 5GB}", "dag: {keep: 1}", "dag: {log_dir: ''}",
		},
	} {
		for _, text := range texts {
			if got := compare(t, schema, text); got != want {
				t.Errorf("%s\naccepted: %t", text, got)
			}
		}
	}
}

// mutants are what may come to stand in place of any value.
func mutants() []any {
	return []any{nil, true, -2, -1, 0, 1, 1 << 40, 1.5, "", "x", "unlimited", "op", "1m", "10/1m", "a=b", "~/x", "h:1", "a\nb", "..",
		[]any{}, []any{"x"}, []any{nil}, map[string]any{}, map[string]any{"limit": 1}, map[string]any{"x": 1},
		map[string]any{"applyLimitPerUniqueValue": true}, map[string]any{"dir": "x"}}
}

// mutate calls use after each change of one value, one key less and one key more, anywhere below v; then it is as
// before.
func mutate(v any, set func(any), use func()) {
	for _, mutant := range mutants() {
		set(mutant)
		use()
	}
	set(v)
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			mutate(v[key], func(other any) { v[key] = other }, use)
			kept := v[key]
			delete(v, key)
			use()
			v[key+"x"] = kept
			use()
			delete(v, key+"x")
			v[key] = kept
		}
	case []any:
		for i := range v {
			mutate(v[i], func(other any) { v[i] = other }, use)
		}
	}
}

// beyondSchema tells the mistakes that no schema can express, or that lie in the notation and not in the value.
func beyondSchema(problems string) bool {
	for _, part := range []string{"duplicate limit for tag:", "tls is set, but the endpoints are not encrypted",
		"some endpoints are encrypted", "must be at least 1ms, not", "must be at least 5s, not"} {
		if strings.Contains(problems, part) {
			return true
		}
	}
	return false
}

func TestSchemaAndParserAgreeOnEveryChangeOfAWholeFile(t *testing.T) {
	schema := compiled(t)
	accepted, refused, skipped := 0, 0, 0
	for _, text := range []string{whole, "backend: {local: {dir: x}}\nconcurrency: {pools: {op_granularity_run_buffer: 1}}"} {
		var document any
		if err := yaml.Unmarshal([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
		top := map[string]any{"document": plain(document)}
		mutate(top["document"], func(v any) { top["document"] = v }, func() {
			text, err := json.Marshal(top["document"]) // JSON is YAML
			if err != nil {
				t.Fatal(err)
			}
			_, problem := parse("f", "/", text)
			if problem != nil && beyondSchema(problem.Error()) {
				skipped++
				return
			}
			if compare(t, schema, string(text)) {
				accepted++
			} else {
				refused++
			}
		})
	}
	if accepted < 100 || refused < 500 {
		t.Errorf("only %d documents were accepted, %d refused and %d beyond the schema", accepted, refused, skipped)
	}
	t.Logf("%d accepted, %d refused, %d beyond the schema", accepted, refused, skipped)
}

func TestSchemaAndParserKnowTheSameKeys(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	keys := func(path ...string) []string {
		at := any(schema)
		for _, step := range path {
			at = at.(map[string]any)[step]
		}
		return slices.Sorted(maps.Keys(at.(map[string]any)["properties"].(map[string]any)))
	}
	const p = "properties"
	top := slices.Concat(topKeys(), dagsterKeys(), olderKeys())
	for _, c := range []struct{ schema, parser []string }{
		{keys(), top},
		{keys(p, "backend"), backendKeys()},
		{keys(p, "backend", p, "etcd"), etcdKeys()},
		{keys(p, "backend", p, "etcd", p, "tls"), tlsKeys()},
		{keys(p, "concurrency"), concurrencyKeys()},
		{keys(p, "concurrency", p, "pools"), poolsKeys()},
		{keys(p, "concurrency", p, "runs"), runsKeys()},
		{keys("$defs", "tag_limit"), tagLimitKeys()},
		{keys(p, "agent"), agentKeys()},
		{keys(p, "agent", p, "rules", "items"), agentRuleKeys()},
	} {
		if slices.Sort(c.parser); !slices.Equal(c.schema, c.parser) {
			t.Errorf("schema %v\nparser %v", c.schema, c.parser)
		}
	}
}
