//go:build linux && cgo && !portable

package inherited

/*
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
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

// As needs in entry.go; the C library's threads have larger stacks.
static const struct { int resource; rlim_t least; const char *message; } inherited_needs[] = {
	{RLIMIT_AS, (rlim_t)1468006 << 10,
		"limit: too little address space is allowed; raise the limit (ulimit -v 1468006)\n"},
	{RLIMIT_DATA, (rlim_t)262144 << 10,
		"limit: too little memory for data is allowed; raise the limit (ulimit -d 262144)\n"},
	{RLIMIT_NPROC, 512, "limit: too few processes are allowed; limit needs room for 8 more processes and threads "
		"than this user has: raise the limit (ulimit -u) or end some\n"},
};

static char inherited_stacks[8][4096] __attribute__((aligned(16)));
static int inherited_tasks_lack;

// Each thread starts the next one and waits for its end.
static int inherited_task(void *left) {
	intptr_t n = (intptr_t)left;
	if (n > 0 && clone(inherited_task, inherited_stacks[n - 1] + sizeof *inherited_stacks,
			CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_VFORK,
			(void *)(n - 1)) == -1 && errno == EAGAIN)
		inherited_tasks_lack = 1;
	return 0;
}

static void __attribute__((constructor)) inherited_check(void) {
	for (int i = 0; i < 3; i++) {
		struct rlimit is;
		if (getrlimit(inherited_needs[i].resource, &is) != 0 || is.rlim_cur >= inherited_needs[i].least)
			continue;
		if (inherited_needs[i].resource == RLIMIT_NPROC) {
			inherited_task((void *)8);
			if (!inherited_tasks_lack)
				continue;
		}
		const char *message = inherited_needs[i].message;
		(void)!write(2, message, strlen(message));
		_exit(125);
	}
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
