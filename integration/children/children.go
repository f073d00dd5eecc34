// Package children finds the processes that others have started.
package children

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Of returns the children of a process, whichever of its threads has started them, but for the witness of signals that
// a wrapper has beside its command (see package sigsource).
func Of(pid int) []int {
	var found []int
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, thread := range threads {
		children, _ := os.ReadFile(thread)
		for _, field := range strings.Fields(string(children)) {
			name, _ := os.ReadFile("/proc/" + field + "/comm")
			if child, _ := strconv.Atoi(field); child > 1 && string(name) != "(signals)\n" {
				found = append(found, child)
			}
		}
	}
	return found
}
