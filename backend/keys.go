package backend

import (
	"cmp"
	"slices"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return appendSortedKeys(make([]K, 0, len(m)), m)
}

// appendSortedKeys needs no memory of its own.
func appendSortedKeys[K cmp.Ordered, V any](keys []K, m map[K]V) []K {
	from := len(keys)
	for key := range m {
		keys = append(keys, key)
	}
	if len(keys) > from+1 {
		slices.Sort(keys[from:])
	}
	return keys
}
