// Record is the command that tests put behind limit: "record FILE NAME UNTIL".
package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func main() { os.Exit(record(os.Args[1], os.Args[2], os.Args[3])) }

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
