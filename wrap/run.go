package wrap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"limit/backend"
	"limit/wrap/process"
)

// Run is one command and the claim it runs under.
type Run struct {
	Backend    backend.Backend
	Supervisor *process.Supervisor
	Messages   *Messages
	Events     *Events // nil: none

	Claim     backend.Claim   // waiting; ID and RunID are set
	Command   process.Command // Env without the claim's variables, Keep empty
	Namespace string

	Busy         Busy
	BusyExitCode int           // where no slot is to be had; CodeBusy as a rule
	Wait         time.Duration // give up waiting after this; 0: never
	MinHold      time.Duration // keep the claim at least so long after its grant
	WarnOnLost   bool          // let the command run on when the claim is lost
	Settle       time.Duration // bound on what the store may take to release; 0: DefaultSettle

	waiting time.Time // since when
	granted time.Time
	entry   backend.Entry
}

// DefaultSettle bounds the time that giving a claim back may take. After it the claim frees itself, as that of a dead process does.
const DefaultSettle = 10 * time.Second

// Busy says what to do with a claim that is not granted at once.
type Busy string

const (
	BusyWait    Busy = "wait"    // queue
	BusyFail    Busy = "fail"    // exit with BusyExitCode
	BusySkip    Busy = "skip"    // exit with 0
	BusyReplace Busy = "replace" // ask the oldest holders in the way to stop, then queue
)

// When to speak while waiting.
const (
	firstWaitMessage = time.Second
	nextWaitMessage  = 5 * time.Minute
)

// Do enters the claim, waits, runs the command, and gives the claim back. It returns how limit is to end, and an error where that is
// to be explained: an Exit with a code of its own and a nil error has been explained already.
func (r *Run) Do(ctx context.Context) (Exit, error) {
	r.emit(Event{Event: EventRunStarted})
	exit, err := r.do(ctx)
	finished := Event{Event: EventRunFinished}
	finished.setExit(exit)
	r.emit(finished)
	return exit, err
}

func (r *Run) do(ctx context.Context) (Exit, error) {
	r.waiting = time.Now()
	r.emit(Event{Event: EventQueued})
	exit, err := r.enter(ctx)
	if exit != nil || err != nil {
		return value(exit), err
	}
	defer r.release(ctx)
	if exit, err := r.await(ctx); exit != nil || err != nil {
		return value(exit), err
	}
	return r.command(ctx)
}

// value is the end decided, or that of an error.
func value(e *Exit) Exit {
	if e == nil {
		return Exit{Code: CodeFailed}
	}
	return *e
}

// enter puts the claim before its limits. A signal meanwhile ends limit.
func (r *Run) enter(ctx context.Context) (*Exit, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		entry backend.Entry
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		entry, err := r.Backend.Enter(ctx, r.Claim, backend.EnterOptions{
			NoWait:      r.Busy == BusyFail || r.Busy == BusySkip,
			Replace:     r.Busy == BusyReplace,
			WatchBlocks: r.Events != nil || r.Messages.Verbose(),
		})
		answers <- answer{entry, err}
	}()
	var end *Exit
	for {
		select {
		case sig := <-r.Supervisor.Signals():
			end = &Exit{Signal: sig}
			cancel()
		case a := <-answers:
			switch {
			case end != nil && a.err == nil:
				r.entry = a.entry
				r.release(ctx)
				return end, nil
			case end != nil:
				return end, nil
			case a.err != nil:
				return r.notEntered(a.err)
			}
			r.entry = a.entry
			return nil, nil
		}
	}
}

// notEntered decides what a failure of Enter means.
func (r *Run) notEntered(err error) (*Exit, error) {
	var busy *backend.BusyError
	if !errors.As(err, &busy) {
		return nil, err
	}
	r.emit(Event{Event: EventCancelled, BlockedBy: busy.Blocks, Reason: "busy"})
	if r.Busy == BusySkip {
		r.Messages.Debug("skipped: %v", err)
		return &Exit{}, nil
	}
	if r.Messages.Informs() {
		r.Messages.Info("not granted: %s", describeObstacles(busy.Obstacles))
	}
	return &Exit{Code: r.BusyExitCode}, nil
}

// await reads the claim's events until it is held; nil, nil then. Otherwise the end is decided.
func (r *Run) await(ctx context.Context) (*Exit, error) {
	var giveUp <-chan time.Time
	if r.Wait > 0 {
		giveUp = time.After(r.Wait)
	}
	speak := time.NewTimer(firstWaitMessage)
	defer speak.Stop()
	var known backend.Obstacles // as last told
	var why <-chan string       // nil: nobody is finding out
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		if why != nil {
			<-why
		}
	}()
	for {
		select {
		case event := <-r.entry.Events():
			if event.Kind == backend.Blocked {
				known = event.Obstacles
			}
			if done, exit, err := r.whileWaiting(event); done {
				return exit, err
			}
		case sig := <-r.Supervisor.Signals():
			r.emit(Event{Event: EventCancelled, Reason: SignalName(sig)})
			return &Exit{Signal: sig}, nil
		case <-giveUp:
			r.emit(Event{Event: EventCancelled, Reason: "waited " + r.Wait.String()})
			r.Messages.Info("gave up: no slot within %s", r.Wait)
			return &Exit{Code: r.BusyExitCode}, nil
		case <-speak.C:
			why = r.whyWaiting(ctx, known)
			known = backend.Obstacles{}
			speak.Reset(nextWaitMessage)
		case text := <-why:
			why = nil
			r.Messages.Info("%s", text)
		}
	}
}

