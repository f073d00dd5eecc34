package stepfile

import (
	"fmt"
	"slices"
	"strings"
)

// maxCombinations bounds one step's matrix: more is a mistake.
const maxCombinations = 100_000

// matrix is a step's matrix as it stands in the file.
type matrix struct {
	keys    []string
	values  [][]string // of each key
	include [][]Var
	exclude [][]Var
}

// combinations expands a matrix as GitHub Actions does: the product of the keys, the first key slowest; without
// those that agree with an exclude; then each include is added to the combinations whose original values it does
// not overwrite, or, where there is none, is a combination of its own.
func (m matrix) combinations() ([][]Var, error) {
	count := 1
	for _, vs := range m.values {
		if count *= len(vs); count > maxCombinations {
			return nil, fmt.Errorf("the matrix has more than %d combinations", maxCombinations)
		}
	}
	var all [][]Var
	if len(m.keys) > 0 {
		all = m.product(count)
	}
	all = slices.DeleteFunc(all, func(c []Var) bool {
		return slices.ContainsFunc(m.exclude, func(e []Var) bool { return agrees(c, e) })
	})
	original := len(all)
	for _, inc := range m.include {
		added := false
		for i, c := range all[:original] {
			if !m.overwrites(c, inc) {
				all[i], added = merge(c, inc), true
			}
		}
		if !added {
			all = append(all, slices.Clone(inc))
		}
	}
	return all, nil
}

func (m matrix) product(count int) [][]Var {
	all := make([][]Var, count)
	for i := range all {
		c := make([]Var, len(m.keys))
		rest := i
		for k := len(m.keys) - 1; k >= 0; k-- {
			c[k] = Var{m.keys[k], m.values[k][rest%len(m.values[k])]}
			rest /= len(m.values[k])
		}
		all[i] = c
	}
	return all
}

// overwrites reports whether an include contradicts one of the combination's original values. Values that
// an earlier include has added may be overwritten.
func (m matrix) overwrites(c, include []Var) bool {
	return slices.ContainsFunc(include, func(v Var) bool {
		if !slices.Contains(m.keys, v.Name) {
			return false
		}
		value, ok := value(c, v.Name)
		return ok && value != v.Value
	})
}

// agrees reports whether the combination has every pair of the exclude.
func agrees(c, exclude []Var) bool {
	return !slices.ContainsFunc(exclude, func(v Var) bool {
		value, ok := value(c, v.Name)
		return !ok || value != v.Value
	})
}

func merge(c, include []Var) []Var {
	out := slices.Clone(c)
	for _, v := range include {
		if i := slices.IndexFunc(out, func(o Var) bool { return o.Name == v.Name }); i >= 0 {
			out[i].Value = v.Value
		} else {
			out = append(out, v)
		}
	}
	return out
}

func value(vars []Var, name string) (string, bool) {
	for _, v := range vars {
		if v.Name == name {
			return v.Value, true
		}
	}
	return "", false
}

// instanceID is extract[acme], or extract[acme,eu] with two keys.
func instanceID(base string, combination []Var) string {
	values := make([]string, len(combination))
	for i, v := range combination {
		values[i] = v.Value
	}
	return base + "[" + strings.Join(values, ",") + "]"
}
