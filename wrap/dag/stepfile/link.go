package stepfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"limit/config/yamlread"
)

// link resolves names to steps, and refuses what can never run.
func (p *parser) link() {
	f := p.file
	f.byID, f.byBase = make(map[string]int, len(f.Steps)), make(map[string][]int, len(p.read))
	for _, src := range p.read {
		for _, s := range src.instances {
			if _, twice := f.byID[s.ID]; twice {
				src.key.Reject(fmt.Sprintf("two combinations of the matrix are called %s", s.ID),
					"make their values differ")
			}
			f.byID[s.ID] = s.Index
			if len(s.Matrix) > 0 {
				f.byBase[s.Base] = append(f.byBase[s.Base], s.Index)
			}
		}
	}
	for _, src := range p.read {
		p.needs(src)
	}
	p.cycles()
	p.limitsOfZero()
	p.limitsOfNothing()
}

// limitsOfNothing warns of tag limits that hold for no step, and of tags whose keys look like a misspelling of a
// limit's: either way nothing would be limited, and nobody would see it.
func (p *parser) limitsOfNothing() {
	values := map[string]map[string]bool{} // of the steps' tags, by key
	for _, s := range p.file.Steps {
		for key, value := range s.Tags {
			if values[key] == nil {
				values[key] = map[string]bool{}
			}
			values[key][value] = true
		}
	}
	keys, limited := slices.Sorted(maps.Keys(values)), map[string]bool{}
	for i, t := range p.file.Executor.TagLimits {
		limited[t.Key] = true
		switch used := values[t.Key]; {
		case used == nil:
			p.limitsAt[i].Warn(fmt.Sprintf("no step has the tag %s: this limit holds for nothing", t.Key),
				yamlread.DidYouMean(t.Key, keys))
		case t.Value != nil && !used[*t.Value]:
			p.limitsAt[i].Warn(fmt.Sprintf("no step has the tag %s=%s: this limit holds for nothing", t.Key, *t.Value),
				yamlread.DidYouMean(*t.Value, slices.Sorted(maps.Keys(used))))
		}
	}
	for _, src := range p.read {
		for _, s := range src.instances[:min(1, len(src.instances))] {
			for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
				if near := yamlread.Closest(key, slices.Sorted(maps.Keys(limited))); !limited[key] && near != "" &&
					values[near] != nil {
					src.key.Warn(fmt.Sprintf("the tag %s of step %s has no limit", key, src.name),
						yamlread.DidYouMean(key, []string{near}))
				}
			}
		}
	}
}

// needs resolves what a step needs. Where a need has an expression in it, each combination of the step's matrix has
// needs of its own.
func (p *parser) needs(src *source) {
	items, _ := src.needs.OneOrMany()
	each := slices.ContainsFunc(items, func(item yamlread.Value) bool {
		name, _ := item.Scalar()
		return strings.Contains(name, opening)
	})
	var needs []int
	for i, s := range src.instances {
		if i == 0 || each {
			needs = p.needsOf(src, s, items)
			p.sharedOutputs(src, needs)
		}
		s.Needs = needs
	}
}

// needsOf are those of a step, or of one combination of its matrix.
func (p *parser) needsOf(src *source, s *Step, items []yamlread.Value) []int {
	var needs []int
	for _, item := range items {
		name, ok := item.Scalar()
		if !ok {
			continue
		}
		name, err := scope{matrix: s.Matrix, params: p.file.Params}.expand(name)
		if err != nil {
			item.Reject(err.Error(), "")
			continue
		}
		found := p.file.resolve(name)
		switch {
		case len(found) == 0 && p.broken(name):
		case len(found) == 0:
			item.Reject(fmt.Sprintf("there is no step %q", name), p.nearest(name))
		case name == src.name || name == s.ID || !strings.Contains(item.Written(), opening) &&
			slices.ContainsFunc(src.instances, func(s *Step) bool { return s.ID == name }):
			item.Reject(fmt.Sprintf("step %s needs itself", src.name), "")
			continue
		}
		needs = append(needs, found...)
	}
	slices.Sort(needs)
	return slices.Compact(needs)
}

// nearest suggests a step for a name that is none: of a matrix, one of its combinations.
func (p *parser) nearest(name string) string {
	base, _, isCombination := strings.Cut(name, "[")
	var ids []string
	for _, i := range p.file.byBase[base] {
		ids = append(ids, p.file.Steps[i].ID)
	}
	if isCombination && len(ids) > 0 {
		return yamlread.DidYouMean(name, ids)
	}
	return yamlread.DidYouMean(name, p.names())
}