// whileWaiting takes one event of a claim that is not held yet; done tells that the waiting is over.
func (r *Run) whileWaiting(event backend.Event) (done bool, exit *Exit, err error) {
	switch event.Kind {
	case backend.Granted:
		r.granted = time.Now()
		r.announceGrant()
		return true, nil, nil
	case backend.Blocked:
		r.emit(Event{Event: EventBlocked, BlockedBy: event.Blocks})
		r.Messages.Debug("blocked: %s", joinBlocks(event.Blocks))
	case backend.Cancelled:
		r.emit(Event{Event: EventCancelled, Reason: event.Reason})
		r.Messages.Info("cancelled while waiting%s", because(event.Reason))
		return true, &Exit{Code: r.BusyExitCode}, nil
	case backend.Refused:
		return true, nil, event.Err
	case backend.Lost:
		return true, nil, fmt.Errorf("lost its place in the queue%s", because(event.Reason))
	case backend.Unreachable:
		r.Messages.Info("the store does not answer%s; still waiting", because(event.Reason))
	case backend.Reachable:
		r.Messages.Info("the store answers again")
	}
	return false, nil, nil
}

func (r *Run) announceGrant() {
	c := r.entry.Claim()
	waited := r.granted.Sub(r.waiting).Seconds()
	r.emit(Event{Event: EventGranted, Token: c.Grant.Token, Waited: &waited})
	r.Messages.Debug("granted %s, token %d, after %.3f s", describeGrant(c), c.Grant.Token, waited)
}

// command runs the command under the held claim and decides the end.
func (r *Run) command(ctx context.Context) (Exit, error) {
	c := r.entry.Claim()
	command := r.Command
	command.Env = Environment(command.Env, c, r.Namespace)
	command.Mark = EnvClaimID + "=" + c.ID
	if f := r.entry.Inherit(); f != nil {
		command.Keep = append(command.Keep, f)
	}
	p, err := r.Supervisor.Start(command)
	if err != nil {
		return Exit{Code: process.StartCode(err)}, err
	}
	r.started(p.PID())
	r.emit(Event{Event: EventStarted, PID: p.PID()})
	r.Messages.Debug("started %s, pid %d", r.Claim.Name, p.PID())
	r.attend(p)
	exit := exitOf(p.Exit())
	exited := Event{Event: EventExited, PID: p.PID()}
	exited.setExit(Exit{Code: p.Exit().Code, Signal: p.Exit().Signal})
	r.emit(exited)
	r.say(p.Exit())
	r.holdOn()
	return exit, nil
}

// Starter is an Entry that is told the pids of the processes that run under it.
type Starter interface{ Started(pids ...int) }

func (r *Run) started(pids ...int) {
	if s, ok := r.entry.(Starter); ok {
		s.Started(pids...)
	}
}

// attend waits for the command to end, and ends it where its claim demands it.
func (r *Run) attend(p *process.Process) {
	for {
		select {
		case <-p.Done():
			return
		case <-p.Left():
			if r.entry.Inherit() != nil { // the claim may live on with them
				r.started(p.Descendants()...)
			}
		case event := <-r.entry.Events():
			r.whileRunning(p, event)
		case <-r.Supervisor.Signals():
			// The command has ended, --hold-tree waits for its descendants: they are to end too.
			p.Stop(process.Stopped)
		}
	}
}

func (r *Run) whileRunning(p *process.Process, event backend.Event) {
	switch event.Kind {
	case backend.Cancelled:
		r.emit(Event{Event: EventCancelled, Reason: event.Reason})
		r.Messages.Info("cancelled%s: stopping the command", because(event.Reason))
		p.Stop(process.Stopped)
	case backend.Unreachable:
		r.Messages.Info("the store does not answer%s; the claim is held until %s", because(event.Reason), event.KillBy.Format(time.TimeOnly))
		if !r.WarnOnLost {
			p.StopBy(event.KillBy)
		}
	case backend.Reachable:
		r.Messages.Info("the store answers again")
		p.Relent()
	case backend.Lost:
		r.emit(Event{Event: EventLost, Reason: event.Reason})
		if r.WarnOnLost {
			r.Messages.Error("the claim is lost%s; the command runs on without it", because(event.Reason))
			return
		}
		r.Messages.Error("the claim is lost%s: stopping the command", because(event.Reason))
		p.StopBy(event.KillBy)
	}
}

