package config

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"limit/config/grammar"
	"limit/config/yamlread"
)

func FuzzMistakesHaveTheirPlace(f *testing.F) {
	for _, seed := range []string{whole, "", "backend: {local: {dir: x}}", "run_queue: {}", "pools: 1", "a: &a {limit: 1}\nconcurrency: {pools: {limits: {<<: {x: *a}}}}",
		"concurrency: {pools: {limits: {\"\\u2028\": 1}}, runs: {tag_concurrency_limits: [{key: a, value: {applyLimitPerUniqueValue: true}, limit: 0}]}}",
		"storage: {}\ntelemetry: ~\nconcurrency: {reserve_after: 1h0m0.5s}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := parse("f", "/dir", []byte(text))
		if err != nil {
			lines := linesOf(text)
			for _, p := range yamlread.Problems(err) {
				if p.Line < 1 || p.Line > len(lines) || p.Col < 1 || p.Col > utf8.RuneCountInString(lines[p.Line-1])+1 {
					t.Errorf("%q: no place in the text: %#v", text, p)
				}
			}
			if len(yamlread.Problems(err)) == 0 {
				t.Errorf("%q: an error without problems: %v", text, err)
			}
			return
		}
	})
}

// linesOf cuts a text where YAML does.
func linesOf(text string) []string {
	breaks := strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")
	return strings.Split(breaks.Replace(strings.TrimPrefix(text, "\ufeff")), "\n")
}

func FuzzTheSyntaxesOfFlagsReadBack(f *testing.F) {
	for _, seed := range []string{"db=2", "a=b=1", "k", "k=v=w", "local:/x", "etcd://h1:2379,https://[::1]", "http://h/", "local:~", "=", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if name, slots, err := grammar.Pool(text); err == nil {
			if name == "" || slots < 1 || !utf8.ValidString(name) {
				t.Errorf("pool %q: %q %d", text, name, slots)
			}
		}
		if key, value, err := grammar.Tag(text); err == nil {
			if key == "" || strings.Contains(key, "=") || strings.TrimSuffix(key+"="+value, "=") != strings.TrimSuffix(text, "=") {
				t.Errorf("tag %q: %q %q", text, key, value)
			}
		}
		chosen, err := ParseBackend(text)
		if err != nil {
			return
		}
		resolved, err := Backend{}.replacedBy(chosen)
		if err != nil {
			return
		}
		again, err := ParseBackend(resolved.String())
		if err == nil {
			again, err = Backend{}.replacedBy(again)
		}
		if err != nil || !reflect.DeepEqual(again, resolved) {
			t.Errorf("backend %q: %+v is written %s and reads back as %+v, %v", text, resolved, resolved, again, err)
		}
	})
}