// broken reports whether a step of this name is there, but its matrix could not be read.
func (p *parser) broken(name string) bool {
	base, _, _ := strings.Cut(name, "[")
	return slices.ContainsFunc(p.read, func(src *source) bool { return src.name == base && len(src.instances) == 0 })
}

// sharedOutputs refuses needs whose outputs would come in the same variables.
func (p *parser) sharedOutputs(src *source, needs []int) {
	seen := make(map[string]string, len(needs))
	for _, n := range needs {
		id := p.file.Steps[n].ID
		variable := VariableName(id)
		if other, twice := seen[variable]; twice && len(needs) < 1000 {
			src.needs.Reject(fmt.Sprintf("needs %s and %s, whose outputs would both be $OUT_%s_…", other, id, variable),
				"rename one of the steps")
		}
		seen[variable] = id
	}
}

func (p *parser) names() []string {
	names := make([]string, 0, len(p.read))
	for _, src := range p.read {
		names = append(names, src.name)
	}
	return names
}

// cycles notes each cycle of needs once, at one of its steps.
func (p *parser) cycles() {
	f := p.file
	missing, dependants := make([]int, len(f.Steps)), f.Dependants()
	var free []int
	for i, s := range f.Steps {
		if missing[i] = len(s.Needs); missing[i] == 0 {
			free = append(free, i)
		}
	}
	for {
		for ; len(free) > 0; free = free[1:] {
			missing[free[0]] = -1
			for _, d := range dependants[free[0]] {
				if missing[d]--; missing[d] == 0 {
					free = append(free, d)
				}
			}
		}
		at := slices.IndexFunc(missing, func(m int) bool { return m > 0 })
		if at < 0 {
			return
		}
		cycle := p.cycle(at, missing)
		p.noteCycle(cycle)
		missing[cycle[0]] = 0 // as if it needed nothing: the rest may hold further cycles
		free = append(free[:0], cycle[0])
	}
}

// cycle follows open needs from a step until one comes again; each open step has an open need.
func (p *parser) cycle(at int, missing []int) []int {
	place := map[int]int{}
	var way []int
	for {
		if from, again := place[at]; again {
			return way[from:]
		}
		place[at] = len(way)
		way = append(way, at)
		needs := p.file.Steps[at].Needs
		at = needs[slices.IndexFunc(needs, func(n int) bool { return missing[n] > 0 })]
	}
}

func (p *parser) noteCycle(cycle []int) {
	first := slices.Index(cycle, slices.Min(cycle))
	cycle = append(slices.Clone(cycle[first:]), cycle[:first]...)
	names := make([]string, 0, len(cycle)+1)
	for _, i := range cycle {
		names = append(names, p.file.Steps[i].ID)
	}
	if len(names) > 12 {
		names = append(append(names[:6:6], "…"), names[len(names)-5:]...)
	}
	names = append(names, names[0])
	for _, src := range p.read {
		if src.name == p.file.Steps[cycle[0]].Base {
			src.needs.Reject("the steps need each other in a circle: "+strings.Join(names, " needs "),
				"take one of these needs away")
		}
	}
}

// limitsOfZero warns of steps that no slot will ever be free for.
func (p *parser) limitsOfZero() {
	for _, src := range p.read {
		for _, s := range src.instances {
			if name, ok := p.file.NeverAdmitted(s); ok {
				src.key.Warn(fmt.Sprintf("step %s has a tag whose limit is 0 (%s): a run that selects it is refused",
					s.ID, name), "raise the limit")
			}
		}
	}
}

// NeverAdmitted reports whether a step carries a tag whose limit is 0, and which.
func (f *File) NeverAdmitted(s *Step) (limit string, ok bool) {
	for _, t := range f.Executor.TagLimits {
		if value, has := s.Tags[t.Key]; has && t.Limit == 0 && t.Matches(t.Key, value) {
			return t.Key + "=" + value, true
		}
	}
	return "", false
}

func (f *File) suggestion(name string) string {
	names := make([]string, 0, len(f.Steps))
	for _, s := range f.Steps {
		names = append(names, s.ID)
	}
	if closest := yamlread.DidYouMean(name, names); closest != "" {
		return "; " + closest
	}
	return ""
}
