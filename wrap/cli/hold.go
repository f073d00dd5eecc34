package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/wrap"
	"limit/wrap/process"
)

const holdText = `Claims slots as 'limit run' does, and holds them while the process that calls it lives, or until
'limit release'. It prints what a command of 'limit run' finds in its environment, as assignments for the
shell, and returns when the slots are granted. At the head of a script:

   held=$(limit hold --pool database) || exit
   eval "$held"

Do not shorten that to eval "$(limit hold ...)": a shell's eval does not see that it failed, and the script
would go on without the slots.

The process is the shell that runs the script, the one whose number is $$; that of --pid, where that is
given. It is treated as a command of 'limit run' is: 'limit cancel', --timeout and the loss of the claim end
it and its descendants (TERM, after the grace KILL). Where a flag speaks of the command, that process is
meant. What it starts in the background and leaves behind holds nothing.

A process stays in the background to do this, in a session of its own. On the embedded store the slots
are held while the process lives even if that is killed; on etcd its death ends the process, as the death of
'limit run' ends a command.

With --if-busy skip, busy slots print 'exit 0': the script is over, and no failure.

EXIT STATUS:
   0    the slots are held, or with --if-busy skip they are not
   75   no slot: busy, gave up waiting, or cancelled while waiting
   125  limit itself failed: usage, configuration, store, an impossible claim

EXAMPLES:
   held=$(limit hold --pool database --wait 10m) || exit
   held=$(limit hold --pool nightly --if-busy fail --pid $$) || exit 0`

const releaseText = `Releases what 'limit hold' has claimed, and lets the process that it was held for run on.
ID is that of LIMIT_CLAIM_ID if none is given. It returns when the slots are free.

The claim of a 'limit run' is not released while its command runs: 'limit cancel' ends that.

EXIT STATUS: 0; 125 there is no such claim, it is not held by 'limit hold', or limit itself failed.`

// holderName is the name by which limit hold calls itself to stay in the background.
const holderName = "limit-holder"

func (p *program) holdCommand() *cli.Command {
	return &cli.Command{
		Name:        "hold",
		Usage:       "hold slots for the calling script, without a command of its own",
		UsageText:   "held=$(limit hold --pool NAME [flags]) || exit; eval \"$held\"",
		Description: holdText,
		Flags:       holdFlags(),
		Action:      p.hold,
	}
}

// holdFlags are those of run that concern the claim and the end of what runs under it.
func holdFlags() []cli.Flag {
	flags := slices.DeleteFunc(runFlags(), func(f cli.Flag) bool {
		return slices.Contains([]string{"c", "hold-tree", "retry", "retry-delay"}, f.Names()[0])
	})
	return append(flags,
		numberFlag("pid", 0, "hold while the process `N` lives, instead of the one that calls", "Command"))
}

func (p *program) releaseCommand() *cli.Command {
	return &cli.Command{
		Name:        "release",
		Usage:       "release what limit hold has claimed",
		ArgsUsage:   "[ID]",
		Description: releaseText,
		Action:      p.release,
	}
}

func (p *program) hold(c *cli.Context) error {
	pid := numberOf(c, "pid")
	if !c.IsSet("pid") {
		if pid = process.Caller(); pid == 0 {
			return usageError(c, "the process that calls limit cannot be seen from here; name it: --pid $$")
		}
	}
	r, err := p.parseRun(c, func(c *cli.Context, r *request) error {
		if c.NArg() > 0 {
			return fmt.Errorf("%q is not for hold, which runs no command; 'limit run' does", c.Args().First())
		}
		r.claim.Holds = pid
		r.command.Args, r.command.Env = heldName(pid), p.env
		return parseSignal(c, r)
	})
	if err != nil {
		return err
	}
	other, err := process.Watch(pid)
	if err != nil {
		return err
	}
	defer other.Close()
	if p.args[0] == holderName {
		if r.holder, err = newHolder(p.In, p.Err, p.env, other); err != nil {
			return err
		}
		p.Err = r.holder
		return p.carryOut(c, r)
	}
	return p.startHolder(pid, r.splay)
}

// heldName is how a process is called that somebody else has started.
func heldName(pid int) []string {
	if words := process.CommandLine(pid); len(words) > 0 {
		return words
	}
	return []string{"process", strconv.Itoa(pid)}
}

