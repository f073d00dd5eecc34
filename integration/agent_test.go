package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"limit/integration/binary"
)

// agent is one limit agent after the other for the commands of a world.
type agent struct {
	w   *world
	cmd *exec.Cmd
}

// newAgentWorld is a world on etcd whose commands use an agent.
func newAgentWorld(t *testing.T) (*world, *agent) {
	t.Helper()
	a := &agent{}
	t.Cleanup(func() { a.end(syscall.SIGKILL) }) // the world has looked that nothing is left
	a.w = newEtcdWorld(t)
	a.w.env = append(a.w.env, "LIMIT_AGENT="+a.socket())
	a.start()
	return a.w, a
}

func (a *agent) socket() string { return filepath.Join(a.w.dir, "agent.sock") }

// config is the limit.yaml of the agent, where there is one.
func (a *agent) config() string { return filepath.Join(a.w.dir, "agent.yaml") }

func (a *agent) logFile() string { return filepath.Join(a.w.dir, "agent.log") }

// rules has the agent obey others, from now on.
func (a *agent) rules(rules string) {
	a.w.t.Helper()
	if err := os.WriteFile(a.config(), []byte("agent: {rules: "+rules+"}\n"), 0o600); err != nil {
		a.w.t.Fatal(err)
	}
	a.cmd.Process.Signal(syscall.SIGHUP)
}

func (a *agent) start() {
	a.w.t.Helper()
	args := []string{"agent", "--listen", a.socket()}
	if _, err := os.Stat(a.config()); err == nil {
		args = append([]string{"--config", a.config()}, args...)
	}
	a.cmd = a.w.command(args...)
	log, err := os.OpenFile(a.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		a.w.t.Fatal(err)
	}
	defer log.Close()
	a.cmd.Stderr = log
	if err := a.cmd.Start(); err != nil {
		a.w.t.Fatal(err)
	}
}

// end ends the agent by a signal.
func (a *agent) end(sig syscall.Signal) {
	if a.cmd != nil && a.cmd.ProcessState == nil {
		a.cmd.Process.Signal(sig)
		a.cmd.Wait()
	}
}

func TestAHundredCommandsRunOnWhileTheirAgentIsKilledAndStartedAgainAndNoneOverlaps(t *testing.T) {
	w, agent := newAgentWorld(t)
	const commands, waiters = 100, 10
	ends := filepath.Join(w.dir, "ends")
	if err := syscall.Mkfifo(ends, 0o600); err != nil {
		t.Fatal(err)
	}
	hold, err := os.OpenFile(ends, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	// Each has a pool of its own, whose directory there is while a command runs under it.
	run := func(pool int, then string) *started {
		dir := filepath.Join(w.dir, fmt.Sprintf("pool-%d", pool))
		script := fmt.Sprintf("mkdir %s || exit 99; %s; rmdir %s", dir, then, dir)
		return w.background(fmt.Sprintf("%d-%d", pool, len(then)), "run", "--pool", fmt.Sprintf("p%d", pool), "-q",
			"-c", script)
	}
	var all []*started
	for i := range commands {
		all = append(all, run(i, "read line <"+ends))
	}
	running := func() int {
		dirs, _ := filepath.Glob(filepath.Join(w.dir, "pool-*"))
		return len(dirs)
	}
	w.until("all commands run", func() bool { return running() == commands })
	for i := range waiters {
		all = append(all, run(i, "true"))
	}
	w.until("the others wait", func() bool { return len(w.status().Waiting) == waiters })
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		agent.end(sig)
		agent.start()
		w.until("the next agent knows all claims", func() bool {
			s := w.status()
			return len(s.Held) == commands && len(s.Waiting) == waiters
		})
		if n := running(); n != commands {
			t.Fatalf("after %s of the agent %d of %d commands run", sig, n, commands)
		}
	}
	hold.Close() // what they read ends
	for _, s := range all {
		s.ends(0)
	}
	w.until("the agent has nothing left to take over", func() bool {
		claims, _ := filepath.Glob(filepath.Join(w.dir, "state", "claim-*"))
		return len(claims) == 0
	})
}

