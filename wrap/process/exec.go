package process

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"limit/wrap/process/inherited"
	"limit/wrap/process/sigsource"
)

// ExecVerb is the first argument of a program that is to call ExecMain. A Supervisor starts its own program so, to
// become the command, where ForkExec cannot: it is needed in the child between fork and exec.
const ExecVerb = "__exec"

// needsExec reports whether a command has to be started by way of ExecVerb: LISTEN_PID is to be its process id, or it
// is to ignore a signal that this process or its runtime needs.
func needsExec(env []string, in *inherited.State) bool {
	for _, sig := range keptByRuntime() {
		if inherited.Has(in.Ignored, int(sig)) {
			return true
		}
	}
	value, _ := lookup(env, "LISTEN_PID")
	return value == strconv.Itoa(os.Getpid())
}

// keptByRuntime are signals that this process cannot ignore: it waits for children, and the runtime preempts goroutines
// by URG and does not let PROF go.
func keptByRuntime() []syscall.Signal {
	return []syscall.Signal{syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPROF}
}

// ExecMain becomes the command of arguments that a Supervisor has made: NAME ExecVerb IGNORED PATH ARG0 ARG... It
// returns an exit code where that fails, and says why on standard error.
func ExecMain(args []string) int {
	if len(args) < 5 {
		fmt.Fprintf(os.Stderr, "limit: %s is for limit itself\n", ExecVerb)
		return CodeFailed
	}
	ignored, err := strconv.ParseUint(args[2], 16, 64)
	if err == nil {
		err = become(args[3], args[4:], listenEnv(Environ(), os.Getppid()), ignored)
	}
	fmt.Fprintf(os.Stderr, "limit: exec %s: %v\n", args[3], err)
	return StartCode(err)
}

// become executes path in this process, and returns why it cannot.
func become(path string, args, env []string, ignored uint64) (err error) {
	in := inherited.AtStart()
	runtime.LockOSThread()
	for fd, closed := range in.Closed {
		if closed {
			syscall.CloseOnExec(fd)
		}
	}
	sigsource.Ignore(ignored)
	sigsource.WithMask(in.Blocked, func() {
		err = whileBusy(func() error {
			err := syscall.Exec(path, args, env)
			if err == syscall.ENOEXEC {
				err = syscall.Exec(shell, shellArgs(path, args), env)
			}
			return err
		})
	})
	return err
}

// whileBusy calls start again for a while where it fails because somebody has the file open for writing. If that was
// just made, an unrelated fork may hold a copy of that descriptor until its exec.
func whileBusy(start func() error) error {
	err := start()
	for pause := time.Millisecond; errors.Is(err, syscall.ETXTBSY) && pause < time.Second; pause *= 2 {
		time.Sleep(pause)
		err = start()
	}
	return err
}

// listenEnv returns env with the LISTEN_PID that names parent naming this process: the one that sockets were handed to
// (systemd's sd_listen_fds(3)) is the command, at the same descriptors. LISTEN_PIDFDID, which says the same another
// way, is left out then.
func listenEnv(env []string, parent int) []string {
	const name = "LISTEN_PID="
	theirs := name + strconv.Itoa(parent)
	if value, _ := lookup(env, "LISTEN_PID"); name+value != theirs {
		return env
	}
	changed := make([]string, 0, len(env))
	for _, entry := range env {
		switch {
		case entry == theirs:
			changed = append(changed, name+strconv.Itoa(os.Getpid()))
		case !strings.HasPrefix(entry, "LISTEN_PIDFDID="):
			changed = append(changed, entry)
		}
	}
	return changed
}
