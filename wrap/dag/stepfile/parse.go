package stepfile

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"limit/backend"
	"limit/config/grammar"
	"limit/config/yamlread"
)

// Options modify Parse.
type Options struct {
	Params map[string]string // in place of the file's values
	Masked bool              // secrets in Params are masked: they need not be among the choices
}

// Read reads and parses a step file.
func Read(path string, o Options) (*File, []*yamlread.Problem, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the step file: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, yamlread.MaxSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the step file: %w", err)
	}
	return Parse(path, data, o)
}

// Parse parses the text of a step file. path is what problems call it, and what its directories are relative to. The
// error has all problems of the file (yamlread.Problems); warnings come beside a valid file too.
func Parse(path string, data []byte, o Options) (f *File, warnings []*yamlread.Problem, err error) {
	doc := yamlread.Parse(path, data)
	p := &parser{doc: doc, file: &File{Path: path, Source: data}}
	if !p.parse(o) {
		return nil, doc.Warnings(), doc.Err()
	}
	if err := p.unknownParams(o); err != nil {
		return nil, doc.Warnings(), err
	}
	return p.file, doc.Warnings(), nil
}

// The keys of a step file. The schema has the same; a test holds them against each other.
func topKeys() []string {
	return []string{"name", "tags", "priority", "params", "env", "secrets", "description", "env_file", "dir", "shell",
		"timeout", "executor", "defaults", "steps", "on_failure", "on_exit"}
}

// extension reports whether a top-level key is the file's own, for anchors: x-… is not looked at.
func extension(e yamlread.Entry) bool { return strings.HasPrefix(e.Name, "x-") }

func paramKeys() []string { return []string{"default", "description", "choices"} }

func executorKeys() []string { return []string{"max_concurrent", "tag_concurrency_limits"} }

func tagLimitKeys() []string { return []string{"key", "value", "limit"} }

// parser is one reading of a file.
type parser struct {
	doc      *yamlread.Document
	file     *File
	top      yamlread.Fields
	dir      string // absolute: what the steps' directories are relative to
	shell    []string
	defaults template
	scope    scope
	limitsAt []yamlread.Value // where the executor's tag limits stand
	read     []*source
}

// parse reads the whole document and reports whether it is valid.
func (p *parser) parse(o Options) bool {
	root := p.doc.Root()
	if root.Kind() == yamlread.Null {
		root.Reject("the file is empty", "give it steps:")
	}
	top, ok := root.Fields(extension, topKeys()...)
	if !ok || root.Kind() == yamlread.Null {
		return false
	}
	p.top = top
	p.params(o.Params)
	p.head()
	p.executor(top.Get("executor"))
	p.surroundings()
	p.steps()
	p.file.OnFailure, p.file.OnExit = p.ending("on_failure"), p.ending("on_exit")
	p.link()
	return p.doc.Err() == nil
}

func (p *parser) head() {
	f := p.file
	f.Name = strings.TrimSuffix(filepath.Base(f.Path), filepath.Ext(f.Path))
	if name, ok := p.top.Get("name").Scalar(); ok {
		f.Name = name
		if name == "" || grammar.HasControl(name) {
			p.top.Get("name").Reject("name must be one line of text", "")
		}
	}
	f.Tags, _ = p.tags(p.top.Get("tags"), p.scope)
	if n, ok := p.top.Get("priority").Int(math.MinInt32, math.MaxInt32); ok {
		f.Priority = int32(n)
	}
	f.Timeout, _ = p.top.Get("timeout").Duration(0)
	f.Description = p.description(p.top.Get("description"))
	p.secrets()
}

func (p *parser) description(v yamlread.Value) string {
	text, _ := v.Scalar()
	return strings.TrimSpace(text)
}

