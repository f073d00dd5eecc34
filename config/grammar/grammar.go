// Package grammar reads the small texts that flags, limit.yaml, step files and the verbs have in common: names, slots,
// limits, tags and durations. What is one in one place is one in all of them.
package grammar

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"limit/backend"
)

// MaxSlots is the highest limit, and the most slots that can be asked for.
const MaxSlots = backend.MaxSlots

// Unlimited is the word for a limit that never blocks.
const Unlimited = "unlimited"

// HasControl reports whether a text has a character in it that is no text, or bytes that are none.
func HasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar })
}

// invisible reports whether nobody sees the character: two names that differ by it look the same.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point)
}

// NameFault says why a name cannot be; "" where it can.
func NameFault(name string) string {
	switch hidden := strings.IndexFunc(name, invisible); {
	case name == "":
		return "is empty"
	case name == "--":
		return "is the end of the flags; a name is missing before it"
	case HasControl(name):
		return "has a character in it that is not text"
	case hidden >= 0:
		r, _ := utf8.DecodeRuneInString(name[hidden:])
		return fmt.Sprintf("has a character in it that cannot be seen, %U", r)
	case strings.TrimSpace(name) != name:
		return "begins or ends with a blank"
	}
	return ""
}

// TagKeyFault is NameFault for the keys of tags: KEY=VALUE is cut at the first sign.
func TagKeyFault(key string) string {
	if strings.Contains(key, "=") {
		return `has "=" in it, which ends a key`
	}
	return NameFault(key)
}

// PoolFault is NameFault for pools, whose names commas and equal signs separate where several are asked for.
func PoolFault(name string) string {
	if strings.ContainsAny(name, ",=") {
		return `has "," or "=" in it; give several pools as a=1,b=2`
	}
	return NameFault(name)
}

// AllSlots is the word for every slot of a pool.
const AllSlots = "all"

// Number reads a whole number as it is printed: not 010, 0x8, +8 or 1_000, which mean one thing here and another there.
func Number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text {
		return 0, errors.New("not a whole number")
	}
	return n, nil
}

// Pool reads NAME[=SLOTS]; backend.AllSlots for NAME=all.
func Pool(text string) (name string, slots int, err error) {
	name, slots = text, 1
	if i := strings.LastIndexByte(text, '='); i >= 0 {
		count := text[i+1:]
		name = text[:i]
		slots, err = Number(count)
		switch {
		case count == AllSlots:
			slots = backend.AllSlots
		case err != nil || slots < 1 || slots > MaxSlots:
			return "", 0, fmt.Errorf("pool %q: the slots must be a number of at least 1, or %s; give NAME=SLOTS", text,
				AllSlots)
		}
	}
	if fault := PoolFault(name); fault != "" {
		return "", 0, fmt.Errorf("pool %q: the name %s", text, fault)
	}
	return name, slots, nil
}

// Pools reads a list of them, each text of it one or several, as LIMIT_POOLS has them: database=1,api=2. nil where it
// is empty.
func Pools(texts []string) (map[string]int, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	pools := map[string]int{}
	for _, text := range strings.Split(strings.Join(texts, ","), ",") {
		name, slots, err := Pool(text)
		if err != nil {
			return nil, err
		}
		if err := AddPool(pools, name, slots); err != nil {
			return nil, err
		}
	}
	return pools, backend.CheckPools(pools)
}

// AddPool adds slots of a pool to those asked for.
func AddPool(pools map[string]int, name string, slots int) error {
	before, twice := pools[name]
	if !twice {
		pools[name] = slots
		return nil
	}
	sum := backend.SlotsText(before + slots)
	if before == backend.AllSlots || slots == backend.AllSlots {
		sum = AllSlots
	}
	return fmt.Errorf("pool %q is named twice; give %q", name, name+"="+sum)
}

// Tag reads KEY[=VALUE]. A tag without value has the value "".
func Tag(text string) (key, value string, err error) {
	key, value, _ = strings.Cut(text, "=")
	if fault := TagKeyFault(key); fault != "" {
		return "", "", fmt.Errorf("tag %q: the key %s; give KEY or KEY=VALUE", text, fault)
	}
	if HasControl(value) {
		return "", "", fmt.Errorf("tag %q: the value has a character in it that is not text", text)
	}
	return key, value, nil
}

// Tags reads a list of them; nil where it is empty.
func Tags(texts []string) (map[string]string, error) {
	var tags map[string]string
	for _, text := range texts {
		key, value, err := Tag(text)
		if err != nil {
			return nil, err
		}
		if before, twice := tags[key]; twice && before != value {
			return nil, fmt.Errorf("tag %q is given twice, with the values %q and %q", key, before, value)
		}
		if tags == nil {
			tags = map[string]string{}
		}
		tags[key] = value
	}
	return tags, nil
}

// Limit reads a number of slots, or unlimited.
func Limit(text string) (int, error) {
	if text == Unlimited {
		return backend.Unlimited, nil
	}
	n, err := Number(text)
	if err != nil || n < 0 || n > MaxSlots {
		return 0, fmt.Errorf("%q is not a limit; use a number from 0 to %d, or %s", text, MaxSlots, Unlimited)
	}
	return n, nil
}

// Rate reads N/PERIOD: 10/1m, 5/2s; a period without number is one of its unit: 10/m.
func Rate(text string) (backend.Rate, error) {
	count, period, found := strings.Cut(text, "/")
	slots, err := Number(strings.TrimSpace(count))
	switch {
	case !found || err != nil || slots < 1:
		return backend.Rate{}, fmt.Errorf("rate %q is not N/PERIOD with N at least 1, such as 10/1m", text)
	case slots > MaxSlots:
		return backend.Rate{}, fmt.Errorf("rate %q is higher than %d; leave it out", text, MaxSlots)
	}
	period = strings.TrimSpace(period)
	d, err := Duration(period)
	if one, failed := Duration("1" + period); err != nil && period != "" && failed == nil {
		d, err = one, nil
	}
	switch {
	case err != nil:
		return backend.Rate{}, fmt.Errorf("rate %q: the period is %w", text, err)
	case d < backend.MinRatePeriod:
		return backend.Rate{}, fmt.Errorf("rate %q: the period must be at least %s", text, backend.MinRatePeriod)
	}
	return backend.Rate{Slots: slots, Period: d}, nil
}

// Duration reads a number of seconds as timeout(1) does, of days with d, or what Go's time.ParseDuration reads: 10,
// 1.5m, 2d, 1h30m.
func Duration(text string) (time.Duration, error) {
	const remedy = "use 10, 90s, 1h30m or 2d"
	number, unit := text, time.Second
	if rest, ok := strings.CutSuffix(text, "d"); ok {
		number, unit = rest, 24*time.Hour
	}
	outOfRange := fmt.Errorf("out of range; %s", remedy)
	if !strings.ContainsFunc(number, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) {
		if n, err := strconv.ParseFloat(number, 64); err == nil {
			if n*float64(unit) >= 1<<62 {
				return 0, outOfRange
			}
			return time.Duration(n * float64(unit)), nil
		}
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d < 0:
		return 0, fmt.Errorf("not a duration; %s", remedy)
	case d >= 1<<62: // the sum of two is one too
		return 0, outOfRange
	}
	return d, nil
}
