package stepfile

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"limit/backend"
	"limit/config/grammar"
	"limit/config/yamlread"
)

// defaultGrace is the time between TERM and KILL where a step does not say.
const defaultGrace = 10 * time.Second

// defaultKeys are those of a step that can have defaults.
func defaultKeys() []string {
	return []string{"pool", "tags", "env", "dir", "shell", "timeout", "grace", "retry", "priority", "continue_on_error",
		"slots"}
}

func stepKeys() []string {
	return append(defaultKeys(), "run", "needs", "matrix", "if", "when", "console", "description")
}

func retryKeys() []string { return []string{"max", "delay", "backoff", "max_delay", "exit_codes"} }

// template is a step as it stands in the file, before its expressions are replaced.
type template struct {
	fields yamlread.Fields

	run, condition string
	description    string
	when           When
	shell          []string
	slots          int
	priority       int32
	timeout, grace time.Duration
	retry          Retry
	tolerance      Tolerance
	console        bool
}

// source is a step of the file with the steps it became.
type source struct {
	name      string
	key       yamlread.Value
	needs     yamlread.Value
	instances []*Step
}

func (p *parser) steps() {
	v := p.top.Require("steps")
	entries, ok := v.Entries()
	if ok && v.Kind() == yamlread.Mapping && len(entries.All()) == 0 {
		v.Reject("steps has no steps", "")
	}
	for _, e := range entries.All() {
		p.step(e)
	}
}

func (p *parser) step(e yamlread.Entry) {
	if fault := faultOfName(e.Name); fault != "" {
		e.Key.Reject(fmt.Sprintf("%q cannot be the name of a step: %s", e.Name, fault), "")
	}
	src := &source{name: e.Name, key: e.Key}
	p.read = append(p.read, src)
	t := p.defaults
	t.shell = p.shell
	if t.fields.Get("shell").Given() {
		t.shell = p.shellOf(t.fields.Get("shell"), p.shell)
	}
	if e.Value.Kind() != yamlread.Mapping {
		if e.Value.Kind() == yamlread.Null {
			e.Key.Reject(fmt.Sprintf("step %s has no command", e.Name), "give it run: …")
		}
		t.run = p.script(e.Value)
		src.instances = append(src.instances, p.instance(e.Name, e.Name, &t, yamlread.Fields{}, nil))
		return
	}
	fields, _ := e.Value.Fields(nil, stepKeys()...)
	t.run = p.script(fields.Require("run"))
	p.own(&t, fields)
	src.needs = fields.Get("needs")
	if !fields.Get("matrix").Given() {
		src.instances = append(src.instances, p.instance(e.Name, e.Name, &t, fields, nil))
		return
	}
	combinations := p.matrix(fields.Get("matrix"))
	for _, c := range combinations {
		src.instances = append(src.instances, p.instance(instanceID(e.Name, c), e.Name, &t, fields, c))
	}
}

// faultOfName says why a selection could not name such a step; "" where it could.
func faultOfName(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case strings.HasPrefix(name, "-"):
		return "it begins with -"
	case strings.HasPrefix(name, "tag:"):
		return "it begins with tag:"
	case strings.ContainsAny(name, "+,[]* \t"):
		return "it has one of + , [ ] * or a space"
	case grammar.NameFault(name) != "":
		return "it " + grammar.NameFault(name)
	case len(name) > 200:
		return "it is longer than 200 bytes"
	}
	return ""
}

// own reads what has no expressions in it.
func (p *parser) own(t *template, fields yamlread.Fields) {
	d := t.fields
	t.fields = fields
	p.common(t)
	t.fields = d
	if fields.Get("if").Given() {
		t.condition = p.script(fields.Get("if"))
	}
	if word, ok := fields.Get("when").OneOf("on_success", "on_failure", "always"); ok {
		t.when = map[string]When{"on_success": OnSuccess, "on_failure": OnFailure, "always": Always}[word]
		if items, _ := fields.Get("needs").OneOrMany(); t.when == OnFailure && len(items) == 0 {
			fields.Get("when").Reject("on_failure looks at the step's needs, and it has none", "add needs: …")
		}
	}
	if fields.Get("shell").Given() {
		t.shell = p.shellOf(fields.Get("shell"), t.shell)
	}
	t.console, _ = fields.Get("console").Bool()
	t.description = p.description(fields.Get("description"))
}

// common reads what steps and defaults share, over what is there already.
func (p *parser) common(t *template) {
	f := t.fields
	if d, ok := f.Get("timeout").Duration(0); ok {
		t.timeout = d
	}
	if d, ok := f.Get("grace").Duration(0); ok {
		t.grace = d
	}
	if n, ok := f.Get("priority").Int(math.MinInt32, math.MaxInt32); ok {
		t.priority = int32(n)
	}
	if n, ok := f.Get("slots").Int(1, math.MaxInt32); ok {
		t.slots = n
		if limit := p.file.Executor.MaxConcurrent; limit > 0 && n > limit {
			f.Get("slots").Reject(fmt.Sprintf("slots is %d, and max_concurrent only %d: the step could never start", n,
				limit), "")
		}
	}
	p.retry(t, f.Get("retry"))
	p.tolerance(t, f.Get("continue_on_error"))
}

