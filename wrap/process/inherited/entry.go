//go:build linux && !cgo && (amd64 || arm64) && !portable

package inherited

// entry is what the assembly keeps, in this order.
type entry struct {
	ignored, blocked uint64
	closed           uint64 // bit n: descriptor n
}

// atEntry returns what was read before the runtime started.
func atEntry() *entry

// AtStart returns what this program inherited.
func AtStart() State {
	e := atEntry()
	s := State{Known: true, Ignored: e.ignored, Blocked: e.blocked}
	for fd := range s.Closed {
		s.Closed[fd] = e.closed&(1<<fd) != 0
	}
	return s
}
