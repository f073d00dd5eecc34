package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestTheSyntaxOfTheStore(t *testing.T) {
	for text, want := range map[string]string{
		"local":                      "local <nil>",
		"local:/x y":                 "local:/x y <nil>",
		"local:rel":                  "local:rel <nil>",
		"local:~/x":                  `local the directory of the store begins with "~", which only a shell knows; give local:DIR, or local for the default`,
		"etcd://h1:2379,h2":          "etcd://h1:2379,h2:2379 <nil>",
		"https://h1,https://[::1]:5": "etcd://https://h1:2379,https://[::1]:5 <nil>",
		"http://h1/":                 "etcd://h1:2379 <nil>",
		"etcd://":                    `local endpoint "" has no host`,
		"etcd:h":                     `local etcd needs endpoints; give etcd://HOST:2379,…`,
		"etcd":                       `local etcd needs endpoints; give etcd://HOST:2379,…`,
		"etcd://h,h:2379":            `local endpoint h:2379 is named twice`,
		"etcd://h:99999":             `local endpoint "h:99999": port "99999" is not a number from 1 to 65535`,
		"etcd://h:02379":             `local endpoint "h:02379": port "02379" is not a number from 1 to 65535`,
		"etcd://[]":                  `local endpoint "[]" is not HOST:PORT`,
		"/srv/limit":                 `local "/srv/limit" is a path and not a store; give local:/srv/limit`,
		"./store":                    `local "./store" is a path and not a store; give local:./store`,
		"":                           `local unknown store ""; give local, local:DIR or etcd://HOST:2379,…`,
	} {
		b, err := ParseBackend(text)
		if got := fmt.Sprintf("%v %v", b, err); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestWhichAgentIsUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limit.yaml")
	const text = "backend: {etcd: {endpoints: ['http://a:1', 'http://b:1'], agent: /file.sock}}"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what     string
		flags    Flags
		variable string
		agent    string
		from     string
	}{
		{"the file", Flags{}, "", "/file.sock", file + ":1"},
		{"the variable beats the file", Flags{}, "v.sock", "/here/v.sock", "$LIMIT_AGENT"},
		{"the flag beats the variable", Flags{Agent: "none"}, "v.sock", NoAgent, "--agent"},
		{"the same endpoints by another way", Flags{Backend: "etcd://a:1,b:1"}, "", "/file.sock", file + ":1"},
		{"other endpoints", Flags{Backend: "etcd://c:1"}, "", "", ""},
		{"other endpoints with an agent", Flags{Backend: "etcd://c:1", Agent: "/c.sock"}, "", "/c.sock", "--agent"},
	} {
		c.flags.Config = file
		got, err := Load(c.flags, Environment{Dir: "/here", Env: func(name string) string {
			if name == EnvAgent {
				return c.variable
			}
			return ""
		}})
		if err != nil || got.Backend.Etcd.Agent != c.agent || c.from != "" && got.From("backend.etcd.agent") != c.from {
			t.Errorf("%s: %+v, %v", c.what, got, err)
		}
		if passed := slices.Contains(got.Environ(), EnvAgent+"="+c.agent); passed != (c.agent != "") {
			t.Errorf("%s: the environment is %q", c.what, got.Environ())
		}
	}
}
