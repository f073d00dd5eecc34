//go:build linux

package wrapper

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	run, dag := b.L("true"), b.dag()
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
	const command = "touch @D/running; for i in $(seq 900); do echo x; sleep 0.05; done"
	whileAFileSystemHangs(t, hangingMount, command, func(b *bench, p *program) {
		if r := p.wait(patience); r.status.Signal() != syscall.SIGTERM {
			b.Errorf("%s; want that it dies of SIGTERM", r)
		}
	})
}

// TestARequestThatIsNeverAnsweredKeepsNoSlot: once the server of a file system has read a request, not even KILL ends
// the process that waits for the answer. A command that waits so keeps its slot, so this one writes nothing there.
func TestARequestThatIsNeverAnsweredKeepsNoSlot(t *testing.T) {
	whileAFileSystemHangs(t, neverAnsweringMount, "exec >/dev/null 2>&1; touch @D/running; sleep 45",
		func(*bench, *program) {})
}

// whileAFileSystemHangs has limit run command and write to a mount, stops the mount's server, asks limit to end, and
// lets ended look. The slot must be free then.
func whileAFileSystemHangs(
	t *testing.T, mounted func(*bench) (string, *fileServer), command string, ended func(*bench, *program),
) {
	for name, flags := range map[string][]string{
		"events of a run": {"run", "--pool", "p", "--events", "@M/file", "--", "sh", "-c", command},
		"stderr of a run": {"run", "-v", "--pool", "p", "--", "sh", "-c", command},
		"events of a dag": {"dag", "run", "--log-dir", "@D/runs", "--events", "@M/file", "@D/steps.yaml"},
		"report":          {"dag", "run", "--log-dir", "@D/runs", "--report", "@M/file", "@D/steps.yaml"},
		"trace and junit": {"dag", "run", "--log-dir", "@D/runs", "--trace", "@M/file", "--junit", "@M/other",
			"@D/steps.yaml"},
		"logs":            {"dag", "run", "--log-dir", "@M/runs", "@D/steps.yaml"},
		"stdout of a dag": {"dag", "run", "--log-dir", "@D/runs", "--output", "interleave", "@D/steps.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, limit(limitBinary(t)))
			mount, server := mounted(b)
			paths := strings.NewReplacer("@D", b.dir, "@M", mount)
			b.write("steps.yaml", paths.Replace("steps: {one: {run: '"+command+"', pool: p, grace: 1s}}\n"), 0o600)
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
			b.Cleanup(server.kill) // before limit is waited for, which may not end otherwise
			b.eventually("the command runs", patience,
				func() bool { _, err := os.Stat(b.path("running")); return err == nil })
			server.stop()
			p.kill(syscall.SIGTERM)
			ended(b, p)
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
	server.stop()
	holder.kill(syscall.SIGTERM)
	b.eventually("it has the slot", patience, func() bool { return b.waiting() == 0 })
	p.kill(syscall.SIGTERM)
	if r := p.wait(patience); r.status.Signal() != syscall.SIGTERM {
		t.Errorf("%s; want that it dies of SIGTERM", r)
	}
	b.slotFree(patience)
}

// hangingMount mounts a file system whose server may be stopped. Requests wait to be read then.
func hangingMount(b *bench) (string, *fileServer) {
	b.Helper()
	return bindMount(b, b.path("base"))
}

// neverAnsweringMount is one whose server reads requests and does not answer them once the returned one is stopped.
func neverAnsweringMount(b *bench) (string, *fileServer) {
	b.Helper()
	below, server := hangingMount(b)
	mount, _ := bindMount(b, filepath.Join(below, "base"))
	return mount, server
}

// bindMount mounts base, which it makes.
func bindMount(b *bench, base string) (string, *fileServer) {
	b.Helper()
	require(b, "bindfs")
	mount, err := os.MkdirTemp(b.dir, "mount-")
	if err := errors.Join(err, os.Mkdir(base, 0o700)); err != nil {
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
	// At each close the kernel asks the server to flush, which not even KILL ends. The answer that nothing is to be
	// flushed is remembered: it is given here, while the server runs.
	var st unix.Stat_t
	if err := errors.Join(os.WriteFile(filepath.Join(mount, "first"), nil, 0o600), unix.Stat(mount, &st)); err != nil {
		b.Fatalf("%v", err)
	}
	control := b.TempDir()
	if err := unix.Mount("fusectl", control, "fusectl", 0, ""); err != nil {
		b.Fatalf("fusectl: %v", err)
	}
	b.Cleanup(func() { unix.Unmount(control, unix.MNT_DETACH) })
	return mount, &fileServer{b, server.Process, filepath.Join(control, strconv.Itoa(int(unix.Minor(st.Dev))), "waiting")}
}

// fileServer is the server of a FUSE file system.
type fileServer struct {
	b       *bench
	process *os.Process
	waiting string // the file with the number of requests that wait for an answer
}

func (s *fileServer) kill() { s.process.Kill() }

// stop stops it while it has no request in hand: a process that waits for the answer cannot be ended.
func (s *fileServer) stop() {
	s.b.Helper()
	s.b.eventually("the file system's server has nothing to do", patience, func() bool {
		if err := errors.Join(s.process.Signal(syscall.SIGSTOP), s.stopped()); err != nil {
			s.b.Fatalf("%v", err)
		}
		requests, err := os.ReadFile(s.waiting)
		if err != nil {
			s.b.Fatalf("%v", err)
		}
		if string(requests) == "0\n" {
			return true
		}
		s.process.Signal(syscall.SIGCONT)
		return false
	})
}

// stopped waits until it is.
func (s *fileServer) stopped() error {
	_, err := unix.Wait4(s.process.Pid, nil, unix.WUNTRACED, nil)
	return err
}
