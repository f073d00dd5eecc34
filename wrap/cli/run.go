package cli

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/config/grammar"
	"limit/wrap"
	"limit/wrap/process"
)

const runText = `Enters a claim for the slots, waits for all of them at once, runs CMD while they are held, and releases
when it ends. Everything after the first operand, or after --, is CMD's own. CMD's streams, signals,
terminal and exit status are as without limit; limit writes to standard error alone, lines that
begin with limit:, and nothing if the slots are granted within a second.

CMD finds in its environment LIMIT_RUN_ID, LIMIT_CLAIM_ID, LIMIT_TOKEN (a number that grows with
every grant), LIMIT_NAMESPACE, LIMIT_POOLS (database=1,api=2) and LIMIT_SLOT_<POOL>, the numbers of its
slots from 0 to the limit less one, which no two holders share (none for a claim for more than 1,024).
With --retry it finds LIMIT_ATTEMPT, from 1.

DURATIONS are numbers of seconds, or such as 90s, 1h30m, 2d.

EXIT STATUS: CMD's own. If a signal kills CMD, limit kills itself with the same signal.
   75   no slot: busy, gave up waiting, or cancelled while waiting
   76   the slot was lost while CMD ran, and it was stopped
   124  --timeout
   125  limit itself failed: usage, configuration, store, an impossible claim
   126  CMD cannot be executed
   127  there is no such command

EXAMPLES:
   limit run --pool database -- ./load.sh
   limit run --pool gpu=2 --priority 5 --timeout 2h -- ./train
   limit run --pool nightly --if-busy skip -c 'pg_dump shop | gzip > shop.gz'`

func (p *program) runCommand() *cli.Command {
	return &cli.Command{
		Name:        "run",
		Usage:       "run a command while holding slots",
		UsageText:   "limit run [flags] [--] CMD [ARG...]",
		Description: runText,
		Flags:       runFlags(),
		Action:      p.run,
	}
}

func runFlags() []cli.Flag {
	const claim, command, store = "Claim", "Command", "Store"
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "pool",
			Usage: "claim slots of a pool, `NAME[=SLOTS|=all]`; repeatable; all is the whole limit", Category: claim},
		&cli.StringSliceFlag{Name: "tag",
			Usage: "tag the run, `KEY[=VALUE]`, for the tag limits of the run queue; repeatable", Category: claim},
		numberFlag("priority", 0, "`N`: higher first", claim),
		&cli.StringFlag{Name: "if-busy", Value: string(wrap.BusyWait),
			Usage: "`wait|fail|skip|replace`: when not granted at once: queue; exit 75; exit 0; cancel the oldest " +
				"holders in the way, then queue", Category: claim},
		durationFlag("wait", 0, "give up waiting after this and exit 75, or do what --if-busy fail or skip says; 0 "+
			"is --if-busy fail", claim),
		numberFlag("busy-exit-code", wrap.CodeBusy, "`N`, 0 to 255, instead of 75", claim),
		durationFlag("splay", 0, "sleep a random time up to this first", claim),
		&cli.StringFlag{Name: "name", Usage: "`LABEL` shown in status (default: the command)", Category: claim},
		&cli.StringFlag{Name: "c", Usage: "run sh -c `STRING` in place of CMD", Category: command},
		durationFlag("timeout", 0, "run time of the command: TERM, then KILL after --grace; exit 124", command),
		durationFlag("grace", defaultGrace,
			"between the first signal and KILL: after --timeout, cancellation, loss, and a TERM, INT or HUP that is "+
				"handed on", command),
		&cli.StringFlag{Name: "signal", Usage: "the signal `SIG` sent first, in place of TERM", Category: command},
		numberFlag("retry", 0, "run the command again after a failure or --timeout, at most `N` times; never after "+
			"a TERM, INT or HUP, cancellation or loss", command),
		durationFlag("retry-delay", 0, "give the slots back for this long before the command is run again", command),
		&cli.BoolFlag{Name: "hold-tree",
			Usage: "keep the slots until all descendants of the command are gone, daemons included", Category: command},
		durationFlag("min-hold", 0, "keep the slots at least this long", command),
		&cli.StringFlag{Name: "on-lost", Value: "kill", Usage: "`kill|warn`: when the claim can no longer be renewed",
			Category: store},
		durationFlag("ttl", defaultTTL, "etcd lease: how long a dead machine keeps its slots", store),
		&cli.StringFlag{Name: "if-unreachable", Value: "fail",
			Usage: "`fail|run`: without the store: exit 125, or run without a slot", Category: store},
		&cli.StringFlag{Name: "events", Usage: "append events to `FILE` as JSON lines; - for standard error",
			Category: "Messages"},
	}
}

