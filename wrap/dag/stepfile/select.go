package stepfile

import (
	"fmt"
	"strconv"
	"strings"
)

// Select returns which steps the selections name, by index: Dagster's syntax. x is a step or all combinations of a
// matrix, +x also what it needs, 2+x that two levels deep, x+ and x+2 what needs it; tag:k=v or tag:k all steps with
// the tag, build-* all whose name is like that; a comma means or. With no selection all steps are selected; then the
// steps of exclude are taken out again.
func (f *File) Select(selections, exclude []string) ([]bool, error) {
	chosen := make([]bool, len(f.Steps))
	if len(selections) == 0 {
		for i := range chosen {
			chosen[i] = true
		}
	}
	if err := f.mark(chosen, selections, true); err != nil {
		return nil, err
	}
	if err := f.mark(chosen, exclude, false); err != nil {
		return nil, err
	}
	return chosen, nil
}

func (f *File) mark(chosen []bool, selections []string, to bool) error {
	for _, s := range selections {
		for _, term := range splitTerms(s) {
			steps, err := f.term(strings.TrimSpace(term))
			if err != nil {
				return err
			}
			for _, i := range steps {
				chosen[i] = to
			}
		}
	}
	return nil
}

// splitTerms splits at commas outside of brackets: extract[acme,eu] is one term.
func splitTerms(s string) []string {
	var terms []string
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '[':
			depth++
		case s[i] == ']' && depth > 0:
			depth--
		case s[i] == ',' && depth == 0:
			terms = append(terms, s[start:i])
			start = i + 1
		}
	}
	return append(terms, s[start:])
}

// all is a depth that nothing exceeds.
const all = 1 << 30

func (f *File) term(term string) ([]int, error) {
	name, up, down := term, 0, 0
	if before, after, found := strings.Cut(name, "+"); found && isDigits(before) && after != "" {
		name, up = after, depth(before)
	}
	if i := strings.LastIndexByte(name, '+'); i > 0 && isDigits(name[i+1:]) {
		down, name = depth(name[i+1:]), name[:i]
	}
	var base []int
	switch tag, isTag := strings.CutPrefix(name, "tag:"); {
	case isTag:
		key, value, exact := strings.Cut(tag, "=")
		base = f.matching(func(s *Step) bool {
			got, ok := s.Tags[key]
			return ok && (!exact || got == value)
		})
	case strings.Contains(name, "*"):
		base = f.matching(func(s *Step) bool { return glob(name, s.ID) || glob(name, s.Base) })
	default:
		base = f.resolve(name)
	}
	if len(base) == 0 {
		return nil, fmt.Errorf("selection %q names no step%s", term, f.suggestion(name))
	}
	return f.spread(base, up, down), nil
}

// glob reports whether a pattern matches a name: * stands for any text, everything else for itself.
func glob(pattern, name string) bool {
	first, rest, found := strings.Cut(pattern, "*")
	name, ok := strings.CutPrefix(name, first)
	if !found || !ok {
		return ok && name == ""
	}
	for i := range len(name) + 1 {
		if glob(rest, name[i:]) {
			return true
		}
	}
	return false
}

func (f *File) matching(ok func(*Step) bool) []int {
	var found []int
	for i, s := range f.Steps {
		if ok(s) {
			found = append(found, i)
		}
	}
	return found
}

// spread adds to base what it needs, up levels deep, and what needs it, down levels deep.
func (f *File) spread(base []int, up, down int) []int {
	out := append([]int(nil), base...)
	if up > 0 {
		out = append(out, walk(base, up, func(i int) []int { return f.Steps[i].Needs }, len(f.Steps))...)
	}
	if down > 0 {
		dependants := f.Dependants()
		out = append(out, walk(base, down, func(i int) []int { return dependants[i] }, len(f.Steps))...)
	}
	return out
}

// walk visits in breadth-first order what next reaches from base in at most so many levels.
func walk(base []int, levels int, next func(int) []int, size int) []int {
	seen := make([]bool, size)
	frontier, found := base, []int(nil)
	for ; levels > 0 && len(frontier) > 0; levels-- {
		var further []int
		for _, i := range frontier {
			for _, n := range next(i) {
				if !seen[n] {
					seen[n] = true
					further = append(further, n)
				}
			}
		}
		found = append(found, further...)
		frontier = further
	}
	return found
}

// Dependants returns for each step the indices of those that need it, ascending.
func (f *File) Dependants() [][]int {
	out := make([][]int, len(f.Steps))
	for i, s := range f.Steps {
		for _, n := range s.Needs {
			out[n] = append(out[n], i)
		}
	}
	return out
}

func isDigits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

func depth(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return all // no digits: the whole way, or more digits than any depth has
	}
	return n
}
