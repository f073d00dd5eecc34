package simulate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"limit/backend"
)

// worth is the part of the waiting that a change has to end to be worth telling.
const worth = 0.02

// knob is a limit that can be set.
type knob struct {
	of   backend.Usage
	rate *backend.Rate
}

// knobs are the limits with a capacity that claims met, the busiest first, and at most mostKnobs: one for all values of
// a tag.
func (r *Result) knobs() []knob {
	var knobs []knob
	for _, u := range r.Limits {
		k := knob{of: u.of}
		if k.of.Kind == backend.KindTag {
			k.of.Limit = backend.StoreNames().TagLimit(k.of.Tag.Key, k.of.Tag.Value)
		}
		if k.of.Kind == backend.KindRate {
			pool, _ := r.settings.Pool(k.of.Pool)
			k.rate = pool.Rate
		}
		same := func(o knob) bool { return o.of.Limit == k.of.Limit && o.of.Kind == k.of.Kind }
		if u.Capacity != nil && len(knobs) < mostKnobs && !slices.ContainsFunc(knobs, same) {
			knobs = append(knobs, k)
		}
	}
	return knobs
}

// mostKnobs bounds how many replays one advice costs.
const mostKnobs = 6

// set returns the settings with the limit at another capacity.
func (k knob) set(s backend.Settings, capacity int) backend.Settings {
	s = s.Clone()
	switch {
	case k.rate == nil:
		Set(&s, k.of.Limit, capacity)
	case capacity == backend.Unlimited:
		pool, _ := s.Pool(k.of.Pool)
		pool.Rate = nil
		s.SetPool(k.of.Pool, pool)
	default:
		SetRate(&s, k.of.Pool, backend.Rate{Slots: capacity, Period: k.rate.Period})
	}
	return s
}

// change says what set does, as 'limit diff' does.
func (k knob) change(to int) string {
	if k.rate == nil {
		return fmt.Sprintf("%s %d → %d", k.of.Limit, k.of.Capacity, to)
	}
	return fmt.Sprintf("%s %s → %s", k.of.Limit, k.rate, backend.Rate{Slots: to, Period: k.rate.Period})
}

func (k knob) String() string {
	if k.rate != nil {
		return "the rate of " + short(k.of.Limit)
	}
	return short(k.of.Limit)
}

// narrowest is the limit without which most of the waiting that a result has would end, and the result without it; nil
// where none ends what is worth telling.
func (w *Work) narrowest(r *Result) (*knob, *Result) {
	var narrowest *knob
	var best *Result
	for _, k := range r.knobs() {
		lifted := w.Replay(k.set(r.settings, backend.Unlimited))
		if best == nil || lifted.Waited.Sum < best.Waited.Sum {
			narrowest, best = &k, lifted
		}
	}
	if best == nil || best.ends(r) < worth {
		return nil, nil
	}
	return narrowest, best
}

// ends is the part of the waiting of another result that this one ends.
func (r *Result) ends(of *Result) float64 {
	if of.Waited.Sum <= 0 {
		return 0
	}
	return 1 - float64(r.Waited.Sum)/float64(of.Waited.Sum)
}

// search finds the variant that is worth doing: of the limit that costs most, the least capacity that ends nearly all
// that it can end.
func (w *Work) search(now *Result) []*Result {
	if !now.waits() {
		return []*Result{}
	}
	k, lifted := w.narrowest(now)
	if k == nil {
		return []*Result{}
	}
	try := func(capacity int) *Result {
		r := w.Replay(k.set(now.settings, capacity))
		r.Change = k.change(capacity)
		return r
	}
	enough := (1 - worth) * lifted.ends(now)
	low, high := k.of.Capacity, max(1, 2*k.of.Capacity) // low is too little
	found := try(high)
	for found.ends(now) < enough && high < mostCapacity {
		low, high = high, 2*high
		found = try(high)
	}
	for low+1 < high {
		middle := low + (high-low)/2
		if r := try(middle); r.ends(now) >= enough {
			high, found = middle, r
		} else {
			low = middle
		}
	}
	return []*Result{found}
}

// mostCapacity is where the search for more ends.
const mostCapacity = 1 << 20

// waits reports whether there is any waiting to speak of.
func (r *Result) waits() bool {
	return time.Duration(r.Waited.Sum) > time.Duration(r.Claims)*time.Millisecond && r.Waited.Longest > Seconds(noise)
}

