package yamlread

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// MaxDepth is how deep mappings and lists may be nested, aliases followed.
const MaxDepth = 100

// MaxExpansion is how many values a document may have when its aliases are written out.
const MaxExpansion = 4_000_000

// checkText refuses what is not text, telling the first place of it.
func (d *Document) checkText() bool {
	if strings.HasPrefix(d.text, "\xff\xfe") || strings.HasPrefix(d.text, "\xfe\xff") {
		d.note(1, 1, 1, "the file is UTF-16", "save it as UTF-8")
		return false
	}
	for i := 0; i < len(d.text); {
		if c := d.text[i]; c >= ' ' && c < 0x7f || c == '\n' || c == '\t' || c == '\r' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(d.text[i:])
		if r == utf8.RuneError && size == 1 {
			d.noteOffset(i, fmt.Sprintf("byte 0x%02x is not UTF-8", d.text[i]), "save the file as UTF-8")
			return false
		}
		if !allowed(r) {
			d.noteOffset(i, fmt.Sprintf("character U+%04X is not allowed", r), `write it as an escape in double quotes`)
			return false
		}
		i += size
	}
	return true
}

// allowed tells the characters that may stand in YAML as they are.
func allowed(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r', r == 0x85:
		return true
	case r < 0x20, r >= 0x7f && r < 0xa0, r == 0xfeff, r == 0xfffe, r == 0xffff:
		return false
	}
	return true
}

// noteOffset takes a problem down at an offset in bytes.
func (d *Document) noteOffset(offset int, fact, remedy string) {
	before := splitLines(d.text[:offset])
	d.note(len(before), utf8.RuneCountInString(before[len(before)-1])+1, 1, fact, remedy)
}

// inspection looks at the whole tree once, before anybody walks it.
type inspection struct {
	doc   *Document
	sizes map[*yaml.Node]int  // values below an anchor, written out
	depth map[*yaml.Node]int  // levels below an anchor
	open  map[*yaml.Node]bool // anchors that contain the node looked at
}

// inspect notes duplicate keys and reports whether the tree can be walked.
func (d *Document) inspect(root *yaml.Node) bool {
	i := &inspection{doc: d, sizes: map[*yaml.Node]int{}, depth: map[*yaml.Node]int{}, open: map[*yaml.Node]bool{}}
	size, _, ok := i.look(root, 0)
	if ok && size > MaxExpansion {
		d.note(root.Line, root.Column, 1,
			fmt.Sprintf("the file has more than %d values, its aliases written out", MaxExpansion), "use fewer")
		return false
	}
	return ok
}

// look returns how many values a node stands for and how many levels it has. above is the number of levels it is in.
func (i *inspection) look(node *yaml.Node, above int) (size, levels int, ok bool) {
	if node.Kind == yaml.AliasNode {
		return i.lookAlias(node, above)
	}
	if above > MaxDepth {
		i.doc.note(node.Line, node.Column, 1, fmt.Sprintf("nested deeper than %d levels", MaxDepth), "")
		return 0, 0, false
	}
	if node.Anchor != "" {
		i.open[node] = true
		defer delete(i.open, node)
	}
	if node.Kind == yaml.MappingNode {
		i.doc.noteDuplicates(node)
	}
	size = 1
	for _, child := range node.Content {
		n, below, ok := i.look(child, above+1)
		if !ok {
			return 0, 0, false
		}
		size = min(size+n, MaxExpansion+1)
		levels = max(levels, below+1)
	}
	if node.Anchor != "" {
		i.sizes[node], i.depth[node] = size, levels
	}
	return size, levels, true
}

// lookAlias does not follow the alias: its target was looked at before, or contains it.
func (i *inspection) lookAlias(node *yaml.Node, above int) (size, levels int, ok bool) {
	target := node.Alias
	if i.open[target] {
		i.doc.note(node.Line, node.Column, 1+utf8.RuneCountInString(node.Value),
			fmt.Sprintf("alias *%s stands inside its own anchor", node.Value), "")
		return 0, 0, false
	}
	size, levels = i.sizes[target], i.depth[target]
	if above+levels > MaxDepth {
		i.doc.note(node.Line, node.Column, 1+utf8.RuneCountInString(node.Value),
			fmt.Sprintf("nested deeper than %d levels", MaxDepth), "")
		return 0, 0, false
	}
	return size, levels, true
}

// noteDuplicates notes keys that a mapping has already. The first one counts.
func (d *Document) noteDuplicates(mapping *yaml.Node) {
	first := make(map[string]int, len(mapping.Content)/2)
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key := resolve(mapping.Content[i])
		if key.Kind != yaml.ScalarNode {
			continue
		}
		line, twice := first[key.Value]
		if !twice {
			first[key.Value] = key.Line
			continue
		}
		at := mapping.Content[i]
		remedy := ""
		if key.Value == "<<" {
			remedy = "merge a list: <<: [*a, *b]"
		}
		d.note(at.Line, at.Column, utf8.RuneCountInString(at.Value),
			fmt.Sprintf("duplicate key %s, first on line %d", quote(key.Value), line), remedy)
	}
}

// resolve follows an alias. Its target is no alias itself.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}
