package wrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"limit/backend"
	"limit/backend/memory"
	"limit/wrap/process"
)

// fakeProcess runs until it is told how to end, or is stopped; it notes what is done to it.
type fakeProcess struct {
	mu    sync.Mutex
	calls []string
	exit  process.Exit
	done  chan struct{}
	stop  *time.Timer
	deaf  bool // Stop is noted, and does not end it
}

func (p *fakeProcess) PID() int              { return 42 }
func (p *fakeProcess) Done() <-chan struct{} { return p.done }
func (p *fakeProcess) Left() <-chan struct{} { return nil }
func (p *fakeProcess) Descendants() []int    { return nil }

func (p *fakeProcess) Exit() process.Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

func (p *fakeProcess) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, fmt.Sprintf(format, args...))
}

func (p *fakeProcess) end(exit process.Exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
	default:
		p.exit = exit
		close(p.done)
	}
}

func (p *fakeProcess) Stop(why process.Reason) {
	p.note("stop")
	if !p.deaf {
		p.end(process.Exit{Signal: syscall.SIGTERM, Reason: why})
	}
}

func (p *fakeProcess) StopBy(deadline time.Time) {
	p.note("stop within %s", time.Until(deadline))
	p.stop = time.AfterFunc(time.Until(deadline), func() { p.end(process.Exit{Signal: syscall.SIGKILL, Reason: process.Lost}) })
}

func (p *fakeProcess) CancelStop() bool {
	p.note("go on")
	return p.stop.Stop()
}

// playedStore is a store in memory whose entries tell what the test plays besides.
type playedStore struct {
	backend.Backend
	enterErr   error
	slow       chan struct{} // Enter, or Release, goes on when it is closed
	slowLeave  bool
	releaseErr error
	played     chan backend.Event
	merged     chan backend.Event
	over       context.Context
}

func (s *playedStore) Enter(ctx context.Context, c backend.Claim, o backend.EnterOptions) (backend.Entry, error) {
	if s.slow != nil && !s.slowLeave {
		select {
		case <-s.slow:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if s.enterErr != nil {
		return nil, s.enterErr
	}
	e, err := s.Backend.Enter(ctx, c, o)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			select {
			case ev := <-e.Events():
				s.merged <- ev
			case ev := <-s.played:
				s.merged <- ev
			case <-s.over.Done():
				return
			}
		}
	}()
	return &playedEntry{e, s}, nil
}

type playedEntry struct {
	backend.Entry
	s *playedStore
}

func (e *playedEntry) Events() <-chan backend.Event { return e.s.merged }

