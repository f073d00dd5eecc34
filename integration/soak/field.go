//go:build linux

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"limit/integration/children"
)

// Field is whom faults can hit: the calls that are on their way.
type Field struct {
	Store   Store
	journal *journal
	mu      sync.Mutex
	calls   map[int]*Call // by the wrapper's pid
}

// Call is one call of limit on its way.
type Call struct {
	PID    int // of limit
	Client *Client
	ID     int // in the journal
}

// Calls are those on their way from a client; nil: from any. Some may have ended meanwhile: signals go by Kill and
// Stop, which know.
func (f *Field) Calls(of *Client) []*Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	var calls []*Call
	for _, c := range f.calls {
		if of == nil || c.Client == of {
			calls = append(calls, c)
		}
	}
	return calls
}

// Pick draws a call for which want is true, or returns nil.
func (f *Field) Pick(r *rand.Rand, want func(c *Call) bool) *Call {
	calls := f.Calls(nil)
	r.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	for _, c := range calls {
		if want(c) {
			return c
		}
	}
	return nil
}

// Command is the pid of the call's command, 0 while it waits. Keepers (limit __keeper) are no commands.
func (c *Call) Command() int { return c.child(false) }

// Keeper is the pid of the process that renews the call's lease, or 0.
func (c *Call) Keeper() int { return c.child(true) }

func (c *Call) child(keeper bool) int {
	for _, child := range children.Of(c.PID) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
		if len(line) > 0 && isKeeper(string(line)) == keeper {
			return child
		}
	}
	return 0
}

// Kill kills processes of a call with SIGKILL, waits until they are dead, and notes it. It reports whether one of them
// lived.
func (f *Field) Kill(c *Call, pids ...int) bool {
	var fds []int
	begun := now()
	for _, pid := range pids {
		if pid <= 1 {
			continue
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			fds = append(fds, fd)
		}
	}
	hit := false
	for _, fd := range fds {
		hit = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil || hit
	}
	for _, fd := range fds {
		unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000)
		unix.Close(fd)
	}
	if hit {
		wrapper := slices.Contains(pids, c.PID)
		f.journal.killed(c.ID, death{span{begun, now()}, wrapper, !wrapper || len(pids) > 1})
	}
	return hit
}

// Stop stops processes of a call for a while and lets it go on. It reports whether one of them lived.
//
// A wrapper stops when its command has stopped, as a shell expects, and it may do so a moment after whoever stopped the
// command has continued it: so all of the call is continued, as fg does, and again while any of it is stopped.
func (f *Field) Stop(ctx context.Context, c *Call, sig unix.Signal, pause time.Duration, pids ...int) bool {
	fds := map[int]int{}
	open := func(pid int) {
		if _, known := fds[pid]; known || pid <= 1 {
			return
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			fds[pid] = fd
		}
	}
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	hit := false
	for _, pid := range pids {
		open(pid)
		if fd, ok := fds[pid]; ok {
			hit = unix.PidfdSendSignal(fd, sig, nil, 0) == nil || hit
		}
	}
	if !hit {
		return false
	}
	rest(ctx, pause)
	for running := 0; running < 3; running++ {
		open(c.PID)
		open(c.Command())
		for pid, fd := range fds {
			if stopped(pid) {
				running = 0
			}
			unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0)
		}
		rest(context.WithoutCancel(ctx), 5*time.Millisecond)
	}
	return true
}

// stopped reports whether a process is stopped.
func stopped(pid int) bool {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "T")
}

// rest lets time pass, not past the end of ctx.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (f *Field) add(c *Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[c.PID] = c
}

func (f *Field) remove(pid int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.calls, pid)
}
