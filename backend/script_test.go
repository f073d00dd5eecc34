package backend

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A case of the rule is stated as text, a line for each step. After every step everyone admissible is admitted.
//
//	limits db=2 api=4@10/1m mail=unlimited default=5 runs=3 tag:k=1 tag:k=v=2 tag:k=*=1 reserve=5m
//	                       the whole settings, in place of those before; * is "each value its own"
//	                       -pool:db and -runs pause a limit, strict refuses pools without a limit of their own
//	enter a db=2 #k=v !5 ~3 runs=2 ^p ^q
//	                       a claim: slots of pools, tags (a claim with tags is a run), priority, rank, slots of the
//	                       run queue, ancestors; ^^RUN/CLAIM is the run it says it is nested in; "impossible" with the reason follows where it can never be granted
//	ask w db               the same, and it does not enter
//	release a, aside a, stand a, bump a 7
//	at 30s                 the clock
//	> a b                  granted since the last such line, in this order; > alone: nobody
//	slots a db=0,1         the numbers of a grant; none where it has none
//	blocks a pool:db 2/2 full b,c; runs 3/3 behind d
//	way a b c              the holders in the way of a new claim like a
//	refuse a               refused by the limits now in force
//	impossible TEXT        what entering the claim before said
//	next 5m                the State's own wish to be woken; none
//	usage pool:db 1/2 +3   a line of the usage: used/capacity, waiting; *4 started
type script struct {
	t       *testing.T
	state   *State
	now     time.Duration
	seq     int64
	granted []string
	last    error // of the last claim entered
	claims  map[string]*Claim
}

func playScript(t *testing.T, text string) {
	t.Helper()
	p := &script{t: t, state: NewState(NewSettings(), StoreNames()), claims: map[string]*Claim{}}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "// ")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := p.step(words[0], words[1:]); err != nil {
			t.Errorf("line %d: %s: %v\nof the case:\n%s", i+1, strings.TrimSpace(line), err, numbered(text))
			return
		}
		for _, c := range p.state.Advance(p.now) {
			p.granted = append(p.granted, c.ID)
			p.seq++
			c.Grant.Token = p.seq
		}
	}
	if len(p.granted) > 0 {
		t.Errorf("granted at the end and not expected: %v\n%s", p.granted, numbered(text))
	}
}

func numbered(text string) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		fmt.Fprintf(&b, "%3d %s\n", i+1, line)
	}
	return b.String()
}

func (p *script) step(verb string, args []string) error {
	switch verb {
	case "limits":
		p.state.Configure(settingsOf(args))
	case "enter":
		return p.enter(args)
	case "ask":
		p.claims[args[0]] = claimOf(args)
	case "release":
		for _, id := range args {
			if !p.state.Remove(id) {
				return errors.New("no such claim")
			}
		}
	case "aside", "stand":
		if !p.state.Aside(args[0], verb == "aside") {
			return errors.New("no such claim")
		}
	case "bump":
		priority, _ := strconv.Atoi(args[1])
		if !p.state.Bump(args[0], int32(priority)) {
			return errors.New("no such waiting claim")
		}
	case "at":
		p.now = duration(args[0])
	default:
		return p.expect(verb, args)
	}
	return nil
}

func (p *script) enter(args []string) error {
	p.seq++
	c := claimOf(args)
	c.Seq = p.seq
	p.claims[c.ID] = c
	if p.last = p.state.Check(c); p.last == nil {
		p.state.Wait(c, p.now)
	}
	return nil
}

// expect compares what a line states with what is.
func (p *script) expect(verb string, args []string) error {
	want, is := strings.Join(args, " "), ""
	switch verb {
	case ">":
		is, p.granted = strings.Join(p.granted, " "), nil
	case "slots":
		is = args[0] + " none"
		if c := p.state.Claim(args[0]); c != nil && c.Grant != nil && c.Grant.Slots != nil {
			is = args[0] + " " + slotsText(c.Grant.Slots)
		}
	case "blocks":
		is = args[0] + blocksText(p.state.BlocksOf(args[0], p.now))
	case "way":
		is = args[0]
		for _, c := range p.state.InTheWay(p.claims[args[0]]) {
			is += " " + c.ID
		}
	case "refuse":
		var ids []string
		for _, r := range p.state.Refuse() {
			ids = append(ids, r.Claim.ID)
		}
		is = strings.Join(ids, " ")
	case "impossible":
		is = fmt.Sprint(p.last)
	case "next":
		is = "none"
		if at, ok := p.state.Next(); ok {
			is = ShortDuration(at)
		}
	case "usage":
		is = p.usage(args[0])
	default:
		return errors.New("unknown verb")
	}
	if is != want {
		return fmt.Errorf("is      %s", is)
	}
	return nil
}

