package yamlread

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// Entry is a key of a mapping with its value. Key.Reject notes a mistake of the key.
type Entry struct {
	Name  string
	Key   Value
	Value Value
}

// Fields are the entries of a mapping, in the order of the file, merged ones last.
type Fields struct {
	value   Value
	entries []Entry
	index   map[string]int
}

// Entries reads a mapping whose keys are free. Null reads as a mapping without entries. Keys that are numbers or
// booleans count as they are written.
func (v Value) Entries() (Fields, bool) {
	f := Fields{value: v}
	switch v.Kind() {
	case Absent:
		return f, false
	case Null:
		return f, true
	case Mapping:
		f.index = make(map[string]int, len(v.node.Content)/2)
		f.add(v.doc, v.node)
		return f, true
	}
	v.wrong("a mapping", "")
	return f, false
}

// Fields reads a mapping whose keys are known; others are mistakes. unknown, which may be nil, sees each of those
// first: where it returns true, it has dealt with it.
func (v Value) Fields(unknown func(Entry) bool, known ...string) (Fields, bool) {
	f, ok := v.Entries()
	for _, entry := range f.entries {
		if slices.Contains(known, entry.Name) || unknown != nil && unknown(entry) {
			continue
		}
		entry.Key.Reject(fmt.Sprintf("unknown key %s", quote(entry.Name)), DidYouMean(entry.Name, known))
	}
	return f, ok
}

// add takes the entries of a mapping that are not there yet: its own first, then those it merges.
func (f *Fields) add(d *Document, mapping *yaml.Node) {
	var merges []*yaml.Node
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			merges = append(merges, value)
			continue
		}
		f.addEntry(d, key, value)
	}
	for _, merge := range merges {
		f.merge(d, merge)
	}
}

func (f *Fields) addEntry(d *Document, key, value *yaml.Node) {
	k := d.value(key, "a key")
	name, ok := k.Scalar()
	if !ok {
		if k.Kind() == Null {
			k.Reject("a key is empty", "")
		}
		return
	}
	if _, there := f.index[name]; there {
		return
	}
	f.index[name] = len(f.entries)
	f.entries = append(f.entries, Entry{Name: name, Key: k, Value: d.value(value, name)})
}

// merge takes the entries of what stands after <<: a mapping or a list of them, the first to have a key wins.
func (f *Fields) merge(d *Document, node *yaml.Node) {
	v := d.value(node, "<<")
	switch v.Kind() {
	case Mapping:
		f.add(d, v.node)
	case Sequence:
		for _, item := range v.node.Content {
			if target := resolve(item); target.Kind == yaml.MappingNode {
				f.add(d, target)
				continue
			}
			d.value(item, "an item of <<").wrong("a mapping", "")
		}
	default:
		v.wrong("a mapping or a list of them", "")
	}
}

// All returns the entries.
func (f Fields) All() []Entry { return f.entries }

// Get returns the value of a key, an absent one where there is none.
func (f Fields) Get(name string) Value {
	if i, ok := f.index[name]; ok {
		return f.entries[i].Value
	}
	return Value{doc: f.value.doc, name: name}
}

// Require is Get for a key that must have a value: its lack is a mistake.
func (f Fields) Require(name string) Value {
	v := f.Get(name)
	switch v.Kind() {
	case Absent:
		f.value.Reject(fmt.Sprintf("%s has no %s", f.value.name, name), fmt.Sprintf("add %s: …", name))
	case Null:
		v.Reject(fmt.Sprintf("%s is empty", name), "")
	}
	return v
}

// Key returns the key of an entry as a place to note mistakes at, an absent one where there is none.
func (f Fields) Key(name string) Value {
	if i, ok := f.index[name]; ok {
		return f.entries[i].Key
	}
	return Value{doc: f.value.doc, name: name}
}
