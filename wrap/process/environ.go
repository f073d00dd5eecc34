package process

import (
	"strings"
	_ "unsafe" // for linkname
)

//go:linkname runtimeEnvs syscall.runtime_envs
func runtimeEnvs() []string

// Environ returns the environment as it was handed to this program, byte for byte: duplicates, empty entries
// and those without = included, which os.Environ drops.
func Environ() []string { return runtimeEnvs() }

// lookup returns the value of name in env, the first as getenv(3) does.
func lookup(env []string, name string) (string, bool) {
	for _, entry := range env {
		if rest, ok := strings.CutPrefix(entry, name); ok && strings.HasPrefix(rest, "=") {
			return rest[1:], true
		}
	}
	return "", false
}
