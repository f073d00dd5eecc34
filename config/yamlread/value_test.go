package yamlread

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-multierror"
)

// read reads the value of v in a one-line document in a way.
func read(text string, how func(v Value) any) (any, string) {
	d := Parse("f", []byte(text))
	top, _ := d.Root().Entries()
	got := how(top.Get("v"))
	return got, heads(d)
}

func TestAScalarIsReadAsWhatItShouldBeOrRefusedWithTheRemedy(t *testing.T) {
	integer := func(v Value) any { n, ok := v.Int(-1, 100); return fmt.Sprint(n, ok) }
	text := func(v Value) any { s, ok := v.Text(); return fmt.Sprintf("%s %t", s, ok) }
	scalar := func(v Value) any { s, ok := v.Scalar(); return fmt.Sprintf("%s %t", s, ok) }
	boolean := func(v Value) any { b, ok := v.Bool(); return fmt.Sprint(b, ok) }
	duration := func(v Value) any { d, ok := v.Duration(0); return fmt.Sprint(d, ok) }
	oneOf := func(v Value) any { s, ok := v.OneOf("op", "run"); return fmt.Sprintf("%s %t", s, ok) }
	for _, c := range []struct {
		text     string
		how      func(Value) any
		want     string
		problems string
	}{
		{"v: 5", integer, "5 true", ""},
		{"v: -1", integer, "-1 true", ""},
		{"v: -2", integer, "0 false", "1:4: v must be from -1 to 100, not -2"},
		{"v: 101", integer, "0 false", "1:4: v must be from -1 to 100, not 101"},
		{"v: '5'", integer, "0 false", `1:4: v must be a whole number, not "5"; take off the quotes`},
		{"v: five", integer, "0 false", `1:4: v must be a whole number, not "five"`},
		{"v: 5.0", integer, "0 false", `1:4: v must be a whole number, not 5.0`},
		{"v: 010", integer, "0 false", `1:4: v must be a whole number in decimal, not 010; YAML reads it as 8`},
		{"v: 1_0", integer, "0 false", `1:4: v must be a whole number in decimal, not 1_0; YAML reads it as 10`},
		{"v: 0x10", integer, "0 false", `1:4: v must be a whole number in decimal, not 0x10; YAML reads it as 16`},
		{"v: 99999999999999999999", integer, "0 false", `1:4: v must be a whole number, not 99999999999999999999`},
		{"v: !!int x", integer, "0 false", `1:4: v must be a whole number in decimal, not x`},
		{"v: [5]", integer, "0 false", `1:4: v must be a whole number, not a list`},
		{"v:", integer, "0 false", ""},
		{"w: 1", integer, "0 false", ""},
		{"v: text", text, "text true", ""},
		{"v: 'x y'", text, "x y true", ""},
		{"v: 2020-01-01", text, "2020-01-01 true", ""},
		{"v: !!str 5", text, "5 true", ""},
		{"v: 5", text, " false", `1:4: v must be text, not 5; put it in quotes: "5"`},
		{"v: true", text, " false", `1:4: v must be text, not true; put it in quotes: "true"`},
		{"v: {a: 1}", text, " false", `1:4: v must be text, not a mapping`},
		{"v: !mine x", text, " false", `1:4: v must be text, not a value tagged !mine`},
		{"v: !!binary aGk=", text, " false", `1:4: v must be text, not a value tagged !!binary`},
		{"v: ''", text, " true", ""},
		{"v: 1.50", scalar, "1.50 true", ""},
		{"v: 010", scalar, "010 true", ""},
		{"v: [a]", scalar, " false", `1:4: v must be text, not a list`},
		{"v: true", boolean, "true true", ""},
		{"v: False", boolean, "false true", ""},
		{"v: yes", boolean, "false false", `1:4: v must be true or false, not "yes"; write true`},
		{"v: off", boolean, "false false", `1:4: v must be true or false, not "off"; write false`},
		{"v: 'true'", boolean, "false false", `1:4: v must be true or false, not "true"`},
		{"v: 1h30m", duration, "1h30m0s true", ""},
		{"v: 0", duration, "0s true", ""},
		{"v: 90", duration, "1m30s true", ""},
		{"v: 1.5", duration, "1.5s true", ""},
		{"v: 2d", duration, "48h0m0s true", ""},
		{"v: soon", duration, "0s false", `1:4: v must be a duration, not "soon"; such as 90s, 15m or 1h30m`},
		{"v: -1s", duration, "0s false", `1:4: v must be a duration, not "-1s"; such as 90s, 15m or 1h30m`},
		{"v: [1s]", duration, "0s false", `1:4: v must be a duration, not a list; such as 90s, 15m or 1h30m`},
		{"v: run", oneOf, "run true", ""},
		{"v: rnu", oneOf, " false", `1:4: v must be op or run, not "rnu"; did you mean "run"?`},
		{"v: 5", oneOf, " false", `1:4: v must be op or run, not 5`},
	} {
		got, problems := read(c.text, c.how)
		if got != c.want || problems != c.problems {
			t.Errorf("%s:\n got %q %s\nwant %q %s", c.text, got, problems, c.want, c.problems)
		}
	}
}