// secrets reads names, or a mapping of names to where their values are.
func (p *parser) secrets() {
	v := p.top.Get("secrets")
	if v.Kind() != yamlread.Mapping {
		items, _ := v.OneOrMany()
		for _, item := range items {
			if name, ok := item.Text(); ok {
				p.secret(item, name, "")
			}
		}
		return
	}
	entries, _ := v.Entries()
	for _, e := range entries.All() {
		path := ""
		if e.Value.Kind() != yamlread.Null {
			fields, _ := e.Value.Fields(nil, "file")
			if path = p.path(fields.Require("file")); path == "" {
				continue
			}
		}
		p.secret(e.Key, e.Name, path)
	}
}

func (p *parser) secret(at yamlread.Value, name, path string) {
	switch {
	case !variable(name):
		at.Reject(fmt.Sprintf("%q cannot be the name of an environment variable", name), "")
	case slices.ContainsFunc(p.file.Secrets, func(s Secret) bool { return s.Name == name }):
		at.Reject(fmt.Sprintf("secret %s is there twice", name), "")
	default:
		p.file.Secrets = append(p.file.Secrets, Secret{name, path})
	}
}

// path reads the path of a file, relative to the step file.
func (p *parser) path(v yamlread.Value) string {
	path, ok := v.Text()
	switch {
	case !ok:
		return ""
	case path == "" || strings.ContainsRune(path, 0):
		v.Reject(v.Name()+" must be the path of a file", "")
		return ""
	case filepath.IsAbs(path):
		return filepath.Clean(path)
	}
	return filepath.Join(p.beside(), path)
}

// beside is the directory of the step file.
func (p *parser) beside() string {
	base, err := filepath.Abs(filepath.Dir(p.file.Path))
	if err != nil {
		return filepath.Dir(p.file.Path)
	}
	return base
}

// params reads the parameters; given values take the place of the file's.
func (p *parser) params(given map[string]string) {
	fields, _ := p.top.Get("params").Entries()
	names := map[string]string{}
	for _, e := range fields.All() {
		param := p.param(e)
		if value, ok := given[e.Name]; ok {
			param.Value = &value
		}
		switch other, twice := names[VariableName(e.Name)]; {
		case VariableName(e.Name) == "":
			e.Key.Reject(fmt.Sprintf("parameter %q has no letter or digit", e.Name), "")
		case twice:
			e.Key.Reject(fmt.Sprintf("parameters %s and %s are both $PARAM_%s", other, e.Name, VariableName(e.Name)),
				"rename one")
		}
		if param.Value != nil && tooLong("PARAM_"+e.Name+"="+*param.Value) {
			e.Key.Reject(fmt.Sprintf("the value of parameter %s is too long for an environment, which holds less "+
				"than 128 KiB of each", e.Name), "hand it over in a file")
		}
		names[VariableName(e.Name)] = e.Name
		p.file.Params = append(p.file.Params, param)
	}
	p.scope = scope{params: p.file.Params}
}

// param reads a parameter: its default, or a mapping.
func (p *parser) param(e yamlread.Entry) Param {
	param, value := Param{Name: e.Name}, e.Value
	if value.Kind() == yamlread.Mapping {
		fields, _ := value.Fields(nil, paramKeys()...)
		param.Description = p.description(fields.Get("description"))
		choices, _ := fields.Get("choices").List()
		for _, c := range choices {
			if text, ok := c.Scalar(); ok {
				param.Choices = append(param.Choices, text)
			}
		}
		if fields.Get("choices").Given() && len(choices) == 0 {
			fields.Get("choices").Reject("choices has none", "")
		}
		value = fields.Get("default")
	}
	if text, ok := value.Scalar(); ok {
		param.Value = &text
		if !param.takes(text) {
			value.Reject(fmt.Sprintf("%q is none of the choices of parameter %s", text, e.Name), "")
		}
	}
	return param
}

// takes reports whether a value is one of the parameter's choices.
func (p Param) takes(value string) bool { return p.Choices == nil || slices.Contains(p.Choices, value) }

