// Package fence is the third guard of a command that runs under a claim on etcd. The first is the wrapper, the second
// the keeper: each ends the command when the claim's last moment comes, and either may be killed or stopped. One
// command such as "pkill -9 limit" or "pkill -STOP limit" hits both. The fence is a process of another name, in a
// session of its own, without a store: the keeper tells it of the commands and of each new last moment, through a pipe;
// at the last moment that it was told it kills what is left of them, whatever has become of the others.
//
// It is started when a command has run for a tenth of a second, so that short ones need not pay for it: in that time
// two guards have to do.
//
// What it cannot do: end what this user may not signal, such as a set-uid program; outlive a signal that is sent to
// every process of the user, or of a container. A machine that is stopped as a whole is a matter of the fencing token.
package fence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"limit/backend/etcd/boot"
)

// Kill kills a process (0: not known) with all that descends from it, and every process with mark (NAME=value) in the
// environment it was started with. process.KillTree is one.
type Kill func(ctx context.Context, root int, mark string) error

// Order is what the keeper tells the fence: of a new last moment, or of a command that runs or has ended; and once of
// the file where the next agent writes a Takeover.
type Order struct {
	Deadline time.Duration `json:"deadline,omitempty"` // on the boot clock
	File     string        `json:"file,omitempty"`
	Command
}

// Command is what the fence has to know of a command.
type Command struct {
	Mark    string        `json:"mark,omitempty"`    // NAME=value in its environment
	PID     int           `json:"pid,omitempty"`     // 0: it has ended
	Wrapper int           `json:"wrapper,omitempty"` // its pid
	Grace   time.Duration `json:"grace,omitempty"`   // between TERM and the last moment
	UID     int           `json:"uid"`               // of the user with whose rights it is ended
}

// Takeover is what an agent writes into a file for the fence of the one before it: a later last moment, and its own
// fence, which knows all commands.
type Takeover struct {
	Last  time.Duration // on the boot clock
	Fence int           // pid; 0: it has none
}

// ahead is how long before the last moment the fence kills. The keeper begins earlier.
const ahead = 200 * time.Millisecond

// name is what the process is called.
const name = "claim-fence"

// descriptor is where the process finds its end of the pipe.
const descriptor = 3

// Process is a process and when it was started, in the words of the kernel.
type Process struct {
	PID     int
	Started string
}

// Terminate asks the process to end, also where it is stopped.
func (w *Witness) Terminate() {
	w.Signal(syscall.SIGTERM)
	w.Signal(syscall.SIGCONT)
}

// Root is the process's number as Kill wants it: 0 where it has ended.
func (w *Witness) Root() int {
	if w == nil || !w.Alive() {
		return 0
	}
	return w.pid
}

// Fence is the process as the keeper sees it. One goroutine may use it at a time.
type Fence struct {
	pid  int
	pipe *os.File
}

// Start starts program, path and arguments, which calls Main.
func Start(program []string) (*Fence, error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer null.Close()
	pid, err := syscall.ForkExec(program[0], append([]string{name}, program[1:]...), &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), theirs.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return &Fence{pid: pid, pipe: ours}, nil
}

// sendTimeout bounds the sending of an order: the fence may be stopped, and the keeper must not wait for it.
const sendTimeout = 50 * time.Millisecond

// Send gives an order. After an error the fence is of no use any more.
func (f *Fence) Send(o Order) error {
	f.pipe.SetWriteDeadline(time.Now().Add(sendTimeout))
	return json.NewEncoder(f.pipe).Encode(o)
}

// PID is the process's number, 0 where there is none.
func (f *Fence) PID() int {
	if f == nil {
		return 0
	}
	return f.pid
}

// Leave lets the process go on alone.
func (f *Fence) Leave() { f.pipe.Close() }

