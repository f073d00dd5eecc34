package wrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"limit/backend"
	"limit/wrap/process"
)

// Life is the life of one claim: enter, wait, hold, release. A goroutine of its own owns the claim's Entry, so that a
// claim that is lost ends what runs under it whatever its owner does meanwhile. Begin starts it, Leave ends it.
type Life struct {
	Backend    backend.Backend
	Claim      backend.Claim // waiting; ID and RunID are set
	Options    backend.EnterOptions
	After      <-chan struct{} // enter when this is closed; nil: at once
	Wait       time.Duration   // give up waiting after this; 0: never
	WarnOnLost bool            // what runs under the claim runs on when it is lost
	Settle     time.Duration   // bound on what the store may take to release; 0: DefaultSettle
	Hear       func(News)      // is told what happens, in order, by the goroutine of the Life

	entry   backend.Entry
	granted backend.Claim
	held    bool
	denied  bool
	giveUp  <-chan time.Time
	orders  chan order
	entered chan struct{}
	leave   chan struct{}
	leaving sync.Once
	ending  chan struct{}
	over    chan struct{}

	mu        sync.Mutex
	telling   sync.Mutex // held from when an end reaches the commands until it is told
	processes map[Process]struct{}
	fate      func(Process) // what the store has done last to the held claim
	command   Process       // that was attached last as the claim's command
	outcome   backend.Outcome
}

// DefaultSettle bounds the time that giving a claim back may take. After it the claim frees itself, as that of a dead
// process does.
const DefaultSettle = 10 * time.Second

// Process is a started command: a *process.Process.
type Process interface {
	PID() int
	Done() <-chan struct{}
	Left() <-chan struct{}
	Descendants() []int
	Exit() process.Exit
	Stop(process.Reason)
	StopBy(time.Time)
	CancelStop() bool
}

// News is something that happened to a claim.
type News struct {
	Kind NewsKind
	backend.Obstacles
	Reason string
	Err    error
	KillBy time.Time
	OK     bool
}

// NewsKind says what has happened.
type NewsKind int

const (
	Entered    NewsKind = iota // the claim is in the store
	Granted                    // it is held: see Life.Held
	Blocked                    // it waits for the Obstacles
	Denied                     // it will not be granted: Err says why
	Reacquired                 // the answer to Reacquire: OK if it is held again; if not, it waits
	// somebody asks the holder to stop, for Reason; what runs under the claim is being stopped
	Cancelled
	Unreachable // the store does not answer, for Reason; a held claim is held until KillBy
	Reachable   // the store answers again
	Lost        // the held claim is lost, for Reason
	Over        // the claim is released, or Err says why not: then it frees itself. The last of all
)

// GaveUpError says that a claim was not granted within its Wait.
type GaveUpError struct{ Wait time.Duration }

func (e *GaveUpError) Error() string { return fmt.Sprintf("gave up: no slot within %s", e.Wait) }

// CancelledError says that a claim was cancelled while it waited.
type CancelledError struct{ Reason string }

func (e *CancelledError) Error() string { return "cancelled while waiting" + because(e.Reason) }

// LostError says that a claim was lost while it waited.
type LostError struct{ Reason string }

func (e *LostError) Error() string { return "lost its place in the queue" + because(e.Reason) }

// ReleaseReason is the reason with which a claim is cancelled that is to be released while the process it is held for
// runs on.
const ReleaseReason = "limit release"

// DeniedCode is the exit code for a claim that was denied.
func DeniedCode(err error) int {
	var busy *backend.BusyError
	var gaveUp *GaveUpError
	var cancelled *CancelledError
	if errors.As(err, &busy) || errors.As(err, &gaveUp) || errors.As(err, &cancelled) {
		return CodeBusy
	}
	return CodeFailed
}

// order is what the owner asks of a Life.
type order int

const (
	orderYield order = iota
	orderReacquire
)

// Begin starts to enter the claim; the end of ctx ends entering, and nothing else. The fields of l are not to be
// changed any more.
func (l *Life) Begin(ctx context.Context) {
	// The owner sends nothing before the answer to Reacquire: two orders, to yield and to reacquire, are the most that
	// wait.
	l.orders = make(chan order, 2)
	l.entered, l.leave, l.ending, l.over = make(chan struct{}), make(chan struct{}), make(chan struct{}),
		make(chan struct{})
	l.processes = map[Process]struct{}{}
	go l.own(ctx)
}

