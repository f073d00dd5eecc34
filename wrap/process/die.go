package process

import (
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"limit/wrap/process/inherited"
	"limit/wrap/process/sigsource"
)

// DieOf ends this process by sig, without a core file, so that its parent sees what it would have seen of
// the command. Where no signal can do that (process 1 of a container, or a harmless one) it returns
// 128+sig, the code to exit with.
func DieOf(sig syscall.Signal) int {
	forbidCore()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sigsource.SetDefault(sig)
	sigsource.Raise(sig)
	return 128 + int(sig)
}

// Quieten sends to died the signals at which the runtime would print its stacks and exit 2: this process is to die of
// them, as other programs do. The returned function undoes that, for a Supervisor to take them.
func Quieten(died chan<- syscall.Signal) (undo func(), err error) {
	source, err := sigsource.New()
	if err != nil {
		return nil, err
	}
	in := inherited.AtStart()
	for _, sig := range append(sigsource.Faults(), syscall.SIGQUIT, syscall.SIGABRT) {
		if inherited.Has(in.Ignored, int(sig)) {
			signal.Ignore(sig)
		} else {
			source.Take(sig)
		}
	}
	var receiving sync.WaitGroup
	receiving.Go(func() {
		source.Receive(0, func(m sigsource.Signal) {
			select {
			case died <- m.Sig:
			default: // it is dying
			}
		}, func() {})
	})
	return func() { source.Close(); receiving.Wait() }, nil
}

// survivePipe keeps the runtime from dying of a write to a standard output or error that nobody reads.
func survivePipe() { signal.Ignore(syscall.SIGPIPE) }

func isSessionLeader() bool {
	sid, err := unix.Getsid(0)
	return err == nil && sid == unix.Getpid()
}