func (p *parser) unknownParams(o Options) error {
	var known []string
	for _, param := range p.file.Params {
		known = append(known, param.Name)
	}
	for name, value := range o.Params {
		if at := slices.Index(known, name); at >= 0 {
			if param := p.file.Params[at]; !o.Masked && !param.takes(value) {
				return fmt.Errorf("parameter %s cannot be %q; choose one of %s", name, value,
					strings.Join(param.Choices, ", "))
			}
			continue
		}
		if suggestion := yamlread.DidYouMean(name, known); suggestion != "" {
			return fmt.Errorf("%s has no parameter %q; %s", p.file.Path, name, suggestion)
		}
		return fmt.Errorf("%s has no parameter %q; declare it under params", p.file.Path, name)
	}
	return nil
}

// Missing returns the names of required parameters without a value.
func (f *File) Missing() []string {
	var missing []string
	for _, p := range f.Params {
		if p.Value == nil {
			missing = append(missing, p.Name)
		}
	}
	return missing
}

// surroundings reads what all steps share: directory, shell, environment and defaults.
func (p *parser) surroundings() {
	files, _ := p.top.Get("env_file").OneOrMany()
	for _, v := range files {
		if path := p.path(v); path != "" {
			p.file.EnvFiles = append(p.file.EnvFiles, path)
		}
	}
	p.dir = p.directory(p.top.Get("dir"), p.scope, p.beside())
	p.shell = p.shellOf(p.top.Get("shell"), []string{"/bin/sh", "-e", "-c"})
	p.file.Env = p.environment(p.top.Get("env"), p.scope)
	fields, ok := p.top.Get("defaults").Fields(nil, defaultKeys()...)
	p.defaults = template{fields: fields, grace: defaultGrace, slots: 1}
	if ok {
		p.common(&p.defaults)
	}
}

func (p *parser) executor(v yamlread.Value) {
	fields, ok := v.Fields(nil, executorKeys()...)
	if !ok {
		return
	}
	p.file.Executor.MaxConcurrent, _ = fields.Get("max_concurrent").Int(1, math.MaxInt32)
	items, _ := fields.Get("tag_concurrency_limits").List()
	lines := map[string]int{}
	for _, item := range items {
		limit, ok := p.tagLimit(item)
		if !ok {
			continue
		}
		id := fmt.Sprintf("%q %t", limit.Key, limit.PerValue)
		if limit.Value != nil {
			id += fmt.Sprintf(" %q", *limit.Value)
		}
		if line, twice := lines[id]; twice {
			item.Reject(fmt.Sprintf("this tag has a limit already, on line %d", line), "keep one of them")
			continue
		}
		lines[id] = item.Line()
		p.limitsAt = append(p.limitsAt, item)
		p.file.Executor.TagLimits = append(p.file.Executor.TagLimits, limit)
	}
}

// ending reads a command for the end of the run.
func (p *parser) ending(key string) *Step {
	v := p.top.Get(key)
	if !v.Given() {
		return nil
	}
	return &Step{Index: -1, ID: key, Base: key, Run: p.script(v), Slots: 1, Shell: p.shell, Dir: p.dir,
		Grace: defaultGrace}
}

// tagLimit reads {key: k, limit: n} with a value, {applyLimitPerUniqueValue: true} or neither.
func (p *parser) tagLimit(v yamlread.Value) (backend.TagLimit, bool) {
	fields, ok := v.Fields(nil, tagLimitKeys()...)
	if !ok {
		return backend.TagLimit{}, false
	}
	key, haveKey := fields.Require("key").Scalar()
	limit, haveLimit := fields.Require("limit").Int(0, math.MaxInt32)
	t := backend.TagLimit{Key: key, Limit: limit}
	if fault := grammar.TagKeyFault(key); haveKey && fault != "" {
		fields.Get("key").Reject("the key of a tag "+fault, "")
	}
	value := fields.Get("value")
	if value.Kind() == yamlread.Mapping {
		unique, ok := value.Fields(nil, "applyLimitPerUniqueValue")
		if ok {
			t.PerValue, _ = unique.Require("applyLimitPerUniqueValue").Bool()
		}
	} else if s, ok := value.Scalar(); ok {
		t.Value = &s
	}
	return t, haveKey && haveLimit
}
