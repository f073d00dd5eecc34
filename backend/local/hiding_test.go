package local

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"limit/backend"
)

// TestAHiddenCommandIsNowhereInTheStore looks into every file of a store while one holds and another waits, and when
// they have ended.
func TestAHiddenCommandIsNowhereInTheStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	err := s.ChangeSettings(t.Context(), func(st *backend.Settings, _ bool) error {
		st.HideCommands = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	claim := func() backend.Claim {
		c := newClaim("p", 1)
		c.Name, c.Command = "psql -W hunter2", []string{"psql", "-W", "hunter2"}
		return c
	}
	holder, err := s.Enter(t.Context(), claim(), backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Enter(t.Context(), claim(), backend.EnterOptions{Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	nowhere(t, dir, "hunter2", "while they live")
	for _, e := range []backend.Entry{holder, next} {
		if err := e.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	nowhere(t, dir, "hunter2", "when they have ended")
	pasts, err := s.History(t.Context())
	if err != nil || len(pasts) != 2 || pasts[0].Name != "psql" {
		t.Errorf("remembered are %+v, %v", pasts, err)
	}
}

func nowhere(t *testing.T, dir, secret, when string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s: %s is in %s", when, secret, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
