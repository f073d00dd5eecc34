package local

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"limit/backend"
)

func TestAnImageComesBackAsItWasWritten(t *testing.T) {
	for seed := range uint64(200) {
		m := randomImage(rand.New(rand.NewPCG(seed, 1)), 30)
		got, err := decodeImage(m.encode(nil), nil)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if text(got) != text(m) {
			t.Fatalf("seed %d:\n got %s\nwant %s", seed, text(got), text(m))
		}
	}
}

// text is all that an image says.
func text(m *image) string {
	settings, err := json.Marshal(m.settings) // which has pointers
	if err != nil {
		panic(err)
	}
	s := fmt.Sprintf("%v %d %d %d %d %d %d %d %d %t %s %+v\n", m.boot, m.seq, m.token, m.ceiling, m.alarm, m.cursor, m.files, m.detailsFile,
		m.detailsEnd, m.settingsSet, settings, m.starts)
	for _, r := range m.claims {
		grant := "waits"
		if r.grant != nil {
			grant = fmt.Sprint(r.grant.Token, r.grant.GrantedAt.UnixNano(), r.grant.Slots)
		}
		s += fmt.Sprintf("%s %d %d %d %d %t %t %q %d %d %q %s\n", r.id, r.file, r.seq, r.since, r.priority, r.aside, r.asked, r.reason, r.detailsOff,
			r.detailsSize, r.shape.encoded, grant)
	}
	return s
}

// TestEverySettingIsInTheImage fills every field that the settings have, so that one that is added and not encoded
// fails.
func TestEverySettingIsInTheImage(t *testing.T) {
	var want backend.Settings
	fill(reflect.ValueOf(&want).Elem(), 1)
	d := &decoder{b: appendSettings(nil, &want)}
	if got := d.settings(); !reflect.DeepEqual(got, want) || d.bad || len(d.b) > 0 {
		t.Errorf("settings\n got %+v\nwant %+v (bad %t, %d bytes left)", got, want, d.bad, len(d.b))
	}
}

func fill(v reflect.Value, n int64) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(n, 0).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n+int64(i))
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n+1)
	case reflect.String:
		v.SetString(fmt.Sprint("text", n))
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(n)
	}
}

func FuzzDecodeImage(f *testing.F) {
	f.Add(randomImage(rand.New(rand.NewPCG(1, 1)), 3).encode(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeImage(b, nil)
		if err != nil {
			return
		}
		again, err := decodeImage(m.encode(nil), nil)
		if err != nil || text(again) != text(m) {
			t.Errorf("%v: %s, then %s", err, text(m), text(again))
		}
		for i := range m.claims {
			m.claims[i].claim()
		}
	})
}

func FuzzDetails(f *testing.F) {
	c := newClaim("p", 1)
	f.Add(encodeDetails(&c))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c backend.Claim
		decodeDetails(b, &c)
	})
}

