package grammar

import (
	"fmt"
	"testing"

	"limit/backend"
)

func TestTheSyntaxes(t *testing.T) {
	pool := func(s string) string { n, k, err := Pool(s); return fmt.Sprintf("%q %d %v", n, k, err) }
	tag := func(s string) string { k, v, err := Tag(s); return fmt.Sprintf("%q %q %v", k, v, err) }
	limit := func(s string) string { n, err := Limit(s); return fmt.Sprintf("%d %v", n, err) }
	rate := func(s string) string { r, err := Rate(s); return fmt.Sprintf("%d/%s %v", r.Slots, r.Period, err) }
	duration := func(s string) string { d, err := Duration(s); return fmt.Sprintf("%s %v", d, err) }
	for _, c := range []struct {
		how        func(string) string
		text, want string
	}{
		{pool, "db", `"db" 1 <nil>`},
		{pool, "db=2", `"db" 2 <nil>`},
		{pool, "a=b=2", `"" 0 pool "a=b=2": the name has "," or "=" in it; give several pools as a=1,b=2`},
		{pool, " a", `"" 0 pool " a": the name begins or ends with a blank`},
		{pool, "a =2", `"" 0 pool "a =2": the name begins or ends with a blank`},
		{pool, "a b=2", `"a b" 2 <nil>`},
		{pool, "db=0", `"" 0 pool "db=0": the slots must be a number of at least 1, or all; give NAME=SLOTS`},
		{pool, "db=", `"" 0 pool "db=": the slots must be a number of at least 1, or all; give NAME=SLOTS`},
		{pool, "db=x", `"" 0 pool "db=x": the slots must be a number of at least 1, or all; give NAME=SLOTS`},
		{pool, "db=2147483648", `"" 0 pool "db=2147483648": the slots must be a number of at least 1, or all; give NAME=SLOTS`},
		{pool, "db=all", `"db" -1 <nil>`},
		{pool, "db=ALL", `"" 0 pool "db=ALL": the slots must be a number of at least 1, or all; give NAME=SLOTS`},
		{pool, "db=01", `"" 0 pool "db=01": the slots must be a number of at least 1, or all; give NAME=SLOTS`},
		{pool, "db=+1", `"" 0 pool "db=+1": the slots must be a number of at least 1, or all; give NAME=SLOTS`},
		{pool, "db=-1", `"" 0 pool "db=-1": the slots must be a number of at least 1, or all; give NAME=SLOTS`},
		{pool, "--", `"" 0 pool "--": the name is the end of the flags; a name is missing before it`},
		{pool, "d\u200bb", `"" 0 pool "d\u200bb": the name has a character in it that cannot be seen, U+200B`},
		{pool, "\u202edb", `"" 0 pool "\u202edb": the name has a character in it that cannot be seen, U+202E`},
		{pool, "\ufeffdb", `"" 0 pool "\ufeffdb": the name has a character in it that cannot be seen, U+FEFF`},
		{pool, "d\u00adb", `"" 0 pool "d\u00adb": the name has a character in it that cannot be seen, U+00AD`},
		{pool, "d\u2028b", `"" 0 pool "d\u2028b": the name has a character in it that cannot be seen, U+2028`},
		{pool, "d\u3164", "\"\" 0 pool \"d\u3164\": the name has a character in it that cannot be seen, U+3164"},
		{pool, "d\ufe0f", "\"\" 0 pool \"d\ufe0f\": the name has a character in it that cannot be seen, U+FE0F"},
		{pool, "d\U000e0041", `"" 0 pool "d\U000e0041": the name has a character in it that cannot be seen, U+E0041`},
		{pool, "d\u00a0", `"" 0 pool "d\u00a0": the name begins or ends with a blank`},
		{pool, "größe 名", `"größe 名" 1 <nil>`},
		{pool, "=1", `"" 0 pool "=1": the name is empty`},
		{pool, "", `"" 0 pool "": the name is empty`},
		{pool, "a\x1b", `"" 0 pool "a\x1b": the name has a character in it that is not text`},
		{pool, "a\xff", `"" 0 pool "a\xff": the name has a character in it that is not text`},
		{tag, "k", `"k" "" <nil>`},
		{tag, "k=", `"k" "" <nil>`},
		{tag, "k=v=w", `"k" "v=w" <nil>`},
		{tag, "=v", `"" "" tag "=v": the key is empty; give KEY or KEY=VALUE`},
		{tag, "\u200bk=v", `"" "" tag "\u200bk=v": the key has a character in it that cannot be seen, U+200B; give KEY or KEY=VALUE`},
		{tag, " k=v", `"" "" tag " k=v": the key begins or ends with a blank; give KEY or KEY=VALUE`},
		{tag, "k= v", `"k" " v" <nil>`},
		{tag, "k=\n", `"" "" tag "k=\n": the value has a character in it that is not text`},
		{limit, "2000000000", "2000000000 <nil>"},
		{limit, "unlimited", "-1 <nil>"},
		{limit, "2147483648", `0 "2147483648" is not a limit; use a number from 0 to 2147483647, or unlimited`},
		{limit, "02", `0 "02" is not a limit; use a number from 0 to 2147483647, or unlimited`},
		{limit, "+2", `0 "+2" is not a limit; use a number from 0 to 2147483647, or unlimited`},
		{limit, "-1", `0 "-1" is not a limit; use a number from 0 to 2147483647, or unlimited`},
		{rate, "10/1m", "10/1m0s <nil>"},
		{rate, "10/m", "10/1m0s <nil>"},
		{rate, "1/h", "1/1h0m0s <nil>"},
		{rate, "1/d", "1/24h0m0s <nil>"},
		{rate, " 7 / 1h30m", "7/1h30m0s <nil>"},
		{rate, "3/2500ms", "3/2.5s <nil>"},
		{rate, "3/90", "3/1m30s <nil>"},
		{rate, "3/2d", "3/48h0m0s <nil>"},
		{rate, "2147483648/1m", `0/0s rate "2147483648/1m" is higher than 2147483647; leave it out`},
		{rate, "", `0/0s rate "" is not N/PERIOD with N at least 1, such as 10/1m`},
		{rate, "10", `0/0s rate "10" is not N/PERIOD with N at least 1, such as 10/1m`},
		{rate, "0/1m", `0/0s rate "0/1m" is not N/PERIOD with N at least 1, such as 10/1m`},
		{rate, "-1/1m", `0/0s rate "-1/1m" is not N/PERIOD with N at least 1, such as 10/1m`},
		{rate, "01/1m", `0/0s rate "01/1m" is not N/PERIOD with N at least 1, such as 10/1m`},
		{rate, "1.5/1m", `0/0s rate "1.5/1m" is not N/PERIOD with N at least 1, such as 10/1m`},
		{rate, "10/day", `0/0s rate "10/day": the period is not a duration; use 10, 90s, 1h30m or 2d`},
		{rate, "10/-2m", `0/0s rate "10/-2m": the period is not a duration; use 10, 90s, 1h30m or 2d`},
		{rate, "10/1", `0/0s rate "10/1": the period must be at least 2s`},
		{rate, "10/", `0/0s rate "10/": the period is not a duration; use 10, 90s, 1h30m or 2d`},
		{rate, "10/s", `0/0s rate "10/s": the period must be at least 2s`},
		{duration, "90", "1m30s <nil>"},
		{duration, "1.5", "1.5s <nil>"},
		{duration, "2d", "48h0m0s <nil>"},
		{duration, "1h30m", "1h30m0s <nil>"},
		{duration, "-1", "0s not a duration; use 10, 90s, 1h30m or 2d"},
		{duration, "inf", "0s not a duration; use 10, 90s, 1h30m or 2d"},
		{duration, "999999d", "0s out of range; use 10, 90s, 1h30m or 2d"},
	} {
		if got := c.how(c.text); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestListsAreReadTogether(t *testing.T) {
	for _, c := range []struct {
		got  func() (any, error)
		want string
	}{
		{func() (any, error) { return Pools(nil) }, "map[] <nil>"},
		{func() (any, error) { return Pools([]string{"a", "b=2"}) }, "map[a:1 b:2] <nil>"},
		{func() (any, error) { return Pools([]string{"a=1,b=2", "c"}) }, "map[a:1 b:2 c:1] <nil>"},
		{func() (any, error) { return Pools([]string{"a,b", "b"}) }, `map[] pool "b" is named twice; give "b=2"`},
		{func() (any, error) { return Pools([]string{"a,"}) }, `map[] pool "": the name is empty`},
		{func() (any, error) { return Pools([]string{""}) }, `map[] pool "": the name is empty`},
		{func() (any, error) { _, err := Pools([]string{"a-b", "A_b"}); return nil, err },
			`<nil> pools "A_b" and "a-b" would both have their slots in LIMIT_SLOT_A_B; rename one, or claim it in a run within`},
		{func() (any, error) { return Pools([]string{"a", "a=2"}) }, `map[] pool "a" is named twice; give "a=3"`},
		{func() (any, error) { return Pools([]string{"a", "a=all"}) }, `map[] pool "a" is named twice; give "a=all"`},
		{func() (any, error) { return Tags([]string{"a", "b=2", "b=2"}) }, "map[a: b:2] <nil>"},
		{func() (any, error) { return Tags([]string{"a=1", "a=2"}) }, `map[] tag "a" is given twice, with the values "1" and "2"`},
	} {
		got, err := c.got()
		if text := fmt.Sprintf("%v %v", got, err); text != c.want {
			t.Errorf("got %s\nwant %s", text, c.want)
		}
	}
}

func FuzzRate(f *testing.F) {
	for _, s := range []string{"10/1m", "5/2", "1/h", "3/ms", "0/1m", "9999999999999999999/1m", "1/-3s", "/", "2/1h30m", "1/2d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Rate(s)
		if err != nil {
			return
		}
		if r.Slots < 1 || r.Slots > MaxSlots || r.Period < backend.MinRatePeriod {
			t.Fatalf("%q is read as %+v", s, r)
		}
		if again, err := Rate(r.String()); err != nil || again != r {
			t.Fatalf("%q is read as %+v, printed as %s, and read again as %+v: %v", s, r, r, again, err)
		}
	})
}