// startHolder starts the process that claims the slots and stays in the background, and waits for what it has to say. A
// signal ends the waiting: the other end of the socket is closed then, and the claim is withdrawn.
func (p *program) startHolder(pid int, splay time.Duration) error {
	if splay > 0 {
		time.Sleep(rand.N(splay))
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer ours.Close()
	args := p.args[1:]
	if args[len(args)-1] == "--" {
		args = args[:len(args)-1]
	}
	// the last of each counts
	args = slices.Concat([]string{holderName}, args, []string{"--pid", strconv.Itoa(pid), "--splay", "0"})
	holder, err := process.Again(args, p.env, theirs)
	theirs.Close()
	if err != nil {
		return fmt.Errorf("starting the process that holds the slots: %w", err)
	}
	text, err := io.ReadAll(ours)
	if err != nil || len(text) == 0 {
		return p.notHeld(holder)
	}
	if _, err := p.Out.Write(text); err != nil {
		return fmt.Errorf("printing what is held: %w; it is released", err)
	}
	if _, err := ours.Write([]byte(printed)); err != nil {
		return p.notHeld(holder)
	}
	return nil
}

// printed is what the holder is told when its assignments are printed.
const printed = "."

// notHeld ends limit as the holder has ended, which has said why.
func (p *program) notHeld(holder int) error {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(holder, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || status.Signaled() {
			return errors.New("the process that was to hold the slots is gone: somebody has killed it")
		}
		break
	}
	if status.ExitStatus() == 0 { // skipped
		_, err := io.WriteString(p.Out, "exit 0\n")
		return err
	}
	return exitWith(status.ExitStatus())
}

// socketPair returns a connected pair of sockets, closed at exec.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	end := os.NewFile(uintptr(fds[0]), "holder")
	defer end.Close()
	theirs = os.NewFile(uintptr(fds[1]), "hold")
	if ours, err = net.FileConn(end); err != nil {
		theirs.Close()
	}
	return ours, theirs, err
}

// holder is the process in the background that holds slots for another. Its standard input and output are a socket to
// the limit hold that has started it. Until that has printed the assignments, its end withdraws the claim.
type holder struct {
	messages io.Writer // until the slots are held
	env      []string  // of limit hold
	asker    *net.UnixConn
	other    *process.Other
	signals  chan syscall.Signal // that end the waiting
	printed  chan bool           // whether the assignments are
	held     atomic.Bool

	mu sync.Mutex
	// standard error of the process while it is being ended: then it is open no more when there is something to say
	voice *os.File
}

func newHolder(socket *os.File, messages io.Writer, env []string, other *process.Other) (*holder, error) {
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, err
	}
	asker, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("%s is for limit itself", holderName)
	}
	return &holder{
		messages: messages, env: env, asker: asker, other: other, signals: make(chan syscall.Signal, 4),
		printed: make(chan bool, 1),
	}, nil
}

// lead lets a run hold for the process instead of starting a command.
func (h *holder) lead(run *wrap.Run, supervisor *process.Supervisor) {
	run.Signals, run.Runs = h.signals, fmt.Sprintf("process %d", h.other.PID())
	run.Start = func(command process.Command) (wrap.Process, error) { return h.start(command, supervisor) }
	asked := make(chan bool, 1)
	go func() {
		_, err := io.ReadFull(h.asker, make([]byte, len(printed)))
		asked <- err == nil
	}()
	go h.listen(supervisor.Signals(), asked)
}

// listen lets the waiting end by a signal, with limit hold, and with the process that the slots are for. While they are
// held, signals change nothing: who ends all processes sends one to that process too. It ends with the program.
func (h *holder) listen(signals <-chan syscall.Signal, asked <-chan bool) {
	gone := h.other.Gone()
	for {
		sig := syscall.SIGHUP
		select {
		case sig = <-signals:
		case <-gone:
			gone = nil
		case ok := <-asked:
			h.printed <- ok
			if ok {
				continue
			}
		}
		if h.held.Load() && gone != nil {
			continue
		}
		select {
		case h.signals <- sig:
		default:
		}
	}
}

