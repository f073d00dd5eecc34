package stepfile

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("limit-dag.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("limit-dag.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON turns YAML into what a schema is applied to.
func asJSON(t testing.TB, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	out, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheSchemaAgreesWithTheParser(t *testing.T) {
	valid := []string{
		"steps: {a: x}",
		"steps: {a: true, b: 1}",
		"name: n\nsteps: {a: {run: x}}",
		"timeout: 5\nsteps: {a: {run: x, timeout: 2d, grace: 1.5}}", "timeout: '90'\nsteps: {a: x}",
		"tags: {a: b, c: null, d: 1}\npriority: -3\nsteps: {a: x}",
		"params: {a: null, b: 1, c: x, d: true}\nsteps: {a: x}",
		"env: {A: b, B: 1, C: null}\nsecrets: [A, B]\ndir: x\nshell: bash\ntimeout: 1h30m\nsteps: {a: x}",
		"secrets: A\nshell: python3 -c\ntimeout: 0\nsteps: {a: x}",
		"shell: /usr/bin/zsh\nsteps: {a: x}",
		"executor: {max_concurrent: 3, tag_concurrency_limits: [{key: k, limit: 0}, {key: k, value: v, limit: 1}, {key: k, value: {applyLimitPerUniqueValue: true}, limit: 2}]}\nsteps: {a: x}",
		"defaults: {pool: db, tags: {a: b}, env: {A: b}, dir: d, shell: sh, timeout: 1s, grace: 2s, retry: 1, priority: 1, continue_on_error: true, slots: 1}\nsteps: {a: x}",
		"steps: {a: {run: x, pool: db}, b: {run: x, pool: db=2}, c: {run: x, pool: [a, b=3]}, d: {run: x, pool: 'a b=1,c,d=2'}}",
		"steps: {a: x, b: {run: x, needs: a}, c: {run: x, needs: [a, b]}}",
		"steps: {a: {run: x, matrix: {k: [1, b], include: [{k: 3, z: 1}], exclude: [{k: 1}]}}}",
		"steps: {a: {run: x, if: test 1, when: always, console: true, slots: 1}}",
		"steps: {a: x, b: {run: x, needs: a, when: on_failure}}",
		"steps: {a: {run: x, retry: {max: 3, delay: 10s, backoff: linear, max_delay: 1m, exit_codes: [75, 3]}}}",
		"steps: {a: {run: x, continue_on_error: 3}, b: {run: x, continue_on_error: [1, 255]}, c: {run: x, continue_on_error: false}}",
		"steps: {a: {run: x, matrix: {k: [1]}, pool: 'p${{ matrix.k }}', tags: {t: '${{ matrix.k }}'}}}",
		"steps: {'extract-all_2.x/y:z': x}",
		"description: d\nx-a: &a {run: x}\nx-b: [1]\nenv_file: .env\nsteps: {a: *a, b: {run: x, description: 'two\n\nlines'}}",
		"env_file: [a, b]\nsecrets: {A: null, B: {file: /run/b}}\nsteps: {a: x}",
		"params: {a: {default: x, choices: [x, 2], description: d}, b: {description: d}, c: {}}\nsteps: {a: x}",
		"steps: {a: {run: x, matrix: {k: [1, 2]}}, b: {run: x, matrix: {k: [1, 2]}, needs: 'a[${{ matrix.k }}]'}}",
	}
	invalid := []string{
		"{}", "[]", "steps: {}", "steps: [a]", "steps: {a: null}", "steps: {a: ''}", "steps: {a: [x]}", "steps: {a: {}}",
		"nmae: x\nsteps: {a: x}", "steps: {a: {run: x, rnu: y}}",
		"priority: high\nsteps: {a: x}", "priority: 2147483648\nsteps: {a: x}",
		"params: [a]\nsteps: {a: x}", "params: {'-': 1}\nsteps: {a: x}", "params: {a: [1]}\nsteps: {a: x}",
		"env: {1A: x}\nsteps: {a: x}", "env: {LIMIT_A: x}\nsteps: {a: x}", "env: {A: [x]}\nsteps: {a: x}",
		"secrets: [A, A]\nsteps: {a: x}", "secrets: [a-b]\nsteps: {a: x}", "secrets: {A: b}\nsteps: {a: x}", "secrets: {A: {}}\nsteps: {a: x}", "secrets: {A: {file: ''}}\nsteps: {a: x}", "secrets: {a-b: null}\nsteps: {a: x}",
		"y-a: 1\nsteps: {a: x}", "env_file: {a: b}\nsteps: {a: x}", "env_file: ''\nsteps: {a: x}", "steps: {a: {run: x, description: [a]}}",
		"params: {a: {choices: []}}\nsteps: {a: x}", "params: {a: {default: [1]}}\nsteps: {a: x}", "params: {a: {value: 1}}\nsteps: {a: x}",
		"dir: ''\nsteps: {a: x}", "shell: fish\nsteps: {a: x}", "shell: ''\nsteps: {a: x}",
		"timeout: -5s\nsteps: {a: x}", "timeout: soon\nsteps: {a: x}",
		"executor: {max_concurrent: 0}\nsteps: {a: x}", "executor: {max_concurent: 1}\nsteps: {a: x}", "executor: []\nsteps: {a: x}",
		"executor: {tag_concurrency_limits: [{key: k}]}\nsteps: {a: x}", "executor: {tag_concurrency_limits: [{limit: 1}]}\nsteps: {a: x}",
		"executor: {tag_concurrency_limits: [{key: k, limit: -1}]}\nsteps: {a: x}", "executor: {tag_concurrency_limits: {key: k, limit: 1}}\nsteps: {a: x}",
		"executor: {tag_concurrency_limits: [{key: k, value: {applyPerValue: true}, limit: 1}]}\nsteps: {a: x}",
		"executor: {tag_concurrency_limits: [{key: k, value: [v], limit: 1}]}\nsteps: {a: x}",
		"defaults: {run: x}\nsteps: {a: x}", "defaults: {needs: a}\nsteps: {a: x}",
		"steps: {a: {run: x, pool: ''}}", "steps: {a: {run: x, pool: a=b=1}}", "steps: {a: {run: x, pool: ' a'}}", "steps: {a: {run: x, pool: 'a,'}}", "steps: {a: {run: x, pool: db=0}}", "steps: {a: {run: x, pool: db=x}}", "steps: {a: {run: x, pool: {db: 1}}}",
		"steps: {a: {run: x, tags: [a]}}", "steps: {a: {run: x, tags: {a: [b]}}}",
		"steps: {a: {run: x, slots: 0}}", "steps: {a: {run: x, slots: 1.5}}",
		"steps: {a: {run: x, retry: -1}}", "steps: {a: {run: x, retry: {maximum: 1}}}", "steps: {a: {run: x, retry: {exit_codes: [0]}}}", "steps: {a: {run: x, retry: {backoff: random}}}",
		"steps: {a: {run: x, continue_on_error: [256]}}", "steps: {a: {run: x, continue_on_error: sometimes}}", "steps: {a: {run: x, continue_on_error: 0}}",
		"steps: {a: {run: x, when: never}}", "steps: {a: {run: x, when: on_failure}}", "steps: {a: {run: x, console: maybe}}",
		"steps: {a: {run: x, matrix: {k: []}}}", "steps: {a: {run: x, matrix: {k: v}}}", "steps: {a: {run: x, matrix: {'k k': [v]}}}", "steps: {a: {run: x, matrix: {k: [[1]]}}}",
		"steps: {a: {run: 'echo ${{ matrix.k }}'}}", "steps: {a: {run: x, if: ''}}", "steps: {a: {run: x, needs: {b: c}}}",
		"steps: {'a b': x}", "steps: {'-a': x}", "steps: {'a+': x}", "steps: {'tag:x': x}", "steps: {'a,b': x}", "steps: {'a[b]': x}",
	}
	s := compiled(t)
	for _, text := range valid {
		if _, _, err := Parse("f.yaml", []byte(text), Options{}); err != nil {
			t.Errorf("the parser refuses\n%s\n%v", text, err)
		}
		if err := s.Validate(asJSON(t, text)); err != nil {
			t.Errorf("the schema refuses\n%s\n%v", text, err)
		}
	}
	for _, text := range invalid {
		if _, _, err := Parse("f.yaml", []byte(text), Options{}); err == nil {
			t.Errorf("the parser accepts\n%s", text)
		}
		if err := s.Validate(asJSON(t, text)); err == nil {
			t.Errorf("the schema accepts\n%s", text)
		}
	}
}

func TestTheSchemaAcceptsTheWorkflows(t *testing.T) {
	s := compiled(t)
	files, err := filepath.Glob(filepath.Join("..", "testdata", "workflows", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(asJSON(t, string(data))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheSchemaHasTheKeysOfTheParser(t *testing.T) {
	var doc struct {
		Properties map[string]json.RawMessage
		Defs       map[string]struct {
			Properties map[string]json.RawMessage
			OneOf      []struct{ Properties map[string]json.RawMessage }
		} `json:"$defs"`
	}
	if err := json.Unmarshal([]byte(Schema()), &doc); err != nil {
		t.Fatal(err)
	}
	properties := func(raw json.RawMessage) map[string]json.RawMessage {
		var o struct{ Properties map[string]json.RawMessage }
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		return o.Properties
	}
	for _, c := range []struct {
		name string
		has  map[string]json.RawMessage
		want []string
	}{
		{"top", doc.Properties, topKeys()},
		{"executor", properties(doc.Properties["executor"]), executorKeys()},
		{"defaults", properties(doc.Properties["defaults"]), defaultKeys()},
		{"step", doc.Defs["step"].Properties, stepKeys()},
		{"tag limit", doc.Defs["tag_limit"].Properties, tagLimitKeys()},
		{"retry", doc.Defs["retry"].OneOf[1].Properties, retryKeys()},
	} {
		var got []string
		for key := range c.has {
			got = append(got, key)
		}
		slices.Sort(got)
		want := slices.Sorted(slices.Values(c.want))
		if !slices.Equal(got, want) {
			t.Errorf("%s: the schema has %v, the parser %v", c.name, got, want)
		}
	}
}
