package process

import (
	"time"

	"golang.org/x/sys/unix"
)

// Deadlines are kept on a clock that goes on while the machine sleeps, as the store's do: the timers of the Go library
// stand still then, and a machine that wakes up past a deadline is to notice at once.

// now is the time since boot, sleep included.
func now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(clockBoot, &t); err != nil {
		return time.Duration(time.Now().UnixNano()) // no system this is for lacks the clock
	}
	return time.Duration(t.Nano())
}

// tick bounds how late a deadline that fell into a sleep is noticed.
const tick = 250 * time.Millisecond

// alarm calls f when the clock has reached at, unless it was cancelled before. Its goroutine ends then.
type alarm struct {
	cancelled chan struct{}
	fired     bool // under the Supervisor's lock
}

func (s *Supervisor) alarm(at time.Duration, f func()) *alarm {
	a := &alarm{cancelled: make(chan struct{})}
	s.tasks.Go(func() {
		for left := at - now(); left > 0; left = at - now() {
			timer := time.NewTimer(min(left, tick))
			select {
			case <-timer.C:
			case <-a.cancelled:
				timer.Stop()
				return
			}
		}
		if s.fire(a) {
			f()
		}
	})
	return a
}

// fire reports whether a was not cancelled.
func (s *Supervisor) fire(a *alarm) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-a.cancelled:
		return false
	default:
		a.fired = true
		return true
	}
}

// cancel reports whether it was in time. The lock is held.
func (a *alarm) cancel() bool {
	if a == nil || a.fired {
		return false
	}
	select {
	case <-a.cancelled:
		return false
	default:
		close(a.cancelled)
		return true
	}
}