// advice says in one sentence what is worth doing.
// sought says that the variant is the least that ends what its limit can end.
func (w *Work) advice(now *Result, variants []*Result, sought bool) string {
	fair := slices.DeleteFunc(slices.Clone(variants),
		func(r *Result) bool { return r.Refused > now.Refused || r.Stuck > now.Stuck })
	switch {
	case now.Claims == 0:
		return "no claim was remembered"
	case len(fair) == 0 && len(variants) > 0:
		return w.unfair(now, variants)
	case !now.waits() && (len(fair) == 0 || !fair[0].waits()):
		return "nobody waits with the limits of now: raising one would gain nothing"
	case len(fair) == 0:
		return "no limit alone ends any of the waiting worth telling: " + among(now) + " bind together"
	}
	least := slices.MinFunc(fair, func(a, b *Result) int { return cmp.Compare(a.Waited.Sum, b.Waited.Sum) })
	best := fair[slices.IndexFunc(fair, func(r *Result) bool { return r.ends(now) >= least.ends(now)-worth })]
	gain := best.ends(now)
	if gain < worth {
		return w.noGain(now, best, len(fair))
	}
	sentence := fmt.Sprintf("%s ends %s of the waiting", changed(best), percent(gain, best))
	last := variants[len(variants)-1]
	limit, to := oneChange(best)
	of, _ := oneChange(last)
	most := sought || best != last && limit == of && math.Abs(last.ends(now)-gain) <= worth
	if most && limit != "" {
		sentence += fmt.Sprintf("; beyond %s nothing changes", to)
	}
	return sentence + w.then(best, most)
}

// then says what binds next. most says that more of what has changed gains nothing.
func (w *Work) then(best *Result, most bool) string {
	if !best.waits() {
		return "; then nobody waits"
	}
	limit, _ := oneChange(best)
	at := best
	for _, k := range best.knobs() {
		if most && k.of.Limit == limit { // what keeps more of it from being of use
			at = w.Replay(k.set(at.settings, backend.Unlimited))
		}
	}
	switch k, _ := w.narrowest(at); {
	case k == nil:
		return ""
	case k.of.Limit == limit:
		return "; more of it would end more"
	default:
		return fmt.Sprintf("; then %s binds", k)
	}
}

// noGain says of the best of some variants that it ends nothing.
func (w *Work) noGain(now, best *Result, count int) string {
	added := time.Duration(best.Waited.Sum - now.Waited.Sum)
	if added > time.Duration(worth*float64(now.Waited.Sum)) && added > noise*time.Duration(now.Claims)/10 {
		text := fmt.Sprintf("%s adds %s to %s of waiting", changed(best), round(added),
			round(time.Duration(now.Waited.Sum)))
		if count > 1 {
			text = "none ends any of the waiting: at best " + text
		}
		return text
	}
	text := fmt.Sprintf("%s changes nothing", changed(best))
	if k, _ := w.narrowest(now); k != nil {
		text += fmt.Sprintf(": %s binds", k)
	}
	return text
}

// unfair says of variants that all let some claims never start why none is worth doing.
func (w *Work) unfair(now *Result, variants []*Result) string {
	v := slices.MinFunc(variants, func(a, b *Result) int { return (a.Refused + a.Stuck) - (b.Refused + b.Stuck) })
	if v.Stuck > now.Stuck {
		return fmt.Sprintf("%s keeps %d of %d claims waiting for ever", changed(v), v.Stuck, v.Claims)
	}
	return fmt.Sprintf("%s refuses %d of %d claims, which ask for more", changed(v), v.Refused, v.Claims)
}

func changed(r *Result) string {
	parts := strings.Split(r.Change, ", ")
	for i := range parts {
		parts[i] = short(parts[i])
	}
	return strings.Join(parts, ", ")
}

// oneChange is the limit that is other than now, and what it is set to; "" where several are.
func oneChange(r *Result) (limit, to string) {
	before, to, _ := strings.Cut(r.Change, " → ")
	if strings.Contains(to, " → ") {
		return "", ""
	}
	return before[:max(0, strings.LastIndexByte(before, ' '))], to
}

// percent rounds, and rounds nothing up to all.
func percent(part float64, r *Result) string {
	switch {
	case !r.waits():
		return "all"
	case part > 0.99:
		return "more than 99%"
	}
	return fmt.Sprintf("%.0f%%", 100*part)
}

func among(r *Result) string {
	var names []string
	for _, k := range r.knobs() {
		names = append(names, k.String())
	}
	return strings.Join(names, ", ")
}

func round(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return backend.ShortDuration(d.Round(time.Second))
	case d >= time.Second:
		return backend.ShortDuration(d.Round(100 * time.Millisecond))
	}
	return backend.ShortDuration(d.Round(time.Millisecond))
}
