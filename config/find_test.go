package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestWhatStandsInThePlaceOfAFileIsTold(t *testing.T) {
	const pod = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: x}\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		put   func(name string) error // in the place of sub/limit.yaml
		err   string
		notes []string // after ROOT/sub/
	}{
		{name: "a dangling link", put: func(name string) error { return os.Symlink("gone.yaml", name) },
			err: "limit.yaml is a link to gone.yaml, which cannot be read; mend or remove it, or name a file with --config"},
		{name: "a directory", put: func(name string) error { return os.Mkdir(name, 0o700) }, err: "limit.yaml is a directory and not a file; remove it, or"},
		{name: "limit.yml", files: map[string]string{"sub/limit.yml": "namespace: yml"}, notes: []string{"limit.yml is not read; rename it to limit.yaml"}},
		{name: "limit.yml beside limit.yaml", files: map[string]string{"sub/limit.yml": "", "sub/limit.yaml": "namespace: above"}},
		{name: "a file of Kubernetes", files: map[string]string{"sub/limit.yaml": pod},
			notes: []string{"limit.yaml is not of limit (kind: LimitRange) and is passed over"}},
		{name: "several documents of Kubernetes", files: map[string]string{"sub/limit.yaml": pod + "---\n" + pod},
			notes: []string{"limit.yaml is not of limit (kind: LimitRange) and is passed over"}},
		{name: "a file of limit with a stray key", files: map[string]string{"sub/limit.yaml": "kind: x\nnamespace: n\n"}, err: "unknown key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{"limit.yaml": "namespace: above", "sub/x": ""}
			for name, text := range c.files {
				files[name] = text
			}
			root := machine(t, files)
			if c.put != nil {
				if err := c.put(filepath.Join(root, "sub", FileName)); err != nil {
					t.Fatal(err)
				}
			}
			config, err := Load(Flags{}, surroundings(root, "sub"))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var notes []string
			for _, note := range config.Notes {
				notes = append(notes, strings.TrimPrefix(note, filepath.Join(root, "sub")+"/"))
			}
			if !reflect.DeepEqual(notes, c.notes) || config.Namespace != "above" {
				t.Errorf("namespace %s, told %q, want %q", config.Namespace, notes, c.notes)
			}
		})
	}
}
