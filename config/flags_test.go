package config

import (
	"fmt"
	"testing"
)

func TestTheSyntaxesOfFlags(t *testing.T) {
	pool := func(s string) string { n, k, err := ParsePoolFlag(s); return fmt.Sprintf("%q %d %v", n, k, err) }
	tag := func(s string) string { k, v, err := ParseTagFlag(s); return fmt.Sprintf("%q %q %v", k, v, err) }
	store := func(s string) string { b, err := ParseBackend(s); return fmt.Sprintf("%v %v", b, err) }
	for _, c := range []struct {
		how        func(string) string
		text, want string
	}{
		{pool, "db", `"db" 1 <nil>`},
		{pool, "db=2", `"db" 2 <nil>`},
		{pool, "a=b=2", `"a=b" 2 <nil>`},
		{pool, "db=0", `"" 0 pool "db=0": the slots must be a number of at least 1; give NAME=SLOTS`},
		{pool, "db=", `"" 0 pool "db=": the slots must be a number of at least 1; give NAME=SLOTS`},
		{pool, "db=x", `"" 0 pool "db=x": the slots must be a number of at least 1; give NAME=SLOTS`},
		{pool, "db=2147483648", `"" 0 pool "db=2147483648": the slots must be a number of at least 1; give NAME=SLOTS`},
		{pool, "=1", `"" 0 pool "=1": the name is empty`},
		{pool, "", `"" 0 pool "": the name is empty`},
		{pool, "a\x1b", `"" 0 pool "a\x1b": the name has a character in it that is not text`},
		{pool, "a\xff", `"" 0 pool "a\xff": the name has a character in it that is not text`},
		{tag, "k", `"k" "" <nil>`},
		{tag, "k=", `"k" "" <nil>`},
		{tag, "k=v=w", `"k" "v=w" <nil>`},
		{tag, "=v", `"" "" tag "=v": the key is empty; give KEY or KEY=VALUE`},
		{tag, "k=\n", `"" "" tag "k=\n": the value has a character in it that is not text`},
		{store, "local", "local <nil>"},
		{store, "local:/x y", "local:/x y <nil>"},
		{store, "local:rel", "local:rel <nil>"},
		{store, "local:~/x", `local the directory of the store begins with "~", which only a shell knows; give local:DIR, or local for the default`},
		{store, "etcd://h1:2379,h2", "etcd://h1:2379,h2:2379 <nil>"},
		{store, "https://h1,https://[::1]:5", "etcd://https://h1:2379,https://[::1]:5 <nil>"},
		{store, "http://h1/", "etcd://h1:2379 <nil>"},
		{store, "etcd://", `local endpoint "" has no host`},
		{store, "etcd:h", `local etcd needs endpoints; give etcd://HOST:2379,…`},
		{store, "etcd", `local etcd needs endpoints; give etcd://HOST:2379,…`},
		{store, "etcd://h,h:2379", `local endpoint h:2379 is named twice`},
		{store, "etcd://h:99999", `local endpoint "h:99999": port "99999" is not a number from 1 to 65535`},
		{store, "etcd://h:02379", `local endpoint "h:02379": port "02379" is not a number from 1 to 65535`},
		{store, "etcd://[]", `local endpoint "[]" is not HOST:PORT`},
		{store, "", `local unknown store ""; give local, local:DIR or etcd://HOST:2379,…`},
	} {
		if got := c.how(c.text); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestRepeatedFlagsAreReadTogether(t *testing.T) {
	for _, c := range []struct {
		got  func() (any, error)
		want string
	}{
		{func() (any, error) { return ParsePoolFlags(nil) }, "map[] <nil>"},
		{func() (any, error) { return ParsePoolFlags([]string{"a", "b=2"}) }, "map[a:1 b:2] <nil>"},
		{func() (any, error) { return ParsePoolFlags([]string{"a", "a=2"}) }, `map[] pool "a" is named twice; give a=3 for all its slots`},
		{func() (any, error) { return ParseTagFlags([]string{"a", "b=2", "b=2"}) }, "map[a: b:2] <nil>"},
		{func() (any, error) { return ParseTagFlags([]string{"a=1", "a=2"}) }, `map[] tag "a" is given twice, with the values "1" and "2"`},
	} {
		got, err := c.got()
		if text := fmt.Sprintf("%v %v", got, err); text != c.want {
			t.Errorf("got %s\nwant %s", text, c.want)
		}
	}
}
