package dag

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"limit/backend"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/process"
)

// loop carries out a plan.
type loop struct {
	r         *Run
	plan      *plan.Plan
	record    *journal.Run
	journal   *journal.Writer
	mask      *Mask
	claim     *wrap.Queue // of the run
	namespace string
	env       []string   // of the steps
	null      *os.File   // their standard input
	keep      []*os.File // what they hold open
	shells    map[string]string
	buffers   *sync.Pool

	inbox      chan message
	todo       []plan.Action
	starts     []plan.Action
	active     map[int]*execution
	claims     map[int]*claim // of steps that have one in the store
	ready      []time.Duration
	lookAt     time.Duration           // when tellBlocked may look again
	blockedBy  map[int]string          // what it has told of each step
	held       map[int][]backend.Block // what blocks claims in the store, by step, as that has told
	lastInside <-chan struct{}         // closed when the claim that was asked for last is in the store
	open       int                     // goroutines that will post

	naming bool // holders are being looked up
	named  time.Time

	left       []*capture // of steps that have ended and left somebody behind who prints
	lost       error      // of the steps' output
	suspending bool       // ^Z was typed

	end      wrap.Exit // where not the steps decide it
	decided  bool
	signal   syscall.Signal // the last that came
	signalAt time.Time
	closed   bool             // the steps that are to run after a cancel too have had their time
	halted   chan struct{}    // closed when decided
	late     <-chan time.Time // when those are stopped
}

// sameSignal is the time in which a signal that comes again is the same one: timeout(1) sends it to limit, then to its
// whole group.
const sameSignal = 200 * time.Millisecond

// maxStale is how old at most what the journal says of blocked steps may be.
const maxStale = time.Second

// lateGrace is how long the steps with when: always or on_failure, and the file's on_failure and on_exit, may take in
// all after the run was cancelled or has timed out.
const lateGrace = 30 * time.Second

// message is what the goroutines of commands and claims post to the loop.
type message struct {
	kind   messageKind
	step   int
	claim  *claim
	exec   *execution
	exit   plan.Exit
	blocks []backend.Block
	reason string
	ok     bool
}

type messageKind int

const (
	commandEnded messageKind = iota
	terminalLent
	poolGranted
	poolBlocked
	poolRefused
	stoodUp
	claimCancelled
	claimLost
	claimOver
	holdersNamed
)

// inboxSize lets posters go on while the loop starts a command.
const inboxSize = 256

func newLoop(r *Run, p *plan.Plan, q *wrap.Queue, null *os.File) *loop {
	l := &loop{
		r: r, plan: p, record: r.Record, journal: r.Journal, mask: r.Mask, claim: q, namespace: r.Namespace, null: null,
		shells: map[string]string{}, inbox: make(chan message, inboxSize), halted: make(chan struct{}),
		blockedBy: map[int]string{}, held: map[int][]backend.Block{}, active: map[int]*execution{},
		claims: map[int]*claim{}, ready: make([]time.Duration, len(r.Record.Steps)),
		buffers: &sync.Pool{New: func() any { return new([bufferSize]byte) }},
	}
	l.env = wrap.Environment(environment(r, r.Env), q.Held(), r.Namespace)
	l.keep = []*os.File{r.Journal.Lock()}
	if f := q.Inherit(); f != nil {
		l.keep = append(l.keep, f)
	}
	return l
}

// now is the time since the run started.
func (l *loop) now() time.Duration { return time.Since(l.record.Started) }

func (l *loop) post(m message) { l.inbox <- m }

