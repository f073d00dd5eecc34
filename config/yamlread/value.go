package yamlread

import (
	"fmt"
	"limit/config/grammar"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Kind says what a value is.
type Kind int

const (
	Absent   Kind = iota // the key is not there
	Null                 // nothing, null or ~
	Text                 // a string, plain or quoted; dates too
	Int                  // a whole number
	Float                // another number
	Bool                 // true or false
	Sequence             // a list
	Mapping              // keys with values
	Other                // a value with a tag of its own, or binary data
)

// Value is a place in a document and what stands there. The zero Value is of no use; an absent one reads as nothing.
type Value struct {
	doc  *Document
	node *yaml.Node // what it is, aliases followed; nil: absent
	at   *yaml.Node // where it stands
	name string     // what messages call it
}

func (d *Document) value(node *yaml.Node, name string) Value {
	return Value{doc: d, node: resolve(node), at: node, name: name}
}

// Kind says what the value is.
func (v Value) Kind() Kind {
	if v.node == nil {
		return Absent
	}
	switch v.node.Kind {
	case yaml.SequenceNode:
		if v.node.ShortTag() == "!!seq" {
			return Sequence
		}
	case yaml.MappingNode:
		if v.node.ShortTag() == "!!map" {
			return Mapping
		}
	case yaml.ScalarNode:
		return scalarKind(v.node.ShortTag())
	}
	return Other
}

func scalarKind(tag string) Kind {
	switch tag {
	case "!!null":
		return Null
	case "!!str", "!!timestamp", "!!merge":
		return Text
	case "!!int":
		return Int
	case "!!float":
		return Float
	case "!!bool":
		return Bool
	}
	return Other
}

// Given reports whether there is a value: neither absent nor null.
func (v Value) Given() bool { return v.Kind() != Absent && v.Kind() != Null }

// Name is what messages call the value: its key, or its place in a list.
func (v Value) Name() string { return v.name }

// Line is the line of the value, from 1; 0 where it is absent.
func (v Value) Line() int {
	if v.at == nil {
		return 0
	}
	return v.at.Line
}

// Written is a scalar as it stands in the file, quotes and escapes taken off, whatever its kind; "" for others.
func (v Value) Written() string {
	if v.node == nil || v.node.Kind != yaml.ScalarNode {
		return ""
	}
	return v.node.Value
}

// Reject notes a mistake at the value: the fact, and the remedy, which may be "".
func (v Value) Reject(fact, remedy string) {
	if v.at != nil {
		v.doc.note(v.at.Line, v.at.Column, v.length(), fact, remedy)
	}
}

// Warn notes at the value what the author should know.
func (v Value) Warn(fact, remedy string) {
	if v.at != nil {
		p := v.doc.problem(v.at.Line, v.at.Column, v.length(), fact, remedy)
		p.Warning = true
		v.doc.warnings = append(v.doc.warnings, p)
	}
}

// length is how many characters a caret underlines.
func (v Value) length() int {
	n := utf8.RuneCountInString(v.at.Value)
	switch {
	case v.at.Kind == yaml.AliasNode:
		return n + 1
	case v.at.Kind != yaml.ScalarNode || v.at.Anchor != "" || v.at.Style&yaml.TaggedStyle != 0:
		return 1
	case v.at.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return n + 2
	case v.at.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 1
	}
	return n
}

// wrong notes that the value is not what was expected.
func (v Value) wrong(expected, remedy string) {
	v.Reject(fmt.Sprintf("%s must be %s, not %s", v.name, expected, v.describe()), remedy)
}

func (v Value) describe() string {
	switch v.Kind() {
	case Absent, Null:
		return "empty"
	case Sequence:
		return "a list"
	case Mapping:
		return "a mapping"
	case Text:
		return quote(v.node.Value)
	case Other:
		return "a value tagged " + v.node.ShortTag()
	}
	return v.node.Value
}

// Text reads a string. A number or a boolean is a mistake: quoted, it would be a string.
func (v Value) Text() (string, bool) {
	switch v.Kind() {
	case Absent, Null:
		return "", false
	case Text:
		return v.node.Value, true
	case Int, Float, Bool:
		v.wrong("text", fmt.Sprintf("put it in quotes: %s", strconv.Quote(v.node.Value)))
	default:
		v.wrong("text", "")
	}
	return "", false
}

// Scalar reads a string, and a number or a boolean as it is written.
func (v Value) Scalar() (string, bool) {
	switch v.Kind() {
	case Absent, Null:
		return "", false
	case Text, Int, Float, Bool:
		return v.node.Value, true
	}
	v.wrong("text", "")
	return "", false
}

// OneOf reads a string that is one of those allowed.
func (v Value) OneOf(allowed ...string) (string, bool) {
	if !v.Given() {
		return "", false
	}
	for _, word := range allowed {
		if v.Kind() == Text && v.node.Value == word {
			return word, true
		}
	}
	v.wrong(strings.Join(allowed, " or "), DidYouMean(v.Written(), allowed))
	return "", false
}

// Bool reads true or false.
func (v Value) Bool() (value, ok bool) {
	if !v.Given() {
		return false, false
	}
	written := strings.ToLower(v.Written())
	if v.Kind() == Bool && (written == "true" || written == "false") {
		return written == "true", true
	}
	remedy := ""
	switch written {
	case "yes", "on", "y":
		remedy = "write true"
	case "no", "off", "n":
		remedy = "write false"
	}
	v.wrong("true or false", remedy)
	return false, false
}

// Int reads a whole number within the bounds.
func (v Value) Int(lowest, highest int) (int, bool) {
	if !v.Given() {
		return 0, false
	}
	n, ok := v.whole()
	if !ok {
		return 0, false
	}
	if n < lowest || n > highest {
		v.Reject(fmt.Sprintf("%s must be from %d to %d, not %s", v.name, lowest, highest, v.node.Value), "")
		return 0, false
	}
	return n, true
}

// whole reads a decimal number, which YAML would not insist on.
func (v Value) whole() (int, bool) {
	const expected = "a whole number"
	if v.Kind() == Text {
		if _, err := strconv.Atoi(v.node.Value); err == nil {
			v.wrong(expected, "take off the quotes")
			return 0, false
		}
	}
	if v.Kind() != Int {
		v.wrong(expected, "")
		return 0, false
	}
	if n, err := grammar.Number(v.node.Value); err == nil {
		return n, true
	}
	remedy := ""
	if n, err := strconv.ParseInt(strings.ReplaceAll(v.node.Value, "_", ""), 0, 0); err == nil {
		remedy = fmt.Sprintf("YAML reads it as %d", n)
	}
	v.Reject(fmt.Sprintf("%s must be a whole number in decimal, not %s", v.name, v.node.Value), remedy)
	return 0, false
}

// Duration reads a span of time of at least lowest, as flags do: 90, 90s, 1h30m, 2d.
func (v Value) Duration(lowest time.Duration) (time.Duration, bool) {
	if !v.Given() {
		return 0, false
	}
	if k := v.Kind(); k != Int && k != Float && k != Text {
		v.wrong("a duration", "such as 90s, 15m or 1h30m")
		return 0, false
	}
	d, err := grammar.Duration(v.Written())
	switch {
	case err != nil:
		v.wrong("a duration", "such as 90s, 15m or 1h30m")
		return 0, false
	case d < lowest:
		v.Reject(fmt.Sprintf("%s must be at least %s, not %s", v.name, lowest, v.node.Value), "")
		return 0, false
	}
	return d, true
}

// List reads the items of a list.
func (v Value) List() ([]Value, bool) {
	if !v.Given() {
		return nil, false
	}
	if v.Kind() != Sequence {
		v.wrong("a list", "")
		return nil, false
	}
	items := make([]Value, len(v.node.Content))
	for i, node := range v.node.Content {
		items[i] = v.doc.value(node, fmt.Sprintf("item %d of %s", i+1, v.name))
	}
	return items, true
}

// OneOrMany reads the items of a list, or a single value as the only item.
func (v Value) OneOrMany() ([]Value, bool) {
	if !v.Given() {
		return nil, false
	}
	if v.Kind() != Sequence {
		return []Value{v}, true
	}
	return v.List()
}
