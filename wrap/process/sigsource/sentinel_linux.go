//go:build linux && (amd64 || arm64) && !portable

package sigsource

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// sentinel is a thread that blocks a stop signal which is pending on it. A SIGCONT takes the pending signal away the
// moment that it is sent (POSIX), so what is missing here tells of one that no handler has reported: a thread has taken
// it and its handler is about to run, or the kernel has discarded it for a stop signal that came next.
type sentinel struct {
	mu     sync.Mutex
	thread int           // 0: none
	end    chan struct{} // nil: none
}

const sentinelSignal = syscall.SIGTTOU

// start starts the thread; until that runs, and where the system does not do as POSIX says, nothing is told.
func (s *sentinel) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return
	}
	end := make(chan struct{})
	s.end = end
	go func() {
		runtime.LockOSThread() // to the end: the thread dies with its mask and with what is pending
		sigprocmask(unix.SIG_BLOCK, 1<<(sentinelSignal-1))
		s.watch(end)
		<-end
	}()
}

// watch has this thread be the one, unless its end has come.
func (s *sentinel) watch(end chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != end {
		return
	}
	s.thread = unix.Gettid()
	s.raise()
	if there, err := s.pending(); !there || err != nil {
		s.thread = 0
	}
}

// stop ends the thread.
func (s *sentinel) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		close(s.end)
		s.end, s.thread = nil, 0
	}
}

// renew is called before a SIGCONT is made known: one that is sent from then on is noticed anew.
func (s *sentinel) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raise()
}

func (s *sentinel) raise() {
	if s.thread != 0 {
		unix.Tgkill(os.Getpid(), s.thread, sentinelSignal)
	}
}

// continued reports whether a SIGCONT was sent since the last renew; it renews then.
func (s *sentinel) continued() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.thread == 0 {
		return false
	}
	there, err := s.pending()
	if there || err != nil {
		return false
	}
	s.raise()
	return true
}

// pending looks at the thread's own pending signals.
func (s *sentinel) pending() (bool, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", s.thread))
	if err != nil {
		return false, err
	}
	_, rest, _ := strings.Cut(string(status), "\nSigPnd:")
	text, _, _ := strings.Cut(rest, "\n")
	set, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
	return set&(1<<(sentinelSignal-1)) != 0, err
}
