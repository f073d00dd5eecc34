package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// stamp appends CLOCK_MONOTONIC in nanoseconds to a file: the command whose starts the hand-over benchmark compares.
func stamp(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d\n", now.Nano())
	return err
}
