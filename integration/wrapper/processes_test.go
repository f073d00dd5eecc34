//go:build linux

package wrapper

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// children returns the living child processes of a process, zombies too.
func children(pid int) []int {
	return matching(func(fields []string) bool { return fields[1] == strconv.Itoa(pid) })
}

// session returns the processes of a session.
func session(sid int) []int {
	return matching(func(fields []string) bool { return fields[3] == strconv.Itoa(sid) })
}

// zombies returns the children of a process that nobody has waited for.
func zombies(pid int) []int {
	return matching(func(fields []string) bool { return fields[1] == strconv.Itoa(pid) && fields[0] == "Z" })
}

// matching returns the processes, but for witnesses of signals (see package sigsource), whose fields of /proc/PID/stat
// (from the state on) satisfy ok.
func matching(ok func(fields []string) bool) []int {
	var found []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil || bytes.Contains(stat, []byte("((signals))")) {
			continue
		}
		if fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])); ok(fields) {
			found = append(found, pid)
		}
	}
	return found
}

// killAtEnd ends a process that a case leaves behind.
func (b *bench) killAtEnd(pid int) {
	b.Helper()
	if pid <= 1 { // to kill(2), 0 is the process group of this test
		b.Fatalf("the process to be killed has the pid %d", pid)
	}
	b.Cleanup(func() {
		if alive(pid) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
}
