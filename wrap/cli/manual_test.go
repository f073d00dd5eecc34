package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"limit/config"
	"limit/wrap"
	"limit/wrap/cli/manual"
	"limit/wrap/dag"
	"limit/wrap/dag/stepfile"
)

var update = flag.Bool("update", false, "write the keys of the schemas into the manual")

const (
	keysBegin = "<!-- keys: go test ./wrap/cli -run Reference -update -->\n"
	keysEnd   = "<!-- end of keys -->\n"
)

// property is what a JSON schema says of a key. In the schemas of limit, keys stand in the order of the reference.
type property struct {
	Description string
	Ref         string `json:"$ref"`
	Properties  json.RawMessage
	OneOf       []property
	AnyOf       []property
	Items       *property
	Deprecated  bool

	AdditionalProperties json.RawMessage // true, false, or what the value of each further key is
}

func TestTheReferenceOfKeysIsThatOfTheSchemas(t *testing.T) {
	for page, schema := range map[string]string{"step-file": stepfile.Schema(), "config": string(config.Schema())} {
		var root struct {
			property
			Defs map[string]property `json:"$defs"`
		}
		if err := json.Unmarshal([]byte(schema), &root); err != nil {
			t.Fatal(err)
		}
		r := &reference{T: t, page: page, defs: root.Defs}
		if page == "step-file" {
			r.out.WriteString("## Keys of a step file\n\n")
		} else {
			r.out.WriteString("## Keys\n\n")
		}
		r.keys("", root.property)
		if page == "step-file" {
			r.out.WriteString("\n## Keys of a step\n\n")
			r.keys("", root.Defs["step"])
		}
		r.check()
	}
}

// reference is the list of keys for one page.
type reference struct {
	*testing.T
	page string
	defs map[string]property
	out  strings.Builder
}

// keys writes the keys of a mapping, and those below them.
func (r *reference) keys(prefix string, of property) {
	if len(of.Properties) == 0 {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(of.Properties))
	decoder.Token() // the brace
	for decoder.More() {
		name, _ := decoder.Token()
		var p property
		if err := decoder.Decode(&p); err != nil {
			r.Fatal(err)
		}
		p = r.resolved(p)
		if p.Deprecated || p.Description == "Dagster's; ignored." {
			continue
		}
		heading := fmt.Sprintf("`%s%s`", prefix, name)
		list := r.out.String()[strings.LastIndex(r.out.String(), "## "):]
		if strings.Contains(list, "- "+heading+":") { // in another variant
			continue
		}
		if p.Description == "" {
			r.Errorf("%s: the schema does not say what %s%s is", r.page, prefix, name)
		}
		r.entry(heading, p.Description)
		if name != "steps" { // they have a list of their own
			r.below(fmt.Sprintf("%s%s", prefix, name), p)
		}
	}
}

// below writes the keys of what a key may have as its value.
func (r *reference) below(key string, value property) {
	value = r.resolved(value)
	r.keys(key+".", value)
	for _, variant := range append(value.OneOf, value.AnyOf...) {
		r.below(key, variant)
	}
	if value.Items != nil {
		r.below(key+"[]", *value.Items)
	}
	var further property
	if json.Unmarshal(value.AdditionalProperties, &further) == nil {
		r.below(key+".NAME", further)
	}
}

// resolved is what a property refers to, with its own description.
func (r *reference) resolved(p property) property {
	def, refers := r.defs[strings.TrimPrefix(p.Ref, "#/$defs/")]
	if !refers {
		return p
	}
	if p.Description != "" {
		def.Description = p.Description
	}
	def.Deprecated = def.Deprecated || p.Deprecated
	return def
}

// code matches what Markdown would take for markup, and what is to be typed.
var code = regexp.MustCompile(`\$\{\{ \}\}|\$[A-Z_]+(<[A-Z]+>)?|--[a-z-]+( NAME=VALUE)?`)

