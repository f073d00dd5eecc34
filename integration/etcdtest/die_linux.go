package etcdtest

import (
	"os/exec"
	"syscall"
)

// dieWithTest lets the kernel kill the process when the test program dies.
func dieWithTest(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL }
