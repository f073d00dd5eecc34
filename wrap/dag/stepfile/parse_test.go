package stepfile

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"limit/backend"
	"limit/config/yamlread"
)

func parseText(t testing.TB, text string) *File {
	t.Helper()
	f, _, err := Parse("dir/test.yaml", []byte(text), Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

func TestEveryKeyIsRead(t *testing.T) {
	f := parseText(t, `
name: nightly-etl
tags: {team: data}
priority: 5
params: {day: yesterday, must: null}
env: {TZ: UTC}
secrets: [PGPASSWORD]
dir: work
shell: bash
timeout: 2h
executor:
  max_concurrent: 8
  tag_concurrency_limits:
    - {key: database, value: redshift, limit: 1}
    - {key: customer, value: {applyLimitPerUniqueValue: true}, limit: 2}
    - {key: any, limit: 3}
defaults: {timeout: 30m, retry: 1}
steps:
  migrate:
    run: ./migrate.sh "$PARAM_DAY"
    pool: [database, "api=2"]
    tags: {database: redshift}
  extract:
    needs: migrate
    matrix: {customer: [acme, globex]}
    run: ./extract "$MATRIX_CUSTOMER"
    tags: {customer: "${{ matrix.customer }}"}
    env: {DAY: "${{ params.day }}!"}
    dir: "${{matrix.customer}}"
    retry: {max: 3, delay: 10s, backoff: exponential, max_delay: 5m, exit_codes: [75]}
  train:
    needs: [extract, "extract[acme]"]
    if: test "$(date +%u)" = 1
    run: make -j4 model
    slots: 4
  lint: ./lint.sh
  publish: {needs: [train, lint], run: ./publish, continue_on_error: [3], timeout: 0, grace: 3s, priority: -2, console: true, shell: python3 -c}
  notify: {needs: publish, when: on_failure, run: ./notify}
`)
	if f.Name != "nightly-etl" || f.Tags["team"] != "data" || f.Priority != 5 || f.Timeout != 2*time.Hour || f.Executor.MaxConcurrent != 8 {
		t.Errorf("head: %+v", f)
	}
	red := "redshift"
	want := []backend.TagLimit{{Key: "database", Value: &red, Limit: 1}, {Key: "customer", PerValue: true, Limit: 2}, {Key: "any", Limit: 3}}
	if !reflect.DeepEqual(f.Executor.TagLimits, want) {
		t.Errorf("tag limits: %+v", f.Executor.TagLimits)
	}
	if !slices.Equal(f.Missing(), []string{"must"}) || !slices.Equal(f.Secrets, []Secret{{Name: "PGPASSWORD"}}) {
		t.Errorf("missing %v, secrets %v", f.Missing(), f.Secrets)
	}
	ids := []string{}
	for _, s := range f.Steps {
		ids = append(ids, s.ID)
	}
	if !slices.Equal(ids, []string{"migrate", "extract[acme]", "extract[globex]", "train", "lint", "publish", "notify"}) {
		t.Fatal(ids)
	}
	base, _ := filepath.Abs("dir/work")
	migrate, acme, train, publish := f.Steps[0], f.Steps[1], f.Steps[3], f.Steps[5]
	if !reflect.DeepEqual(migrate.Pools, map[string]int{"database": 1, "api": 2}) || migrate.Timeout != 30*time.Minute || migrate.Retry.Max != 1 ||
		!slices.Equal(migrate.Shell, []string{"bash", "-e", "-o", "pipefail", "-c"}) || migrate.Dir != base || migrate.Grace != defaultGrace {
		t.Errorf("migrate: %+v", migrate)
	}
	if acme.Tags["customer"] != "acme" || acme.Env[0] != (Var{"DAY", "yesterday!"}) || acme.Dir != filepath.Join(base, "acme") ||
		!reflect.DeepEqual(acme.Retry, Retry{3, 10 * time.Second, 5 * time.Minute, Exponential, []int{75}}) {
		t.Errorf("extract[acme]: %+v", acme)
	}
	if !slices.Equal(train.Needs, []int{1, 2}) || train.Slots != 4 || train.If == "" {
		t.Errorf("train: %+v", train)
	}
	if publish.Timeout != 0 || publish.Grace != 3*time.Second || publish.Priority != -2 || !publish.Console || !publish.ContinueOnError.Allows(3) ||
		publish.ContinueOnError.Allows(4) || !slices.Equal(publish.Shell, []string{"python3", "-c"}) {
		t.Errorf("publish: %+v", publish)
	}
	if f.Steps[6].When != OnFailure {
		t.Error("notify is not for failures")
	}
}

func TestMatricesExpandAsInGitHubActions(t *testing.T) {
	for name, c := range map[string]struct{ matrix, want string }{
		"product":                     {`{a: [1, 2], b: [x, y]}`, "s[1,x] s[1,y] s[2,x] s[2,y]"},
		"exclude":                     {`{a: [1, 2], b: [x, y], exclude: [{a: 1, b: y}, {b: x}]}`, "s[2,y]"},
		"include adds to all":         {`{a: [1, 2], include: [{c: 3}]}`, "s[1,3] s[2,3]"},
		"include adds where it fits":  {`{a: [1, 2], include: [{a: 2, c: 3}]}`, "s[1] s[2,3]"},
		"include makes its own":       {`{a: [1, 2], include: [{a: 3, c: 4}]}`, "s[1] s[2] s[3,4]"},
		"include overwrites includes": {`{a: [1], include: [{c: 3}, {c: 4}]}`, "s[1,4]"},
		"include alone":               {`{include: [{a: 1, b: 2}, {a: 3, b: 4}]}`, "s[1,2] s[3,4]"},
	} {
		t.Run(name, func(t *testing.T) {
			f := parseText(t, "steps: {s: {run: x, matrix: "+c.matrix+"}}")
			var ids []string
			for _, s := range f.Steps {
				ids = append(ids, s.ID)
			}
			if got := strings.Join(ids, " "); got != c.want {
				t.Errorf("%s: %s, not %s", c.matrix, got, c.want)
			}
		})
	}
}

func TestMistakesAreToldWithTheirPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string // LINE:COL: beginning of the message
	}{
		"unknown key":        {"stpes: {a: x}", []string{`1:1: unknown key "stpes"; did you mean "steps"?`, "1:1: the file has no steps"}},
		"unknown step key":   {"steps:\n  a: {rum: x}", []string{`2:6: a has no run`, `2:7: unknown key "rum"; did you mean "run"?`}},
		"unknown need":       {"steps:\n  alpha: x\n  b: {run: x, needs: alhpa}", []string{`3:22: there is no step "alhpa"; did you mean "alpha"?`}},
		"needs itself":       {"steps: {a: {run: x, needs: a}}", []string{"1:28: step a needs itself"}},
		"circle":             {"steps:\n  a: {run: x, needs: c}\n  b: {run: x, needs: a}\n  c: {run: x, needs: b}\n  d: {run: x, needs: c}", []string{"2:22: the steps need each other in a circle: a needs c needs b needs a"}},
		"two circles":        {"steps:\n  a: {run: x, needs: b}\n  b: {run: x, needs: a}\n  c: {run: x, needs: d}\n  d: {run: x, needs: c}", []string{"2:22: the steps need", "4:22: the steps need"}},
		"wrong types":        {"steps:\n  a: {run: x, timeout: soon, slots: no, retry: [1]}", []string{"2:24: timeout must be a duration, not \"soon\"", "2:37: slots must be a whole number", "2:48: retry must be a whole number"}},
		"duplicate step":     {"steps:\n  a: x\n  a: y", []string{`3:3: duplicate key "a"`}},
		"duplicate limit":    {"executor:\n  tag_concurrency_limits:\n    - {key: k, limit: 1}\n    - {key: k, limit: 2}\nsteps: {a: x}", []string{"4:7: this tag has a limit already, on line 3"}},
		"expression in run":  {"steps:\n  a: {run: 'echo ${{ matrix.x }}'}", []string{"2:12: ${{ }} is not replaced in commands"}},
		"unknown expression": {"steps:\n  a: {run: x, tags: {k: '${{ matrix.y }}'}}", []string{`2:25: the step's matrix has no key "y"`}},
		"too many slots":     {"executor: {max_concurrent: 2}\nsteps: {a: {run: x, slots: 3}}", []string{"2:28: slots is 3, and max_concurrent only 2"}},
		"zero slots of pool": {"steps: {a: {run: x, pool: db=0}}", []string{`1:27: pool "db=0": the slots must be a number of at least 1, or all; give NAME=SLOTS`}},
		"pool with a sign":   {"steps: {a: {run: x, pool: a=b=2}}", []string{`1:27: pool "a=b=2": the name has "," or "=" in it`}},
		"pool with a blank":  {"steps: {a: {run: x, pool: [b, ' a']}}", []string{`1:31: pool " a": the name begins or ends with a blank`}},
		"pool in two lists":  {"steps: {a: {run: x, pool: ['a,b=2', b]}}", []string{"1:37: pool \"b\" is named twice"}},
		"pools of one name":  {"steps: {a: {run: x, pool: 'a-b,a.b'}}", []string{`1:27: pools "a-b" and "a.b" would both have their slots in LIMIT_SLOT_A_B`}},
		"pool twice":         {"steps: {a: {run: x, pool: [db, db]}}", []string{"1:32: pool \"db\" is named twice"}},
		"on_failure alone":   {"steps: {a: {run: x, when: on_failure}}", []string{"1:27: on_failure looks at the step's needs"}},
		"reserved variable":  {"env: {LIMIT_X: 1}\nsteps: {a: x}", []string{"1:7: LIMIT_X is for limit itself"}},
		"same output names":  {"steps:\n  a-b: x\n  a_b: x\n  c: {run: x, needs: [a-b, a_b]}", []string{"4:22: needs a-b and a_b, whose outputs"}},
		"same combinations":  {"steps:\n  a: {run: x, matrix: {k: ['1', 1]}}", []string{"2:3: two combinations of the matrix are called a[1]"}},
		"empty":              {"", []string{"1:1: the file is empty"}},
		"no steps":           {"steps: {}", []string{"1:8: steps has no steps"}},
		"step without run":   {"steps:\n  a:\n  b: {needs: a}", []string{"2:3: step a has no command", "3:6: b has no run"}},
		"name of step":       {"steps: {'a b': x, '+c': x, -d: x}", []string{`1:9: "a b" cannot be the name`, `1:19: "+c" cannot`, `1:28: "-d" cannot`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Parse("f.yaml", []byte(c.text), Options{})
			var got []string
			for _, p := range yamlread.Problems(err) {
				got = append(got, strings.TrimPrefix(p.Head(), "f.yaml:"))
				if !strings.Contains(p.Error(), "^") && p.Source != "" {
					t.Errorf("no caret:\n%s", p.Error())
				}
			}
			if len(got) != len(c.want) {
				t.Fatalf("%s\ngot  %q\nwant %q", c.text, got, c.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("%s\ngot  %q\nwant %q", c.text, got[i], c.want[i])
				}
			}
		})
	}
}

