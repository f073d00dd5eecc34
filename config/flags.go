package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"limit/backend"
)

// MaxSlots is the highest limit, and the most slots that can be asked for.
const MaxSlots = backend.MaxSlots

// ParsePoolFlag reads NAME[=SLOTS], as --pool and the steps of a dag have it. A name with = in it needs the slots said.
func ParsePoolFlag(text string) (name string, slots int, err error) {
	name, slots = text, 1
	if i := strings.LastIndexByte(text, '='); i >= 0 {
		n, err := strconv.Atoi(text[i+1:])
		if err != nil || n < 1 || n > MaxSlots {
			return "", 0, fmt.Errorf("pool %q: the slots must be a number of at least 1; give NAME=SLOTS", text)
		}
		name, slots = text[:i], n
	}
	if fault := nameFault(name); fault != "" {
		return "", 0, fmt.Errorf("pool %q: the name %s", text, fault)
	}
	return name, slots, nil
}

// ParsePoolFlags reads all --pool flags; nil where there are none.
func ParsePoolFlags(texts []string) (map[string]int, error) {
	var pools map[string]int
	for _, text := range texts {
		name, slots, err := ParsePoolFlag(text)
		if err != nil {
			return nil, err
		}
		if before, twice := pools[name]; twice {
			return nil, fmt.Errorf("pool %q is named twice; give %s=%d for all its slots", name, name, before+slots)
		}
		if pools == nil {
			pools = map[string]int{}
		}
		pools[name] = slots
	}
	return pools, nil
}

// ParseTagFlag reads KEY[=VALUE], as --tag has it. A tag without value has the value "".
func ParseTagFlag(text string) (key, value string, err error) {
	key, value, _ = strings.Cut(text, "=")
	if fault := tagKeyFault(key); fault != "" {
		return "", "", fmt.Errorf("tag %q: the key %s; give KEY or KEY=VALUE", text, fault)
	}
	if strings.ContainsFunc(value, isControl) {
		return "", "", fmt.Errorf("tag %q: the value has a character in it that is not text", text)
	}
	return key, value, nil
}

// ParseTagFlags reads all --tag flags; nil where there are none.
func ParseTagFlags(texts []string) (map[string]string, error) {
	var tags map[string]string
	for _, text := range texts {
		key, value, err := ParseTagFlag(text)
		if err != nil {
			return nil, err
		}
		if before, twice := tags[key]; twice && before != value {
			return nil, fmt.Errorf("tag %q is given twice, with the values %q and %q", key, before, value)
		}
		if tags == nil {
			tags = map[string]string{}
		}
		tags[key] = value
	}
	return tags, nil
}

// isControl tells the characters that names may not have, bytes that are no text among them.
func isControl(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }
