package local

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"limit/backend"
	"limit/backend/proc"
)

// closing is a command that closes what it inherits, as daemons do.
var closing = []string{"sh", "-c", "exec 3>&-; exec sleep 1000"}

// closed waits until a command has closed the claim's descriptor.
func closed(t *testing.T, s *Store, n fileNumber, pid string) {
	t.Helper()
	number, _ := strconv.Atoi(pid)
	eventually(t, "a command without the descriptor", func() bool {
		file, _ := s.free(n)
		exe, _ := os.Readlink("/proc/" + pid + "/exe")
		return filepath.Base(exe) == "sleep" && !holds(number, file)
	})
}

// bereft starts a holder whose command has closed the descriptor, and kills the wrapper.
func bereft(t *testing.T, s *Store) (command string, wrapper *process) {
	t.Helper()
	holder := launch(t, "claim", append([]string{s.opts.Dir, "p", "1"}, closing...)...)
	command = holder.says("granted")[2]
	t.Cleanup(func() { killPID(t, command) })
	closed(t, s, 0, command)
	holder.kill()
	holder.cmd.Wait()
	return command, holder
}

func TestASlotStaysTakenWhileACommandLivesThatClosedWhatItInherited(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	command, _ := bereft(t, s)
	if _, err := s.Enter(t.Context(), newClaim("p", 1), backend.EnterOptions{NoWait: true}); err == nil {
		t.Fatal("the slot was given to another while the command lives")
	}
	waiter := launch(t, "claim", s.opts.Dir, "p", "1")
	waiter.says("waiting")
	snap := snapshot(t, s)
	if len(snap.Held) != 1 || !snap.Held[0].Orphaned || fmt.Sprint(snap.Held[0].PIDs) != "["+command+"]" {
		t.Errorf("held %+v, want an orphan of process %s", snap.Held, command)
	}
	waiter.quiet()
	killPID(t, command)
	waiter.says("granted")
}

// TestTheEndOfACommandWithoutDescriptorIsAnEvent: nobody looks again within the hour but for it.
func TestTheEndOfACommandWithoutDescriptorIsAnEventForAWaiterThatWasThereBefore(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	holder := launch(t, "claim", append([]string{s.opts.Dir, "p", "1"}, closing...)...)
	command := holder.says("granted")[2]
	t.Cleanup(func() { killPID(t, command) })
	var waiters []*process
	for range 2 {
		w := launch(t, "claim", s.opts.Dir, "p", "1")
		w.says("waiting")
		waiters = append(waiters, w)
	}
	closed(t, s, 0, command)
	holder.kill()
	holder.cmd.Wait()
	waiters[0].kill() // who keeps the gate: the next takes over what it waited for
	waiters[0].cmd.Wait()
	waiters[1].quiet()
	killPID(t, command)
	waiters[1].says("granted")
}

func TestAZombieKeepsNoSlot(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	zombie := exec.Command("true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "zombie", func() bool { return proc.Of(zombie.Process.Pid).State == 'Z' })
	if s.lives(lifeOf{zombie.Process.Pid, s.clock()}) {
		t.Error("a zombie counts as alive")
	}
	zombie.Wait()
}

func TestAProcessThatHasTheNumberOfAnEarlierOneIsAnother(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	now := lifeOf{os.Getpid(), s.clock()}
	start, known := startOf(now.pid)
	if !known || !s.lives(now) {
		t.Fatalf("this process does not live (start known: %t)", known)
	}
	if s.lives(lifeOf{now.pid, start - s.ahead - 2*tick}) {
		t.Error("a process counts as one that lived before it was started")
	}
	s.ahead += time.Hour // as in a time namespace that is ahead: start times in /proc are, too
	now.seen = s.clock()
	s.ahead -= time.Hour
	if s.lives(now) {
		t.Error("the time namespace is not counted")
	}
}

// TestAClaimOfAPIDNamespaceBelowIsSeen: the number within is another than the one outside.
func TestAClaimOfAPIDNamespaceBelowIsSeen(t *testing.T) {
	needRoot(t)
	s := open(t, t.TempDir())
	defer s.Close()
	inside := exec.Command("sleep", "1000")
	inside.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if err := inside.Start(); err != nil {
		t.Skipf("SKIPPED: no PID namespace can be made here: %v", err)
	}
	t.Cleanup(func() { inside.Process.Kill(); inside.Wait() })
	namespace, err := os.Stat(fmt.Sprintf("/proc/%d/ns/pid", inside.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	number := namespace.Sys().(*syscall.Stat_t).Ino
	p, ok := s.find(lifeOf{1, s.clock()}, number)
	if !ok || p.pid != inside.Process.Pid {
		t.Errorf("process 1 of the namespace is %+v, %t, want %d", p, ok, inside.Process.Pid)
	}
	inside.Process.Kill()
	inside.Wait()
	if p, ok := s.find(lifeOf{1, s.clock()}, number); ok {
		t.Errorf("process %d counts as one of a namespace that is gone", p.pid)
	}
}

func TestAWitnessIsReadAsItWasWritten(t *testing.T) {
	w := witness{claim: id{1}, boot: id{2}, pidNamespace: 3, file: inode{4, 5}, owner: lifeOf{6, 7}}
	for i := range 2 * maxProcesses {
		w.commands = append(w.commands, lifeOf{i + 1, time.Duration(i)})
	}
	b := w.encode()
	got, ok := decodeWitness(b)
	w.commands = w.commands[:maxProcesses-1]
	if !ok || fmt.Sprint(got) != fmt.Sprint(w) {
		t.Errorf("%+v (%t), want %+v", got, ok, w)
	}
	binary.LittleEndian.PutUint32(b[witnessHead:], 99)
	if _, ok := decodeWitness(b); ok {
		t.Error("a damaged one is believed")
	}
}
