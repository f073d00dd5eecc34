package backend

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Rewrite encodes next, a JSON object that replaces was, and keeps the fields of was that T does not have: a newer
// version has written them. They are kept at any depth, where next still has the object that they are in; an element of
// a list is the same one while its strings are. was is nil where there is nothing to replace.
func Rewrite[T any](was []byte, next T) ([]byte, error) {
	encoded, err := json.Marshal(next)
	if err != nil || len(was) == 0 {
		return encoded, err
	}
	var known T
	if err := json.Unmarshal(was, &known); err != nil {
		return nil, fmt.Errorf("reading what is to be replaced: %w", err)
	}
	understood, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	return carry(was, understood, encoded), nil
}

// carry adds to next what was has and understood, the same value as T has read it, does not.
func carry(was, understood, next json.RawMessage) json.RawMessage {
	var fields, known, merged map[string]json.RawMessage
	switch {
	case decodes(was, &fields) && decodes(understood, &known) && decodes(next, &merged):
	case bytes.HasPrefix(was, []byte("[")):
		return carryList(was, understood, next)
	default:
		return next
	}
	changed := false
	for name, value := range fields {
		ours, isKnown := known[name]
		kept, isThere := merged[name]
		switch {
		case !isKnown && !isThere:
			kept = value
		case isKnown && isThere:
			kept = carry(value, ours, kept)
		default:
			continue
		}
		changed = changed || !bytes.Equal(kept, merged[name])
		merged[name] = kept
	}
	if !changed {
		return next
	}
	return encoded(merged)
}

// carryList carries over the elements of a list that are still there.
func carryList(was, understood, next json.RawMessage) json.RawMessage {
	var elements, known, merged []json.RawMessage
	if !decodes(was, &elements) || !decodes(understood, &known) || !decodes(next, &merged) ||
		len(elements) != len(known) {
		return next
	}
	changed := false
	for i, element := range merged {
		for j := range known {
			if sameStrings(known[j], element) {
				merged[i] = carry(elements[j], known[j], element)
				changed = changed || !bytes.Equal(element, merged[i])
				break
			}
		}
	}
	if !changed {
		return next
	}
	return encoded(merged)
}

// sameStrings reports whether two objects have the same strings: what names a thing is a string, what is set of it a
// number.
func sameStrings(a, b json.RawMessage) bool {
	var fields [2]map[string]any
	if !decodes(a, &fields[0]) || !decodes(b, &fields[1]) {
		return false
	}
	for i := range fields {
		for name, value := range fields[i] {
			if text, ok := value.(string); ok && fields[1-i][name] != text {
				return false
			}
		}
	}
	return true
}

func decodes(data json.RawMessage, v any) bool {
	return len(data) > 0 && data[0] != 'n' && json.Unmarshal(data, v) == nil // null decodes into everything
}

// encoded never fails: v is made of JSON.
func encoded(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encoding JSON again: %v", err))
	}
	return b
}