func TestALimitOfZeroIsWarnedOf(t *testing.T) {
	_, warnings, err := Parse("f.yaml", []byte("executor: {tag_concurrency_limits: [{key: k, limit: 0}]}\nsteps: {a: {run: x, tags: {k: v}}}"), Options{})
	if err != nil || len(warnings) != 1 {
		t.Errorf("%v %v", err, warnings)
	}
}

func TestParametersTakeGivenValues(t *testing.T) {
	text := []byte("params: {day: null, n: 1}\nsteps: {a: {run: x, env: {D: '${{ params.day }}', N: '${{params.n}}'}}}")
	f, _, err := Parse("f.yaml", text, Options{Params: map[string]string{"day": "today"}})
	if err != nil || len(f.Missing()) != 0 || f.Steps[0].Env[0].Value != "today" || f.Steps[0].Env[1].Value != "1" {
		t.Errorf("%v %+v", err, f)
	}
	if _, _, err := Parse("f.yaml", text, Options{Params: map[string]string{"dya": "x"}}); err == nil || !strings.Contains(err.Error(), `did you mean "day"?`) {
		t.Error(err)
	}
}

func TestSelectionsAreDagsters(t *testing.T) {
	f := parseText(t, `
steps:
  a: {run: x, tags: {team: data}}
  b: {run: x, needs: a}
  c: {run: x, needs: b, tags: {team: ops}}
  d: {run: x, needs: c}
  m: {run: x, matrix: {k: [1, 2]}, needs: a}
`)
	for selection, want := range map[string]string{
		"c":            "c",
		"+c":           "a b c",
		"1+c":          "b c",
		"2+d":          "b c d",
		"b+":           "b c d",
		"b+1":          "b c",
		"+b+":          "a b c d",
		"a,d":          "a d",
		"tag:team":     "a c",
		"tag:team=ops": "c",
		"m":            "m[1] m[2]",
		"m[2]":         "m[2]",
		"+m[2]":        "a m[2]",
		"*":            "a b c d m[1] m[2]",
	} {
		chosen, err := f.Select([]string{selection}, nil)
		if err != nil {
			t.Errorf("%s: %v", selection, err)
			continue
		}
		var got []string
		for i, yes := range chosen {
			if yes {
				got = append(got, f.Steps[i].ID)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s selects %v, not %s", selection, got, want)
		}
	}
	chosen, err := f.Select(nil, []string{"b+"})
	if err != nil || !slices.Equal(chosen, []bool{true, false, false, false, true, true}) {
		t.Errorf("exclude: %v %v", chosen, err)
	}
	if _, err := f.Select([]string{"mm"}, nil); err == nil {
		t.Error("a selection of nothing was accepted")
	}
}

func TestDelaysGrowAsTheBackoffSays(t *testing.T) {
	for _, c := range []struct {
		retry Retry
		want  []time.Duration
	}{
		{Retry{Delay: time.Second}, []time.Duration{1, 1, 1}},
		{Retry{Delay: time.Second, Backoff: Linear}, []time.Duration{1, 2, 3}},
		{Retry{Delay: time.Second, Backoff: Exponential}, []time.Duration{1, 2, 4}},
		{Retry{Delay: time.Second, Backoff: Exponential, MaxDelay: 3 * time.Second}, []time.Duration{1, 2, 3}},
	} {
		for i, want := range c.want {
			if got := c.retry.After(i + 1); got != want*time.Second {
				t.Errorf("%+v after attempt %d: %s", c.retry, i+1, got)
			}
		}
	}
	if d := (Retry{Delay: time.Hour, Backoff: Exponential}).After(1 << 30); d > maxDelay || d <= 0 {
		t.Error("without bound:", d)
	}
}

func TestVariableNames(t *testing.T) {
	for id, want := range map[string]string{"extract[acme]": "EXTRACT_ACME", "a-b.c": "A_B_C", "ä": "", "x": "X"} {
		if got := VariableName(id); got != want {
			t.Errorf("%s is %s, not %s", id, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"blast.yaml"} {
		if data, err := os.ReadFile(filepath.Join("..", "testdata", "workflows", name)); err == nil {
			f.Add(data[:2000])
		}
	}
	f.Add([]byte("params: {a: null}\nsteps: {a: {run: x, needs: [b], matrix: {k: [1]}, pool: 'x=${{ matrix.k }}'}, b: y}"))
	f.Add([]byte("defaults: {retry: {max: 1}}\nsteps: &s {a: {<<: *s, run: x}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, warnings, err := Parse("f.yaml", data, Options{})
		lines := 1
		for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			lines += strings.Count(string(data), end)
		}
		for _, p := range append(yamlread.Problems(err), warnings...) {
			if p.Line < 1 || p.Line > lines || p.Col < 1 {
				t.Errorf("problem outside of the file: %s", p.Head())
			}
		}
		if err != nil {
			return
		}
		if len(file.Steps) == 0 {
			t.Error("a valid file without steps")
		}
		for i, s := range file.Steps {
			if s.Index != i || strings.TrimSpace(s.Run) == "" {
				t.Errorf("step %d: %+v", i, s)
			}
		}
		if _, err := file.Select([]string{"*"}, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestATagLimitThatHoldsForNothingIsWarnedOf(t *testing.T) {
	for limit, want := range map[string]string{
		"{key: databse, limit: 1}":                                          "no step has the tag databse: this limit holds for nothing; did you mean \"database\"?",
		"{key: zzz, limit: 1}":                                              "no step has the tag zzz: this limit holds for nothing",
		"{key: database, value: redshft, limit: 1}":                         "no step has the tag database=redshft: this limit holds for nothing; did you mean \"redshift\"?",
		"{key: databse, value: {applyLimitPerUniqueValue: true}, limit: 1}": "no step has the tag databse: this limit holds for nothing; did you mean \"database\"?",
		"{key: database, value: redshift, limit: 1}":                        "",
		"{key: database, limit: 1}":                                         "",
		"{key: team, limit: 1}":                                             "the tag teem of step c has no limit; did you mean \"team\"?",
	} {
		text := "executor: {tag_concurrency_limits: [" + limit + "]}\nsteps:\n  a: {run: x, tags: {database: redshift}}\n  b: {run: x, tags: {team: x}}\n  c: {run: x, tags: {teem: x}}\n"
		_, warnings, err := Parse("test.yaml", []byte(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, w := range warnings {
			got += w.Message
			if w.Suggestion != "" {
				got += "; " + w.Suggestion
			}
		}
		if got != want {
			t.Errorf("%s: %q, not %q", limit, got, want)
		}
	}
}

func TestAMatrixNeedsTheCombinationThatGoesWithIt(t *testing.T) {
	f, _, err := Parse("test.yaml", []byte(`
params: {which: b}
steps:
  extract: {run: x, matrix: {c: [a, b]}}
  load: {run: x, matrix: {c: [a, b], n: [1, 2]}, needs: ["extract[${{ matrix.c }}]", lint]}
  chain: {run: x, matrix: {c: [b, a]}, needs: "extract[${{ params.which }}]"}
  lint: x
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"load[a,1]": "extract[a] lint", "load[a,2]": "extract[a] lint", "load[b,2]": "extract[b] lint", "chain[a]": "extract[b]"} {
		s := f.Steps[f.byID[id]]
		var needs []string
		for _, n := range s.Needs {
			needs = append(needs, f.Steps[n].ID)
		}
		if got := strings.Join(needs, " "); got != want {
			t.Errorf("%s needs %s, not %s", id, got, want)
		}
	}
	for text, want := range map[string]string{
		"steps: {e: {run: x, matrix: {c: [a]}}, l: {run: x, matrix: {c: [b]}, needs: 'e[${{ matrix.c }}]'}}":                                       `there is no step "e[b]"`,
		"steps: {e: {run: x, matrix: {c: [a]}}, l: {run: x, matrix: {c: [b]}, needs: 'e[${{ matrix.d }}]'}}":                                       `no key "d"`,
		"steps: {e: {run: x, matrix: {c: [a]}}, l: {run: x, needs: 'e[${{ matrix.c }}]'}}":                                                         `no key "c"`,
		"steps: {e: {run: x, matrix: {c: [a]}, needs: 'e[${{ matrix.c }}]'}}":                                                                      "needs itself",
		"steps: {e: {run: x, matrix: {c: [a, b], d: [b, a], exclude: [{c: a, d: a}, {c: b, d: b}]}, needs: 'e[${{ matrix.d }},${{ matrix.c }}]'}}": "in a circle",
	} {
		if _, _, err := Parse("test.yaml", []byte(text), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, not %s", text, err, want)
		}
	}
}

func TestAParameterTakesItsChoicesAlone(t *testing.T) {
	const text = "params: {env: {default: dev, choices: [dev, prod], description: where}}\nsteps: {a: x}"
	f, _, err := Parse("test.yaml", []byte(text), Options{Params: map[string]string{"env": "prod"}})
	if err != nil || *f.Params[0].Value != "prod" || f.Params[0].Description != "where" {
		t.Errorf("%+v %v", f, err)
	}
	if _, _, err := Parse("test.yaml", []byte(text), Options{Params: map[string]string{"env": "prd"}}); err == nil || !strings.Contains(err.Error(), "dev, prod") {
		t.Errorf("%v", err)
	}
	if _, _, err := Parse("test.yaml", []byte("params: {env: {default: x, choices: [y]}}\nsteps: {a: x}"), Options{}); err == nil {
		t.Error("a default that is no choice is taken")
	}
}

func TestStarsSelectByName(t *testing.T) {
	f, _, err := Parse("test.yaml", []byte("steps: {build-a: x, build-b: {run: x, needs: build-a}, test: x, m: {run: x, matrix: {k: [a, b], j: [1]}}}"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for selection, want := range map[string]string{
		"build-*": "build-a build-b", "*": "build-a build-b test m[a,1] m[b,1]", "m[*,1]": "m[a,1] m[b,1]", "m*": "m[a,1] m[b,1]", "*-b": "build-b",
		"+*-b": "build-a build-b", "b*-a+,t*t": "build-a build-b test", "t*x*": "",
	} {
		chosen, err := f.Select([]string{selection}, nil)
		var got []string
		for i, s := range f.Steps {
			if err == nil && chosen[i] {
				got = append(got, s.ID)
			}
		}
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%s: %v %v, not %s", selection, got, err, want)
		}
	}
}

func TestFilesGiveVariablesAndSecrets(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one", "# comment\n\nA=1\nexport B = \"two words\\n\" # more\nC='$A #'\r\nD=x # y\nE=\n")
	write("two", "A=2\n")
	write("secret", "line 1\nline 2\n")
	f, _, err := Parse(filepath.Join(dir, "f.yaml"), []byte("env_file: [one, two]\nsecrets: {S: {file: secret}, T: null}\nsteps: {a: x}"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	vars, err := f.Variables()
	want := []Var{{"A", "1"}, {"B", "two words\n"}, {"C", "$A #"}, {"D", "x"}, {"E", ""}, {"A", "2"}, {"S", "line 1\nline 2"}}
	if err != nil || !slices.Equal(vars, want) {
		t.Errorf("%q %v", vars, err)
	}
	for text, want := range map[string]string{"x": "one:1: not NAME=VALUE", "\nA='x": "one:2: the quote", "LIMIT_X=1": "for limit itself", "1=2": "not NAME"} {
		write("one", text)
		if _, err := f.Variables(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %s", text, err, want)
		}
	}
	os.Remove(filepath.Join(dir, "one"))
	if _, err := f.Variables(); err == nil || !strings.Contains(err.Error(), "env_file") {
		t.Errorf("a missing file: %v", err)
	}
}
