//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Figures of the embedded store.
const (
	embeddedStall  = 2 * time.Second
	embeddedSettle = 3 * time.Second
	// files that the store may keep to use them again: as many as there were claims at once, where the last of them was
	// killed
	mostClaims = 64
	diskSize   = "16m" // of the file system that the store is in: the history of each namespace has 3.2 MB
)

// embedded is a store in a small file system of its own, where the user may mount one.
type embedded struct {
	dir     string
	mounted bool
	clients []*Client
}

func newEmbedded(t testing.TB) *embedded {
	t.Helper()
	s := &embedded{dir: filepath.Join(t.TempDir(), "store")}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err := unix.Mount("tmpfs", s.dir, "tmpfs", 0, "mode=0700,size="+diskSize)
	if s.mounted = err == nil; s.mounted {
		t.Cleanup(func() {
			if err := unix.Unmount(s.dir, unix.MNT_DETACH); err != nil {
				t.Errorf("unmounting %s: %v", s.dir, err)
			}
		})
	} else {
		t.Logf("the disk is never full: mounting a file system: %v", err)
	}
	env := []string{"LIMIT_BACKEND=local:" + s.dir}
	s.clients = []*Client{{Name: "here", Env: env}, {Name: "here too", Env: env}, {Name: "ahead", Env: env}}
	s.clients[1].Before = otherBoot(t)
	const ahead = 200_000
	before := []string{"unshare", "--time", "--monotonic", fmt.Sprint(ahead), "--boottime", fmt.Sprint(ahead)}
	if out, err := exec.Command(before[0], append(before[1:], "true")...).CombinedOutput(); err != nil {
		t.Logf("all clocks agree: unshare --time: %v %s", err, out)
	} else {
		s.clients[2].Before, s.clients[2].Ahead = before, ahead*time.Second
	}
	return s
}

// otherBoot puts calls where the identity of the boot is another, as in a container; nil where the system does not
// allow it.
func otherBoot(t testing.TB) []string {
	identity := filepath.Join(t.TempDir(), "boot_id")
	if err := os.WriteFile(identity, []byte("5f0c6d2e-8a3b-4c1d-9e7f-0a1b2c3d4e5f\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := []string{"unshare", "--mount", "sh", "-ec",
		`mount --bind "$0" /proc/sys/kernel/random/boot_id; exec "$@"`, identity}
	if out, err := exec.Command(before[0], append(before[1:], "true")...).CombinedOutput(); err != nil {
		t.Logf("all calls are of one boot: unshare --mount: %v %s", err, out)
		return nil
	}
	return before
}

func (s *embedded) Name() string       { return "embedded" }
func (s *embedded) Clients() []*Client { return s.clients }

func (s *embedded) Figures() Figures {
	return Figures{Workers: 40, Pace: 70, Epoch: 30 * time.Second, Stall: embeddedStall, Settle: embeddedSettle,
		Failing: []string{"disk"}}
}

// Faults of the embedded store. A process that is stopped in the middle of a change holds everybody up until it goes
// on.
func (s *embedded) Faults() []Fault {
	kills := Lane{"kills", 250 * time.Millisecond}
	stops := Lane{"stops", 500 * time.Millisecond}
	disk := Lane{"disk", 4 * time.Second}
	const longest = 1500 * time.Millisecond
	faults := []Fault{
		Kill("kill wrapper", 4, kills, Wrapper),
		Kill("kill command", 3, kills, Command),
		Kill("kill wrapper and command", 3, kills, Both),
		Kill("kill waiter or any call without a command", 3, kills, Waiter),
		Kill("kill gatekeeper", 3, kills, Gatekeeper),
		Kill("kill who looks or steers", 2, kills, steerer),
		Stop("stop wrapper", 3, stops, unix.SIGSTOP, longest, Wrapper),
		Stop("stop command", 2, stops, unix.SIGSTOP, longest, Command),
		Stop("stop wrapper and command", 2, stops, unix.SIGSTOP, longest, Both),
		Stop("stop waiter or any call without a command", 3, stops, unix.SIGSTOP, longest, Waiter),
		Stop("stop gatekeeper", 3, stops, unix.SIGSTOP, longest, Gatekeeper),
		Stop("stop who looks or steers", 1, stops, unix.SIGSTOP, longest, steerer),
		Stop("^Z wrapper", 3, stops, unix.SIGTSTP, longest, Wrapper),
		Stop("^Z waiter", 2, stops, unix.SIGTSTP, longest, Waiter),
	}
	if s.mounted {
		faults = append(faults, Fault{"disk full", 3, disk, s.fill}, Fault{"read-only directory", 1, disk, s.protect})
	}
	return append(faults, Fault{"file removed", 3, Lane{"cleaner", 3 * time.Second}, s.clean})
}

// clean removes one file of a namespace, as a cleaner of old files does. The limits are in two of them: while one has
// not been made again, nobody having come on a busy machine, the other stays.
func (s *embedded) clean(_ context.Context, r *rand.Rand, _ *Field) bool {
	files, _ := filepath.Glob(filepath.Join(s.dir, "*", "*"))
	claims, _ := filepath.Glob(filepath.Join(s.dir, "*", "claims", "*"))
	files = slices.DeleteFunc(append(files, claims...), func(file string) bool {
		beside := map[string]string{"state": "settings", "settings": "state"}[filepath.Base(file)]
		_, err := os.Stat(filepath.Join(filepath.Dir(file), beside))
		return err != nil
	})
	return len(files) > 0 && unix.Unlink(files[r.IntN(len(files))]) == nil // the directory of claims stays
}

// steerer is a call that does not run anything.
func steerer(r *rand.Rand, f *Field) (*Call, []int) {
	c := f.Pick(r, func(c *Call) bool {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.PID))
		words := strings.Split(string(line), "\x00")
		return len(words) > 1 && (words[1] == "status" || words[1] == "pool" || words[1] == "bump" ||
			words[1] == "cancel" || words[1] == "why")
	})
	if c == nil {
		return nil, nil
	}
	return c, []int{c.PID}
}

