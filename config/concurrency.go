package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"limit/backend"
	"limit/config/grammar"
	"limit/config/yamlread"
)

// The keys of the concurrency block, by the mapping they stand in.
func concurrencyKeys() []string {
	return []string{"pools", "runs", "reserve_after", "hide_commands", "history_entries"}
}
func poolsKeys() []string {
	return []string{"default_limit", "strict", "granularity", "limits", bufferKey}
}
func runsKeys() []string     { return []string{"max_concurrent_runs", "tag_concurrency_limits"} }
func poolKeys() []string     { return []string{"limit", "rate"} }
func tagLimitKeys() []string { return []string{"key", "value", "limit"} }
func perValueKeys() []string { return []string{perValueKey} }

// perValueKey is Dagster's word for a limit that each value of a tag has for itself.
const perValueKey = "applyLimitPerUniqueValue"

// maxHistory is the most entries of history a store can be told to keep.
const maxHistory = 1_000_000

func (r *reader) concurrency(v yamlread.Value) {
	fields, ok := v.Fields(func(e yamlread.Entry) bool {
		return older(e) || misplaced(e, "concurrency.pools", poolsKeys()) ||
			misplaced(e, "concurrency.runs", runsKeys())
	}, concurrencyKeys()...)
	if !ok || !v.Given() {
		return
	}
	s := &r.config.Settings
	r.config.HasSettings = true
	r.from("concurrency", v)
	r.pools(fields.Get("pools"), s)
	r.runs(fields.Get("runs"), s)
	if d, ok := fields.Get("reserve_after").Duration(time.Millisecond); ok {
		s.ReserveAfter = d
		r.from("concurrency.reserve_after", fields.Get("reserve_after"))
	}
	if hide, ok := fields.Get("hide_commands").Bool(); ok {
		s.HideCommands = hide
		r.from("concurrency.hide_commands", fields.Get("hide_commands"))
	}
	if n, ok := fields.Get("history_entries").Int(1, maxHistory); ok {
		s.HistoryEntries = n
		r.from("concurrency.history_entries", fields.Get("history_entries"))
	}
}

func (r *reader) pools(v yamlread.Value, s *backend.Settings) {
	fields, _ := v.Fields(func(e yamlread.Entry) bool {
		looksLikePool := e.Value.Kind() == yamlread.Int || e.Value.Kind() == yamlread.Mapping
		if yamlread.Closest(e.Name, poolsKeys()) != "" || !looksLikePool {
			return false
		}
		e.Key.Reject(fmt.Sprintf("unknown key %q", e.Name), "a pool's own limit stands below limits")
		return true
	}, poolsKeys()...)
	if n, ok := limit(fields.Get("default_limit")); ok {
		s.DefaultLimit = &n
		r.from("concurrency.pools.default_limit", fields.Get("default_limit"))
	}
	if strict, ok := fields.Get("strict").Bool(); ok {
		s.Strict = strict
		r.from("concurrency.pools.strict", fields.Get("strict"))
	}
	if g, ok := fields.Get("granularity").OneOf(string(backend.GranularityOp), string(backend.GranularityRun)); ok {
		s.Granularity = backend.Granularity(g)
		r.from("concurrency.pools.granularity", fields.Get("granularity"))
	}
	if _, ok := fields.Get(bufferKey).Int(0, grammar.MaxSlots); ok {
		r.ignored = append(r.ignored, yamlread.Entry{Name: "concurrency.pools." + bufferKey,
			Key: fields.Key(bufferKey)})
	}
	limits, _ := fields.Get("limits").Entries()
	for _, e := range limits.All() {
		if fault := grammar.PoolFault(e.Name); fault != "" {
			fact, remedy, _ := strings.Cut(fault, "; ")
			e.Key.Reject("the name of a pool "+fact, remedy)
			continue
		}
		if pool, ok := readPool(e); ok {
			s.SetPool(e.Name, pool)
			r.from("concurrency.pools.limits."+e.Name, e.Key)
		}
	}
}

// readPool reads N, grammar.Unlimited, or {limit: …, rate: N/PERIOD} with one of the two at least.
func readPool(e yamlread.Entry) (backend.Pool, bool) {
	const remedy = "write a number or unlimited"
	if e.Value.Kind() == yamlread.Null {
		e.Key.Reject(fmt.Sprintf("pool %q has no limit", e.Name), remedy)
		return backend.Pool{}, false
	}
	if e.Value.Kind() != yamlread.Mapping {
		n, ok := limit(e.Value)
		return backend.Pool{Limit: n}, ok
	}
	fields, _ := e.Value.Fields(nil, poolKeys()...)
	if !fields.Get("limit").Given() && !fields.Get("rate").Given() {
		e.Key.Reject(fmt.Sprintf("pool %q has neither limit nor rate", e.Name), remedy)
		return backend.Pool{}, false
	}
	pool := backend.Pool{Limit: backend.Unlimited}
	if n, ok := limit(fields.Get("limit")); ok {
		pool.Limit = n
	}
	if text, ok := fields.Get("rate").Text(); ok {
		rate, err := grammar.Rate(text)
		if err != nil {
			fields.Get("rate").Reject(err.Error(), "")
		} else {
			pool.Rate = &rate
		}
	}
	return pool, true
}

