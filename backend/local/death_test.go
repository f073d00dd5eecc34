package local

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"limit/backend"
	"limit/backend/proc"
)

func TestASlotStaysTakenWhileTheCommandOfAKilledWrapperLives(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	holder := launch(t, "claim", dir, "p", "1", "sleep", "1000")
	command := holder.says("granted")[2]
	t.Cleanup(func() { killPID(t, command) })
	waiter := launch(t, "claim", dir, "p", "1")
	waiter.says("waiting")

	holder.kill()
	holder.cmd.Wait()
	var snap *backend.Snapshot
	eventually(t, "orphan", func() bool {
		snap = snapshot(t, s)
		return len(snap.Held) == 1 && snap.Held[0].Orphaned
	})
	if got := fmt.Sprint(snap.Held[0].PIDs); got != "["+command+"]" {
		t.Errorf("the orphan is held by %s, want [%s]", got, command)
	}
	waiter.quiet()
	killPID(t, command)
	waiter.says("granted")
}

func TestALiveWrapperIsNoOrphan(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	holder := launch(t, "claim", dir, "p", "1", "sleep", "1000")
	command := holder.says("granted")[2]
	t.Cleanup(func() { killPID(t, command) })
	if snap := snapshot(t, s); len(snap.Held) != 1 || snap.Held[0].Orphaned || snap.Held[0].PIDs != nil {
		t.Errorf("snapshot %+v, want one claim that is no orphan", snap.Held)
	}
}

// What a claim's details say of its wrapper may be gone: doctor would advise to kill a command that is well.
func TestAClaimWithoutDetailsIsNoOrphan(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	holder := launch(t, "claim", dir, "p", "1", "sleep", "1000")
	command := holder.says("granted")[2]
	t.Cleanup(func() { killPID(t, command) })
	if err := os.Remove(s.file("details.0")); err != nil {
		t.Fatal(err)
	}
	if snap := snapshot(t, s); len(snap.Held) != 1 || snap.Held[0].Orphaned || snap.Held[0].PIDs != nil {
		t.Errorf("snapshot %+v, want one claim that is no orphan", snap.Held)
	}
}

func TestAReleaseFreesTheSlotThoughADaemonStillHasTheDescriptor(t *testing.T) {
	dir := t.TempDir()
	holder := launch(t, "claim", dir, "p", "1", "sleep", "1000")
	command := holder.says("granted")[2]
	t.Cleanup(func() { killPID(t, command) })
	waiter := launch(t, "claim", dir, "p", "1")
	waiter.says("waiting")
	holder.stdin.Close()
	holder.says("released")
	waiter.says("granted")
	waiter.stdin.Close()
	waiter.says("released")
	next := launch(t, "claim", dir, "p", "1") // does not take the daemon's file
	next.says("granted")
	s := open(t, dir)
	defer s.Close()
	if snap := snapshot(t, s); len(snap.Held) != 1 || snap.Held[0].Orphaned {
		t.Errorf("snapshot %+v, want the last claim alone", snap.Held)
	}
}

func TestAKilledHolderIsNoticedWhoeverKeepsTheGate(t *testing.T) {
	for _, opts := range []Options{{}, {noWatch: true}} {
		t.Run(fmt.Sprintf("noWatch=%t", opts.noWatch), func(t *testing.T) {
			opts.Dir, opts.Create = t.TempDir(), true
			s, err := Open(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			holder := launch(t, "claim", opts.Dir, "p", "1")
			holder.says("granted")
			e, err := s.Enter(t.Context(), newClaim("p", 1), backend.EnterOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Release(t.Context())
			began := time.Now()
			holder.kill()
			if ev := next(t, e); ev.Kind != backend.Granted {
				t.Fatalf("event %+v, want Granted", ev)
			}
			t.Logf("granted %s after the kill", time.Since(began))
		})
	}
}

func TestAKilledGatekeeperIsSucceeded(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	holder := launch(t, "claim", dir, "p", "1")
	holder.says("granted")
	keeper := launch(t, "claim", dir, "p", "1") // the first to wait takes the gate
	keeper.says("waiting")
	var others []*process
	for range 3 {
		p := launch(t, "claim", dir, "p", "1")
		p.says("waiting")
		others = append(others, p)
	}
	keeper.kill()
	keeper.cmd.Wait()
	holder.kill()
	for _, p := range others { // each in turn keeps the gate, holds, and is killed
		p.says("granted")
		p.kill()
	}
	eventually(t, "empty store", func() bool {
		snap := snapshot(t, s)
		return len(snap.Held)+len(snap.Waiting) == 0
	})
}

func TestAStoppedGatekeeperIsRelieved(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir, Create: true, recheck: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	holder := launch(t, "claim", dir, "p", "1")
	holder.says("granted")
	keeper := launch(t, "claim", dir, "other", "1")
	keeper.says("granted")
	stopped := launch(t, "claim", dir, "other", "1")
	stopped.says("waiting")
	e, err := s.Enter(t.Context(), newClaim("p", 1), backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release(t.Context())
	if err := s.lock(t.Context()); err != nil { // or it might be stopped in the middle of a change
		t.Fatal(err)
	}
	err = stopped.cmd.Process.Signal(syscall.SIGSTOP)
	eventually(t, "stop", func() bool { return proc.Of(stopped.cmd.Process.Pid).State == 'T' })
	s.unlock()
	if err != nil {
		t.Fatal(err)
	}
	holder.kill()
	if ev := next(t, e); ev.Kind != backend.Granted {
		t.Fatalf("event %+v while the gatekeeper is stopped, want Granted", ev)
	}
}

func TestAKilledWaiterIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	holder := launch(t, "claim", dir, "p", "1")
	holder.says("granted")
	var line []*process
	for range 4 {
		p := launch(t, "claim", dir, "p", "1")
		p.says("waiting")
		line = append(line, p)
	}
	for _, i := range []int{0, 2} {
		line[i].kill()
		line[i].cmd.Wait()
	}
	holder.stdin.Close()
	line[1].says("granted")
	line[1].stdin.Close()
	line[3].says("granted")
}

func TestADeadWaiterBlocksNobodyBehindIt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	limitPool(t, s, "p", 2)
	launch(t, "claim", dir, "p", "1").says("granted")
	big := launch(t, "claim", dir, "p", "2")
	big.says("waiting")
	small := launch(t, "claim", dir, "p", "1")
	small.says("waiting")
	big.kill()
	small.says("granted")
}

// TestRandomKills: 200 wrappers come and go; wrapper, command or both are killed at random moments. The kernel is the
// oracle: each command locks one of as many files as the limit has slots, and complains if it finds none.
func TestRandomKillsNeverExceedTheLimitAndLeaveNothing(t *testing.T) {
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip("SKIPPED: no flock command (util-linux), by which the commands are counted")
	}
	dir, oracle := t.TempDir(), t.TempDir()
	s := open(t, dir)
	defer s.Close()
	const limit, processes, atOnce = 3, 200, 20
	limitPool(t, s, "p", limit)
	turn := make(chan struct{}, atOnce)
	var lived atomic.Int32
	var all sync.WaitGroup
	for i := range processes {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			if err := randomLife(dir, oracle, limit, rand.New(rand.NewPCG(uint64(i), 7)), &lived); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	all.Wait()
	eventually(t, "empty store", func() bool {
		snap := snapshot(t, s)
		return len(snap.Held)+len(snap.Waiting) == 0
	})
	if over, err := os.ReadFile(oracle + "/over"); err == nil {
		t.Errorf("commands ran beyond the limit: %s", over)
	}
	if n := lived.Load(); n < processes/4 {
		t.Errorf("%d commands of %d started: the kills came too early to try anything", n, processes)
	}
	noResidue(t, s)
}

// oracleScript locks by descriptor 9: of a process that dies the kernel lets go the last descriptor first, so that lock
// is gone before the claim's, descriptor 3, frees the slot.
const oracleScript = `for i in $(seq "$2"); do
	exec 9>"$0/$i"
	flock -n 9 && exec sleep "$1"
done
echo "command $$ found $2 others" >>"$0/over"`

// randomLife is one wrapper with a command of a few milliseconds.
func randomLife(dir, oracle string, limit int, random *rand.Rand, lived *atomic.Int32) error {
	wrapper := exec.Command(os.Args[0], dir, "p", "1", "sh", "-c", oracleScript, oracle, fmt.Sprintf("0.%03d", 1+random.IntN(30)), fmt.Sprint(limit))
	wrapper.Env = append(os.Environ(), helperVariable+"=run")
	stdin, err := wrapper.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := wrapper.StdoutPipe()
	if err != nil {
		return err
	}
	if err := wrapper.Start(); err != nil {
		return err
	}
	defer wrapper.Wait()
	defer stdin.Close()
	timeout := time.AfterFunc(patience, func() { wrapper.Process.Kill() })
	if random.IntN(2) == 0 {
		timer := time.AfterFunc(time.Duration(random.IntN(120))*time.Millisecond, func() { wrapper.Process.Kill() })
		defer timer.Stop()
	}
	command := 0
	for lines := bufio.NewScanner(stdout); command == 0 && lines.Scan(); {
		var token int
		fmt.Sscanf(lines.Text(), "granted %d %d", &token, &command)
	}
	if !timeout.Stop() {
		return errors.New("never granted")
	}
	if command == 0 {
		return nil // killed while it waited
	}
	lived.Add(1)
	if random.IntN(3) == 0 {
		syscall.Kill(command, syscall.SIGKILL)
	}
	return nil
}

// noResidue checks that no claim and no more files than are kept for the next are left.
func noResidue(t testing.TB, s *Store) {
	t.Helper()
	err := s.change(t.Context(), func(c *change) error {
		if n := len(c.img.claims); n != 0 {
			t.Errorf("%d claims are left", n)
		}
		c.trim()
		c.dirty = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.file("claims"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > sparedFiles {
		t.Errorf("%d files are left in claims, at most %d are kept", len(entries), sparedFiles)
	}
}

func TestAFileThatCannotBeRemovedIsRemovedAnotherTime(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	limitPool(t, s, "p", 100)
	var entries []backend.Entry
	for range sparedFiles + 4 {
		entries = append(entries, enter(t, s, "p"))
	}
	last := entries[len(entries)-1]
	for _, e := range entries[:len(entries)-1] {
		if err := e.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stubborn := filepath.Join(s.file("claims"), fmt.Sprint(sparedFiles+1))
	if err := errors.Join(os.Remove(stubborn), os.Mkdir(stubborn, 0o700)); err != nil { // what unlink does not remove
		t.Fatal(err)
	}
	if err := last.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(stubborn), unix.Mkfifo(stubborn, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := enter(t, s, "p").Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(s.file("claims"))
	if err != nil || len(left) > sparedFiles {
		t.Errorf("%d files are left in claims (%v), at most %d are kept", len(left), err, sparedFiles)
	}
}
