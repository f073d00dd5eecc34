// Package inherited tells what this program was given by the process that started it, as far as the Go runtime
// overwrites it before main: which signals were ignored and blocked, and which of the
// standard descriptors were closed. A wrapper hands them on to its command unchanged.
//
// The runtime installs handlers for all signals but HUP and INT, and opens /dev/null in the place of closed standard
// descriptors. So the values are read before the runtime does anything: with cgo by a constructor of the C library's
// start-up, without it in _cgo_init, which the runtime calls first of all where it is set (that such a symbol may be
// set without cgo is an idea of github.com/ebitengine/purego). This was tried with Go 1.26; a test fails with a version
// that is not in its list. Elsewhere than on linux/amd64 and linux/arm64 without cgo, and linux with it, and with the
// build tag portable, nothing is known but HUP and INT, and State says so.
//
// In the same place the program ends with one line and status 125 where the runtime would give up with a traceback, for
// want of address space, memory for data, or processes.
package inherited

// State is what was inherited.
type State struct {
	Known   bool    // the rest is what it was; else only HUP and INT in Ignored are
	Ignored uint64  // bit n-1: signal n was ignored
	Blocked uint64  // bit n-1: signal n was blocked
	Closed  [3]bool // standard input, output, error
}

// Has reports whether signal n is in a set such as Ignored.
func Has(set uint64, n int) bool { return n > 0 && n <= 64 && set&(1<<(n-1)) != 0 }
