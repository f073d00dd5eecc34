//go:build linux && (amd64 || arm64) && !portable

package sigsource

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// Here SIGCONT has its default action for a moment: it comes, and no handler tells.
func TestACONTThatNoHandlerHasSeenIsReceived(t *testing.T) {
	c, received := receiving(t, syscall.SIGCONT)
	for end := time.Now().Add(10 * time.Second); !c.sentinel.watches(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the sentinel does not start")
		}
	}
	stays := func() bool { return true }
	for range 3 {
		if !c.StopBy(syscall.SIGTSTP, stays) {
			t.Fatal("a SIGCONT, where none has come")
		}
		c.byDefault(syscall.SIGCONT, func() { syscall.Kill(os.Getpid(), syscall.SIGCONT) })
		if c.StopBy(syscall.SIGTSTP, stays) {
			t.Fatal("SIGCONT has come and is forgotten")
		}
		if m := next(t, received); m.Sig != syscall.SIGCONT {
			t.Fatalf("%+v, want SIGCONT", m)
		}
	}
}

// watches reports whether there is a thread.
func (s *sentinel) watches() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.thread != 0
}