// say tells of an end that the command did not choose.
func (r *Run) say(e process.Exit) {
	switch {
	case e.Reason == process.TimedOut && e.Killed:
		r.Messages.Info("timed out after %s, killed after %s more", r.Command.Timeout, r.Command.Grace)
	case e.Reason == process.TimedOut:
		r.Messages.Info("timed out after %s", r.Command.Timeout)
	case e.Signal != 0:
		r.Messages.Debug("killed by %s", SignalName(e.Signal))
	default:
		r.Messages.Debug("exited %d", e.Code)
	}
}

// holdOn keeps the claim until MinHold is over; a signal, or the claim's loss, ends that.
func (r *Run) holdOn() {
	rest := r.MinHold - time.Since(r.granted)
	if rest <= 0 {
		return
	}
	r.Messages.Debug("keeping the slot for %s more", rest.Truncate(time.Millisecond))
	timer := time.NewTimer(rest)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-r.Supervisor.Signals():
			return
		case event := <-r.entry.Events():
			if event.Kind == backend.Cancelled || event.Kind == backend.Lost {
				return
			}
		}
	}
}

// release gives the claim back. A store that hangs is waited for until Settle is over or a signal says that somebody has no patience.
func (r *Run) release(ctx context.Context) {
	settle := r.Settle
	if settle == 0 {
		settle = DefaultSettle
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.entry.Release(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-r.Supervisor.Signals():
		err = errors.New("interrupted")
	}
	if err != nil {
		r.Messages.Error("releasing the claim: %v; it frees itself", err)
		return
	}
	if !r.granted.IsZero() {
		r.emit(Event{Event: EventReleased})
		r.Messages.Debug("released")
	}
}

// emit writes an event of this run.
func (r *Run) emit(e Event) {
	e.Run, e.Claim = r.Claim.RunID, r.Claim.ID
	r.Events.Emit(e)
}

func (e *Event) setExit(exit Exit) {
	if exit.Signal != 0 {
		e.Signal = SignalName(exit.Signal)
		return
	}
	e.ExitCode = &exit.Code
}

// whyWaiting finds out what the claim waits for and who holds it: from what is known, else from the store; a grant or a signal is
// not to wait for one that is slow to say so. nil where nobody wants to know.
func (r *Run) whyWaiting(ctx context.Context, known backend.Obstacles) <-chan string {
	if !r.Messages.Informs() {
		return nil
	}
	found := make(chan string, 1)
	if len(known.Parties) > 0 {
		found <- describeWait(known)
		return found
	}
	go func() { found <- r.lookWhy(ctx) }()
	return found
}

// lookWhy asks the store what the claim waits for.
func (r *Run) lookWhy(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, firstWaitMessage)
	defer cancel()
	waited := Age(time.Since(r.waiting))
	now, err := r.entry.Obstacles(ctx)
	if err != nil || len(now.Blocks) == 0 {
		return fmt.Sprintf("waiting for %s for %s", joinNeeds(r.Claim), waited)
	}
	return describeWait(now)
}

// describeWait is the line that says what a claim waits for and who holds it.
func describeWait(o backend.Obstacles) string {
	text := "waiting for " + describeObstacles(o)
	if o.Position > 0 {
		text += fmt.Sprintf(", position %d", o.Position)
	}
	return text
}

func describeObstacles(o backend.Obstacles) string {
	texts := make([]string, len(o.Blocks))
	for i, b := range o.Blocks {
		texts[i] = DescribeBlock(b, o.Parties, time.Now())
	}
	return strings.Join(texts, "; ")
}

func joinBlocks(blocks []backend.Block) string {
	names := make([]string, len(blocks))
	for i, b := range blocks {
		names[i] = b.String()
	}
	return strings.Join(names, ", ")
}

// joinNeeds names what a claim asks for: pool:database 2, runs 1.
func joinNeeds(c backend.Claim) string {
	var needs []string
	for _, pool := range slices.Sorted(maps.Keys(c.Pools)) {
		needs = append(needs, fmt.Sprintf("pool:%s %d", pool, c.Pools[pool]))
	}
	if c.Runs > 0 {
		needs = append(needs, "a run slot")
	}
	return strings.Join(needs, ", ")
}

// describeGrant names what is held: database slots 0 and 1.
func describeGrant(c backend.Claim) string {
	var parts []string
	for _, pool := range slices.Sorted(maps.Keys(c.Pools)) {
		part := fmt.Sprintf("pool:%s=%d", pool, c.Pools[pool])
		if slots := c.Grant.Slots[pool]; len(slots) > 0 {
			part += " slot " + strings.Trim(strings.ReplaceAll(fmt.Sprint(slots), " ", ","), "[]")
		}
		parts = append(parts, part)
	}
	if c.Runs > 0 {
		parts = append(parts, "a run slot")
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// RunUnlimited runs a command without any claim.
func RunUnlimited(supervisor *process.Supervisor, command process.Command, messages *Messages) Exit {
	p, err := supervisor.Start(command)
	if err != nil {
		messages.Error("%v", err)
		return Exit{Code: process.StartCode(err)}
	}
	<-p.Done()
	return exitOf(p.Exit())
}