// run goes on until every step is final and everything that was begun has ended.
func (l *loop) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var timeout <-chan time.Time
	if t := l.r.File.Timeout; t > 0 {
		timeout = time.After(t)
	}
	defer l.r.Supervisor.HeedStop()()
	l.r.Console.Begin(l.waiting)
	l.act(ctx, l.plan.Begin(l.now()))
	var tick <-chan time.Time
	if t := l.r.Console.Ticks(); t != nil {
		defer t.Stop()
		tick = t.C
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !l.plan.Done() || l.open > 0 {
		l.suspend()
		l.tellBlocked()
		l.setTimer(timer)
		l.r.Console.Flush()
		select {
		case m := <-l.inbox:
			l.handle(ctx, m)
		case sig := <-l.r.Supervisor.Signals():
			l.signalled(ctx, sig)
		case n := <-l.r.ended:
			l.claimEnded(ctx, n)
		case <-timer.C:
			l.act(ctx, l.plan.Tick(l.now()))
		case <-timeout:
			timeout = nil
			l.halt(ctx, wrap.Exit{Code: wrap.CodeTimeout}, "the run timed out after "+l.r.File.Timeout.String())
		case <-l.late:
			l.close(ctx)
			for _, e := range l.active {
				e.process.Stop(process.Stopped)
			}
		case <-tick:
			l.r.Console.Tick()
			l.nameHolders(ctx)
		}
	}
	l.journal.Flush()
	l.record.Ended = l.now()
}

// shut ends the reading of what steps have left behind.
func (l *loop) shut() {
	for _, c := range l.left {
		c.shut(&l.r.files)
	}
}

// waiting is what waits for what, as it may be shown: what blocks claims in the store is added to what the plan knows.
func (l *loop) waiting(now time.Duration) []plan.Waiting {
	all := l.plan.Waiting(now)
	for i := range all {
		if all[i].InStore {
			all[i].Blocks = l.held[all[i].Behind]
		}
		if l.mask != nil {
			all[i].Blocks = l.mask.blocks(all[i].Blocks)
		}
	}
	return all
}

// suspend stops this process after a ^Z, and the steps with it, when every slot of a step that has ended is given back.
func (l *loop) suspend() {
	if !l.suspending || l.open > len(l.active)+len(l.claims) {
		return
	}
	for _, e := range l.active {
		if !e.suspended() {
			return
		}
	}
	l.r.Supervisor.StopSelf()
	l.resume()
}

// resume lets the steps go on.
func (l *loop) resume() {
	l.suspending = false
	for _, e := range l.active {
		e.process.Continue()
	}
}

// tellBlocked writes into the journal, and as an event, what blocks each step where that has changed. It looks at all
// that wait, which takes at most a hundredth of the loop's time, but never less often than maxStale says.
func (l *loop) tellBlocked() {
	now := l.now()
	if now < l.lookAt {
		return
	}
	told := map[string]*journal.Blocked{}
	for _, w := range l.waiting(now) {
		var key strings.Builder
		for _, b := range w.Blocks {
			key.WriteString(b.Limit + " " + b.Why + ",")
		}
		if w.Delayed || l.blockedBy[w.Step] == key.String() {
			continue
		}
		l.blockedBy[w.Step] = key.String()
		b := &journal.Blocked{Since: now, Blocks: w.Blocks, InStore: w.InStore}
		if w.InStore {
			b.Behind = l.record.Steps[w.Behind].ID
		}
		group := key.String() + b.Behind
		if told[group] == nil {
			told[group] = b
		}
		told[group].Steps = append(told[group].Steps, l.record.Steps[w.Step].ID)
		if len(w.Blocks) > 0 && (!w.InStore || w.Behind != w.Step) { // of its own claim the store has told
			l.emit(w.Step, wrap.Event{Event: wrap.EventBlocked, BlockedBy: w.Blocks})
		}
	}
	for _, group := range slices.Sorted(maps.Keys(told)) {
		l.journal.Blocked(told[group])
	}
	l.journal.Flush()
	l.lookAt = now + min(100*(l.now()-now), maxStale)
}

// suspendTick is how often steps that are to stop are looked at.
const suspendTick = 2 * time.Millisecond

// setTimer lets the timer go off when the plan has something to do, or what blocks steps is to be looked at again.
func (l *loop) setTimer(timer *time.Timer) {
	now := l.now()
	at, ok := l.plan.Next()
	if now < l.lookAt && (!ok || l.lookAt < at) {
		at, ok = l.lookAt, true
	}
	if l.suspending { // for the steps to stop
		at, ok = now+suspendTick, true
	}
	if ok {
		timer.Reset(max(0, at-now))
	}
}

// handle deals with one message and what follows from it.
func (l *loop) handle(ctx context.Context, m message) {
	switch m.kind {
	case commandEnded:
		l.open--
		l.ended(ctx, m.exec)
	case terminalLent:
		l.open--
		l.begin(m.exec)
		l.act(ctx, nil)
	case poolGranted:
		if l.claims[m.step] == m.claim {
			l.act(ctx, l.plan.Granted(m.step, l.now()))
		}
	case stoodUp:
		if l.claims[m.step] == m.claim {
			l.act(ctx, l.plan.Reacquired(m.step, m.ok, l.now()))
		}
	case poolBlocked:
		if l.claims[m.step] == m.claim {
			l.emit(m.step, wrap.Event{Event: wrap.EventBlocked, Claim: m.claim.Claim.ID, BlockedBy: m.blocks})
			l.held[m.step] = m.blocks
		}
	case poolRefused:
		if l.claims[m.step] == m.claim {
			l.emit(m.step, wrap.Event{Event: wrap.EventCancelled, Claim: m.claim.Claim.ID, Reason: m.exit.Reason})
			l.act(ctx, l.plan.Refused(m.step, m.exit, l.now()))
		}
	case claimCancelled:
		l.emit(m.step, wrap.Event{Event: wrap.EventCancelled, Claim: m.claim.Claim.ID, Reason: m.reason})
	case claimLost:
		l.emit(m.step, wrap.Event{Event: wrap.EventLost, Claim: m.claim.Claim.ID, Reason: m.reason})
	case claimOver:
		l.open--
	case holdersNamed:
		l.open--
		l.naming = false
	}
}

// nameHolders finds out who the claims are that stand in the way, for people to read: at most once in two seconds.
func (l *loop) nameHolders(ctx context.Context) {
	if l.naming || time.Since(l.named) < 2*time.Second || len(l.r.Console.Unknown()) == 0 {
		return
	}
	l.naming, l.named = true, time.Now()
	l.open++
	go func() {
		defer l.post(message{kind: holdersNamed})
		ctx, cancel := context.WithTimeout(ctx, wrap.DefaultSettle)
		defer cancel()
		s, err := l.r.Backend.Snapshot(ctx)
		if err != nil {
			return // the ids are shown
		}
		names := map[string]string{}
		for _, h := range s.Held {
			names[h.ID] = fmt.Sprintf("%s (%s, pid %d)", h.Name, h.Host, h.PID)
		}
		for _, w := range s.Waiting {
			names[w.ID] = w.Name
		}
		l.r.Console.Name(names)
	}()
}

// act carries out actions, and those that follow from them. Starts come last: the journal must know of them before.
func (l *loop) act(ctx context.Context, actions []plan.Action) {
	l.todo = append(l.todo, actions...)
	for len(l.todo) > 0 || len(l.starts) > 0 {
		todo := l.todo
		l.todo = nil
		for _, a := range todo {
			l.perform(ctx, a)
		}
		if len(l.todo) > 0 {
			continue
		}
		l.journal.Flush()
		starts := l.starts
		l.starts = nil
		for _, a := range starts {
			l.start(a)
		}
	}
}