func (p *parser) retry(t *template, v yamlread.Value) {
	if v.Kind() != yamlread.Mapping {
		if n, ok := v.Int(0, math.MaxInt32); ok {
			t.retry = Retry{Max: n}
		}
		return
	}
	f, ok := v.Fields(nil, retryKeys()...)
	if !ok {
		return
	}
	r := Retry{Max: 1}
	if n, ok := f.Get("max").Int(0, math.MaxInt32); ok {
		r.Max = n
	}
	r.Delay, _ = f.Get("delay").Duration(0)
	r.MaxDelay, _ = f.Get("max_delay").Duration(0)
	if word, ok := f.Get("backoff").OneOf("constant", "linear", "exponential"); ok {
		r.Backoff = map[string]Backoff{"constant": Constant, "linear": Linear, "exponential": Exponential}[word]
	}
	if f.Get("exit_codes").Given() {
		r.ExitCodes = p.codes(f.Get("exit_codes"))
	}
	t.retry = r
}

func (p *parser) tolerance(t *template, v yamlread.Value) {
	switch v.Kind() {
	case yamlread.Absent, yamlread.Null:
	case yamlread.Int, yamlread.Sequence:
		t.tolerance = Tolerance{Codes: p.codes(v)}
	default:
		all, _ := v.Bool()
		t.tolerance = Tolerance{All: all}
	}
}

// codes reads exit codes of failures.
func (p *parser) codes(v yamlread.Value) []int {
	codes := []int{}
	items, _ := v.OneOrMany()
	for _, item := range items {
		if n, ok := item.Int(1, 255); ok {
			codes = append(codes, n)
		}
	}
	return codes
}

// instance makes the step, or one combination of its matrix.
func (p *parser) instance(id, base string, t *template, fields yamlread.Fields, combination []Var) *Step {
	sc := scope{matrix: combination, params: p.file.Params}
	d := p.defaults.fields
	s := &Step{
		Index: len(p.file.Steps), ID: id, Base: base, Matrix: combination,
		Run: t.run, If: t.condition, When: t.when, Slots: t.slots, Priority: t.priority,
		Shell: t.shell, Timeout: t.timeout, Grace: t.grace, Retry: t.retry,
		ContinueOnError: t.tolerance, Console: t.console, Description: t.description,
	}
	s.Env = append(p.environment(d.Get("env"), sc), p.environment(fields.Get("env"), sc)...)
	s.Dir = p.directory(either(fields.Get("dir"), d.Get("dir")), sc, p.dir)
	s.Pools = p.pools(either(fields.Get("pool"), d.Get("pool")), sc)
	s.Tags, _ = p.tags(d.Get("tags"), sc)
	if own, _ := p.tags(fields.Get("tags"), sc); own != nil {
		if s.Tags == nil {
			s.Tags = own
		} else {
			maps.Copy(s.Tags, own)
		}
	}
	p.file.Steps = append(p.file.Steps, s)
	return s
}

func either(first, second yamlread.Value) yamlread.Value {
	if first.Kind() != yamlread.Absent {
		return first
	}
	return second
}

// pools reads NAME, NAME=SLOTS or a list of them, which may stand in one text as well: database=1,api=2.
func (p *parser) pools(v yamlread.Value, sc scope) map[string]int {
	items, _ := v.OneOrMany()
	if len(items) == 0 {
		return nil
	}
	pools := make(map[string]int, len(items))
	for _, item := range items {
		text, ok := item.Scalar()
		if !ok {
			continue
		}
		for _, text := range strings.Split(p.expand(item, text, sc), ",") {
			name, slots, err := grammar.Pool(text)
			if err == nil {
				err = grammar.AddPool(pools, name, slots)
			}
			if err != nil {
				fact, remedy, _ := strings.Cut(err.Error(), "; ")
				item.Reject(fact, remedy)
			}
		}
	}
	if err := backend.CheckPools(pools); err != nil {
		fact, remedy, _ := strings.Cut(err.Error(), "; ")
		v.Reject(fact, remedy)
	}
	return pools
}

// matrix reads a matrix; on a mistake there are no combinations.
func (p *parser) matrix(v yamlread.Value) [][]Var {
	fields, ok := v.Entries()
	if !ok {
		return nil
	}
	var m matrix
	for _, e := range fields.All() {
		switch e.Name {
		case "include":
			m.include = p.combinationList(e.Value)
		case "exclude":
			m.exclude = p.combinationList(e.Value)
		default:
			m.keys = append(m.keys, e.Name)
			m.values = append(m.values, p.matrixValues(e))
		}
	}
	combinations, err := m.combinations()
	switch {
	case err != nil:
		v.Reject(err.Error(), "")
	case len(combinations) == 0:
		v.Reject("the matrix has no combination", "")
	}
	return combinations
}

func (p *parser) matrixValues(e yamlread.Entry) []string {
	if !matrixKey(e.Name) {
		e.Key.Reject(fmt.Sprintf("%q cannot be a key of a matrix", e.Name), "use letters, digits, - and _")
	}
	items, ok := e.Value.List()
	if ok && len(items) == 0 || e.Value.Kind() == yamlread.Null {
		e.Key.Reject(fmt.Sprintf("matrix key %s has no values", e.Name), "")
	}
	values := make([]string, 0, len(items))
	for _, item := range items {
		values = append(values, p.matrixValue(item))
	}
	return values
}

func (p *parser) matrixValue(v yamlread.Value) string {
	s, ok := v.Scalar()
	if ok && (s == "" || grammar.HasControl(s)) {
		v.Reject("a value of a matrix must be one line of text", "")
	}
	return s
}

func matrixKey(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

func (p *parser) combinationList(v yamlread.Value) [][]Var {
	items, _ := v.List()
	var out [][]Var
	for _, item := range items {
		fields, _ := item.Entries()
		var c []Var
		for _, e := range fields.All() {
			if !matrixKey(e.Name) {
				e.Key.Reject(fmt.Sprintf("%q cannot be a key of a matrix", e.Name), "use letters, digits, - and _")
			}
			c = append(c, Var{e.Name, p.matrixValue(e.Value)})
		}
		out = append(out, c)
	}
	return out
}