// limit reads a number of slots or the word for no limit.
func limit(v yamlread.Value) (int, bool) {
	if v.Kind() == yamlread.Text {
		if v.Written() == grammar.Unlimited {
			return backend.Unlimited, true
		}
		if yamlread.Closest(v.Written(), []string{grammar.Unlimited}) != "" {
			_, ok := v.OneOf(grammar.Unlimited)
			return 0, ok
		}
		if _, err := strconv.Atoi(v.Written()); err != nil { // else the quotes are the mistake
			v.Reject(fmt.Sprintf("%s must be a whole number or unlimited, not %q", v.Name(), v.Written()), "")
			return 0, false
		}
	}
	if v.Kind() == yamlread.Int && v.Written() == "-1" {
		v.Reject(v.Name()+" must be at least 0, not -1", "write unlimited")
		return 0, false
	}
	return v.Int(0, grammar.MaxSlots)
}

func (r *reader) runs(v yamlread.Value, s *backend.Settings) {
	fields, _ := v.Fields(nil, runsKeys()...)
	most := fields.Get("max_concurrent_runs")
	if most.Kind() == yamlread.Text && most.Written() == grammar.Unlimited {
		most.Reject("max_concurrent_runs must be a whole number", "write -1, or leave it out, for no limit")
	} else if n, ok := most.Int(backend.Unlimited, grammar.MaxSlots); ok {
		s.MaxRuns = n
		r.from("concurrency.runs.max_concurrent_runs", most)
	}
	s.TagLimits = ReadTagLimits(fields.Get("tag_concurrency_limits"))
	if len(s.TagLimits) > 0 {
		r.from("concurrency.runs.tag_concurrency_limits", fields.Key("tag_concurrency_limits"))
	}
}

// ReadTagLimits reads a list of Dagster's tag_concurrency_limits, of the run queue or of an executor. Two limits on the
// same thing are a mistake.
func ReadTagLimits(v yamlread.Value) []backend.TagLimit {
	items, _ := v.List()
	first := map[tagLimitID]int{}
	var limits []backend.TagLimit
	for _, item := range items {
		l, ok := readTagLimit(item)
		if !ok {
			continue
		}
		if line, twice := first[idOf(l)]; twice {
			item.Reject(fmt.Sprintf("duplicate limit for %s, first on line %d", TagLimitName(l), line),
				"keep one of them")
			continue
		}
		first[idOf(l)] = item.Line()
		limits = append(limits, l)
	}
	return limits
}

func readTagLimit(item yamlread.Value) (l backend.TagLimit, ok bool) {
	if !item.Given() {
		item.Reject("a tag limit is empty", "write {key: …, limit: …}")
		return l, false
	}
	fields, ok := item.Fields(nil, tagLimitKeys()...)
	if !ok {
		return l, false
	}
	key := fields.Require("key")
	l.Key, ok = key.Text()
	if fault := grammar.TagKeyFault(l.Key); fault != "" && ok {
		key.Reject("the key of a tag "+fault, "")
		ok = false
	}
	n, limited := fields.Require("limit").Int(0, grammar.MaxSlots)
	l.Limit = n
	return l, readTagValue(fields.Get("value"), fields.Key("value"), &l) && ok && limited
}

// readTagValue reads text, or the mapping by which each value has the limit for itself.
func readTagValue(v, key yamlread.Value, l *backend.TagLimit) bool {
	switch v.Kind() {
	case yamlread.Absent:
		return true
	case yamlread.Null:
		key.Reject("value is empty", "leave it out for all runs with the key")
		return false
	case yamlread.Mapping:
		fields, _ := v.Fields(nil, perValueKeys()...)
		each, ok := fields.Require(perValueKey).Bool()
		l.PerValue = each
		return ok
	}
	text, ok := v.Text()
	if grammar.HasControl(text) {
		v.Reject("the value of a tag has a character in it that is not text", "")
		return false
	}
	l.Value = &text
	return ok
}

// tagLimitID is what a tag limit bounds.
type tagLimitID struct {
	key, value    string
	exact, perOne bool
}

func idOf(l backend.TagLimit) tagLimitID {
	id := tagLimitID{key: l.Key, perOne: l.PerValue, exact: l.Value != nil}
	if l.Value != nil {
		id.value = *l.Value
	}
	return id
}

// TagLimitName is how people are told of a tag limit: tag:KEY, tag:KEY=VALUE, and tag:KEY (each value).
func TagLimitName(l backend.TagLimit) string {
	switch {
	case l.PerValue:
		return "tag:" + l.Key + " (each value)"
	case l.Value != nil:
		return "tag:" + l.Key + "=" + *l.Value
	}
	return "tag:" + l.Key
}