func (e *playedEntry) Release(ctx context.Context) error {
	if e.s.slowLeave {
		select {
		case <-e.s.slow:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.Join(e.Entry.Release(ctx), e.s.releaseErr)
}

// scene is a run in a bubble of synctest, with what came of it.
type scene struct {
	*testing.T
	space   *memory.Space
	store   *playedStore
	holder  backend.Entry
	run     *Run
	signals chan syscall.Signal
	started chan *fakeProcess
	said    bytes.Buffer
	events  bytes.Buffer
	over    chan struct{}
	exit    Exit
	err     error
}

// hold lets another claim hold the slot.
func (s *scene) hold() {
	s.Helper()
	var err error
	s.holder, err = s.space.Open().Enter(s.Context(), backend.Claim{ID: "h", RunID: "h", Name: "holder", Host: "far", PID: 7, Pools: map[string]int{"p": 1}},
		backend.EnterOptions{NoWait: true})
	if err != nil {
		s.Fatal(err)
	}
}

// command waits for the command to start.
func (s *scene) command() *fakeProcess {
	s.Helper()
	synctest.Wait()
	select {
	case p := <-s.started:
		return p
	default:
		s.Fatalf("the command does not run\n%s", s.said.String())
		return nil
	}
}

// tells plays an event of the store.
func (s *scene) tells(e backend.Event) {
	s.store.played <- e
	synctest.Wait()
}

func (s *scene) signal(sig syscall.Signal) {
	s.signals <- sig
	synctest.Wait()
}

// after lets time pass.
func (s *scene) after(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

// kinds are the events that were written, with exit code or signal.
func (s *scene) kinds() string {
	var kinds []string
	for d := json.NewDecoder(&s.events); ; {
		var e Event
		if d.Decode(&e) != nil {
			return strings.Join(kinds, " ")
		}
		kind := e.Event
		if e.ExitCode != nil {
			kind += fmt.Sprintf("=%d", *e.ExitCode)
		}
		if e.Signal != "" {
			kind += "=" + e.Signal
		}
		kinds = append(kinds, kind)
	}
}

func TestTheLifeOfAClaim(t *testing.T) {
	minute := func() time.Time { return time.Now().Add(time.Minute) }
	ok := process.Exit{}
	const granted = "run_started queued granted started "
	for _, c := range []struct {
		name   string
		set    func(*scene)
		play   func(*scene)
		exit   Exit
		err    string
		events string
		says   []string // in order
		past   string   // how the history has it; "": not asked
		calls  []string // on the command; nil: it does not start
		stays  bool     // in the store, which did not release it
	}{
		{name: "is granted, held and released", play: func(s *scene) { s.command().end(ok) },
			events: granted + "exited=0 released run_finished=0", calls: []string{}},
		{name: "hands on how the command ended", past: "exited 3", play: func(s *scene) { s.command().end(process.Exit{Code: 3}) },
			exit: Exit{Code: 3}, events: granted + "exited=3 released run_finished=3", calls: []string{}},
		{name: "hands on the signal that killed the command", past: "killed SIGSEGV", play: func(s *scene) { s.command().end(process.Exit{Signal: syscall.SIGSEGV}) },
			exit: Exit{Signal: syscall.SIGSEGV}, events: granted + "exited=SIGSEGV released run_finished=SIGSEGV", calls: []string{}},
		{name: "waits, and says for whom after a second and every five minutes", set: (*scene).hold,
			play: func(s *scene) {
				s.after(11 * time.Minute)
				s.holder.Release(s.Context())
				s.command().end(ok)
			},
			events: "run_started queued blocked granted started exited=0 released run_finished=0", calls: []string{},
			says: []string{"waiting for pool:p (1 of 1 used) held by holder (far, pid 7, for 1s), position 1", "for 5m1s), position 1", "for 10m1s), position 1"}},
		{name: "is silent when it is granted within a second", set: (*scene).hold,
			play: func(s *scene) {
				s.after(900 * time.Millisecond)
				s.holder.Release(s.Context())
				s.command().end(ok)
			},
			events: "run_started queued blocked granted started exited=0 released run_finished=0", calls: []string{}},
		{name: "fails when it is busy", set: func(s *scene) { s.hold(); s.run.Busy = BusyFail },
			exit: Exit{Code: 75}, events: "run_started queued cancelled run_finished=75", says: []string{"not granted: pool:p (1 of 1 used) held by holder (far, pid 7"}},
		{name: "fails with another code", set: func(s *scene) { s.hold(); s.run.Busy, s.run.BusyExitCode = BusyFail, 9 },
			exit: Exit{Code: 9}, events: "run_started queued cancelled run_finished=9", says: []string{"not granted"}},
		{name: "skips when it is busy", set: func(s *scene) { s.hold(); s.run.Busy = BusySkip },
			events: "run_started queued cancelled run_finished=0"},
		{name: "gives up after its wait", past: "gave_up no slot within 3s", set: func(s *scene) { s.hold(); s.run.Wait = 3 * time.Second }, play: func(s *scene) { s.after(4 * time.Second) },
			exit: Exit{Code: 75}, events: "run_started queued blocked cancelled run_finished=75",
			says: []string{"waiting for", "gave up: no slot within 3s, waited for pool:p (1 of 1 used) held by holder (far, pid 7, for 3s)"}},
		{name: "fails after its wait", set: func(s *scene) { s.hold(); s.run.Wait, s.run.Busy = 3*time.Second, BusyFail }, play: func(s *scene) { s.after(4 * time.Second) },
			exit: Exit{Code: 75}, events: "run_started queued blocked cancelled run_finished=75", says: []string{"waiting for", "gave up"}},
		{name: "skips after its wait", set: func(s *scene) { s.hold(); s.run.Wait, s.run.Busy = 3*time.Second, BusySkip }, play: func(s *scene) { s.after(4 * time.Second) },
			events: "run_started queued blocked cancelled run_finished=0", says: []string{"waiting for"}},
		{name: "is granted within its wait", set: func(s *scene) { s.hold(); s.run.Wait, s.run.Busy = 3*time.Second, BusySkip },
			play: func(s *scene) {
				s.after(2 * time.Second)
				s.holder.Release(s.Context())
				p := s.command()
				s.after(time.Minute)
				p.end(ok)
			},
			events: "run_started queued blocked granted started exited=0 released run_finished=0", says: []string{"waiting for"}, calls: []string{}},
		{name: "asks the holder to stop and follows it", set: func(s *scene) { s.hold(); s.run.Busy = BusyReplace },
			play: func(s *scene) {
				synctest.Wait()
				for e := range s.holder.Events() {
					if e.Kind == backend.Cancelled {
						break
					}
				}
				s.holder.Release(s.Context())
				s.command().end(ok)
			},
			events: "run_started queued blocked granted started exited=0 released run_finished=0", calls: []string{}},
		{name: "is cancelled while it waits", past: "cancelled not today", set: (*scene).hold,
			play: func(s *scene) { synctest.Wait(); s.space.Open().Cancel(s.Context(), "c", "not today") },
			exit: Exit{Code: 75}, events: "run_started queued blocked cancelled run_finished=75", says: []string{"cancelled while waiting (not today)"}},
		{name: "is impossible from the start", set: func(s *scene) { s.run.Claim.Pools = map[string]int{"p": 2} },
			exit: Exit{Code: 125}, err: "asks 2 of pool:p, whose limit is 1", events: "run_started queued run_finished=125"},
		{name: "is refused while it waits", past: "impossible impossible now", set: (*scene).hold, play: func(s *scene) {
			synctest.Wait()
			s.tells(backend.Event{Kind: backend.Refused, Err: errors.New("impossible now")})
		},
			exit: Exit{Code: 125}, err: "impossible now", events: "run_started queued blocked run_finished=125"},
		{name: "loses its place", set: (*scene).hold, play: func(s *scene) { synctest.Wait(); s.tells(backend.Event{Kind: backend.Lost, Reason: "gone"}) },
			exit: Exit{Code: 125}, err: "lost its place in the queue (gone)", events: "run_started queued blocked run_finished=125"},
		{name: "says that the store does not answer, and answers again", set: (*scene).hold,
			play: func(s *scene) {
				synctest.Wait()
				s.tells(backend.Event{Kind: backend.Unreachable, Reason: "cut off"})
				s.tells(backend.Event{Kind: backend.Reachable})
				s.holder.Release(s.Context())
				s.command().end(ok)
			},
			events: "run_started queued blocked granted started exited=0 released run_finished=0", calls: []string{},
			says: []string{"the store does not answer (cut off); still waiting", "the store answers again"}},
		{name: "a signal ends entering", set: func(s *scene) { s.store.slow = make(chan struct{}) }, play: func(s *scene) { s.signal(syscall.SIGTERM) },
			exit: Exit{Signal: syscall.SIGTERM}, events: "run_started queued cancelled run_finished=SIGTERM"},
		{name: "a signal ends waiting", past: "killed SIGQUIT", set: (*scene).hold, play: func(s *scene) { synctest.Wait(); s.signal(syscall.SIGQUIT) },
			exit: Exit{Signal: syscall.SIGQUIT}, events: "run_started queued blocked cancelled run_finished=SIGQUIT"},
		{name: "a signal that comes when the command has ended ends what is left of it", play: func(s *scene) { s.command(); s.signal(syscall.SIGINT) },
			exit: Exit{Signal: syscall.SIGTERM}, events: granted + "exited=SIGTERM released run_finished=SIGTERM", calls: []string{"stop"}},
		{name: "keeps the slot for as long as it is told", set: func(s *scene) { s.run.MinHold = time.Minute },
			play: func(s *scene) {
				s.command().end(ok)
				s.after(59 * time.Second)
				if s.ended() {
					s.Error("the slot was not kept")
				}
				s.after(time.Second)
			},
			events: granted + "exited=0 released run_finished=0", calls: []string{}},
		{name: "a signal ends the keeping of the slot", set: func(s *scene) { s.run.MinHold = time.Minute },
			play:   func(s *scene) { s.command().end(ok); synctest.Wait(); s.signal(syscall.SIGTERM) },
			events: granted + "exited=0 released run_finished=0", calls: []string{}},
		{name: "a cancellation ends the keeping of the slot", past: "exited 0", set: func(s *scene) { s.run.MinHold = time.Minute },
			play:   func(s *scene) { s.command().end(ok); synctest.Wait(); s.space.Open().Cancel(s.Context(), "c", "") },
			events: granted + "exited=0 cancelled released run_finished=0", says: []string{"cancelled"}, calls: []string{"stop"}},
		{name: "a signal ends the releasing", set: func(s *scene) { s.store.slow, s.store.slowLeave = make(chan struct{}), true },
			play: func(s *scene) {
				s.command().end(ok)
				synctest.Wait()
				s.signal(syscall.SIGTERM)
				<-s.over
				close(s.store.slow)
			},
			events: granted + "exited=0 run_finished=0 released", says: []string{"the store has not taken the claim back yet; it frees itself"}, calls: []string{}},
		{name: "a store that hangs is not waited for for ever", set: func(s *scene) { s.store.slow, s.store.slowLeave = make(chan struct{}), true },
			play: func(s *scene) {
				s.command().end(ok)
				s.after(DefaultSettle + time.Second)
				close(s.store.slow)
			},
			events: granted + "exited=0 run_finished=0", says: []string{"frees itself"}, calls: []string{}, stays: true},
		{name: "is told when it cannot be released", set: func(s *scene) { s.store.releaseErr = errors.New("disk full") }, play: func(s *scene) { s.command().end(ok) },
			events: granted + "exited=0 run_finished=0", says: []string{"releasing the claim: disk full; it frees itself"}, calls: []string{}},
		{name: "a cancellation stops the command", past: "cancelled SIGTERM enough", play: func(s *scene) { s.command(); s.space.Open().Cancel(s.Context(), "c", "enough") },
			exit: Exit{Signal: syscall.SIGTERM}, events: granted + "cancelled exited=SIGTERM released run_finished=SIGTERM",
			says: []string{"cancelled (enough): stopping the command"}, calls: []string{"stop"}},
		{name: "a loss stops the command in time", past: "lost SIGKILL expired", play: func(s *scene) {
			s.command()
			s.tells(backend.Event{Kind: backend.Lost, Reason: "expired", KillBy: minute()})
			s.after(time.Minute)
		},
			exit: Exit{Code: 76}, events: granted + "lost exited=SIGKILL released run_finished=76",
			says: []string{"the claim is lost (expired): stopping the command"}, calls: []string{"stop within 1m0s"}},
		{name: "a loss is only said where that is asked for", past: "lost 0", set: func(s *scene) { s.run.WarnOnLost = true },
			play: func(s *scene) {
				p := s.command()
				s.tells(backend.Event{Kind: backend.Unreachable, KillBy: minute()})
				s.tells(backend.Event{Kind: backend.Lost, KillBy: minute()})
				s.after(time.Hour)
				p.end(ok)
			},
			events: granted + "lost exited=0 released run_finished=0", says: []string{"does not answer; the claim is held until", "the claim is lost; the command runs on without it"}, calls: []string{}},
		{name: "an outage that is over spares the command",
			play: func(s *scene) {
				p := s.command()
				s.tells(backend.Event{Kind: backend.Unreachable, Reason: "cut off", KillBy: minute()})
				s.tells(backend.Event{Kind: backend.Reachable})
				s.after(time.Hour)
				p.end(ok)
			},
			events: granted + "exited=0 released run_finished=0", says: []string{"does not answer (cut off); the claim is held until", "answers again"}, calls: []string{"stop within 1m0s", "go on"}},
		{name: "an outage that lasts stops the command", past: "lost SIGKILL the store did not answer in time",
			play: func(s *scene) {
				s.command()
				s.tells(backend.Event{Kind: backend.Unreachable, KillBy: minute()})
				s.after(time.Minute)
			},
			exit: Exit{Code: 76}, events: granted + "exited=SIGKILL released run_finished=76", says: []string{"does not answer"}, calls: []string{"stop within 1m0s"}},
		{name: "an unreachable store fails the run", set: func(s *scene) { s.store.enterErr = backend.ErrUnreachable },
			exit: Exit{Code: 125}, err: "store unreachable", events: "run_started queued run_finished=125"},
		{name: "an unreachable store is done without", set: func(s *scene) { s.store.enterErr, s.run.RunUnreached = backend.ErrUnreachable, true },
			play: func(s *scene) { s.command().end(process.Exit{Code: 4}) },
			exit: Exit{Code: 4}, events: "run_started queued started exited=4 run_finished=4", says: []string{"store unreachable; running without a slot"}, calls: []string{}},
		{name: "a store that was never reached is done without",
			set:  func(s *scene) { s.run.Backend, s.run.Unreached, s.run.RunUnreached = nil, backend.ErrUnreachable, true },
			play: func(s *scene) { p := s.command(); s.signal(syscall.SIGTERM); <-p.Done() },
			exit: Exit{Signal: syscall.SIGTERM}, events: "run_started started exited=SIGTERM run_finished=SIGTERM", says: []string{"running without a slot"}, calls: []string{"stop"}},
		{name: "another failure is not done without", set: func(s *scene) { s.store.enterErr, s.run.RunUnreached = errors.New("damaged"), true },
			exit: Exit{Code: 125}, err: "damaged", events: "run_started queued run_finished=125"},
		{name: "runs the command again after a failure, so often as it is told",
			set: func(s *scene) { s.run.Retries = 2 },
			play: func(s *scene) {
				s.command().end(process.Exit{Code: 3})
				s.command().end(process.Exit{Signal: syscall.SIGSEGV})
				s.command().end(process.Exit{Code: 5})
			},
			exit: Exit{Code: 5}, calls: []string{},
			events: granted + "exited=3 retrying granted started exited=SIGSEGV retrying granted started exited=5 released run_finished=5",
			says:   []string{"the command exited 3; attempt 2 of 3 follows in 0s", "was killed by SIGSEGV; attempt 3 of 3"}},
		{name: "runs the command again after a timeout, and no more after a success",
			set: func(s *scene) { s.run.Retries, s.run.Command.Timeout = 2, time.Second },
			play: func(s *scene) {
				s.command().end(process.Exit{Signal: syscall.SIGTERM, Reason: process.TimedOut})
				s.command().end(ok)
			},
			events: granted + "exited=SIGTERM retrying granted started exited=0 released run_finished=0", calls: []string{},
			says: []string{"timed out after 1s", "exited 124; attempt 2 of 3"}},
		{name: "gives the slot back before the command is run again", set: func(s *scene) { s.run.Retries, s.run.RetryDelay = 1, time.Minute },
			play: func(s *scene) {
				s.command().end(process.Exit{Code: 1})
				synctest.Wait()
				s.hold()
				s.after(time.Minute)
				s.after(time.Hour)
				s.holder.Release(s.Context())
				s.command().end(ok)
			},
			events: granted + "exited=1 retrying blocked granted started exited=0 released run_finished=0", calls: []string{},
			says: append([]string{"follows in 1m", "waiting for pool:p"}, slices.Repeat([]string{"waiting for"}, 11)...)},
		{name: "keeps the slot for as long as it is told though the command is to be run again",
			set: func(s *scene) { s.run.Retries, s.run.RetryDelay, s.run.MinHold = 1, time.Minute, 30*time.Second },
			play: func(s *scene) {
				s.command().end(process.Exit{Code: 1})
				s.after(29 * time.Second)
				if _, err := s.space.Open().Enter(s.Context(), backend.Claim{ID: "n", RunID: "n", Pools: map[string]int{"p": 1}},
					backend.EnterOptions{NoWait: true}); err == nil {
					s.Error("the slot was given back")
				}
				s.after(time.Second)
				s.hold()
				s.holder.Release(s.Context())
				s.after(30 * time.Second)
				s.command().end(ok)
				s.after(30 * time.Second)
			},
			events: granted + "exited=1 retrying granted started exited=0 released run_finished=0", calls: []string{}, says: []string{"follows in 1m"}},
		{name: "a kept slot is not given back between two attempts", set: func(s *scene) { s.run.Retries, s.run.MinHold = 1, time.Minute },
			play: func(s *scene) {
				s.command().end(process.Exit{Code: 1})
				s.command().end(ok)
				s.after(time.Minute)
			},
			events: granted + "exited=1 retrying started exited=0 released run_finished=0", calls: []string{}, says: []string{"follows in 0s"}},
		{name: "is not run again when it was asked to end", set: func(s *scene) { s.run.Retries = 1 },
			play: func(s *scene) { s.command().end(process.Exit{Code: 1, Told: true}) },
			exit: Exit{Code: 1, Told: true}, events: granted + "exited=1 released run_finished=1", calls: []string{}},
		{name: "is not run again after a cancellation", set: func(s *scene) { s.run.Retries = 1 },
			play: func(s *scene) { s.command(); s.space.Open().Cancel(s.Context(), "c", "enough") },
			exit: Exit{Signal: syscall.SIGTERM}, events: granted + "cancelled exited=SIGTERM released run_finished=SIGTERM",
			says: []string{"cancelled (enough): stopping the command"}, calls: []string{"stop"}},
		{name: "is not run again where it has failed when the cancellation came", set: func(s *scene) { s.run.Retries, s.run.WarnOnLost = 1, true },
			play: func(s *scene) {
				p := s.command()
				s.tells(backend.Event{Kind: backend.Lost, Reason: "expired"})
				p.end(process.Exit{Code: 1})
			},
			exit: Exit{Code: 1}, events: granted + "lost exited=1 released run_finished=1", says: []string{"the claim is lost"}, calls: []string{}},
		{name: "a cancellation ends the delay", set: func(s *scene) { s.run.Retries, s.run.RetryDelay = 1, time.Hour },
			play: func(s *scene) {
				s.command().end(process.Exit{Code: 3})
				synctest.Wait()
				s.space.Open().Cancel(s.Context(), "c", "enough")
				synctest.Wait()
				if !s.ended() {
					s.Error("it goes on")
				}
			},
			exit: Exit{Code: 3}, events: granted + "exited=3 retrying cancelled released run_finished=3",
			says: []string{"follows in 1h", "cancelled while waiting (enough)"}, calls: []string{}},
		{name: "a signal ends the delay", set: func(s *scene) { s.run.Retries, s.run.RetryDelay = 1, time.Hour },
			play: func(s *scene) { s.command().end(process.Exit{Code: 3}); synctest.Wait(); s.signal(syscall.SIGTERM) },
			exit: Exit{Signal: syscall.SIGTERM}, events: granted + "exited=3 retrying cancelled released run_finished=SIGTERM",
			says: []string{"follows in 1h"}, calls: []string{}},
		{name: "the slots are not waited for longer than it is told between two attempts",
			set: func(s *scene) {
				s.run.Retries, s.run.RetryDelay, s.run.Wait, s.run.Busy = 1, time.Second, 3*time.Second, BusySkip
			},
			play: func(s *scene) {
				s.command().end(process.Exit{Code: 3})
				synctest.Wait()
				s.hold()
				s.after(4 * time.Second)
				<-s.over
				s.holder.Release(s.Context())
			},
			exit: Exit{Code: 3}, events: granted + "exited=3 retrying blocked cancelled released run_finished=3",
			says: []string{"follows in 1s", "waiting for"}, calls: []string{}},
		{name: "a command without a slot is run again too", set: func(s *scene) {
			s.store.enterErr, s.run.RunUnreached, s.run.Retries, s.run.RetryDelay = backend.ErrUnreachable, true, 1, time.Minute
		},
			play: func(s *scene) {
				s.command().end(process.Exit{Code: 4})
				s.after(time.Minute)
				s.command().end(ok)
			},
			events: "run_started queued started exited=4 retrying started exited=0 run_finished=0", says: []string{"running without a slot", "follows in 1m"}, calls: []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t)
				if c.set != nil {
					c.set(s)
				}
				var p *fakeProcess
				s.run.Start = func(process.Command) (Process, error) {
					p = &fakeProcess{done: make(chan struct{})}
					s.started <- p
					return p, nil
				}
				go func() {
					defer close(s.over)
					s.exit, s.err = s.run.Do(s.Context())
				}()
				if c.play != nil {
					c.play(s)
				}
				<-s.over
				synctest.Wait()
				if (s.err == nil) != (c.err == "") || s.err != nil && !strings.HasPrefix(s.err.Error(), c.err) {
					t.Errorf("the error is %v, want %q", s.err, c.err)
				}
				if s.exit != c.exit {
					t.Errorf("limit ends with %+v, want %+v", s.exit, c.exit)
				}
				if got := s.kinds(); got != c.events {
					t.Errorf("the events are\n%s, want\n%s", got, c.events)
				}
				lines := strings.Split(strings.TrimSuffix(s.said.String(), "\n"), "\n")
				if c.says == nil {
					c.says = []string{""}
				}
				if !slices.EqualFunc(lines, c.says, strings.Contains) || c.says[0] == "" && lines[0] != "" {
					t.Errorf("limit says\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(c.says, "\n"))
				}
				switch {
				case (p == nil) != (c.calls == nil):
					t.Errorf("started: %t", p != nil)
				case p != nil && !slices.Equal(p.calls, c.calls):
					t.Errorf("done to the command: %q, want %q", p.calls, c.calls)
				}
				if got := s.past(); c.past != "" && got != c.past {
					t.Errorf("the history has %q, want %q", got, c.past)
				}
				if !c.stays {
					s.empty()
				}
			})
		})
	}
}

