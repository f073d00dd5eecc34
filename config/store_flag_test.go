package config

import (
	"fmt"
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