func (r *reference) entry(name, text string) {
	for i, line := range fill(fmt.Sprintf("- %s: %s", name, code.ReplaceAllString(text, "`$0`")), 98) {
		if i > 0 {
			line = "  " + line
		}
		r.out.WriteString(line + "\n")
	}
}

// check compares the page with what it must say, or writes it.
func (r *reference) check() {
	topic, _ := manual.Find(r.page)
	before, rest, begins := strings.Cut(topic.Text, keysBegin)
	got, after, ends := strings.Cut(rest, keysEnd)
	if !begins || !ends {
		r.Fatalf("%s has no place for the keys", r.page)
	}
	want := "\n" + r.out.String() + "\n"
	if *update {
		text := before + keysBegin + want + keysEnd + after
		if err := os.WriteFile(filepath.Join("manual", r.page+".md"), []byte(text), 0o644); err != nil {
			r.Fatal(err)
		}
		return
	}
	if got != want {
		r.Errorf("%s.md does not have the keys of the schema; go test ./wrap/cli -run Reference -update writes them", r.page)
	}
}

func TestTheManualNamesEveryVerbAndFlag(t *testing.T) {
	var all strings.Builder
	for _, topic := range manual.Topics() {
		all.WriteString(topic.Text)
	}
	text := all.String()
	everyCommand((&program{}).app("").Commands, "limit", func(name string, c *cli.Command) {
		if !strings.Contains(text, name) {
			t.Errorf("no page names %s", name)
		}
		for _, f := range ownFlags(c) {
			if word := dashes(f.Names()[0]); !strings.Contains(text, word) {
				t.Errorf("no page names the flag %s of %s", word, name)
			}
		}
	})
	for _, f := range commonFlags() {
		if word := dashes(f.Names()[0]); !strings.Contains(text, word) {
			t.Errorf("no page names the flag %s", word)
		}
	}
}

func TestOnePageHasARowForEachVariable(t *testing.T) {
	for _, variable := range variablesOfTheSource(t) {
		if pages := pagesWithRow("`" + variable + "[<`]"); len(pages) != 1 {
			t.Errorf("the variable %s has rows in the tables of %q, want one page", variable, pages)
		}
	}
}

func TestThePagesOfRunAndOfStepFilesHaveARowForEachExitStatus(t *testing.T) {
	for page, codes := range map[string][]int{
		"run":       {wrap.CodeBusy, wrap.CodeLost, wrap.CodeTimeout, wrap.CodeFailed, wrap.CodeCannotRun, wrap.CodeNotFound},
		"step-file": {0, dag.CodeStepFailed, dag.CodeUsage, wrap.CodeBusy, wrap.CodeLost, wrap.CodeTimeout, wrap.CodeFailed},
	} {
		for _, code := range codes {
			if pages := pagesWithRow(fmt.Sprintf(`\b%d\b`, code)); !slices.Contains(pages, page) {
				t.Errorf("the page %s has no row for the exit status %d", page, code)
			}
		}
	}
}

// pagesWithRow returns the pages with a table that has a row for a pattern, in its first column.
func pagesWithRow(pattern string) (pages []string) {
	row := regexp.MustCompile(`(?m)^\| [^|]*` + pattern)
	for _, topic := range manual.Topics() {
		if row.MatchString(topic.Text) {
			pages = append(pages, topic.Name)
		}
	}
	return pages
}

// variablesOfTheSource returns the names, and beginnings of names, of variables that the program has as texts.
func variablesOfTheSource(t *testing.T) (names []string) {
	t.Helper()
	literal := regexp.MustCompile(`"((?:LIMIT|PARAM|MATRIX|OUT|NEED)_[A-Z_]*)`)
	for _, dir := range []string{"../../wrap", "../../config", "../../backend"} {
		if err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, found := range literal.FindAllStringSubmatch(string(text), -1) {
				if found[1] != "LIMIT_" {
					names = append(names, found[1])
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) < 15 {
		t.Fatalf("only the variables %q were found: is the pattern still right?", names)
	}
	return names
}
