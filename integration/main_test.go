package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"limit/integration/binary"
)

// TestMain is also the command that the tests put behind limit: "record FILE NAME UNTIL".
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "record" {
		os.Exit(record(os.Args[2], os.Args[3], os.Args[4]))
	}
	os.Exit(binary.Run(m))
}

// record appends when it starts and ends to a file, with CLOCK_MONOTONIC and its token, and lives until
// a duration is over or, where until is a path, until that file exists.
func record(file, name, until string) int {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	note := func(what string) {
		var now unix.Timespec
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
		fmt.Fprintf(f, "%s %s %d %s %s\n", what, name, now.Nano(), os.Getenv("LIMIT_TOKEN"), os.Getenv("LIMIT_SLOT_DB"))
	}
	note("start")
	if d, err := time.ParseDuration(until); err == nil {
		time.Sleep(d)
	} else {
		for !exists(until) {
			time.Sleep(time.Millisecond)
		}
	}
	note("end")
	return 0
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

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