func TestFieldsAreReadInOrderAndUnknownOnesToldWithTheKeyMeant(t *testing.T) {
	for _, c := range []struct{ text, want, problems string }{
		{"limit: 1\nname: x", "limit name", ""},
		{"limt: 1", "limt", `1:1: unknown key "limt"; did you mean "limit"?`},
		{"maxRuns: 1\nzebra: 2", "maxRuns zebra", "1:1: unknown key \"maxRuns\"; did you mean \"max_runs\"?\n2:1: unknown key \"zebra\""},
		{"# nothing", "", ""},
		{"- a", "", "1:1: the file must be a mapping, not a list"},
		{"~: 1", "", "1:1: a key is empty"},
		{"[a]: 1", "", "1:1: a key must be text, not a list"},
		{"{<<: {limit: 1, name: y}, name: x}", "name limit", ""},
		{"{<<: [{limit: 1}, {limit: 2, nam: 3}]}", "limit nam", `1:30: unknown key "nam"; did you mean "name"?`},
		{"{<<: 5}", "", "1:6: << must be a mapping or a list of them, not 5"},
		{"{<<: [5]}", "", "1:7: an item of << must be a mapping, not 5"},
		{`{"<<": 5}`, "<<", `1:2: unknown key "<<"`},
	} {
		d := Parse("f", []byte(c.text))
		fields, _ := d.Root().Fields(nil, "limit", "name", "max_runs")
		var names []string
		for _, e := range fields.All() {
			names = append(names, e.Name)
		}
		if got := strings.Join(names, " "); got != c.want || heads(d) != c.problems {
			t.Errorf("%s:\n got %q %s\nwant %q %s", c.text, got, heads(d), c.want, c.problems)
		}
	}
}

