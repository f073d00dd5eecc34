// Package process starts commands and stands over them: signals, the terminal, job control, ends, whole trees.
//
// A Supervisor is the one owner of children and signals in a program: it starts commands, waits for
// all of them in one loop (and reaps the orphans they leave, for it is a subreaper), hands on signals, and
// ends a command when asked to, or when its time is up. Use neither os/exec nor os/signal beside it.
//
// It serves two callers. One command in the caller's own process group, with everything inherited untouched, to
// which signals are handed on (Command.Forward): nobody can tell that somebody stands in front of it. And many commands
// at once, each in a process group of its own (Command.Group).
package process

import (
	"os"
	"syscall"
	"time"
)

// Command is what to start, and how it ends.
type Command struct {
	Path string   // the file, as Find returned it
	Args []string // Args[0] as typed
	Env  []string // all of it, see Environ; LISTEN_PID of this process becomes that of the command
	Dir  string   // "": the directory of this process, whatever became of it

	// Nil: the descriptor of this process stays as it is, even closed. All descriptors of this process that are not
	// close-on-exec are inherited too, at their numbers.
	Stdin, Stdout, Stderr *os.File

	// Keep is inherited at the first free descriptors from 100 on: files that must stay open for as
	// long as any process of the command lives. The caller may close its own when Start returns.
	Keep []*os.File

	// signals sent to this process go to the command, not to Signals; when it stops, this process does. For one command
	// at a time
	Forward bool
	Group   bool // a process group of its own, which Stop and Kill signal. Without: that of this process
	// a session of its own, without a terminal; without Group also no part of any tree: neither HoldTree nor the Kill
	// of others concerns it
	Session bool

	// Stay keeps this process in its directory, which with Forward it leaves: a later command is to start there too.
	Stay bool

	// DeathSignal is what the kernel sends to the command when this process dies, on Linux; 0: nothing.
	DeathSignal syscall.Signal

	// Unkillable is called, from a goroutine of the Supervisor, with each process that outlives SIGKILL because this
	// process may not signal it (what sudo has started). It is waited for.
	Unkillable func(pid int)

	// Stopping is called once, before the first signal that ends the command; nil: nothing. It must not call the
	// Supervisor.
	Stopping func()

	// HoldTree keeps Done open until all descendants of this process (but those of Session) are gone, daemons
	// included. Needs Forward, and Linux: elsewhere it changes nothing.
	HoldTree bool

	// Mark is an entry of Env (NAME=value) that no other command has. Kill and Stop find by it what descends from
	// the command but has left its group and its parents.
	Mark string

	Signal syscall.Signal // what Stop sends first; 0: SIGTERM
	// between Signal, or a TERM, INT or HUP that is handed on, and SIGKILL; 0: SIGKILL follows at once
	Grace   time.Duration
	Timeout time.Duration // Stop(TimedOut) after this; 0: never
}

// keepFrom is the first descriptor for Command.Keep.
const keepFrom = 100

// Reason says why a Supervisor ended a command; the first reason stays.
type Reason int

const (
	Ended    Reason = iota // it ended by itself, or of a signal that others sent
	TimedOut               // Command.Timeout
	Stopped                // Stop as the caller asked: cancelled, not needed any more
	Lost                   // what it needs was lost: StopBy
	Overdue                // a signal that was handed on told it to end, and it had not when Grace was over
	Released               // it needs nothing any more: one that was adopted is left alone, another one is Stopped
)

// Exit is how a command ended.
type Exit struct {
	Code    int            // 0 to 255, where Signal is 0
	Signal  syscall.Signal // that killed it
	Core    bool           // with a core dump
	Unknown bool           // neither Code nor Signal is known: the process was adopted, and only its parent learns them
	Reason  Reason
	Killed  bool // the Supervisor had to send SIGKILL
	Told    bool // with Forward: this process was sent a signal that asks a command to end, or the one that killed it
	Started time.Time
	Ended   time.Time
	Usage   syscall.Rusage // of the command and the descendants it waited for
}