func TestAVerbSaysWhichAgentItUsesAndFailsWithoutTheOneThatWasNamed(t *testing.T) {
	w, agent := newAgentWorld(t)
	w.until("the agent listens", func() bool { return w.limit("status").code == 0 })
	socket := agent.socket()
	if said := w.must("status"); !strings.Contains(said, "through the agent at "+socket) {
		t.Errorf("limit status says %s", said)
	}
	r := w.limit("run", "--ttl", "70s", "--grace", "31s", "--pool", "p", "true")
	if r.code != 0 || !strings.Contains(r.stderr, "--ttl has no effect: the lease is that of the agent at "+socket) ||
		!strings.Contains(r.stderr, "--grace is cut to ") {
		t.Errorf("limit run --ttl 70s --grace 31s exits %d: %s", r.code, r.stderr)
	}
	r = w.limit("run", "--pool", "p", "true")
	if strings.Contains(r.stderr, "--ttl") || strings.Contains(r.stderr, "--grace") {
		t.Errorf("limit run says %s", r.stderr)
	}
	if said := w.must("--agent", "none", "status"); strings.Contains(said, "agent") {
		t.Errorf("limit --agent none status says %s", said)
	}
	if r := w.limit("doctor"); !strings.Contains(r.stdout, socket+": limit ") {
		t.Errorf("limit doctor says %s", r.stdout)
	}
	agent.end(syscall.SIGTERM)
	r = w.limit("run", "--connect-timeout", "1s", "--pool", "p", "true")
	if r.code != 125 || !strings.Contains(r.stderr, "the agent at "+socket+" does not answer") {
		t.Errorf("without the agent limit run exits %d: %s", r.code, r.stderr)
	}
	r = w.limit("run", "--connect-timeout", "1s", "--if-unreachable", "run", "--pool", "p", "echo", "ran")
	if r.code != 0 || r.stdout != "ran\n" {
		t.Errorf("with --if-unreachable run limit run exits %d: %q, %s", r.code, r.stdout, r.stderr)
	}
	agent.start()
	w.must("run", "--pool", "p", "true") // it waits for the agent
}

// TestTheRulesOfAnAgentHoldForAnotherUserAndAreReadAgainAtHUP: who asks is what the kernel says.
func TestTheRulesOfAnAgentHoldForAnotherUserAndAreReadAgainAtHUP(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: another user's processes are started by root alone; run it as root")
	}
	w, agent := newAgentWorld(t)
	agent.end(syscall.SIGTERM)
	agent.rules("[{users: [64999], pools: [mine]}]")
	agent.start()
	if err := os.Chmod(filepath.Dir(w.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.Open(binary.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	other := func(args ...string) result {
		t.Helper()
		cmd := w.command(args...)
		cmd.Path, cmd.Dir, cmd.ExtraFiles = "/proc/self/fd/3", "/", []*os.File{program}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 64999, Gid: 64999}}
		return w.ended(cmd)
	}
	refused := func(what string, r result) {
		t.Helper()
		if r.code != 125 || !strings.Contains(r.stderr, "64999") || !strings.Contains(r.stderr, "agent.rules") {
			t.Errorf("%s: exit %d: %s; want a refusal that names the user and the rules", what, r.code, r.stderr)
		}
	}
	w.must("pool", "set", "mine", "2")
	w.must("pool", "set", "theirs", "1")
	holder := w.command("run", "-q", "--pool", "theirs", "--", "sleep", "600")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { holder.Process.Signal(syscall.SIGTERM); holder.Wait() }()
	w.until("theirs is held", func() bool { return len(w.status().Held) == 1 })
	if r := other("run", "--pool", "mine", "id", "-u"); r.code != 0 || r.stdout != "64999\n" {
		t.Errorf("what the rules allow: exit %d: %q, %s", r.code, r.stdout, r.stderr)
	}
	refused("another pool", other("run", "--pool", "theirs", "true"))
	refused("a change of limits", other("pool", "set", "mine", "9"))
	refused("the claim of another", other("cancel", w.status().Held[0].ID))

	agent.rules("[{users: [64999], pools: [theirs]}, {users: [64999], change_limits: true, pools: [none]}]")
	w.until("the new rules are obeyed", func() bool { return other("pool", "set", "mine", "3").code == 0 })
	refused("what was allowed before", other("run", "--pool", "mine", "true"))
	if r := other("run", "--if-busy", "fail", "--pool", "theirs", "true"); r.code != 75 {
		t.Errorf("a pool that is full: exit %d: %s", r.code, r.stderr)
	}

	agent.rules("[{pols: [theirs]}]")
	w.until("the mistake is reported", func() bool {
		log, _ := os.ReadFile(agent.logFile())
		return strings.Contains(string(log), "pols")
	})
	refused("after a mistake, what the rules before it did not allow", other("run", "--pool", "mine", "true"))
}
