package fence

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func TestTheRightsOfAUserEndNoProcessOfAnother(t *testing.T) {
	cmd := exec.Command("sleep", "300")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := Watch(cmd.Process.Pid)
	defer w.Close()
	own, other := os.Geteuid(), 65534
	if own == other {
		other--
	}
	As(other, func() { w.Signal(syscall.SIGKILL) })
	As(other, func() { syscall.Kill(cmd.Process.Pid, syscall.SIGKILL) })
	if err := syscall.Kill(cmd.Process.Pid, 0); err != nil || !w.Alive() {
		t.Error("the other user has ended the process")
	}
	if os.Geteuid() != own {
		t.Errorf("this process has become the user %d", os.Geteuid())
	}
	As(own, func() { w.Signal(syscall.SIGKILL) })
	if cmd.Wait(); w.Alive() {
		t.Error("its own user has not ended it")
	}
}