// Gatekeeper has a gate open for writing, the others for reading.
func (s *embedded) Gatekeeper(wrappers []int) int {
	for _, pid := range wrappers {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, link := range links {
			target, _ := os.Readlink(link)
			if filepath.Base(target) != "gate" {
				continue
			}
			info, _ := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, filepath.Base(link)))
			var pos, flags int
			if n, _ := fmt.Sscanf(string(info), "pos:\t%d\nflags:\t%o", &pos, &flags); n == 2 &&
				flags&unix.O_ACCMODE != unix.O_RDONLY {
				return pid
			}
		}
	}
	return 0
}

// fill takes all that is free on the store's file system for a moment.
func (s *embedded) fill(ctx context.Context, r *rand.Rand, _ *Field) bool {
	path := filepath.Join(s.dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		return false
	}
	defer os.Remove(path)
	defer f.Close()
	defer f.Truncate(0) // a process that is just being started may have the file open for a moment longer
	block := make([]byte, 64<<10)
	full := false
	for end := now() + r.Int64N(int64(400*time.Millisecond)); now() < end && ctx.Err() == nil; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			full = true
			rest(ctx, 2*time.Millisecond)
		} else if err != nil {
			break
		}
	}
	return full
}

// protect makes the store's directories and files immutable for a moment, as on a file system that has become
// read-only.
func (s *embedded) protect(ctx context.Context, r *rand.Rand, _ *Field) bool {
	const immutable = 0x10 // FS_IMMUTABLE_FL
	var done []string
	namespaces, _ := filepath.Glob(filepath.Join(s.dir, "*"))
	for _, namespace := range namespaces {
		inside, _ := filepath.Glob(filepath.Join(namespace, "*"))
		for _, path := range append(inside, namespace) {
			if info, err := os.Lstat(path); err == nil && (info.IsDir() || info.Mode().IsRegular()) &&
				setFlags(path, immutable) == nil {
				done = append(done, path)
			}
		}
	}
	rest(ctx, time.Duration(r.IntN(300))*time.Millisecond)
	for _, path := range done {
		setFlags(path, 0)
	}
	return len(done) > 0
}

func setFlags(path string, flags int) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags)
}

// Leaks are files of claims that somebody holds, and more of them than are kept for the next.
func (s *embedded) Leaks(context.Context) []string {
	var left []string
	claims, _ := filepath.Glob(filepath.Join(s.dir, "*", "claims", "*"))
	perNamespace := map[string]int{}
	for _, path := range claims {
		perNamespace[filepath.Dir(path)]++
		if !unlocked(path) {
			left = append(left, "somebody holds "+path)
		}
	}
	for dir, n := range perNamespace {
		if n > mostClaims {
			left = append(left, fmt.Sprintf("%d files are left in %s", n, dir))
		}
	}
	return left
}

// unlocked reports whether nobody holds an flock on a file.
func unlocked(path string) bool {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return errors.Is(err, unix.ENOENT)
	}
	defer unix.Close(fd)
	return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil
}
