//go:build linux && (amd64 || arm64)

package process

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The handler of os/signal does not tell who sent a signal, and only the sender tells ^C, which the terminal has sent
// to the command already, from kill -INT, which the command must get. So the signals of this package have a
// handler of their own, a few instructions that write what the kernel says to a pipe.

// catch is what the handler uses, in this order; assembly keeps the one there is.
type catch struct {
	fd     int64
	missed uint64 // bit n-1: signal n came when the pipe was full
}

func catchState() *catch
func handlerPC() uintptr
func restorerPC() uintptr

// kernelSigaction is the kernel's struct sigaction.
type kernelSigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	sigDefault = 0
	sigIgnore  = 1

	saSiginfo  = 0x00000004
	saRestorer = 0x04000000
	saOnStack  = 0x08000000
	saRestart  = 0x10000000

	codeUser   = 0    // kill(2)
	codeKernel = 0x80 // the kernel itself: a terminal, a timer
)

func sigaction(sig syscall.Signal, action, old *kernelSigaction) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}

// catcher receives signals.
type catcher struct {
	pipe  *os.File // read end
	read  int
	write int
	old   [65]kernelSigaction // as the runtime had set it
	ours  [65]bool
}

func newCatcher() (*catcher, error) {
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	state := catchState()
	state.fd = int64(p[1])
	return &catcher{pipe: os.NewFile(uintptr(p[0]), "signals"), read: p[0], write: p[1]}, nil
}

// take routes signals to receive.
func (c *catcher) take(signals ...syscall.Signal) {
	action := kernelSigaction{
		handler:  handlerPC(),
		flags:    saSiginfo | saOnStack | saRestart | saRestorer,
		restorer: restorerPC(),
		mask:     ^uint64(0),
	}
	for _, sig := range signals {
		if !c.ours[sig] {
			c.ours[sig] = true
			sigaction(sig, &action, &c.old[sig])
		}
	}
}

// giveBack undoes take.
func (c *catcher) giveBack(signals ...syscall.Signal) {
	for _, sig := range signals {
		if c.ours[sig] {
			c.ours[sig] = false
			sigaction(sig, &c.old[sig], nil)
		}
	}
}

// receive calls each for every signal until close, and settled when it has done so for all that came. It unblocks the signals of
// blocked on its own thread: no other receives those.
func (c *catcher) receive(blocked uint64, each func(sent), settled func()) {
	if blocked != 0 {
		runtime.LockOSThread() // to the end: the thread dies with its mask
		sigprocmask(unix.SIG_UNBLOCK, blocked)
	}
	state := catchState()
	var buf [64 * 16]byte
	for {
		n, err := c.pipe.Read(buf[:])
		for b := buf[:n]; len(b) >= 16; b = b[16:] {
			each(sent{
				sig:  syscall.Signal(binary.NativeEndian.Uint32(b)),
				code: int32(binary.NativeEndian.Uint32(b[4:])),
				pid:  int(int32(binary.NativeEndian.Uint32(b[8:]))),
			})
		}
		for missed := atomic.SwapUint64(&state.missed, 0); missed != 0; missed &= missed - 1 {
			each(sent{sig: syscall.Signal(lowest(missed)), code: codeUser})
		}
		settled()
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// close ends receive, after all signals are given back.
func (c *catcher) close() {
	for sig := range c.old {
		c.giveBack(syscall.Signal(sig))
	}
	c.pipe.Close()
	syscall.Close(c.write)
	catchState().fd = -1
}

// byDefault runs f, which raises sig, while the default action of sig is in force.
func (c *catcher) byDefault(sig syscall.Signal, f func()) {
	var before kernelSigaction
	sigaction(sig, &kernelSigaction{}, &before)
	f()
	sigaction(sig, &before, nil)
}

// stopBy stops this process by sig, a stop signal, as its default action does, unless awake says, now that sig is pending, that it is not to.
// Whoever continues this process from then on takes the pending signal from it, which is what POSIX has CONT do:
// between the look and the stop nothing can be missed. It returns false, not having stopped, where signals are to be received first.
func (c *catcher) stopBy(sig syscall.Signal, awake func() bool) (done bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stop, cont := uint64(1)<<(sig-1), uint64(1)<<(syscall.SIGCONT-1)
	c.byDefault(sig, func() {
		sigprocmask(unix.SIG_BLOCK, stop|cont)
		defer sigprocmask(unix.SIG_UNBLOCK, stop|cont) // stops here, and goes on when it is continued
		var pending uint64
		syscall.RawSyscall(syscall.SYS_RT_SIGPENDING, uintptr(unsafe.Pointer(&pending)), 8, 0)
		if pending&cont != 0 {
			return // no thread has taken it yet, and a stop signal would discard it
		}
		raise(sig)
		stays := awake()
		unread, _ := unix.IoctlGetInt(c.read, unix.TIOCINQ) // fails for no pipe
		if done = unread == 0; stays || !done {
			var now unix.Timespec
			syscall.RawSyscall6(syscall.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&stop)), 0, uintptr(unsafe.Pointer(&now)), 8, 0, 0)
		}
	})
	return done
}

func sigprocmask(how uintptr, set uint64) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, how, uintptr(unsafe.Pointer(&set)), 0, 8, 0, 0)
}

// setDefault puts the default action of sig in force on this thread.
func setDefault(sig syscall.Signal) {
	sigaction(sig, &kernelSigaction{}, nil)
	sigprocmask(unix.SIG_UNBLOCK, 1<<(sig-1))
}