const (
	defaultGrace = 10 * time.Second
	defaultTTL   = 60 * time.Second
	minTTL       = 5 * time.Second
)

// ttlFor is the TTL of a lease where none is asked for: a command that needs long to end needs a long one.
func ttlFor(grace time.Duration) time.Duration {
	return max(defaultTTL, (2*grace + minTTL).Round(time.Second))
}

// request is what the flags of run ask for.
type request struct {
	holder    *holder // runs no command, but holds for a process; nil: runs one
	claim     backend.Claim
	command   process.Command
	busy      wrap.Busy
	busyCode  int
	wait      time.Duration
	minHold   time.Duration
	retries   int
	delay     time.Duration // before each retry
	splay     time.Duration
	warnLost  bool
	unreached bool // run without a slot where the store is unreachable
	ttl       time.Duration
}

func (p *program) run(c *cli.Context) error {
	r, err := p.parseRun(c, p.parseCommand)
	if err != nil {
		return err
	}
	return p.carryOut(c, r)
}

// carryOut does what was asked for, from the first message to the release.
func (p *program) carryOut(c *cli.Context, r *request) (err error) {
	stderr := p.queueMessages()
	messages := p.messages(c)
	supervisor, err := p.supervise()
	if err != nil {
		return err
	}
	var events *wrap.Events
	_, sig, err := p.openInterruptible(c, func() (_ *store, err error) {
		if r.holder == nil {
			if r.command.Path, err = process.Find(r.command.Args[0], r.command.Env, ""); err != nil {
				return nil, cannotStart(misplaced(c, err))
			}
		}
		events, err = wrap.OpenEvents(c.String("events"), stderr, nil)
		return nil, err
	})
	switch {
	case sig != 0:
		return &exitError{exit: wrap.Exit{Signal: sig}}
	case err != nil:
		return err
	}
	events.Queue()
	defer func() {
		exit, _ := exitOr(err, 0)
		if err := events.Drain(exit.Patience(), supervisor.Asked()); err != nil {
			messages.Error("%v", err)
		}
	}()
	if sig := sleepRandomly(r.splay, supervisor); sig != 0 {
		return &exitError{exit: wrap.Exit{Signal: sig}}
	}
	s, sig, err := p.openInterruptible(c, func() (*store, error) {
		cfg, err := p.load(c)
		if err != nil {
			return nil, err
		}
		r.command.Env = wrap.Setenv(r.command.Env, cfg.Environ())
		return p.openWith(c, cfg, storeOptions{ttl: r.ttl, grace: r.command.Grace, warnOnLost: r.warnLost})
	})
	switch {
	case sig != 0:
		return &exitError{exit: wrap.Exit{Signal: sig}}
	case err != nil && !(r.unreached && errors.Is(err, backend.ErrUnreachable)):
		return err
	}
	run := &wrap.Run{
		Start:   func(command process.Command) (wrap.Process, error) { return supervisor.Start(command) },
		Signals: supervisor.Signals(), Messages: messages, Events: events, Claim: r.claim, Command: r.command,
		Busy: r.busy, BusyExitCode: r.busyCode, Wait: r.wait, MinHold: r.minHold, WarnOnLost: r.warnLost,
		Retries: r.retries, RetryDelay: r.delay,
		RunUnreached: r.unreached, Unreached: err,
	}
	if r.holder != nil {
		r.holder.lead(run, supervisor)
	}
	if err == nil {
		defer s.Close()
		s.warnOfAgent(c, messages)
		run.Backend, run.Namespace = s, s.namespace
		run.OnEntered = func(e backend.Entry) { s.warnOfLimits(c.Context, messages, e) }
	}
	exit, err := run.Do(c.Context)
	if err != nil && exit.Code != wrap.CodeFailed {
		return cannotStart(err)
	}
	return &exitError{exit: exit, err: err}
}

