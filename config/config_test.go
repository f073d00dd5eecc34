package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"limit/backend"
)

// machine is a directory tree with a limit.yaml where a test wants one.
func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// surroundings are those of a user whose home is root/home, in the directory root/dir.
func surroundings(root, dir string, env ...string) Environment {
	vars := map[string]string{"HOME": filepath.Join(root, "home")}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		vars[name] = strings.ReplaceAll(value, "ROOT", root)
	}
	uid := os.Geteuid()
	if uid == 0 {
		uid = 1000 // root's files are everybody's to trust
	}
	return Environment{Dir: filepath.Join(root, dir), UID: uid, Env: func(name string) string { return vars[name] }}
}

func TestTheFirstFileInTheOrderOfSearchIsRead(t *testing.T) {
	root := machine(t, map[string]string{
		"a.yaml": "namespace: flag", "b.yaml": "namespace: variable", "proj/limit.yaml": "namespace: parent",
		"proj/sub/dir/x": "", "proj/near/limit.yaml": "namespace: here", "xdg/limit/limit.yaml": "namespace: xdg",
		"home/.config/limit/limit.yaml": "namespace: home", "other/x": "",
	})
	for _, c := range []struct {
		dir, flag string
		env       []string
		want      string
	}{
		{"proj/sub/dir", "../../../a.yaml", []string{"LIMIT_CONFIG=ROOT/b.yaml"}, "flag"},
		{"proj/sub/dir", "", []string{"LIMIT_CONFIG=ROOT/b.yaml"}, "variable"},
		{"proj/sub/dir", "", []string{"LIMIT_CONFIG="}, "parent"},
		{"proj/near", "", nil, "here"},
		{"other", "", []string{"XDG_CONFIG_HOME=ROOT/xdg"}, "xdg"},
		{"other", "", []string{"XDG_CONFIG_HOME=relative"}, "home"},
		{"other", "", []string{"HOME="}, "default"},
		{"other", "", []string{"LIMIT_CONFIG=/dev/null"}, "default"},
	} {
		at := surroundings(root, c.dir, append(c.env, "XDG_STATE_HOME=/s")...)
		flags := Flags{Config: c.flag}
		if c.flag != "" {
			flags.Config = filepath.Join(root, c.dir, c.flag)
		}
		got, err := Load(flags, at)
		if err != nil || got.Namespace != c.want {
			t.Errorf("in %s with %v: %+v, %v, want %s", c.dir, c.env, got, err, c.want)
		}
	}
}

