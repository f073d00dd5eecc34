// Package proc reads what the kernel says about processes that are not children of this one. Where there is no /proc,
// nothing is known.
package proc

import (
	"os"
	"strconv"
	"strings"
)

// Process is /proc/PID/stat, as far as it is of use.
type Process struct {
	PID, Parent, Group, Session int
	State                       byte   // of its first thread: T is stopped, t traced, Z a zombie
	Threads                     int    // 0: not known
	Start                       uint64 // in ticks since boot: tells it from a later process of the same number
}

// Of returns what is known of a process; all zero where there is none.
func Of(pid int) Process {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Process{}
	}
	return parse(string(data))
}

// parse reads "PID (NAME) STATE PPID PGRP SESSION …". NAME may hold anything, even ") R".
func parse(stat string) Process {
	head, _, found := strings.Cut(stat, " (")
	end := strings.LastIndex(stat, ") ")
	if !found || end < 0 {
		return Process{}
	}
	f := strings.Fields(stat[end+2:])
	if len(f) < 20 {
		return Process{}
	}
	var n [4]int
	for i, s := range []string{head, f[1], f[2], f[3]} {
		var err error
		if n[i], err = strconv.Atoi(s); err != nil {
			return Process{}
		}
	}
	threads, _ := strconv.Atoi(f[17])
	start, _ := strconv.ParseUint(f[19], 10, 64)
	return Process{PID: n[0], Parent: n[1], Group: n[2], Session: n[3], State: f[0][0], Threads: threads, Start: start}
}

// Numbers are those of a process in the PID namespace of this one and in each below, its own last. nil: it is not seen,
// or the kernel does not tell.
func Numbers(pid int) (numbers []int) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return nil
	}
	_, after, _ := strings.Cut(string(status), "\nNSpid:")
	line, _, _ := strings.Cut(after, "\n")
	for _, field := range strings.Fields(line) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// All are the numbers of all processes that are seen.
func All() (pids []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
