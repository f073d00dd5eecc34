package yamlread

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxQuoted is how many characters of a value a message repeats.
const maxQuoted = 60

// quote is a value as messages show it: short, and safe to print.
func quote(s string) string {
	if utf8.RuneCountInString(s) > maxQuoted {
		s = string([]rune(s)[:maxQuoted]) + "…"
	}
	return strconv.Quote(s)
}

// Closest returns the candidate that word was probably meant to be, or "" where none is close: another spelling of the
// same letters (maxConcurrentRuns for max_concurrent_runs), or a few letters off.
func Closest(word string, candidates []string) string {
	if utf8.RuneCountInString(word) > maxQuoted {
		return ""
	}
	best, bestDistance := "", 0
	for _, candidate := range candidates {
		distance := editDistance(letters(word), letters(candidate))
		if bound := max(1, utf8.RuneCountInString(candidate)/3); distance > bound || len(word) < 2 {
			continue
		}
		if best == "" || distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

// DidYouMean is the remedy that Closest gives, or "".
func DidYouMean(word string, candidates []string) string {
	if closest := Closest(word, candidates); closest != "" {
		return "did you mean " + quote(closest) + "?"
	}
	return ""
}

// letters is a key without what differs between styles of writing it.
func letters(s string) []rune {
	return []rune(strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s)))
}

// editDistance counts the letters to insert, delete, replace or swap with a neighbour to turn a into b.
func editDistance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