func TestAFileThatIsNamedMustBeThere(t *testing.T) {
	root := machine(t, map[string]string{"x": ""})
	for _, name := range []string{"none.yaml", "."} {
		path := filepath.Join(root, name)
		if _, err := Load(Flags{Config: path}, surroundings(root, "")); err == nil || !strings.Contains(err.Error(), root) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFileOfUnreasonableSizeIsRefusedUnread(t *testing.T) {
	root := machine(t, map[string]string{"limit.yaml": strings.Repeat("#", maxFile+1), "sub/x": ""})
	_, err := Load(Flags{}, surroundings(root, "sub"))
	if want := filepath.Join(root, "limit.yaml") + ":1:1: the file is larger than 1024 KiB"; fmt.Sprint(err) != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestFlagsBeatTheEnvironmentAndBothBeatTheFile(t *testing.T) {
	root := machine(t, map[string]string{"limit.yaml": "namespace: file\nbackend: {local: {dir: store}}\n"})
	file := filepath.Join(root, "limit.yaml")
	for _, c := range []struct {
		flags Flags
		env   []string
		want  string
	}{
		{Flags{}, nil, "local:ROOT/store file | FILE:2 FILE:1"},
		{Flags{}, []string{"LIMIT_BACKEND=local:rel", "LIMIT_NAMESPACE=env"}, "local:ROOT/rel env | $LIMIT_BACKEND $LIMIT_NAMESPACE"},
		{Flags{Backend: "etcd://h", Namespace: "n"}, []string{"LIMIT_BACKEND=local:x", "LIMIT_NAMESPACE=env"}, "etcd://h:2379 n | --backend --namespace"},
		{Flags{Backend: "local"}, nil, "local:ROOT/home/.local/state/limit file | --backend FILE:1"},
		{Flags{Backend: "local"}, []string{"XDG_STATE_HOME=/s"}, "local:/s/limit file | --backend FILE:1"},
	} {
		got, err := Load(c.flags, surroundings(root, "", c.env...))
		if err != nil {
			t.Errorf("%+v %v: %v", c.flags, c.env, err)
			continue
		}
		text := fmt.Sprintf("%s %s | %s %s", got.Backend, got.Namespace, got.From("backend"), got.From("namespace"))
		text = strings.ReplaceAll(strings.ReplaceAll(text, file, "FILE"), root, "ROOT")
		if text != c.want {
			t.Errorf("%+v %v:\n got %s\nwant %s", c.flags, c.env, text, c.want)
		}
	}
}

func TestAnotherLimitComesToTheSameStoreFromAnyDirectory(t *testing.T) {
	root := machine(t, map[string]string{
		"home/file":         "",
		"plain/limit.yaml":  "backend: {local: {dir: store}}\nnamespace: file\n",
		"secure/limit.yaml": "backend: {etcd: {endpoints: [h], tls: {ca: ca.pem}}}\n",
		"user/limit.yaml":   "backend: {etcd: {endpoints: [h], username: u, password_file: p}}\n",
		"else/limit.yaml":   "backend: {etcd: {endpoints: [other], tls: {ca: other.pem}, username: v, password_file: q}}\nnamespace: other\n",
	})
	for _, c := range []struct {
		dir   string
		flags Flags
		env   []string
		want  string
	}{
		{"plain", Flags{}, nil, "LIMIT_BACKEND=local:ROOT/plain/store LIMIT_NAMESPACE=file"},
		{"plain", Flags{Backend: "local:rel"}, nil, "LIMIT_BACKEND=local:ROOT/plain/rel LIMIT_NAMESPACE=file"},
		{"plain", Flags{Backend: "local"}, nil, "LIMIT_BACKEND=local:ROOT/home/.local/state/limit LIMIT_NAMESPACE=file"},
		{"plain", Flags{Config: "../secure/limit.yaml"}, nil, "LIMIT_BACKEND=etcd://https://h:2379 LIMIT_NAMESPACE=default LIMIT_CONFIG=ROOT/secure/limit.yaml"},
		{"home", Flags{Namespace: "n"}, []string{"LIMIT_CONFIG=../plain/limit.yaml"}, "LIMIT_BACKEND=local:ROOT/plain/store LIMIT_NAMESPACE=n LIMIT_CONFIG=ROOT/plain/limit.yaml"},
		{"secure", Flags{}, nil, "LIMIT_BACKEND=etcd://https://h:2379 LIMIT_NAMESPACE=default LIMIT_CONFIG=ROOT/secure/limit.yaml"},
		{"secure", Flags{Backend: "http://g,http://h"}, nil, "LIMIT_BACKEND=http://g:2379,http://h:2379 LIMIT_NAMESPACE=default LIMIT_CONFIG=ROOT/secure/limit.yaml"},
		{"user", Flags{}, nil, "LIMIT_BACKEND=etcd://h:2379 LIMIT_NAMESPACE=default LIMIT_CONFIG=ROOT/user/limit.yaml"},
		{"home", Flags{}, []string{"LIMIT_BACKEND=etcd://h"}, "LIMIT_BACKEND=etcd://h:2379 LIMIT_NAMESPACE=default LIMIT_CONFIG=/dev/null"},
	} {
		t.Chdir(filepath.Join(root, c.dir))
		outer, err := Load(c.flags, surroundings(root, c.dir, c.env...))
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if got := strings.ReplaceAll(strings.Join(outer.Environ(), " "), root, "ROOT"); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c, got, c.want)
		}
		inner, err := Load(Flags{}, surroundings(root, "else", outer.Environ()...))
		if err != nil || !reflect.DeepEqual(inner.Backend, outer.Backend) || inner.Namespace != outer.Namespace {
			t.Errorf("%+v: from another directory %+v %v, want %+v", c, inner, err, outer)
		}
	}
}

func TestTheDefaultDirectoryDependsOnTheUser(t *testing.T) {
	for _, c := range []struct {
		at   Environment
		want string
	}{
		{Environment{UID: 0}, "local:/var/lib/limit"},
		{Environment{UID: 7, Env: func(string) string { return "" }},
			"no directory for the store, as HOME is not set; give --backend local:DIR"},
		{Environment{UID: 7, Env: func(name string) string { return map[string]string{"HOME": "/h"}[name] }},
			"local:/h/.local/state/limit"},
	} {
		got, err := Load(Flags{Config: "/dev/null"}, c.at)
		text := fmt.Sprint(err)
		if err == nil {
			text = got.Backend.String()
		}
		if text != c.want {
			t.Errorf("user %d: got %s, want %s", c.at.UID, text, c.want)
		}
	}
}

func TestAWrongOverrideNamesWhereItCameFrom(t *testing.T) {
	secure := "backend: {etcd: {endpoints: [h], tls: {ca: ca.pem}, username: u, password_file: p}}"
	for _, c := range []struct {
		flags Flags
		env   string
		file  string
		want  string
	}{
		{Flags{Backend: "redis://h"}, "", "", `--backend: unknown store "redis://h"; give local, local:DIR or etcd://HOST:2379,…`},
		{Flags{}, "LIMIT_BACKEND=local:", "", `$LIMIT_BACKEND: the directory of the store is empty; give local:DIR, or local for the default`},
		{Flags{Namespace: "a\nb"}, "", "", `--namespace: the namespace has a character in it that is not text`},
		{Flags{Namespace: ".."}, "", "", `--namespace: the namespace cannot be ".."`},
		{Flags{Backend: "http://h"}, "", secure, `--backend: an http:// endpoint would get the password, which limit.yaml sends encrypted; give https://, or another file by --config`},
		{Flags{Backend: "etcd://http://a,https://b"}, "", "", `--backend: some endpoints are encrypted and some are not; give all of them https:// or all http://`},
	} {
		root := machine(t, map[string]string{"limit.yaml": c.file})
		_, err := Load(c.flags, surroundings(root, "", c.env))
		if fmt.Sprint(err) != c.want {
			t.Errorf("%+v %s:\n got %v\nwant %s", c.flags, c.env, err, c.want)
		}
	}
}

func TestOtherEndpointsKeepTheCertificatesAndTheUserOfTheFile(t *testing.T) {
	root := machine(t, map[string]string{
		"limit.yaml":   "backend: {etcd: {endpoints: [h], tls: {ca: ca.pem}, username: u, password_file: /p}}",
		"b/limit.yaml": "backend: {etcd: {endpoints: [h], tls: {ca: ca.pem}}}",
		"c/limit.yaml": "backend: {local: {dir: x}}",
	})
	ca := filepath.Join(root, "ca.pem")
	for _, c := range []struct {
		dir, backend string
		want         Etcd
	}{
		{"", "", Etcd{Endpoints: []string{"https://h:2379"}, CA: ca, Username: "u", PasswordFile: "/p"}},
		{"", "etcd://x:1,y", Etcd{Endpoints: []string{"https://x:1", "https://y:2379"}, CA: ca, Username: "u", PasswordFile: "/p"}},
		{"b", "http://x", Etcd{Endpoints: []string{"http://x:2379"}}},
		{"c", "https://x", Etcd{Endpoints: []string{"https://x:2379"}}},
		{"c", "etcd://x", Etcd{Endpoints: []string{"http://x:2379"}}},
	} {
		got, err := Load(Flags{Backend: c.backend}, surroundings(root, c.dir))
		if err != nil || !reflect.DeepEqual(*got.Backend.Etcd, c.want) {
			t.Errorf("%q in %q: %+v, %v, want %+v", c.backend, c.dir, got.Backend.Etcd, err, c.want)
		}
	}
}

func TestValuesSayWhereEachCameFrom(t *testing.T) {
	root := machine(t, map[string]string{"limit.yaml": `backend:
  etcd:
    endpoints: h
    tls: {ca: /ca.pem}
concurrency:
  pools:
    limits:
      database: 2
      api: {limit: 4, rate: 10/1m}
  runs:
    tag_concurrency_limits: [{key: k, limit: 3}]
`})
	c, err := Load(Flags{Namespace: "n"}, surroundings(root, ""))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, v := range c.Values() {
		lines = append(lines, fmt.Sprintf("%s = %s (%s)", v.Name, v.Text, strings.TrimPrefix(v.From, root+"/")))
	}
	want := `backend = etcd://https://h:2379 (limit.yaml:2)
backend.etcd.tls.ca = /ca.pem (limit.yaml:4)
namespace = n (--namespace)
concurrency.pools.default_limit = 1 (default)
concurrency.pools.strict = false (default)
concurrency.pools.granularity = op (default)
concurrency.pools.limits.api = 4 at 10/1m (limit.yaml:9)
concurrency.pools.limits.database = 2 (limit.yaml:8)
concurrency.runs.max_concurrent_runs = unlimited (default)
concurrency.runs.tag:k = 3 (limit.yaml:11)
concurrency.reserve_after = 5m (default)
concurrency.hide_commands = false (default)
concurrency.history_entries = default (default)
dag.keep_runs = 50 (default)
dag.keep_days = 30 (default)
dag.keep_bytes = 2147483648 (default)
dag.log_limit = 104857600 (default)`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !c.HasSettings || c.Settings.Pools["api"].Rate == nil || c.Settings.MaxRuns != backend.Unlimited {
		t.Errorf("settings %+v", c.Settings)
	}
}
