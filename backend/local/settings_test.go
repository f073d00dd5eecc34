package local

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"limit/backend"
)

// settingsStore is a store with settings, and their file.
func settingsStore(t *testing.T) (*Store, Options, string) {
	t.Helper()
	o := Options{Dir: t.TempDir(), Create: true}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	set(t, s, 1)
	return s, o, filepath.Join(o.Dir, "default", "settings")
}

func set(t *testing.T, s *Store, limit int) {
	t.Helper()
	err := s.ChangeSettings(t.Context(), func(settings *backend.Settings, _ bool) error {
		settings.Pools = map[string]backend.Pool{"p": {Limit: limit}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, file, old, new string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSettingsOfANewerVersionSurviveARewrite(t *testing.T) {
	s, _, file := settingsStore(t)
	edit(t, file, `"version"`, `"later": 1, "version"`)
	edit(t, file, `"limit": 1`, `"limit": 1, "burst": 3`)
	set(t, s, 2)
	var got struct {
		Later    int
		Settings struct{ Pools map[string]map[string]int }
	}
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	if p := got.Settings.Pools["p"]; err != nil || got.Later != 1 || p["burst"] != 3 || p["limit"] != 2 {
		t.Errorf("the file is (%v)\n%s", err, b)
	}
}

func TestAStoreWhoseSettingsNeedAFeatureThatIsLackingIsRefused(t *testing.T) {
	s, o, file := settingsStore(t)
	want := `need the feature "telepathy", which this limit does not have`
	edit(t, file, `"version"`, `"needs": ["telepathy"], "version"`)
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("opening: %v", err)
	}
	head := s.glance()
	head.needy = true
	if err := s.writeHeader(&head); err != nil { // what a program that has the feature writes besides
		t.Fatal(err)
	}
	if _, err := s.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("looking with the store open: %v", err)
	}
	if version := binary.LittleEndian.Uint32(head.encode()[8:]); version <= 1 {
		t.Errorf("such a header has the version %d: the first releases would not refuse it", version)
	}
}