// Close ends the process. No command may be left that relies on it.
func (f *Fence) Close() {
	f.pipe.Close()
	syscall.Kill(f.pid, syscall.SIGKILL)
	for {
		if _, err := syscall.Wait4(f.pid, nil, 0, nil); !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// Main is the whole of the fence's process. It ends when the keeper has, and no command is left.
func Main(ctx context.Context, kill Kill) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	rename(name)
	alarm, err := boot.NewAlarm()
	if err != nil {
		return err
	}
	defer alarm.Stop()
	orders := make(chan Order)
	go read(os.NewFile(descriptor, "keeper"), orders) // ends with the process at the latest
	g := &guard{kill: kill, commands: map[string]*guarded{}}
	for orders != nil || len(g.commands) > 0 {
		if err := alarm.Set(g.next()); err != nil {
			return err
		}
		select {
		case o, ok := <-orders:
			if !ok {
				orders = nil
				continue
			}
			g.take(o)
		case <-alarm.C:
			for open := true; open; { // one that was stopped has orders to read before it believes its last
				select {
				case o, ok := <-orders:
					open = ok
					g.take(o)
				case <-time.After(arrears):
					open = false
				}
			}
			if orders == nil && g.takenOver() {
				return nil
			}
			g.enforce(ctx, boot.Now())
		}
	}
	return nil
}

// arrears is how long the fence waits for an order that was given already.
const arrears = 30 * time.Millisecond

func read(pipe *os.File, orders chan<- Order) {
	defer close(orders)
	for in := json.NewDecoder(pipe); ; {
		var o Order
		if in.Decode(&o) != nil {
			return
		}
		orders <- o
	}
}

// guard is what the fence knows.
type guard struct {
	kill     Kill
	deadline time.Duration
	file     string
	commands map[string]*guarded // by mark
}

// guarded is a command.
type guarded struct {
	Command
	root    *Witness
	wrapper *Witness
	warned  bool // TERM was sent for the deadline, or left to the wrapper
}

func (c *guarded) close() {
	c.root.Close()
	c.wrapper.Close()
}

// takenOver looks, when the keeper has gone, for what the next agent has written: a later last moment counts, and where
// that agent has a fence of its own, this one is not needed any more.
func (g *guard) takenOver() bool {
	data, err := os.ReadFile(g.file)
	var t Takeover
	if err != nil || json.Unmarshal(data, &t) != nil || t.Last <= g.deadline {
		return false
	}
	g.take(Order{Deadline: t.Last})
	return t.Fence != 0 && t.Fence != os.Getpid()
}

func (g *guard) take(o Order) {
	if o.File != "" {
		g.file = o.File
	}
	if o.Deadline > g.deadline {
		g.deadline = o.Deadline
		for _, c := range g.commands {
			c.warned = false
		}
	}
	if was := g.commands[o.Mark]; was != nil {
		was.close()
		delete(g.commands, o.Mark)
	}
	if o.PID != 0 {
		g.commands[o.Mark] = &guarded{Command: o.Command, root: Watch(o.PID), wrapper: Watch(o.Wrapper)}
	}
}

// next is when there is something to be done.
func (g *guard) next() time.Duration {
	next := boot.Now() + time.Hour
	if g.deadline == 0 {
		return next // no last moment was told yet
	}
	for _, c := range g.commands {
		due := g.deadline - ahead
		if !c.warned {
			due = g.deadline - c.Grace
		}
		next = min(next, due)
	}
	return next
}

// enforce does what is due at now: TERM where the wrapper cannot send it, and at last KILL.
func (g *guard) enforce(ctx context.Context, now time.Duration) {
	if g.deadline == 0 {
		return
	}
	for mark, c := range g.commands {
		if !c.warned && now >= g.deadline-c.Grace {
			c.warned = true
			if !c.wrapper.Alive() || Stopped(c.Wrapper) {
				As(c.UID, c.root.Terminate)
			}
		}
		if now < g.deadline-ahead {
			continue
		}
		As(c.UID, func() { g.kill(ctx, c.root.Root(), mark) })
		c.close()
		delete(g.commands, mark)
	}
}
