//go:build linux

package wrapper

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a command has to ask the store before it can enter: settings of a configuration, and the claim that it is nested in.
func TestASignalEndsLimitWhileAStoreThatHangsIsOpened(t *testing.T) {
	b := newBench(t, limit(limitBinary(t)))
	if r := b.run(b.L("true")...); r.code() != 0 {
		t.Fatalf("the store is not made: %s", r)
	}
	b.write("limit.yaml", "concurrency: {pools: {default_limit: 2}}\n", 0o600)
	state, err := os.Open(b.path("store/default/state"))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	if err := unix.Flock(int(state.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for name, variables := range map[string][]string{
		"nested":     {"LIMIT_RUN_ID=0123", "LIMIT_CLAIM_ID=4567"},
		"configured": {"LIMIT_CONFIG=" + b.path("limit.yaml")},
	} {
		p := b.start(b.L("true"), func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), variables...) })
		b.eventually("it waits for the store", patience, func() bool { return waitsForLock(p.pid()) })
		p.kill(syscall.SIGTERM)
		if r := p.wait(5 * time.Second); !r.status.Signaled() || r.status.Signal() != syscall.SIGTERM {
			t.Errorf("%s: %s, want that it dies of SIGTERM", name, r)
		}
	}
}