// Yield gives the slots back, or stops waiting for them; the claim keeps its place in the order. Reacquire waits for
// them again.
func (l *Life) Yield()     { l.orders <- orderYield }
func (l *Life) Reacquire() { l.orders <- orderReacquire }

// Leave withdraws or releases the claim. It may be called at any time, more than once, and returns at once.
func (l *Life) Leave() { l.leaving.Do(func() { close(l.leave) }) }

// Entered is closed when the claim is in the store, or has failed to enter it.
func (l *Life) Entered() <-chan struct{} { return l.entered }

// Ending is closed when the held claim is cancelled or lost.
func (l *Life) Ending() <-chan struct{} { return l.ending }

// Over is closed when all is done.
func (l *Life) Over() <-chan struct{} { return l.over }

// Held is the claim with its Grant, valid once Granted was heard.
func (l *Life) Held() backend.Claim { return l.granted }

// Inherit is the descriptor that the command inherits, or nil; valid once Granted was heard.
func (l *Life) Inherit() *os.File { return l.entry.Inherit() }

// Attach lets what happens to the claim from its grant on happen to a process too: cancellation and loss end it. Where
// the command's processes keep the claim, this one does.
func (l *Life) Attach(p Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.processes[p] = struct{}{}
	if l.fate != nil {
		l.fate(p)
	}
	if l.Inherit() != nil {
		l.entry.Started(p.PID())
	}
}

// AttachCommand is Attach for the one command of a claim: a store that has to end it by itself learns which it is.
func (l *Life) AttachCommand(p Process) {
	l.Attach(p)
	l.mu.Lock()
	l.command = p
	l.mu.Unlock()
	if l.Inherit() == nil {
		l.entry.Started(p.PID())
	}
}

// AttachTree is to be called when the command has left its descendants behind, which keep the claim from then on.
func (l *Life) AttachTree(p Process) {
	if l.Inherit() != nil {
		l.entry.Started(p.Descendants()...)
	}
}

// Pardon lets processes that are attached from now on run though the claim was cancelled: to tidy up.
func (l *Life) Pardon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fate = nil
}

// Detach undoes Attach.
func (l *Life) Detach(p Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.processes, p)
}

// befall does to what runs under the claim, now and later, what the store has done to the claim. A nil fate ends that.
func (l *Life) befall(fate func(Process)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fate = fate
	for p := range l.processes {
		if fate != nil {
			fate(p)
		}
	}
}

// own sees the claim through its life.
func (l *Life) own(ctx context.Context) {
	l.expire()
	err := l.enter(ctx)
	if err == nil {
		err = l.serve(context.WithoutCancel(ctx))
	} else {
		l.deny(err)
		<-l.leave
		err = nil
	}
	l.Hear(News{Kind: Over, Err: err})
	close(l.over)
}

// enter puts the claim before its limits, unless it is to leave or gives up before.
func (l *Life) enter(ctx context.Context) error {
	entering, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		defer close(l.entered)
		if l.After != nil {
			<-l.After
		}
		var err error
		l.entry, err = l.Backend.Enter(entering, l.Claim, l.Options)
		failed <- err
	}()
	leave := l.leave
	for {
		select {
		case err := <-failed:
			return err
		case <-leave:
			leave = nil
			cancel()
		case <-l.giveUp:
			l.deny(&GaveUpError{l.Wait})
			cancel()
		}
	}
}

// expire starts the time after which the claim gives up waiting.
func (l *Life) expire() {
	l.giveUp = nil
	if l.Wait > 0 {
		l.giveUp = time.After(l.Wait)
	}
}

// serve does what the owner and the store ask, until the claim is released.
func (l *Life) serve(ctx context.Context) error {
	l.Hear(News{Kind: Entered})
	for {
		select { // a claim that is to leave is not granted first
		case <-l.leave:
			return l.release(ctx)
		default:
		}
		select {
		case <-l.leave:
			return l.release(ctx)
		case o := <-l.orders:
			l.obey(ctx, o)
		case e := <-l.entry.Events():
			l.take(e)
		case <-l.giveUp:
			l.deny(&GaveUpError{l.Wait})
		}
	}
}