func newScene(t *testing.T) *scene {
	space := memory.NewSpace()
	over, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s := &scene{T: t, space: space, signals: make(chan syscall.Signal, 1), started: make(chan *fakeProcess, 1), over: make(chan struct{})}
	s.store = &playedStore{Backend: space.Open(), played: make(chan backend.Event), merged: make(chan backend.Event, 8), over: over}
	s.run = &Run{
		Backend: s.store, Signals: s.signals, Messages: NewMessages(&s.said, Normal), Events: &Events{w: &s.events},
		Claim: backend.Claim{ID: "c", RunID: "c", Name: "true", Pools: map[string]int{"p": 1}}, BusyExitCode: CodeBusy,
	}
	return s
}

// ended reports whether the run is over.
func (s *scene) ended() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// past is how the history has it that the run's claim ended.
func (s *scene) past() string {
	pasts, _ := s.space.Open().History(s.Context())
	for _, p := range pasts {
		if p.ID != "c" {
			continue
		}
		text := string(p.How)
		if p.Code != nil {
			text += fmt.Sprintf(" %d", *p.Code)
		}
		for _, more := range []string{p.Signal, p.Reason} {
			if more != "" {
				text += " " + more
			}
		}
		return text
	}
	return ""
}

// empty fails unless the run's claim is out of the store.
func (s *scene) empty() {
	s.Helper()
	snapshot, err := s.space.Open().Snapshot(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, h := range snapshot.Held {
		if h.ID == "c" {
			s.Error("the claim is still held")
		}
	}
	if len(snapshot.Waiting) > 0 {
		s.Errorf("%d claims still wait", len(snapshot.Waiting))
	}
}

// The keeper of a claim on etcd ends the command when limit cannot: it has to know which it is, whatever stands
// between.
func TestTheStoreIsToldWhichProcessRunsUnderAClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.run.Start = func(process.Command) (Process, error) {
			p := &fakeProcess{done: make(chan struct{})}
			s.started <- p
			return p, nil
		}
		go func() {
			defer close(s.over)
			s.run.Do(s.Context())
		}()
		p := s.command()
		if got := s.space.Started("c"); !slices.Equal(got, []int{p.PID()}) {
			t.Errorf("the store knows the processes %d, not %d", got, p.PID())
		}
		p.end(process.Exit{})
		<-s.over
	})
}
