//go:build linux && (amd64 || arm64) && !portable

package sigsource

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// catch is what the handler uses, in this order; assembly keeps the one there is.
type catch struct {
	fd     int64
	missed uint64  // bit n-1: signal n came when the pipe was full
	faults uint64  // bit n: signal n goes to next where no process sent it
	next   uintptr // the runtime's handler
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
	sigIgnore = 1

	saSiginfo  = 0x00000004
	saRestorer = 0x04000000
	saOnStack  = 0x08000000
	saRestart  = 0x10000000
)

func fault(sig syscall.Signal) bool { return slices.Contains(Faults(), sig) }

func sigaction(sig syscall.Signal, action, old *kernelSigaction) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(action)),
		uintptr(unsafe.Pointer(old)), 8, 0, 0)
}

// Source receives signals. There is one in a program.
type Source struct {
	pipe  *os.File // read end
	read  int
	write int
	polls bool                // the runtime's poller would not have the pipe: Receive polls itself
	old   [65]kernelSigaction // as the runtime had set it
	ours  [65]bool

	sentinel   sentinel
	continuing sync.Mutex // a SIGCONT is made known, or StopBy looks whether one has come
}

// New returns a Source that has taken no signals yet.
func New() (*Source, error) {
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	state := catchState()
	state.fd = int64(p[1])
	for _, sig := range Faults() {
		state.faults |= 1 << sig
	}
	c := &Source{pipe: os.NewFile(uintptr(p[0]), "signals"), read: p[0], write: p[1]}
	c.polls = c.pipe.SetReadDeadline(time.Time{}) != nil
	return c, nil
}

// Tick has Receive call each with a Signal of number 0, when it has done so for all that came before.
func (c *Source) Tick() { c.put(0) }

// put has Receive call each with a signal of no known sender.
func (c *Source) put(sig syscall.Signal) {
	var record [16]byte
	binary.NativeEndian.PutUint32(record[:], uint32(sig))
	syscall.Write(c.write, record[:]) // where the pipe is full, Receive has enough to do
}

// Take routes signals to Receive.
func (c *Source) Take(signals ...syscall.Signal) {
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
			if sig == syscall.SIGCONT {
				c.sentinel.start()
			}
			if fault(sig) {
				catchState().next = c.old[sig].handler // one for all
			}
		}
	}
}

// GiveBack undoes Take.
func (c *Source) GiveBack(signals ...syscall.Signal) {
	for _, sig := range signals {
		if c.ours[sig] {
			c.ours[sig] = false
			sigaction(sig, &c.old[sig], nil)
			if sig == syscall.SIGCONT {
				c.sentinel.stop()
			}
		}
	}
}

// Receive calls each for every signal until Close, and settled when it has done so for all that came. It unblocks the
// signals of blocked on its own thread: no other receives those.
func (c *Source) Receive(blocked uint64, each func(Signal), settled func()) {
	if blocked != 0 {
		runtime.LockOSThread() // to the end: the thread dies with its mask
		sigprocmask(unix.SIG_UNBLOCK, blocked)
	}
	defer c.pipe.Close()
	state := catchState()
	tell := func(s Signal) {
		if s.Sig == syscall.SIGCONT && !s.Witnessed {
			c.continuing.Lock()
			defer c.continuing.Unlock()
			c.sentinel.renew()
		}
		each(s)
	}
	var buf [64 * 16]byte
	for {
		if c.polls {
			unix.Poll([]unix.PollFd{{Fd: int32(c.read), Events: unix.POLLIN}}, -1)
		}
		n, err := c.pipe.Read(buf[:])
		for b := buf[:n]; len(b) >= 16; b = b[16:] {
			n := binary.NativeEndian.Uint32(b)
			tell(Signal{
				Sig:       syscall.Signal(n &^ witnessed),
				Code:      int32(binary.NativeEndian.Uint32(b[4:])),
				PID:       int(int32(binary.NativeEndian.Uint32(b[8:]))),
				Witnessed: n&witnessed != 0,
			})
		}
		for missed := atomic.SwapUint64(&state.missed, 0); missed != 0; missed &= missed - 1 {
			tell(Signal{Sig: syscall.Signal(bits.TrailingZeros64(missed) + 1), Code: User})
		}
		settled()
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// Close gives all signals back and ends Receive.
func (c *Source) Close() {
	for sig := range c.old {
		c.GiveBack(syscall.Signal(sig))
	}
	catchState().fd = -1
	syscall.Close(c.write)
}

// byDefault runs f, which raises sig, while the default action of sig is in force.
func (c *Source) byDefault(sig syscall.Signal, f func()) {
	var before kernelSigaction
	sigaction(sig, &kernelSigaction{}, &before)
	f()
	sigaction(sig, &before, nil)
}

// StopBy stops this process by sig, a stop signal, as its default action does, unless awake says, now that sig is
// pending, that it is not to. Whoever continues this process from then on takes the pending signal from it, which is
// what POSIX has CONT do: between the look and the stop nothing can be missed. It returns false, not having stopped,
// where signals are to be received first.
func (c *Source) StopBy(sig syscall.Signal, awake func() bool) (done bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stop := uint64(1) << (sig - 1)
	c.byDefault(sig, func() {
		sigprocmask(unix.SIG_BLOCK, stop)
		defer sigprocmask(unix.SIG_UNBLOCK, stop) // stops here, and goes on when it is continued
		Raise(sig)
		if done = c.settled(); !done || awake() {
			var now unix.Timespec
			syscall.RawSyscall6(syscall.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&stop)), 0,
				uintptr(unsafe.Pointer(&now)), 8, 0, 0)
		}
	})
	return done
}

// settled reports whether all signals that came were received. A SIGCONT that no handler has reported is then to be
// received, perhaps for the second time.
func (c *Source) settled() bool {
	c.continuing.Lock()
	defer c.continuing.Unlock()
	if c.sentinel.continued() {
		c.put(syscall.SIGCONT)
		return false
	}
	unread, _ := unix.IoctlGetInt(c.read, unix.TIOCINQ) // fails for no pipe
	return unread == 0
}

// Ignore has this process ignore the signals of a set (bit n-1: signal n), those that the runtime needs included: it is
// for a process that is about to execute another program.
func Ignore(set uint64) {
	for ; set != 0; set &= set - 1 {
		sigaction(syscall.Signal(bits.TrailingZeros64(set)+1), &kernelSigaction{handler: sigIgnore}, nil)
	}
}

// SetDefault puts the default action of sig in force on this thread.
func SetDefault(sig syscall.Signal) {
	sigaction(sig, &kernelSigaction{}, nil)
	sigprocmask(unix.SIG_UNBLOCK, 1<<(sig-1))
}