// obey yields or reacquires.
func (l *Life) obey(ctx context.Context, o order) {
	ctx, cancel := context.WithTimeout(ctx, l.settle())
	defer cancel()
	if o == orderYield {
		l.held, l.giveUp = false, nil
		l.befall(nil)
		if err := l.entry.Yield(ctx); err != nil {
			l.deny(fmt.Errorf("giving the slots back: %w", err))
		}
		return
	}
	l.expire()
	if err := l.entry.Reacquire(ctx); err != nil {
		l.deny(fmt.Errorf("asking for the slots again: %w", err))
		return
	}
	l.Hear(News{Kind: Reacquired, OK: l.heldSoon()})
}

// reacquirePatience is how long Reacquire waits for the store's first word: the executor keeps a slot for the step
// meanwhile.
const reacquirePatience = 250 * time.Millisecond

// heldSoon waits for the store's first word on a claim that was put back, and reports whether it is a grant.
func (l *Life) heldSoon() bool {
	timer := time.NewTimer(reacquirePatience)
	defer timer.Stop()
	for {
		select {
		case e := <-l.entry.Events():
			if e.Kind == backend.Granted {
				l.hold()
				return true
			}
			if l.take(e); e.Kind == backend.Blocked {
				return false
			}
		case <-timer.C:
			return false
		}
	}
}

func (l *Life) hold() {
	l.held, l.giveUp, l.granted = true, nil, l.entry.Claim()
}

// take deals with one event of the store.
func (l *Life) take(e backend.Event) {
	switch e.Kind {
	case backend.Granted:
		if !l.denied {
			l.hold()
			l.Hear(News{Kind: Granted})
		}
	case backend.Blocked:
		l.Hear(News{Kind: Blocked, Obstacles: e.Obstacles})
	case backend.Refused:
		l.deny(e.Err)
	case backend.Cancelled:
		why := process.Stopped
		if e.Reason == ReleaseReason {
			why = process.Released
		}
		l.end(Cancelled, e, &CancelledError{e.Reason}, func(p Process) { p.Stop(why) })
	case backend.Lost:
		l.end(Lost, e, &LostError{e.Reason}, l.stopBy(e.KillBy))
	case backend.Unreachable:
		if l.held {
			l.befall(l.stopBy(e.KillBy))
		}
		l.Hear(News{Kind: Unreachable, Reason: e.Reason, KillBy: e.KillBy})
	case backend.Reachable:
		if l.held {
			l.befall(func(p Process) { p.CancelStop() })
		}
		l.Hear(News{Kind: Reachable})
	}
}

// stopBy is the fate of processes that may not live longer than their claim; nil where they may.
func (l *Life) stopBy(deadline time.Time) func(Process) {
	if l.WarnOnLost {
		return nil
	}
	return func(p Process) { p.StopBy(deadline) }
}

// end deals with the end of a claim that is held, or waits.
func (l *Life) end(kind NewsKind, e backend.Event, waiting error, fate func(Process)) {
	if !l.held {
		l.deny(waiting)
		return
	}
	if e.Reason != ReleaseReason {
		l.note(waiting)
	}
	l.telling.Lock()
	defer l.telling.Unlock()
	l.befall(fate)
	select {
	case <-l.ending:
	default:
		close(l.ending)
	}
	l.Hear(News{Kind: kind, Reason: e.Reason, KillBy: e.KillBy})
}

// told returns when an end of the claim that a command has felt was told, too.
func (l *Life) told() {
	l.telling.Lock()
	defer l.telling.Unlock()
}

// deny says once that the claim will not be granted.
func (l *Life) deny(err error) {
	l.giveUp = nil
	select {
	case <-l.leave: // its owner knows
		return
	default:
	}
	if !l.denied {
		l.denied = true
		l.note(err)
		l.Hear(News{Kind: Denied, Err: err})
	}
}

// release gives the claim back.
func (l *Life) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.settle())
	defer cancel()
	l.entry.Conclude(l.concluded())
	return l.entry.Release(ctx)
}

func (l *Life) settle() time.Duration {
	if l.Settle == 0 {
		return DefaultSettle
	}
	return l.Settle
}
