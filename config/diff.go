package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"limit/backend"
	"limit/config/grammar"
)

// Diff tells what differs between two settings, a line each: pool:database 1 → 2. It returns nil where both mean the
// same: neither the order of tag limits nor a default that is written out makes a difference. A pause is no setting of
// a file.
func Diff(old, new backend.Settings) []string {
	var lines []string
	change := func(name, before, after string) {
		if before != after {
			lines = append(lines, fmt.Sprintf("%s %s → %s", name, before, after))
		}
	}
	change("default_limit", defaultText(old), defaultText(new))
	change("strict", strconv.FormatBool(old.Strict), strconv.FormatBool(new.Strict))
	change("granularity", granularityText(old), granularityText(new))
	for _, name := range bothKeys(old.Pools, new.Pools) {
		change("pool:"+name, poolText(old.Pools, name), poolText(new.Pools, name))
	}
	change("runs", limitText(old.MaxRuns), limitText(new.MaxRuns))
	before, after := tagLimits(old), tagLimits(new)
	for _, name := range bothKeys(before, after) {
		change(name, orNone(before, name), orNone(after, name))
	}
	change("reserve_after", backend.ShortDuration(old.Reserve()), backend.ShortDuration(new.Reserve()))
	change("hide_commands", strconv.FormatBool(old.HideCommands), strconv.FormatBool(new.HideCommands))
	change("history_entries", historyText(old), historyText(new))
	return lines
}

// Keep returns the settings of a file with the limits of pools and tags added that the store has and the file does not
// name.
func Keep(store, file backend.Settings) backend.Settings {
	kept := file.Clone()
	for name, pool := range store.Clone().Pools {
		if _, named := kept.Pools[name]; !named {
			kept.SetPool(name, pool)
		}
	}
	named := tagLimits(file)
	for _, l := range store.Clone().TagLimits {
		if _, ok := named[TagLimitName(l)]; !ok {
			kept.TagLimits = append(kept.TagLimits, l)
		}
	}
	return kept
}

func bothKeys[V any](a, b map[string]V) []string {
	both := maps.Clone(a)
	if both == nil {
		both = map[string]V{}
	}
	maps.Copy(both, b)
	return slices.Sorted(maps.Keys(both))
}

// defaultText is the limit of pools without one of their own, unset where that is the built-in one.
func defaultText(s backend.Settings) string {
	if s.DefaultLimit == nil {
		return "unset"
	}
	return limitText(*s.DefaultLimit)
}

func granularityText(s backend.Settings) string {
	if s.Granularity == "" {
		return string(backend.GranularityOp)
	}
	return string(s.Granularity)
}

func historyText(s backend.Settings) string {
	if s.HistoryEntries == 0 {
		return "default"
	}
	return strconv.Itoa(s.HistoryEntries)
}

// poolText is a pool's own limit, default where it has none.
func poolText(pools map[string]backend.Pool, name string) string {
	p, ok := pools[name]
	switch {
	case !ok:
		return "default"
	case p.Rate != nil:
		return limitText(p.Limit) + " at " + p.Rate.String()
	}
	return limitText(p.Limit)
}

func tagLimits(s backend.Settings) map[string]string {
	limits := make(map[string]string, len(s.TagLimits))
	for _, l := range s.TagLimits {
		limits[TagLimitName(l)] = strconv.Itoa(l.Limit)
	}
	return limits
}

func orNone(limits map[string]string, name string) string {
	if text, ok := limits[name]; ok {
		return text
	}
	return "none"
}

func limitText(n int) string {
	if n == backend.Unlimited {
		return grammar.Unlimited
	}
	return strconv.Itoa(n)
}
