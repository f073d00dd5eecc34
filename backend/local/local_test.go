package local

import (
	"testing"
	"time"

	"limit/backend"
	"limit/backend/backendtest"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Create: true, recheck: time.Hour}) // no second look may hide a lost wake
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheEmbeddedStoreKeepsTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) func() backend.Backend {
		dir := t.TempDir()
		return func() backend.Backend { return open(t, dir) }
	})
}
