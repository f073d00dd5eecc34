package stepfile

import (
	"fmt"
	"strings"
)

// opening starts an expression: ${{ matrix.KEY }} or ${{ params.NAME }}.
const opening = "${{"

// scope is what expressions may speak of.
type scope struct {
	matrix []Var
	params []Param
}

// expand replaces the expressions in s. There is nothing in them but names: no operators, no functions.
func (sc scope) expand(s string) (string, error) {
	if !strings.Contains(s, opening) {
		return s, nil
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, opening)
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return "", fmt.Errorf("expression %q is not closed; add }}", opening+rest)
		}
		value, err := sc.lookup(strings.TrimSpace(name))
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		s = after
	}
}

func (sc scope) lookup(name string) (string, error) {
	if key, ok := strings.CutPrefix(name, "matrix."); ok {
		for _, v := range sc.matrix {
			if v.Name == key {
				return v.Value, nil
			}
		}
		return "", fmt.Errorf("the step's matrix has no key %q", key)
	}
	if key, ok := strings.CutPrefix(name, "params."); ok {
		for _, p := range sc.params {
			if p.Name == key {
				if p.Value == nil {
					return "", nil // required and missing: said once, where the run starts
				}
				return *p.Value, nil
			}
		}
		return "", fmt.Errorf("there is no parameter %q", key)
	}
	return "", fmt.Errorf("unknown expression %q; matrix.KEY and params.NAME are known", name)
}
