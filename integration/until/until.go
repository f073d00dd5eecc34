// Package until waits in tests for what only looking again can tell: files, processes and stores that other processes
// change. What a test can be told of, over a channel, needs none of it.
package until

import (
	"testing"
	"time"
)

// Often is the time between two looks.
const Often = 2 * time.Millisecond

// That waits until a condition holds, and fails the test where it does not within so long. what says what it is, as in
// "it never came true that …". It looks once more after the time is over: the test may have been stopped meanwhile.
func That(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	if !Within(within, holds) {
		t.Fatalf("it did not come true within %s that %s", within, what)
	}
}

// Within waits until a condition holds, and reports whether it came to that.
func Within(within time.Duration, holds func() bool) bool {
	for deadline := time.Now().Add(within); ; time.Sleep(Often) {
		late := time.Now().After(deadline)
		if holds() {
			return true
		}
		if late {
			return false
		}
	}
}