func TestAListIsReadAndSoIsOneValueWhereManyMayStand(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"v: [a, b]", "a b"}, {"v: a", "a"}, {"v:", ""}, {"v: []", ""}, {"v: [a, [b]]", "a "},
	} {
		d := Parse("f", []byte(c.text))
		top, _ := d.Root().Entries()
		items, _ := top.Get("v").OneOrMany()
		var got []string
		for _, item := range items {
			s, _ := item.Text()
			got = append(got, s)
		}
		if joined := strings.Join(got, " "); joined != c.want {
			t.Errorf("%s: got %q, want %q", c.text, joined, c.want)
		}
	}
	d := Parse("f", []byte("v: a"))
	top, _ := d.Root().Entries()
	top.Get("v").List()
	top.Require("w")
	if got, want := heads(d), "1:1: the file has no w; add w: …\n1:4: v must be a list, not \"a\""; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestAProblemShowsItsLineWithACaretBelowTheColumn(t *testing.T) {
	long := "v: [" + strings.Repeat("x, ", 100) + "{a: 1}, " + strings.Repeat("y, ", 100) + "z]"
	for _, c := range []struct{ text, want string }{
		{"v: {a: five}", "f:1:8: a must be a whole number, not \"five\"\n    v: {a: five}\n           ^~~~"},
		{"v: {日本: 1, a: 五}", "f:1:15: a must be a whole number, not \"五\"\n    v: {日本: 1, a: 五}\n                    ^~"},
		{"v: {b: \"x\"\t, a: x}", "f:1:17: a must be a whole number, not \"x\"\n    v: {b: \"x\"\t, a: x}\n              \t     ^"},
		{"v: {a: \"\u202e\"}", "f:1:8: a must be a whole number, not \"\\u202e\"\n    v: {a: \"\ufffd\"}\n           ^~~"},
		{"v: {a: &x five, b: *x}", "f:1:8: a must be a whole number, not \"five\"\n    v: {a: &x five, b: *x}\n           ^"},
	} {
		d := Parse("f", []byte(c.text))
		top, _ := d.Root().Entries()
		inner, _ := top.Get("v").Entries()
		inner.Get("a").Int(0, 9)
		if got := fmt.Sprint(d.Err()); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
	d := Parse("f", []byte(long))
	top, _ := d.Root().Entries()
	items, _ := top.Get("v").List()
	items[100].Int(0, 9)
	shown := strings.Split(d.Err().Error(), "\n")
	under := []rune(shown[1])[strings.IndexByte(shown[2], '^')]
	if under != '{' || len([]rune(shown[1])) > excerptRunes+6 {
		t.Errorf("the caret points at %q in\n%s", under, d.Err())
	}
}

func TestProblemsComeInOrderOnceEachAndNotWithoutEnd(t *testing.T) {
	var b strings.Builder
	for i := range maxProblems + 20 {
		fmt.Fprintf(&b, "k%d: x\n", i)
	}
	d := Parse("f", []byte(b.String()))
	top, _ := d.Root().Entries()
	for range 2 {
		for i := len(top.All()) - 1; i >= 0; i-- {
			top.All()[i].Value.Int(0, 1)
		}
	}
	problems := Problems(fmt.Errorf("reading: %w", d.Err()))
	if len(problems) != maxProblems+1 || problems[0].Line != 21 || problems[maxProblems].Message != "40 more mistakes are not shown" {
		t.Errorf("%d problems, first %s, last %s", len(problems), problems[0].Head(), problems[len(problems)-1].Head())
	}
	var all *multierror.Error
	if !errors.As(d.Err(), &all) {
		t.Errorf("%T is no multierror", d.Err())
	}
	if err := Parse("f", []byte("a: 1")).Err(); err != nil {
		t.Errorf("a good file has the error %v", err)
	}
}

func TestAProblemIsJSON(t *testing.T) {
	d := Parse("f", []byte("limt: 1"))
	d.Root().Fields(nil, "limit")
	d.Root().Warn("careful", "")
	got, err := json.Marshal([]any{Problems(d.Err()), d.Warnings()})
	want := `[[{"file":"f","line":1,"col":1,"length":4,"message":"unknown key \"limt\"","suggestion":"did you mean \"limit\"?","source":"limt: 1"}],` +
		`[{"file":"f","line":1,"col":1,"length":1,"message":"careful","source":"limt: 1","warning":true}]]`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestACloseWordIsSuggestedAndAFarOneIsNot(t *testing.T) {
	known := []string{"max_concurrent_runs", "tag_concurrency_limits", "limit", "key", "dir"}
	for word, want := range map[string]string{
		"max_concurent_runs": "max_concurrent_runs", "maxConcurrentRuns": "max_concurrent_runs",
		"tag-concurrency-limits": "tag_concurrency_limits", "limits": "limit", "kye": "key", "dri": "dir",
		"value": "", "k": "", "": "", strings.Repeat("limit", 1000): "",
	} {
		if got := Closest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestDurationsHaveALowestValue(t *testing.T) {
	got, problems := read("v: 1s", func(v Value) any { d, ok := v.Duration(2 * time.Second); return fmt.Sprint(d, ok) })
	if want := "1:4: v must be at least 2s, not 1s"; got != "0s false" || problems != want {
		t.Errorf("got %v %s\nwant %s", got, problems, want)
	}
}
