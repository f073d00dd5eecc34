package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"limit/integration/binary"
)

func TestMain(m *testing.M) { os.Exit(binary.Run(m)) }

// entry is one line of a record.
type entry struct {
	start bool
	name  string
	at    int64
	token int64
	slots string
}

func readRecord(t *testing.T, file string) []entry {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var entries []entry
	for line := range strings.Lines(string(data)) {
		var e entry
		var what string
		n, _ := fmt.Sscanf(line, "%s %s %d %d %s", &what, &e.name, &e.at, &e.token, &e.slots)
		if n < 4 {
			t.Fatalf("line %q of the record is not whole", line)
		}
		e.start = what == "start"
		entries = append(entries, e)
	}
	return entries
}
