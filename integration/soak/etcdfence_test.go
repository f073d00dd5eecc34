//go:build linux

package soak

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"limit/integration/binary"
	"limit/integration/etcdtest"
)

// A command runs on a machine that is cut off for longer than its lease, while another waits elsewhere for its slot.
// With the fence it is gone before that one starts; with the fence switched off the commands have to see it: else the
// oracle is blind.
func TestTheCommandsSeeAnOverlapWhenTheFenceIsSwitchedOff(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	var both sync.WaitGroup
	for _, c := range []struct {
		onLost   string
		overlaps int
	}{{"kill", 0}, {"warn", 1}} {
		both.Go(func() {
			t.Run("on-lost "+c.onLost, func(t *testing.T) {
				j := newJournal(nil)
				links, endpoints := cluster.NewLinks(t)
				dir := t.TempDir()
				runs := fenceRuns{t: t, journal: j, dir: dir, flags: []string{"--namespace", c.onLost, "--on-lost", c.onLost}}
				first := runs.start(endpoints, "30000")
				runs.await("start")
				for _, l := range links {
					l.Cut()
				}
				second := runs.start(cluster.Direct(), "0")
				if code := second.wait(etcdStall + etcdSettle); code != 0 {
					t.Errorf("the second exits %d", code)
				}
				syscall.Kill(-first.Process.Pid, syscall.SIGTERM)
				first.wait(etcdStall + etcdSettle)
				if err := j.read(filepath.Join(dir, "journal")); err != nil {
					t.Fatal(err)
				}
				if len(j.overlaps) != c.overlaps {
					t.Errorf("overlaps: %d, want %d: %v\n%v%v", len(j.overlaps), c.overlaps, j.overlaps, j.entries[0], j.entries[1])
				}
			})
		})
	}
	both.Wait()
}

// fenceRuns starts calls whose commands share locks and journal.
type fenceRuns struct {
	t       *testing.T
	journal *journal
	dir     string
	flags   []string
}

type fenceRun struct {
	*exec.Cmd
	t     *testing.T
	ended chan struct{}
}

func (f fenceRuns) start(endpoints []string, milliseconds string) *fenceRun {
	f.t.Helper()
	e := f.journal.open(entry{what: "for " + milliseconds + " ms"})
	argv := append([]string{"run", "--backend", "etcd://" + strings.ReplaceAll(strings.Join(endpoints, ","), "http://", ""),
		"--ttl", etcdTTL.String(), "--grace", etcdGrace.String(), "--pool", "p"}, f.flags...)
	argv = append(argv, "--", binary.SoakCommand(f.t), filepath.Join(f.dir, "journal"), filepath.Join(f.dir, "locks"), strconv.Itoa(e.id), "work", milliseconds)
	r := &fenceRun{exec.Command(binary.Path(f.t), argv...), f.t, make(chan struct{})}
	r.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		r.Wait()
		close(r.ended)
	}()
	f.t.Cleanup(func() {
		syscall.Kill(-r.Process.Pid, syscall.SIGKILL)
		<-r.ended
	})
	return r
}

// await waits until a command has written a line.
func (f fenceRuns) await(what string) {
	f.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) { // the outside world leaves nothing else
		text, _ := os.ReadFile(filepath.Join(f.dir, "journal"))
		if strings.HasPrefix(string(text), what) {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("no command has written %q", what)
		}
	}
}

func (r *fenceRun) wait(within time.Duration) int {
	r.t.Helper()
	select {
	case <-r.ended:
		return r.ProcessState.ExitCode()
	case <-time.After(within):
		r.t.Fatalf("not ended within %s", within)
		return -1
	}
}
