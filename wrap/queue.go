package wrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"limit/backend"
)

// Queue is the Life of a run's claim, with the signals that end the waiting and the words for what happens to it.
type Queue struct {
	Life
	Signals      <-chan syscall.Signal
	Messages     *Messages
	Emit         func(Event)
	Busy         Busy
	BusyExitCode int                 // where no slot is to be had
	Runs         string              // what runs under the claim, for people: the command
	OnEntered    func(backend.Entry) // is called when the claim is in the store; nil: nothing
	Also         func(News)          // hears everything first; nil: nothing

	Reason string // why Await has returned an Exit

	began, granted time.Time
	decided        chan News
	ended          <-chan struct{}   // Ending, where the claim was held before; else nil
	known          backend.Obstacles // as last told, until it is said; under mu
}

// Busy says what to do with a claim that is not granted at once.
type Busy string

const (
	BusyWait    Busy = "wait"    // queue
	BusyFail    Busy = "fail"    // exit with BusyExitCode; with a Wait, when that is over
	BusySkip    Busy = "skip"    // exit with 0; with a Wait, when that is over
	BusyReplace Busy = "replace" // ask the oldest holders in the way to stop, then queue
)

// When to speak while waiting.
const (
	firstWaitMessage = time.Second
	nextWaitMessage  = 5 * time.Minute
)

// Begin puts the claim before its limits.
func (q *Queue) Begin(ctx context.Context) {
	q.began = time.Now()
	q.decided = make(chan News, 1)
	q.Options = backend.EnterOptions{
		NoWait:      q.Wait == 0 && (q.Busy == BusyFail || q.Busy == BusySkip),
		Replace:     q.Busy == BusyReplace,
		WatchBlocks: q.Options.WatchBlocks || q.Messages.Verbose(),
	}
	q.Hear = q.hear
	q.Emit(Event{Event: EventQueued}.Asking(q.Claim))
	q.Life.Begin(ctx)
}

// Await waits until the claim is held: nil, nil then. Otherwise it returns how limit is to end; where that is not
// explained yet, an error. A signal ends it. Release is to follow in any case.
func (q *Queue) Await(ctx context.Context) (*Exit, error) {
	speak := time.NewTimer(firstWaitMessage)
	defer speak.Stop()
	var why <-chan string // nil: nobody is finding out
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		if why != nil {
			<-why
		}
	}()
	for {
		select {
		case n := <-q.decided:
			if n.Kind == Granted {
				return nil, nil
			}
			return q.end(n)
		case sig := <-q.Signals:
			return q.interrupted(sig), nil
		case <-q.ended:
			return &Exit{Code: q.BusyExitCode}, nil
		case <-speak.C:
			why = q.whyWaiting(ctx)
			speak.Reset(nextWaitMessage)
		case text := <-why:
			why = nil
			q.Messages.Info("%s", text)
		}
	}
}

// interrupted leaves for a signal.
func (q *Queue) interrupted(sig syscall.Signal) *Exit {
	if q.ended == nil { // else its command has said how it ended
		q.Conclude(Exit{Signal: sig}.Outcome())
	}
	q.Reason = SignalName(sig)
	q.Emit(Event{Event: EventCancelled, Reason: q.Reason})
	q.Leave()
	return &Exit{Signal: sig}
}

// Again gives the slots of the held claim back for a while, and waits for them again. It returns what Await does.
func (q *Queue) Again(ctx context.Context, pause time.Duration) (*Exit, error) {
	q.ended = q.Ending()
	q.Yield()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case n := <-q.decided:
		return q.end(n)
	case sig := <-q.Signals:
		return q.interrupted(sig), nil
	case <-q.ended:
		return &Exit{Code: q.BusyExitCode}, nil
	}
	q.began = time.Now()
	q.Reacquire()
	return q.Await(ctx)
}

// hasEnded reports whether the held claim was cancelled or lost.
func (q *Queue) hasEnded() bool {
	select {
	case <-q.Ending():
		return true
	default:
		return false
	}
}

// stillHeld is what is left of the time that the slots are to be kept after their grant.
func (q *Queue) stillHeld(least time.Duration) time.Duration { return least - time.Since(q.granted) }

// end decides what follows for limit from a claim that was denied.
func (q *Queue) end(n News) (*Exit, error) {
	err := n.Err
	q.Reason = n.Reason
	if DeniedCode(err) != CodeBusy {
		return nil, err
	}
	event := Event{Event: EventCancelled, Reason: q.Reason}
	var busy *backend.BusyError
	var cancelled *CancelledError
	switch {
	case errors.As(err, &cancelled):
		event.Reason = cancelled.Reason
	case errors.As(err, &busy):
		event.BlockedBy, event.Reason = busy.Blocks, "busy"
	}
	q.Emit(event)
	if q.Busy == BusySkip && cancelled == nil {
		q.Messages.Debug("skipped: %v", err)
		return &Exit{}, nil
	}
	q.Messages.Info("%s", q.Reason)
	return &Exit{Code: q.BusyExitCode}, nil
}

// Release gives the claim back. It waits for the store until Settle is over or a signal comes.
func (q *Queue) Release() {
	q.Leave()
	timer := time.NewTimer(q.settle() + time.Second) // longer than the store is given: it is the one to say why
	defer timer.Stop()
	select {
	case <-q.Over():
		return
	case <-timer.C:
	case <-q.Signals:
	}
	select {
	case <-q.Over():
	default:
		q.Messages.Error("the store has not taken the claim back yet; it frees itself")
	}
}

