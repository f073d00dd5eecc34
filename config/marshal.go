package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"limit/backend"
	"limit/config/grammar"
)

// Marshal returns settings as the concurrency block of a limit.yaml. What is unset is left out; Parse reads
// the same settings from it.
func Marshal(s backend.Settings) []byte {
	var pools, runs, rest section
	if s.DefaultLimit != nil {
		pools.add(4, "default_limit: %s", limitText(*s.DefaultLimit))
	}
	if s.Strict {
		pools.add(4, "strict: true")
	}
	if s.Granularity != "" {
		pools.add(4, "granularity: %s", s.Granularity)
	}
	if len(s.Pools) > 0 {
		pools.add(4, "limits:")
		for _, name := range slices.Sorted(maps.Keys(s.Pools)) {
			pools.add(6, "%s: %s", yamlText(name), poolYAML(s.Pools[name]))
		}
	}
	if s.MaxRuns != backend.Unlimited {
		runs.add(4, "max_concurrent_runs: %d", s.MaxRuns)
	}
	if len(s.TagLimits) > 0 {
		runs.add(4, "tag_concurrency_limits:")
		for _, l := range s.TagLimits {
			runs.add(6, "- %s", tagLimitYAML(l))
		}
	}
	if s.ReserveAfter > 0 {
		rest.add(2, "reserve_after: %s", backend.ShortDuration(s.ReserveAfter))
	}
	if s.HideCommands {
		rest.add(2, "hide_commands: true")
	}
	if s.HistoryEntries > 0 {
		rest.add(2, "history_entries: %d", s.HistoryEntries)
	}
	block := pools.under("  pools:\n") + runs.under("  runs:\n") + rest.String()
	if block == "" {
		return []byte("concurrency: {}\n")
	}
	return []byte("concurrency:\n" + block)
}

// section collects lines of a block.
type section struct{ strings.Builder }

func (s *section) add(indent int, format string, args ...any) {
	s.WriteString(strings.Repeat(" ", indent))
	fmt.Fprintf(s, format, args...)
	s.WriteByte('\n')
}

// under returns the lines below a heading, or nothing.
func (s *section) under(heading string) string {
	if s.Len() == 0 {
		return ""
	}
	return heading + s.String()
}

func limitText(n int) string {
	if n == backend.Unlimited {
		return grammar.Unlimited
	}
	return strconv.Itoa(n)
}

func poolYAML(p backend.Pool) string {
	switch {
	case p.Rate == nil:
		return limitText(p.Limit)
	case p.Limit == backend.Unlimited:
		return fmt.Sprintf("{rate: %s}", p.Rate)
	}
	return fmt.Sprintf("{limit: %d, rate: %s}", p.Limit, p.Rate)
}

func tagLimitYAML(l backend.TagLimit) string {
	value := ""
	switch {
	case l.PerValue:
		value = fmt.Sprintf(", value: {%s: true}", perValueKey)
	case l.Value != nil:
		value = ", value: " + yamlText(*l.Value)
	}
	return fmt.Sprintf("{key: %s%s, limit: %d}", yamlText(l.Key), value, l.Limit)
}

// yamlText writes a string so that YAML reads it as that string: plain where nothing speaks against it.
func yamlText(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08X`, r)
		default:
			fmt.Fprintf(&b, `\u%04X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// isPlain tells the strings that need no quotes: words and paths that YAML takes for nothing else.
func isPlain(s string) bool {
	switch strings.ToLower(s) {
	case "", "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return false
	}
	first := s[0] | 0x20
	return first >= 'a' && first <= 'z' && !strings.ContainsFunc(s, notOf(
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./"))
}