// misplaced adds to the error that a command is not found what its word was probably meant as, where "--" and another
// command follow it.
func misplaced(c *cli.Context, err error) error {
	word, pools := c.Args().First(), c.StringSlice("pool")
	if c.Args().Get(1) != "--" {
		return err
	}
	if _, number := strconv.Atoi(word); number == nil && len(pools) > 0 {
		return fmt.Errorf("%w; did you mean --pool %s?", err, backend.ShellWord(pools[len(pools)-1]+"="+word))
	}
	return fmt.Errorf("%w; did you mean --pool %s?", err, backend.ShellWord(word))
}

// cannotStart ends limit as a shell does that cannot execute a command.
func cannotStart(err error) error { return failWith(process.StartCode(err), err) }

// parseRun reads the flags, and what is to run.
func (p *program) parseRun(c *cli.Context, parseCommand func(*cli.Context, *request) error) (*request, error) {
	r := &request{claim: p.newRun()}
	for _, parse := range []func(*cli.Context, *request) error{parseCommand, parseClaim, parseTimes, parseChoices} {
		if err := parse(c, r); err != nil {
			return nil, usageError(c, "%v", err)
		}
	}
	p.describeOwner(&r.claim, c.String("name"), r.command.Args)
	return r, nil
}

func (p *program) parseCommand(c *cli.Context, r *request) error {
	argv := c.Args().Slice()
	if c.IsSet("c") {
		if len(argv) > 0 {
			return fmt.Errorf("-c takes the place of CMD, but %q is given too; write it into the string", argv[0])
		}
		argv = []string{"sh", "-c", c.String("c")}
	}
	if len(argv) == 0 {
		return errors.New("no command is given")
	}
	r.command = process.Command{Args: argv, Env: p.env, Forward: true, HoldTree: c.Bool("hold-tree")}
	return parseSignal(c, r)
}

func parseSignal(c *cli.Context, r *request) (err error) {
	r.command.Signal = syscall.SIGTERM
	if c.IsSet("signal") {
		if r.command.Signal, err = wrap.ParseSignal(c.String("signal")); err != nil {
			return fmt.Errorf("flag --signal: %w", err)
		}
	}
	return nil
}

func parseClaim(c *cli.Context, r *request) error {
	var err error
	if r.claim.Pools, err = grammar.Pools(c.StringSlice("pool")); err != nil {
		return fmt.Errorf("flag --pool: %w", err)
	}
	if r.claim.Tags, err = grammar.Tags(c.StringSlice("tag")); err != nil {
		return fmt.Errorf("flag --tag: %w", err)
	}
	priority := numberOf(c, "priority")
	if int(int32(priority)) != priority {
		return fmt.Errorf("flag --priority: %d is no 32-bit number", priority)
	}
	r.claim.Priority = int32(priority)
	return nil
}