// hear tells people and programs what happens to the claim.
func (q *Queue) hear(n News) {
	if q.Also != nil {
		q.Also(n)
	}
	switch n.Kind {
	case Entered:
		if q.OnEntered != nil {
			q.OnEntered(q.entry)
		}
	case Granted, Reacquired:
		if n.Kind == Granted || n.OK {
			q.announceGrant()
			q.decided <- News{Kind: Granted}
		}
	case Denied:
		n.Reason = q.explain(n.Err)
		q.decided <- n
	case Blocked:
		q.mu.Lock()
		q.known = n.Obstacles
		q.mu.Unlock()
		q.Emit(Event{Event: EventBlocked, BlockedBy: n.Blocks})
		q.Messages.Debug("blocked: %s", joinBlocks(n.Blocks))
	case Cancelled:
		if n.Reason == ReleaseReason {
			q.Messages.Debug("released by limit release")
			return
		}
		q.Emit(Event{Event: EventCancelled, Reason: n.Reason})
		q.Messages.Info("cancelled%s: stopping %s", because(n.Reason), q.Runs)
	case Unreachable:
		until := "still waiting"
		if q.held {
			until = "the claim is held until " + n.KillBy.Format(time.TimeOnly)
		}
		q.Messages.Info("the store does not answer%s; %s", because(n.Reason), until)
	case Reachable:
		q.Messages.Info("the store answers again")
	case Lost:
		q.Emit(Event{Event: EventLost, Reason: n.Reason})
		follows := ": stopping " + q.Runs
		if q.WarnOnLost {
			follows = "; " + q.Runs + " runs on without it"
		}
		q.Messages.Error("the claim is lost%s%s", because(n.Reason), follows)
	case Over:
		q.tellReleased(n.Err)
	}
}

func (q *Queue) announceGrant() {
	q.granted = time.Now()
	c := q.Held()
	waited := q.granted.Sub(q.began).Seconds()
	q.Emit(Event{Event: EventGranted, Token: c.Grant.Token, Waited: &waited}.Asking(c))
	q.Messages.Debug("granted %s, token %d, after %.3f s", describeGrant(c), c.Grant.Token, waited)
}

// tellReleased says that a claim that was held is released, or why not.
func (q *Queue) tellReleased(err error) {
	switch {
	case err != nil:
		q.Messages.Error("releasing the claim: %v; it frees itself", err)
	case !q.granted.IsZero():
		q.Emit(Event{Event: EventReleased})
		q.Messages.Debug("released")
	}
}

// whyWaiting finds out what the claim waits for and who holds it: from what is known, else from the store; a grant or a
// signal is not to wait for one that is slow to say so. nil where nobody wants to know.
func (q *Queue) whyWaiting(ctx context.Context) <-chan string {
	if !q.Messages.Informs() {
		return nil
	}
	found := make(chan string, 1)
	if known := q.takeKnown(); len(known.Parties) > 0 {
		found <- q.describeWait(known)
		return found
	}
	select {
	case <-q.Entered():
	default:
		found <- "waiting for the store to answer"
		return found
	}
	go func() { found <- q.describeWait(q.look(ctx)) }()
	return found
}

// describeWait says what is in the way, or where that is not known what the claim asks for.
func (q *Queue) describeWait(o backend.Obstacles) string {
	if len(o.Blocks) > 0 {
		return "waiting for " + describeObstacles(o)
	}
	text := "waiting for " + cmp.Or(joinNeeds(q.Claim), "its turn") + " for " + Age(time.Since(q.began))
	if o.Position > 0 {
		text += fmt.Sprintf(", position %d", o.Position)
	}
	return text
}

// takeKnown returns what the store has told last of what is in the way, once.
func (q *Queue) takeKnown() backend.Obstacles {
	q.mu.Lock()
	defer q.mu.Unlock()
	known := q.known
	q.known = backend.Obstacles{}
	return known
}

// look asks the store what the claim waits for; nothing where it is slow to say so, or has not taken the claim yet.
func (q *Queue) look(ctx context.Context) backend.Obstacles {
	select {
	case <-q.Entered():
	default:
		return backend.Obstacles{}
	}
	if q.entry == nil {
		return backend.Obstacles{}
	}
	ctx, cancel := context.WithTimeout(ctx, firstWaitMessage)
	defer cancel()
	now, _ := q.entry.Obstacles(ctx)
	return now
}

// explain says why the claim was denied, with the names of those in the way.
func (q *Queue) explain(err error) string {
	var busy *backend.BusyError
	var gaveUp *GaveUpError
	switch {
	case errors.As(err, &busy):
		return "not granted: " + describeObstacles(busy.Obstacles)
	case errors.As(err, &gaveUp) && q.Messages.Informs():
		if now := q.look(context.Background()); len(now.Blocks) > 0 {
			return err.Error() + ", waited for " + describeObstacles(now)
		}
	}
	return err.Error()
}

func describeObstacles(o backend.Obstacles) string {
	texts := make([]string, len(o.Blocks))
	for i, b := range o.Blocks {
		texts[i] = DescribeBlock(b, o.Parties, time.Now())
	}
	text := strings.Join(texts, "; ")
	if o.Position > 0 {
		text += fmt.Sprintf(", position %d", o.Position)
	}
	return text
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
		needs = append(needs, fmt.Sprintf("pool:%s %s", pool, backend.SlotsText(c.Pools[pool])))
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
