package yamlread

import (
	"strconv"
	"strings"
	"testing"
)

// heads are the first lines of the problems of a document.
func heads(d *Document) string {
	var all []string
	for _, p := range Problems(d.Err()) {
		all = append(all, strings.TrimPrefix(p.Head(), "f:"))
	}
	return strings.Join(all, "\n")
}

func TestWhatCannotBeReadIsToldOnceWithItsPlace(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a: [1,\n  2\nb: 3\nc: 4\n", `1:1: a list in brackets is not closed; add "," or "]"`},
		{"q: 1\nz: 2\na: {b: 1\nc: 2\n\nd: 3\n", `3:1: a mapping in braces is not closed; add "," or "}"`},
		{"é: b: c\nd: 2\n", `1:5: a second ": " stands in this line; put the value in quotes, or mend the indentation`},
		{"z: 1\na: \"x\nb: 2\nc: 3", `2:1: a quoted text is not closed; add the quote`},
		{"a: 'x", `1:1: a quoted text is not closed; add the quote`},
		{"a:\n\t- x\n", `2:1: a tab cannot indent; use spaces`},
		{"z: 1\n\tx: 1", `2:1: a tab cannot indent; use spaces`},
		{"a: 1\nb\nc: 2\n", `2:1: a key without a value; write "key: value"`},
		{"a: 1\nbcdef\n", `2:1: a key without a value; write "key: value"`},
		{"b: 1\na: @x\n", `2:4: a value cannot begin with this character; put it in quotes`},
		{"a: 1\n}\nb: 2", `2:1: this line does not belong to the mapping above; mend the indentation`},
		{"a:\n  b: 1\n c: 2\nd: 3\n", `3:2: this line does not belong to the mapping above; mend the indentation`},
		{"a:\n  - 1\n  b: 2\nc: 3\n", `3:3: this line does not belong to the list above; begin it with "- ", or mend the indentation`},
		{"x: 1\ny:\n  a: 1\n  b: 2\n  }\nz: 1\n", `5:3: this line does not belong to the mapping above; mend the indentation`},
		{"z: 1\na: \"\\q\"\nb: 1", `2:1: unknown escape in a text in double quotes; write \\ for a backslash, or use single quotes`},
		{"a: 1\n  b: 2\nc: 1\n", `2:4: a second ": " stands in this line; put the value in quotes, or mend the indentation`},
		{"a: - 1\nb: 2\n", `1:1: "- " cannot stand here; begin the list on a line of its own`},
		{"x: 1\na: *nope\nb: 1\n", `2:4: alias *nope has no anchor before it; name the value it stands for with &nope`},
		{"x: |\n\ta\nb: 1\n", `2:1: a tab cannot indent; use spaces`},
		{"%YAML 9.9\n---\na: 1", `1:1: unknown version of YAML; leave the %YAML line out`},
		{"a: 1\n---\nb: 1\n", `3:1: a second document begins here; keep one document in a file`},
		{"a: 1\n---\nb: [\n", `3:1: a value is missing here, or a bracket is too many`},
		{"\xff\xfea\x00", `1:1: the file is UTF-16; save it as UTF-8`},
		{"a: ü\xffz", `1:5: byte 0xff is not UTF-8; save the file as UTF-8`},
		{"b: 1\na: \x1b[31m", `2:4: character U+001B is not allowed; write it as an escape in double quotes`},
		{"a: &x [*x]", `1:8: alias *x stands inside its own anchor`},
		{"a: 1\nb: 2\na: 3\n", `3:1: duplicate key "a", first on line 1`},
		{"a: {<<: {b: 1}, <<: {c: 1}}", `1:17: duplicate key "<<", first on line 1; merge a list: <<: [*a, *b]`},
		{strings.Repeat("[", MaxDepth+2) + strings.Repeat("]", MaxDepth+2), `1:102: nested deeper than 100 levels`},
		{strings.Repeat("[", 10_002), `1:1: exceeded max depth of 10000`},
		{strings.Repeat(" ", MaxSize+1), `1:1: the file is larger than 16384 KiB`},
	} {
		if got := heads(Parse("f", []byte(c.text))); got != c.want {
			t.Errorf("%.200q:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestAnAliasBombIsRefusedBeforeAnybodyWalksIt(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 {x: 1}\n")
	for i := 1; i < 30; i++ {
		last := "*a" + strconv.Itoa(i-1)
		b.WriteString("a" + strconv.Itoa(i) + ": &a" + strconv.Itoa(i) + " {<<: [" + strings.Repeat(last+", ", 9) + last + "]}\n")
	}
	d := Parse("f", []byte(b.String()))
	if got, want := heads(d), "1:1: the file has more than 4000000 values, its aliases written out; use fewer"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if kind := d.Root().Kind(); kind != Absent {
		t.Errorf("the root can be walked: kind %d", kind)
	}
}

func TestManyAliasesOfUseAreRead(t *testing.T) {
	var b strings.Builder
	b.WriteString("defaults: &d {timeout: 1m, retry: 2}\nsteps:\n")
	for i := range 1000 {
		b.WriteString("  s" + strconv.Itoa(i) + ": {<<: *d, run: x}\n")
	}
	d := Parse("f", []byte(b.String()))
	top, _ := d.Root().Fields(nil, "defaults", "steps")
	steps, _ := top.Get("steps").Entries()
	for _, step := range steps.All() {
		fields, _ := step.Value.Fields(nil, "timeout", "retry", "run")
		if n, ok := fields.Get("retry").Int(0, 9); n != 2 || !ok {
			t.Fatalf("step %s: retry %d %t", step.Name, n, ok)
		}
	}
	if err := d.Err(); err != nil || len(steps.All()) != 1000 {
		t.Errorf("%d steps, %v", len(steps.All()), err)
	}
}

func TestAnEmptyFileIsNull(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "\ufeff", "--- ~\n...\n"} {
		d := Parse("f", []byte(text))
		if d.Root().Kind() != Null || d.Err() != nil {
			t.Errorf("%q: kind %d, %v", text, d.Root().Kind(), d.Err())
		}
	}
}