func parseTimes(c *cli.Context, r *request) error {
	r.command.Timeout, _ = durationOf(c, "timeout")
	r.command.Grace, _ = durationOf(c, "grace")
	r.minHold, _ = durationOf(c, "min-hold")
	r.splay, _ = durationOf(c, "splay")
	if r.retries = numberOf(c, "retry"); r.retries < 0 {
		return fmt.Errorf("flag --retry: %d is not a number of at least 0", r.retries)
	}
	var delayed bool
	if r.delay, delayed = durationOf(c, "retry-delay"); delayed && r.retries == 0 {
		return errors.New("flag --retry-delay: nothing is run again without --retry N; give that too")
	}
	r.wait, _ = durationOf(c, "wait")
	var asked bool
	if r.ttl, asked = durationOf(c, "ttl"); !asked {
		r.ttl = ttlFor(r.command.Grace)
	}
	if r.ttl < minTTL || r.ttl%time.Second != 0 {
		return fmt.Errorf("flag --ttl: %s is not a whole number of seconds of at least %s", r.ttl, minTTL)
	}
	if r.ttl <= 2*r.command.Grace {
		return fmt.Errorf("flag --ttl: %s is not more than twice the grace of %s, which the command needs to end "+
			"in time", r.ttl, r.command.Grace)
	}
	return nil
}

func parseChoices(c *cli.Context, r *request) error {
	if err := parseBusy(c, r); err != nil {
		return err
	}
	switch lost := c.String("on-lost"); lost {
	case "kill", "warn":
		r.warnLost = lost == "warn"
	default:
		return fmt.Errorf("flag --on-lost: %q is not one of kill, warn", lost)
	}
	switch unreachable := c.String("if-unreachable"); unreachable {
	case "fail", "run":
		r.unreached = unreachable == "run"
	default:
		return fmt.Errorf("flag --if-unreachable: %q is not one of fail, run", unreachable)
	}
	if r.busyCode = numberOf(c, "busy-exit-code"); r.busy == wrap.BusySkip && c.IsSet("busy-exit-code") {
		return errors.New("flag --busy-exit-code: --if-busy skip exits with 0; leave one of the two out")
	} else if r.busyCode < 0 || r.busyCode > 255 {
		return fmt.Errorf("flag --busy-exit-code: %d is not from 0 to 255", r.busyCode)
	}
	return nil
}

// parseBusy reads what is to be done when the slots are not free, and for how long they are waited for.
func parseBusy(c *cli.Context, r *request) error {
	r.busy = wrap.Busy(c.String("if-busy"))
	_, bounded := durationOf(c, "wait")
	atOnce := bounded && r.wait == 0
	switch r.busy {
	case wrap.BusyWait, wrap.BusyReplace:
		if atOnce && c.IsSet("if-busy") {
			return fmt.Errorf("flag --wait: 0 is not to wait, and --if-busy %s waits; leave one of the two out", r.busy)
		}
		if atOnce {
			r.busy = wrap.BusyFail
		}
	case wrap.BusyFail, wrap.BusySkip:
	default:
		return fmt.Errorf("flag --if-busy: %q is not one of wait, fail, skip, replace", r.busy)
	}
	return nil
}

// newRun is the claim of a new run, which may turn out to be nested in another.
func (p *program) newRun() backend.Claim {
	id := backend.NewID()
	c := backend.Claim{ID: id, RunID: id, Runs: 1}
	if run := wrap.Getenv(p.env, wrap.EnvRunID); run != "" {
		c.Within = &backend.Within{Run: run, Claim: wrap.Getenv(p.env, wrap.EnvClaimID)}
	}
	return c
}

// describeOwner fills in what status shows of who asks.
func (p *program) describeOwner(claim *backend.Claim, label string, argv []string) {
	claim.Command, claim.Name = argv, label
	if label == "" {
		claim.Name = commandName(argv)
	}
	claim.PID, claim.QueuedAt = os.Getpid(), time.Now()
	claim.Host, _ = os.Hostname()
	claim.User = userNumber()
}

// commandName is how a command without a label is called.
func commandName(argv []string) string { return strings.Join(argv, " ") }

// sleepRandomly sleeps up to splay; a signal ends it and is returned.
func sleepRandomly(splay time.Duration, supervisor *process.Supervisor) syscall.Signal {
	if splay <= 0 {
		return 0
	}
	timer := time.NewTimer(rand.N(splay))
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0
	case sig := <-supervisor.Signals():
		return sig
	}
}
