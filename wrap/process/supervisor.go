package process

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"limit/wrap/process/inherited"
	"limit/wrap/process/sigsource"
)

// Supervisor owns the children and the signals of this program. There is one, made at the start of the verbs that
// run commands, before anything waits for a slot.
type Supervisor struct {
	in      inherited.State
	self    int
	leader  bool // of its session
	source  *sigsource.Source
	signals chan syscall.Signal
	asked   chan struct{}
	unheard chan<- syscall.Signal
	tasks   sync.WaitGroup

	mu          sync.Mutex // also keeps process ids valid: nothing is reaped while it is held
	procs       map[int]*Process
	apart       map[int]bool   // children that are no part of any command, see Exclude
	helpers     map[int]bool   // those of them that were ended and not reaped yet
	forward     *Process       // the command that signals go to
	held        *Process       // ended, but Done waits for its descendants
	stopped     syscall.Signal // by what forward has stopped, and this process is to
	heedStop    bool           // TSTP and CONT come from Signals, see HeedStop
	toStop      atomic.Bool    // TSTP was the last of them
	handedStop  bool           // TSTP was handed on to forward, which has not stopped yet
	deferred    []syscall.Signal
	unread      [65]uint8 // upper bound of what is in signals of each
	echoes      echoes
	suspensions suspensions
	told        [65]time.Duration // when all processes were last sent a signal, on the clock of now
}

// NewSupervisor takes over the signals whose default is to end a process: they come from Signals, or
// go to the command with Forward. Signals of job control keep their default until such a command runs.
//
// A signal by which this process is to end goes to unheard where nobody has received it from Signals for some seconds:
// who should hangs, in a call that nothing ends. All commands have been killed then. nil: nobody wants to know.
func NewSupervisor(unheard chan<- syscall.Signal) (*Supervisor, error) {
	source, err := sigsource.New()
	if err != nil {
		return nil, err
	}
	s := &Supervisor{
		in:      inherited.AtStart(),
		self:    os.Getpid(),
		source:  source,
		signals: make(chan syscall.Signal, 2*65),
		asked:   make(chan struct{}),
		unheard: unheard,
		procs:   map[int]*Process{},
		apart:   map[int]bool{},
		helpers: map[int]bool{},
	}
	s.leader = isSessionLeader()
	survivePipe()
	s.ignoreInherited()
	source.Take(s.always()...)
	s.tasks.Go(func() { source.Receive(s.in.Blocked, s.guarded, s.followStop) })
	return s, nil
}

// Start starts c. Signals that nobody has received from Signals yet go to a command with Forward; this process
// then leaves its directory for /, which it would keep busy, unless it is to Stay.
// An error means that nothing was started; errors.As finds the syscall.Errno, see StartCode.
func (s *Supervisor) Start(c Command) (*Process, error) {
	if len(c.Args) == 0 {
		c.Args = []string{c.Path}
	}
	var p *Process
	err := whileBusy(func() (err error) {
		p, err = s.start(c)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "exec", Path: c.Path, Err: err}
	}
	return p, nil
}

func (s *Supervisor) start(c Command) (*Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.HoldTree && !c.Forward {
		return nil, errors.New("the tree of one of several commands cannot be held")
	}
	if c.Forward && s.forward != nil {
		return nil, errors.New("signals go to another command already")
	}
	becomeSubreaper()
	pid, err := fork(&c, &s.in)
	if err != nil {
		return nil, err
	}
	p := s.add(pid, c)
	if c.Forward {
		s.forward = p
		s.source.Take(s.forwardOnly()...)
		time.AfterFunc(unwatched, func() { s.watchFor(p) })
		s.handOver(p)
		if !c.Stay {
			syscall.Chdir("/")
		}
	}
	if c.Group {
		s.watch(true) // what signals the group of this process does not mean the command
	}
	return p, nil
}

// add makes the Process of a command that runs. The lock is held.
func (s *Supervisor) add(pid int, c Command) *Process {
	p := &Process{s: s, c: c, pid: pid, ended: make(chan struct{}), done: make(chan struct{}),
		poke: make(chan struct{}, 1), left: make(chan struct{}, 1)}
	p.exit.Started = time.Now()
	s.procs[pid] = p
	if c.Timeout > 0 {
		p.timeout = time.AfterFunc(c.Timeout, func() { p.Stop(TimedOut) })
	}
	return p
}

// Exclude says that a child which this Supervisor has not started is no part of any command: nothing waits for it, and
// no Stop or Kill concerns it.
func (s *Supervisor) Exclude(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apart[pid] = true
}

// reap waits for all children that have something to tell.
func (s *Supervisor) reap() {
	s.reapAll()
	switch p := s.held; {
	case p == nil || p.stopping:
	case p.treeLeft():
		select {
		case p.left <- struct{}{}:
		default:
		}
	default:
		s.held = nil
		p.finish()
	}
}

// reapAll reports whether there was any.
func (s *Supervisor) reapAll() bool {
	for found := false; ; found = true {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG|syscall.WUNTRACED, &usage)
		if err != nil || pid == 0 {
			return found
		}
		p := s.procs[pid]
		switch {
		case p == nil: // an orphan of some command, or disowned
			if !status.Stopped() {
				delete(s.apart, pid)
				delete(s.helpers, pid)
				s.unwitnessed(pid)
			}
		case status.Stopped():
			s.noteStop(p, status.StopSignal())
		default:
			p.hasEnded(status, usage)
		}
	}
}

// Signals tells of signals that no command with Forward takes: before it starts (leave the queue, then DieOf) and after
// it ended (somebody does not want to wait for the release). It is never closed. Signals that were ignored when this
// program started are left out; those that were blocked wait for the command. Many of a kind that nobody has received
// yet may become two.
func (s *Supervisor) Signals() <-chan syscall.Signal { return s.signals }

// Asked is closed when the first signal is put into Signals that asks this process to end: whoever waits for a call
// that may hang waits no longer than he must.
func (s *Supervisor) Asked() <-chan struct{} { return s.asked }

// Close ends what the Supervisor does, when all commands are Done, and gives the signals back to their defaults.
func (s *Supervisor) Close() {
	s.mu.Lock()
	s.unwatch()
	s.mu.Unlock()
	s.source.Close()
	s.tasks.Wait()
}
