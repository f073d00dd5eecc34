package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"limit/wrap/dag/plan"
)

// FuzzLoad reads whatever stands in the place of a journal. One that can be read can be read after a crash at any byte
// behind its first line too, and has no more of it then.
func FuzzLoad(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "20260101T000000Z-aaaaaaaa")
	if err := os.Mkdir(dir, 0o700); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
	first := `{"e":"run","v":1,"id":"aaaaaaaa","name":"n","file":"f"}` + "\n"
	for _, s := range []string{"", `{"e":"start","s":"a","n":1,"r":1,"t":2,"w":[{"limit":"x"}]}` + "\n" + `{"e":"end","s":"a","n":1,"t":3,"c":-1,"log":"../x"}` + "\n",
		`{"e":"settled","s":"a","st":"succeeded","t":-5}` + "\n", `{"e":"settled","s":"a","st":"unselected","out":[{}]}` + "\nnull\n", `{"e":"finish","t":9,"c":1}` + "\n{"} {
		f.Add([]byte(first + s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e := load(t, dir, b)
		if e == nil {
			return
		}
		head := bytes.IndexByte(b, '\n') + 1
		half := load(t, dir, b[:head+(len(b)-head)/2])
		if half == nil {
			t.Fatalf("%q cannot be read when it is cut", b)
		}
		for i, s := range half.Steps {
			if len(s.Attempts) > len(e.Steps[i].Attempts) || s.Outcome.State != plan.Pending && e.Steps[i].Outcome.State == plan.Pending && bytes.Count(b, []byte("settled")) < 2 {
				t.Errorf("%q: cut, step %s has more: %+v, %+v", b, s.ID, s, e.Steps[i])
			}
		}
		e.State()
	})
}

func load(t *testing.T, dir string, b []byte) *Entry {
	if err := os.WriteFile(filepath.Join(dir, journalName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := Load(dir)
	if err != nil {
		return nil
	}
	return e
}