func (p *script) usage(limit string) string {
	for _, u := range p.state.Usage(p.now) {
		if u.Limit == limit {
			text := fmt.Sprintf("%s %d/%d +%d", limit, u.Used, u.Capacity, u.Waiting)
			if u.Started > 0 {
				text += fmt.Sprintf(" *%d", u.Started)
			}
			return text
		}
	}
	return "no such limit"
}

func blocksText(blocks []Block) string {
	var parts []string
	for _, b := range blocks {
		parts = append(parts, strings.TrimSuffix(fmt.Sprintf(" %s %s %s", b, b.Why, strings.Join(b.By, ",")), " "))
	}
	return strings.Join(parts, ";")
}

func slotsText(slots map[string][]int) string {
	var parts []string
	for _, pool := range sortedKeys(slots) {
		parts = append(parts, pool+"="+strings.ReplaceAll(strings.Trim(fmt.Sprint(slots[pool]), "[]"), " ", ","))
	}
	return strings.Join(parts, " ")
}

func claimOf(args []string) *Claim {
	c := &Claim{ID: args[0], RunID: args[0]}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		n, _ := strconv.Atoi(value)
		switch {
		case strings.HasPrefix(arg, "#"):
			if c.Tags == nil {
				c.Tags = map[string]string{}
			}
			c.Tags[name[1:]] = value
			c.Runs = max(c.Runs, 1)
		case strings.HasPrefix(arg, "^^"):
			run, claim, _ := strings.Cut(arg[2:], "/")
			c.Within, c.Runs = &Within{Run: run, Claim: claim}, max(c.Runs, 1)
		case strings.HasPrefix(arg, "^"):
			c.Ancestors = append(c.Ancestors, arg[1:])
		case strings.HasPrefix(arg, "!"):
			n, _ = strconv.Atoi(arg[1:])
			c.Priority = int32(n)
		case arg == "replace":
			c.Replaces = true
		case strings.HasPrefix(arg, "~"):
			n, _ = strconv.Atoi(arg[1:])
			c.Rank = int64(n)
		case name == "runs":
			c.Runs = max(n, 1)
		default:
			if c.Pools == nil {
				c.Pools = map[string]int{}
			}
			if c.Pools[name] = max(n, 1); value == "all" {
				c.Pools[name] = AllSlots
			}
		}
	}
	return c
}

func settingsOf(args []string) Settings {
	s := NewSettings()
	for _, arg := range args {
		if limit, paused := strings.CutPrefix(arg, "-"); paused {
			if s.Paused == nil {
				s.Paused = map[string]Pause{}
			}
			s.Paused[limit] = Pause{By: "ann@host"}
			continue
		}
		if arg == "strict" {
			s.Strict = true
			continue
		}
		cut := strings.LastIndexByte(arg, '=')
		name, value := arg[:cut], arg[cut+1:]
		limit, rate, rated := strings.Cut(value, "@")
		n, err := strconv.Atoi(limit)
		if err != nil {
			n = Unlimited
		}
		switch {
		case name == "default":
			s.DefaultLimit = &n
		case name == "runs":
			s.MaxRuns = n
		case name == "reserve":
			s.ReserveAfter = duration(value)
		case strings.HasPrefix(name, "tag:"):
			s.TagLimits = append(s.TagLimits, tagLimitOf(name, n))
		default:
			pool := Pool{Limit: n}
			if rated {
				slots, period, _ := strings.Cut(rate, "/")
				n, err := strconv.Atoi(slots)
				if err != nil {
					panic(err)
				}
				pool.Rate = &Rate{Slots: n, Period: duration(period)}
			}
			if s.Pools == nil {
				s.Pools = map[string]Pool{}
			}
			s.Pools[name] = pool
		}
	}
	return s
}

func tagLimitOf(name string, limit int) TagLimit {
	key, value, found := strings.Cut(strings.TrimPrefix(name, "tag:"), "=")
	t := TagLimit{Key: key, Limit: limit, PerValue: value == "*"}
	if found && !t.PerValue {
		t.Value = &value
	}
	return t
}

func duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return d
}

// cases runs each script under its name.
func cases(t *testing.T, scripts map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(scripts)) {
		t.Run(name, func(t *testing.T) { playScript(t, scripts[name]) })
	}
}
