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

// What a command has to ask the store before it can enter: settings of a configuration, and the claim that it is nested
// in.
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
	b.write("steps.yaml", "steps: {one: {run: 'true', pool: p}}\n", 0o600)
	run, dag := b.L("true"), []string{limitBinary(t), "--backend", "local:" + b.path("store"), "dag", "run", "--log-dir", b.path("runs"), b.path("steps.yaml")}
	nested, configured := []string{"LIMIT_RUN_ID=0123", "LIMIT_CLAIM_ID=4567"}, []string{"LIMIT_CONFIG=" + b.path("limit.yaml")}
	for name, call := range map[string]struct{ args, variables []string }{
		"run, nested":     {run, nested},
		"run, configured": {run, configured},
		"dag, nested":     {dag, nested},
		"dag, configured": {dag, configured},
		"dag":             {dag, nil},
	} {
		p := b.start(call.args, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Environ(), call.variables...) })
		b.eventually("it waits for the store", patience, func() bool { return waitsForLock(p.pid()) })
		p.kill(syscall.SIGTERM)
		if r := p.wait(5 * time.Second); !r.status.Signaled() || r.status.Signal() != syscall.SIGTERM {
			t.Errorf("%s: %s, want that it dies of SIGTERM", name, r)
		}
	}
}
