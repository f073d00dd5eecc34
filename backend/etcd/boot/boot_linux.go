package boot

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Now reads CLOCK_BOOTTIME.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("clock_gettime(CLOCK_BOOTTIME): " + err.Error()) // since Linux 2.6.39
	}
	return time.Duration(t.Nano())
}

// ID tells this boot of the machine from all others.
func ID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("finding out which boot this is: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

// Alarm rings when its moment has come, at once after a suspension that it fell into.
type Alarm struct {
	C     <-chan struct{}
	timer *os.File
	wait  sync.WaitGroup
}

// NewAlarm returns an alarm that is not set.
func NewAlarm() (*Alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	ring := make(chan struct{}, 1)
	a := &Alarm{C: ring, timer: os.NewFile(uintptr(fd), "timerfd")}
	// os does not say so itself, and a read would fail at once
	if err := a.timer.SetReadDeadline(time.Time{}); err != nil {
		a.timer.Close()
		return nil, fmt.Errorf("waiting for a timer: %w; perhaps this user's watches of epoll are used up: raise "+
			"fs.epoll.max_user_watches", err)
	}
	a.wait.Go(func() {
		var expirations [8]byte
		for {
			if _, err := a.timer.Read(expirations[:]); err != nil {
				return
			}
			select {
			case ring <- struct{}{}:
			default:
			}
		}
	})
	return a, nil
}

// Set lets the alarm ring at a moment of this clock in place of the one set before, at once if that is past. A ring of
// the earlier setting may still be on its way: who hears it looks at the clock.
func (a *Alarm) Set(moment time.Duration) error {
	raw, err := a.timer.SyscallConn()
	if err != nil {
		return err
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(moment, 1)))}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &spec, nil) })
	if err == nil {
		err = failed
	}
	return err
}

// Stop ends the alarm.
func (a *Alarm) Stop() {
	a.timer.Close()
	a.wait.Wait()
}