func (l *loop) perform(ctx context.Context, a plan.Action) {
	switch a.Kind {
	case plan.Check, plan.Start:
		l.prepare(a)
	case plan.Enter:
		l.enterClaim(ctx, a.Step)
	case plan.Yield:
		delete(l.held, a.Step)
		l.claims[a.Step].yield()
	case plan.Reacquire:
		l.claims[a.Step].Reacquire()
	case plan.Release:
		if c := l.claims[a.Step]; c != nil {
			c.Leave()
			delete(l.claims, a.Step)
			delete(l.held, a.Step)
			l.emit(a.Step, wrap.Event{Event: wrap.EventReleased, Claim: c.Claim.ID})
		}
	case plan.Terminate:
		if e := l.active[a.Step]; e != nil {
			e.process.Stop(process.Stopped)
		}
	case plan.Queued:
		l.ready[a.Step] = l.now()
		l.emit(a.Step, wrap.Event{Event: wrap.EventQueued, Attempt: a.Attempt})
	case plan.Retrying:
		l.retrying(a)
	case plan.Settled:
		l.settled(a)
	}
}

// signalled stops the run at the first signal, and kills what is left at one that comes when it is being stopped.
func (l *loop) signalled(ctx context.Context, sig syscall.Signal) {
	switch sig {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
	case syscall.SIGTSTP:
		if !l.decided && !l.suspending { // who ends commands has to stay awake
			l.suspending = true
			for _, e := range l.active {
				e.suspend()
			}
		}
		return
	case syscall.SIGCONT:
		if l.suspending {
			l.resume()
		}
		return
	default:
		return
	}
	if sig == l.signal && time.Since(l.signalAt) < sameSignal {
		return
	}
	l.signal, l.signalAt = sig, time.Now()
	if !l.decided {
		l.halt(ctx, died(sig), "cancelled by "+wrap.SignalName(sig))
		return
	}
	l.close(ctx)
	for _, e := range l.active {
		e.process.Kill(process.Stopped)
	}
}

// close starts no step any more, not even those that run after a cancel.
func (l *loop) close(ctx context.Context) {
	l.closed, l.late = true, nil
	l.act(ctx, l.plan.Close(l.record.Reason, l.now()))
}

// claimEnded halts the run whose own claim is cancelled or lost. Its Life has begun to stop the steps, and has told.
func (l *loop) claimEnded(ctx context.Context, n wrap.News) {
	if n.Kind == wrap.Cancelled {
		l.claim.Pardon() // for the steps that are there for such an end
		l.halt(ctx, wrap.Exit{Code: CodeStepFailed}, "cancelled: "+n.Reason)
		return
	}
	l.halt(ctx, wrap.Exit{Code: wrap.CodeLost}, "the run's slot was lost: "+n.Reason)
	l.close(ctx)
}

// halt stops the steps that run and starts no more, but those that are there for such an end; the run ends as given.
func (l *loop) halt(ctx context.Context, end wrap.Exit, reason string) {
	if l.decided {
		return
	}
	l.end, l.decided, l.suspending = end, true, false
	close(l.halted)
	l.record.Reason = l.mask.String(reason)
	l.late = time.After(lateGrace)
	l.r.Console.Halting(l.record.Reason, len(l.active))
	for _, e := range l.active {
		e.process.Stop(process.Stopped)
	}
	l.act(ctx, l.plan.Cancel(l.record.Reason, l.now()))
}

// exit decides how limit ends.
func (l *loop) exit() wrap.Exit {
	if l.decided {
		return l.end
	}
	failed, busy := 0, 0
	for i := range l.record.Steps {
		if o := l.plan.Outcome(i); o.State == plan.Failed && !o.Tolerated {
			failed++
			if o.Exit.Final && o.Exit.Code == wrap.CodeBusy {
				busy++
			}
		}
	}
	switch {
	case failed > 0 && failed == busy:
		return wrap.Exit{Code: wrap.CodeBusy}
	case failed > 0:
		return wrap.Exit{Code: CodeStepFailed}
	default:
		return wrap.Exit{}
	}
}

// emit writes an event of a step.
func (l *loop) emit(step int, e wrap.Event) {
	if l.r.Events == nil {
		return
	}
	e.Run, e.Step = l.r.Claim.ID, l.record.Steps[step].ID
	l.r.Events.Emit(l.mask.event(e))
}