func FuzzHeader(f *testing.F) {
	s := &Store{path: "dir"}
	f.Add((&header{gen: 1, off: block, size: 9, crc: 7, keeper: id{1}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := s.decodeHeader(b); err == nil && string(h.encode()) != string(b[:headerSize]) {
			t.Errorf("%x decodes to %+v, which encodes to %x", b, h, h.encode())
		}
	})
}

func TestAClaimForAllSlotsGivesTheHeaderAVersionThatTheFirstReleasesRefuse(t *testing.T) {
	s := open(t, t.TempDir())
	version := func() uint32 {
		t.Helper()
		var own []byte // the entry's goroutine uses the store's
		h, _, err := s.readState(&own, nil)
		if err != nil {
			t.Fatal(err)
		}
		return h.version()
	}
	holder := enter(t, s, "p")
	e, err := s.Enter(t.Context(), newClaim("p", backend.AllSlots), backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release(t.Context())
	if got := version(); got != wholeVersion {
		t.Errorf("while it waits the header has the version %d, want %d", got, wholeVersion)
	}
	holder.Release(t.Context())
	awaitGrant(t, t.Context(), e)
	if got := version(); got != formatVersion {
		t.Errorf("once it holds its slot the header has the version %d, want %d", got, formatVersion)
	}
}

// TestTheFirstOfEachLineDecideAsEverybodyDoes compares what the store feeds to the rule with feeding it everybody.
func TestTheFirstOfEachLineDecideAsEverybodyDoes(t *testing.T) {
	for seed := range uint64(250) {
		random := rand.New(rand.NewPCG(seed, 2))
		m := randomImage(random, 60)
		s := &Store{}
		c := &change{s: s, img: m, now: time.Duration(random.IntN(100)) * time.Second}
		full := c.rule(everybody, id{}).Advance(c.now)
		fed, _ := c.admissible()
		if !slices.EqualFunc(fed, full, func(a, b *backend.Claim) bool { return a.ID == b.ID && reflect.DeepEqual(a.Grant, b.Grant) }) {
			t.Fatalf("seed %d: granted %v, want %v\n%s", seed, names(fed), names(full), text(m))
		}
		explained := c.rule(everybody, id{}).Explain(c.now)
		for _, w := range explained {
			i, _ := parseID(w.ID)
			if got := c.blocks(i); !w.Aside && !reflect.DeepEqual(got, w.Blocks) {
				t.Fatalf("seed %d: %s is blocked by %+v, want %+v\n%s", seed, w.ID, got, w.Blocks, text(m))
			}
		}
	}
}

func names(claims []*backend.Claim) (ids []string) {
	for _, c := range claims {
		ids = append(ids, fmt.Sprintf("%s %v", c.ID, c.Grant.Slots))
	}
	return ids
}

// randomImage is a state that the rule itself has made: some arrive and are admitted, then more arrive, some leave,
// limits grow.
func randomImage(random *rand.Rand, n int) *image {
	m := &image{boot: id{1}, alarm: never, settings: backend.NewSettings(), files: uint32(n)}
	m.settings.ReserveAfter = 40 * time.Second
	m.settings.MaxRuns = 2 + random.IntN(4)
	m.settings.Pools = map[string]backend.Pool{
		"a": {Limit: 1 + random.IntN(4)}, "b": {Limit: 1 + random.IntN(4)},
		"c": {Limit: backend.Unlimited, Rate: &backend.Rate{Slots: 3, Period: 50 * time.Second}},
	}
	m.settings.TagLimits = []backend.TagLimit{{Key: "t", PerValue: true, Limit: 1}}
	c := &change{s: &Store{}, img: m, now: 0}
	arrive := func(count int) {
		for range count {
			e := &entry{claim: randomClaim(random, m)}
			e.id, _ = parseID(e.claim.ID)
			c.now += time.Duration(random.IntN(3)) * time.Second
			c.add(e)
			r := &m.claims[len(m.claims)-1]
			r.aside, r.asked = random.IntN(12) == 0, random.IntN(12) == 0
			r.file = fileNumber(len(m.claims) - 1)
		}
	}
	arrive(n / 3)
	granted, _ := c.admissible()
	for _, g := range granted {
		i, _ := parseID(g.ID)
		c.grant(m.find(i), g)
	}
	arrive(n - n/3)
	for range random.IntN(1 + len(granted)) {
		i, _ := parseID(granted[random.IntN(len(granted))].ID)
		m.remove(i)
	}
	m.settings.Pools["a"] = backend.Pool{Limit: 1 + random.IntN(20)}
	return m
}

func randomClaim(random *rand.Rand, m *image) backend.Claim {
	var i id
	for n := range i {
		i[n] = byte(random.IntN(256))
	}
	c := backend.Claim{ID: i.String(), Pools: map[string]int{}, Priority: int32(random.IntN(3))}
	for _, pool := range []string{"a", "b", "c"} {
		if random.IntN(2) == 0 {
			c.Pools[pool] = 1 + random.IntN(2)
		}
	}
	if random.IntN(2) == 0 {
		c.Runs, c.Tags = 1, map[string]string{"t": string(rune('x' + random.IntN(3)))}
	}
	if len(m.claims) > 0 && random.IntN(4) == 0 {
		c.Ancestors = []string{m.claims[random.IntN(len(m.claims))].id.String()}
	}
	return c
}

func TestNamesOfNamespacesAreNamesOfDirectories(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"default", "a/b", "..", ".", "a.b", "format", "%66ormat", "ü", "", "a b", "A", ".new"} {
		e := escape(name)
		if other, taken := seen[e]; taken || e == formatName || len(e) > 0 && e[0] == '.' || slices.Contains([]byte(e), '/') {
			t.Errorf("%q is escaped to %q (also %q)", name, e, other)
		}
		seen[e] = name
	}
}
