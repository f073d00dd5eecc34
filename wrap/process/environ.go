package process

import (
	"os"
	"strconv"
	"strings"
	_ "unsafe" // for linkname
)

//go:linkname runtimeEnvs syscall.runtime_envs
func runtimeEnvs() []string

// Environ returns the environment as it was handed to this program, byte for byte: duplicates, empty entries
// and those without = included, which os.Environ drops.
func Environ() []string { return runtimeEnvs() }

// listenPID names the process that sockets were handed to (systemd's sd_listen_fds(3)): where that is this process,
// it is to be the command, at the same descriptors.
const listenPID = "LISTEN_PID="

// listenEnv returns env with room for any process id in the LISTEN_PID that names this process, and its index, or
// -1. LISTEN_PIDFDID, which says the same another way, is left out then.
func listenEnv(env []string) ([]string, int) {
	mine := listenPID + strconv.Itoa(os.Getpid())
	for i, entry := range env {
		if entry != mine {
			continue
		}
		changed := make([]string, 0, len(env))
		at := 0
		for j, other := range env {
			switch {
			case j == i:
				at = len(changed)
				changed = append(changed, listenPID+strings.Repeat(" ", 20))
			case !strings.HasPrefix(other, "LISTEN_PIDFDID="):
				changed = append(changed, other)
			}
		}
		return changed, at
	}
	return env, -1
}

// lookup returns the value of name in env, the first as getenv(3) does.
func lookup(env []string, name string) (string, bool) {
	for _, entry := range env {
		if rest, ok := strings.CutPrefix(entry, name); ok && strings.HasPrefix(rest, "=") {
			return rest[1:], true
		}
	}
	return "", false
}
