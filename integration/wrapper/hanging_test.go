//go:build linux

package wrapper

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// TestAFileSystemThatHangsKeepsNoSignalAndNoSlot: whatever limit writes to it.
func TestAFileSystemThatHangsKeepsNoSignalAndNoSlot(t *testing.T) {
	const loop = "touch @D/running; while :; do echo x; sleep 0.05; done"
	for name, flags := range map[string][]string{
		"events of a run": {"run", "--pool", "p", "--events", "@M/file", "--", "sh", "-c", loop},
		"stderr of a run": {"run", "-v", "--pool", "p", "--", "sh", "-c", loop},
		"events of a dag": {"dag", "run", "--log-dir", "@D/runs", "--events", "@M/file", "@D/steps.yaml"},
		"report":          {"dag", "run", "--log-dir", "@D/runs", "--report", "@M/file", "@D/steps.yaml"},
		"trace and junit": {"dag", "run", "--log-dir", "@D/runs", "--trace", "@M/file", "--junit", "@M/other",
			"@D/steps.yaml"},
		"logs":            {"dag", "run", "--log-dir", "@M/runs", "@D/steps.yaml"},
		"stdout of a dag": {"dag", "run", "--log-dir", "@D/runs", "--output", "interleave", "@D/steps.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, limit(limitBinary(t)))
			mount, server := hangingMount(b)
			paths := strings.NewReplacer("@D", b.dir, "@M", mount)
			b.write("steps.yaml", paths.Replace("steps: {one: {run: '"+loop+"', pool: p, grace: 1s}}\n"), 0o600)
			argv := b.w.argv(b)[:3:3]
			for _, flag := range flags {
				argv = append(argv, paths.Replace(flag))
			}
			p := b.start(argv, func(cmd *exec.Cmd) {
				if !strings.HasPrefix(name, "std") {
					return
				}
				out, err := os.Create(filepath.Join(mount, "file"))
				if err != nil {
					t.Fatal(err)
				}
				cmd.Stdout, cmd.Stderr = out, out
			})
			b.eventually("the command runs", patience,
				func() bool { _, err := os.Stat(b.path("running")); return err == nil })
			if err := server.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			p.kill(syscall.SIGTERM)
			if r := p.wait(patience); r.status.Signal() != syscall.SIGTERM {
				t.Errorf("%s; want that it dies of SIGTERM", r)
			}
			b.slotFree(patience)
		})
	}
}

// TestACommandOnAFileSystemThatHangsKeepsNoSignalAndNoSlot: it hung while the slot was waited for.
func TestACommandOnAFileSystemThatHangsKeepsNoSignalAndNoSlot(t *testing.T) {
	b := newBench(t, limit(limitBinary(t)))
	mount, server := hangingMount(b)
	command := filepath.Join(mount, "command")
	if err := os.WriteFile(command, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	holder := b.start(b.L("sleep", "600"), nil)
	b.eventually("the slot is taken", patience, func() bool { return !b.w.free(b) })
	p := b.start(b.L(command), nil)
	b.eventually("it waits", patience, func() bool { return b.waiting() == 1 })
	if err := server.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	holder.kill(syscall.SIGTERM)
	b.eventually("it has the slot", patience, func() bool { return b.waiting() == 0 })
	p.kill(syscall.SIGTERM)
	if r := p.wait(patience); r.status.Signal() != syscall.SIGTERM {
		t.Errorf("%s; want that it dies of SIGTERM", r)
	}
	b.slotFree(patience)
}

// hangingMount mounts a file system whose server, which is returned, may be stopped.
func hangingMount(b *bench) (string, *os.Process) {
	b.Helper()
	base, mount := b.path("base"), b.path("mount")
	if err := errors.Join(os.Mkdir(base, 0o700), os.Mkdir(mount, 0o700)); err != nil {
		b.Fatalf("%v", err)
	}
	server := exec.Command("bindfs", "-f", "-o", "attr_timeout=0,entry_timeout=0", base, mount)
	if err := server.Start(); err != nil {
		b.Fatalf("no FUSE can be mounted here: %v: apt-get install bindfs fuse3", err)
	}
	b.Cleanup(func() { // without its server it fails, and hangs no more
		server.Process.Kill()
		server.Wait()
		unix.Unmount(mount, unix.MNT_DETACH)
	})
	b.eventually("the mount is there", patience, func() bool {
		var st unix.Statfs_t
		return unix.Statfs(mount, &st) == nil && st.Type == unix.FUSE_SUPER_MAGIC
	})
	return mount, server.Process
}