// start hands the assignments over, and leaves all that limit hold was called with but the process.
func (h *holder) start(command process.Command, supervisor *process.Supervisor) (wrap.Process, error) {
	if _, err := io.WriteString(h.asker, shellAssignments(h.env, command.Env)); err != nil {
		return nil, err
	}
	h.asker.CloseWrite()
	select {
	case ok := <-h.printed:
		if !ok {
			return nil, errors.New("nobody waits for the slots any more")
		}
	case <-h.other.Gone():
		return nil, fmt.Errorf("process %d has ended", h.other.PID())
	}
	h.asker.Close()
	h.held.Store(true)
	command.Stopping = h.keepVoice
	if err := process.GoAway(); err != nil {
		return nil, err
	}
	return supervisor.Adopt(h.other, command), nil
}

// Write writes messages: to standard error, and once the slots are held to that of the process.
func (h *holder) Write(b []byte) (int, error) {
	if !h.held.Load() {
		return h.messages.Write(b)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.voice
	if f == nil {
		var err error
		if f, err = h.openVoice(); err != nil {
			return 0, err
		}
		defer f.Close()
	}
	return f.Write(b)
}

func (h *holder) keepVoice() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.voice, _ = h.openVoice()
}

// openVoice opens the standard error of the process: to keep it open all the time would keep a pipe's reader waiting,
// or a terminal.
func (h *holder) openVoice() (*os.File, error) {
	select {
	case <-h.other.Gone():
		return nil, os.ErrClosed
	default:
		return h.other.Stderr()
	}
}

// shellAssignments makes, in the language of sh, the variables of limit in one environment those of another.
func shellAssignments(before, after []string) string {
	var text strings.Builder
	for _, entry := range before {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "LIMIT_") && wrap.Getenv(after, name) == "" {
			fmt.Fprintf(&text, "unset %s\n", name)
		}
	}
	for _, entry := range after {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, "LIMIT_") {
			fmt.Fprintf(&text, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
		}
	}
	if text.Len() == 0 {
		return ":\n"
	}
	return text.String()
}

// releasePatience is how long a holder may take to release.
const releasePatience = 20 * time.Second

func (p *program) release(c *cli.Context) error {
	prefix := c.Args().First()
	if prefix == "" {
		prefix = wrap.Getenv(p.env, wrap.EnvClaimID)
	}
	if prefix == "" || c.NArg() > 1 {
		return usageError(c, "one ID is needed: an operand, or the variable %s", wrap.EnvClaimID)
	}
	return p.withStore(c, func(s *store) error {
		snapshot, err := s.Snapshot(c.Context)
		if err != nil {
			return err
		}
		id, err := findClaim(snapshot, prefix)
		if err != nil {
			return err
		}
		held := slices.IndexFunc(snapshot.Held, func(h backend.HeldClaim) bool { return h.ID == id })
		switch {
		case held < 0:
			return fmt.Errorf("%s is not held, but waits; 'limit cancel %s' ends that", short(id), short(id))
		case snapshot.Held[held].Holds == 0:
			return fmt.Errorf("%s is not held by 'limit hold', but by a command (%s), whose end releases it; 'limit "+
				"cancel %s' ends that",
				short(id), wrap.Printable(snapshot.Held[held].Name), short(id))
		}
		return releaseHold(c.Context, s, id)
	})
}

// releaseHold asks the process that keeps a claim to release it, and waits until it has. Where that process is gone, it
// drops the claim.
func releaseHold(ctx context.Context, s *store, id string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, releasePatience,
		fmt.Errorf("%s is not released: the process that holds it does not answer; 'limit cancel --force %s' drops "+
			"the claim", short(id), short(id)))
	defer cancel()
	changes, err := s.Changes(ctx)
	if err != nil {
		return err
	}
	asked := false
	for range changes {
		snapshot, err := s.Snapshot(ctx)
		if err != nil {
			return err
		}
		held := slices.IndexFunc(snapshot.Held, func(h backend.HeldClaim) bool { return h.ID == id })
		switch {
		case held < 0:
			return nil
		case snapshot.Held[held].Orphaned:
			err = s.Drop(ctx, id)
		case !asked:
			asked = true
			err = s.Cancel(ctx, id, wrap.ReleaseReason)
		}
		var gone *backend.NotFoundError
		if err != nil && !errors.As(err, &gone) {
			return err
		}
	}
	return context.Cause(ctx)
}
