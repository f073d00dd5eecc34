package plan

import (
	"cmp"
	"slices"
	"time"

	"limit/wrap/dag/stepfile"
)

// order gives every step its priority and its rank.
func (p *Plan) order() {
	paths, topological := longestPaths(p.steps, p.dependants, p.opt.Weights)
	for _, i := range slices.Backward(topological) {
		n := &p.nodes[i]
		n.priority = p.steps[i].Priority
		for _, d := range p.dependants[i] {
			n.priority = max(n.priority, p.nodes[d].priority)
		}
	}
	byPath := make([]int, len(p.steps))
	for i := range byPath {
		byPath[i] = i
	}
	slices.SortFunc(byPath, func(a, b int) int { return cmp.Or(cmp.Compare(paths[b], paths[a]), cmp.Compare(a, b)) })
	for place, i := range byPath {
		p.nodes[i].rank = int64(len(p.steps) - place)
	}
}

// longestPaths returns for each step the weight of the longest way from its start to the end of the dag, and a
// topological order.
func longestPaths(steps []*stepfile.Step, dependants [][]int, weights []time.Duration) ([]time.Duration, []int) {
	order := topological(steps, dependants)
	paths := make([]time.Duration, len(steps))
	for _, i := range slices.Backward(order) {
		var longest time.Duration
		for _, d := range dependants[i] {
			longest = max(longest, paths[d])
		}
		paths[i] = longest + weight(weights, i)
	}
	return paths, order
}

// weight is at least a nanosecond: of steps that last no time the one with more steps behind it goes first.
func weight(weights []time.Duration, i int) time.Duration {
	if weights == nil {
		return time.Second
	}
	return max(weights[i], 1)
}

// topological returns the steps so that each comes after what it needs, else in the order of the file.
func topological(steps []*stepfile.Step, dependants [][]int) []int {
	missing := make([]int, len(steps))
	order := make([]int, 0, len(steps))
	for i, s := range steps {
		missing[i] = len(s.Needs)
		if missing[i] == 0 {
			order = append(order, i)
		}
	}
	for at := 0; at < len(order); at++ {
		for _, d := range dependants[order[at]] {
			if missing[d]--; missing[d] == 0 {
				order = append(order, d)
			}
		}
	}
	return order
}

// Topological returns the steps of a file so that each comes after what it needs, else in the order of the file.
func Topological(f *stepfile.File) []int { return topological(f.Steps, f.Dependants()) }

// CriticalPath returns the steps of the longest way through the dag, first to last, and its weight. Steps for which
// without is true are passed over; nil passes over none.
func CriticalPath(f *stepfile.File, weights []time.Duration, without func(i int) bool) ([]int, time.Duration) {
	dependants := f.Dependants()
	if without != nil {
		masked := make([]time.Duration, len(f.Steps))
		for i := range masked {
			if !without(i) {
				masked[i] = weight(weights, i)
			}
		}
		weights = masked
	}
	paths, _ := longestPaths(f.Steps, dependants, weights)
	at := -1
	for i, s := range f.Steps {
		if len(s.Needs) == 0 && (at < 0 || paths[i] > paths[at]) {
			at = i
		}
	}
	if at < 0 {
		return nil, 0
	}
	total := paths[at]
	var way []int
	for at >= 0 {
		if without == nil || !without(at) {
			way = append(way, at)
		}
		next := -1
		for _, d := range dependants[at] {
			if next < 0 || paths[d] > paths[next] {
				next = d
			}
		}
		at = next
	}
	return way, total
}
