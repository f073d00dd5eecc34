//go:build linux && cgo && !portable

package inherited

/*
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
	uint64_t ignored, blocked, closed;
} inherited;

// The kernel's own view: the C library hides the signals it keeps for itself.
static void __attribute__((constructor)) inherited_read(void) {
	struct { void *handler; unsigned long rest[15]; } old;
	for (int n = 1; n <= 64; n++)
		if (syscall(SYS_rt_sigaction, n, 0, &old, 8) == 0 && old.handler == (void *)SIG_IGN)
			inherited.ignored |= (uint64_t)1 << (n - 1);
	syscall(SYS_rt_sigprocmask, 0, 0, &inherited.blocked, 8);
	for (int n = 0; n < 3; n++)
		if (fcntl(n, F_GETFD) == -1 && errno == EBADF)
			inherited.closed |= (uint64_t)1 << n;
}

static uint64_t inherited_get(int i) { return ((uint64_t *)&inherited)[i]; }
*/
import "C"

// AtStart returns what this program inherited.
func AtStart() State {
	get := func(i C.int) uint64 { return uint64(C.inherited_get(i)) }
	s := State{Known: true, Ignored: get(0), Blocked: get(1)}
	for fd := range s.Closed {
		s.Closed[fd] = get(2)&(1<<fd) != 0
	}
	return s
}