// Status is the exit status a shell shows: Code, or 128+Signal.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}

func (c *Command) ownGroup() bool { return c.Group || c.Session }

func (c *Command) apart() bool { return c.Session && !c.Group }

// Process is a started command.
type Process struct {
	s     *Supervisor
	c     Command
	pid   int
	other *Other        // that was adopted; nil: a child
	ended chan struct{} // closed when the command itself is reaped
	done  chan struct{}
	poke  chan struct{} // killAt has changed
	left  chan struct{} // the tree lives without the command

	// Under the Supervisor's lock:
	exit     Exit
	gone     bool          // ended is closed
	stopping bool          // end runs
	finished bool          // done is closed
	killAt   time.Duration // on the clock of now
	timeout  *time.Timer
	stopBy   *alarm
	overdue  *alarm         // until SIGKILL, since a signal was handed on that tells it to end
	heard    uint64         // the signals that this process was sent while the command ran, a bit each
	fault    syscall.Signal // that this process was sent: it is to end as by that

	// of an adopted process: its descendants that were seen, by identity. Their orphans are others' children
	kin        map[info]bool
	unkillable []info // that Unkillable was called for; only the goroutine of end uses it
}

// PID returns the process id of the command. It is for showing: use Signal, which never hits a stranger.
func (p *Process) PID() int { return p.pid }

// Ended is closed when the command itself is gone. With HoldTree, or while it is being stopped, Done comes later.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Done is closed when the command is gone: the command alone; with HoldTree, its descendants too; and once it was asked
// to stop, all of its group (Command.Group) and tree.
func (p *Process) Done() <-chan struct{} { return p.done }

// Left sends, with HoldTree, when the command is gone and its descendants are not, and again when these may be others.
func (p *Process) Left() <-chan struct{} { return p.left }

// Descendants returns the process ids of what lives of the command and its tree. They are for showing, as PID is.
func (p *Process) Descendants() []int {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	members, _ := p.members()
	pids := make([]int, len(members))
	for i, m := range members {
		pids[i] = m.pid
	}
	return pids
}

// Exit returns how the command ended; valid once Ended is closed, Reason for good once Done is.
func (p *Process) Exit() Exit {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.exit
}

// Signal sends sig to the command, to its whole group where it has one. It does nothing when the command is
// gone; a command that may not be signalled (sudo) is no error.
func (p *Process) Signal(sig syscall.Signal) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if !p.gone {
		p.send(sig)
	}
}

// Stop ends the command: Command.Signal and SIGCONT to its group and tree, and SIGKILL after Grace to
// what is left. It returns at once; Done tells when all is gone. Later calls change nothing.
func (p *Process) Stop(why Reason) { p.stop(why, now()+p.c.Grace) }

// StopBy is Stop(Lost) at such a time that Grace is over at deadline: by then nothing of the command lives. A
// deadline that is past or zero kills at once; one that passes while the machine sleeps does when it wakes. Until
// the Stop has begun, another StopBy or CancelStop takes its place; afterwards it can only bring the kill forward.
func (p *Process) StopBy(deadline time.Time) {
	p.CancelStop()
	killAt := now()
	if !deadline.IsZero() {
		killAt += time.Until(deadline)
	}
	begin := killAt - p.c.Grace
	if begin <= now() {
		p.stop(Lost, killAt)
		return
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if !p.stopping && !p.finished {
		p.stopBy = p.s.alarm(begin, func() { p.stop(Lost, killAt) })
	} else if p.stopping && killAt < p.killAt {
		p.killSooner(killAt)
	}
}

// CancelStop takes back a StopBy that has not begun, and reports whether there was one.
func (p *Process) CancelStop() bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.stopBy.cancel()
}

// Kill sends SIGKILL to the whole of the command now, as Stop does after Grace.
func (p *Process) Kill(why Reason) { p.stop(why, now()) }
