//go:build linux

package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"limit/integration/etcdtest"
)

// What the calls of the fleet are given, and what follows from it.
const (
	etcdTTL   = 5 * time.Second
	etcdGrace = time.Second
	// etcdFence is how long after the last renewal a command lives at most: 0.9·TTL − 1 s.
	etcdFence = etcdTTL*9/10 - time.Second
	// etcdStall is the contract's bound for what a dead machine holds.
	etcdStall = etcdTTL + 2*time.Second
	// etcdSettle is the same and a margin: a leader that was elected just before gives every lease its whole TTL again.
	etcdSettle = etcdStall + 3*time.Second

	etcdPrefix = "/limit/1/"
	etcdUser   = "fleet"
)

// fleet is three members of etcd and some machines whose processes reach them each over links of its own.
type fleet struct {
	t        testing.TB
	cluster  *etcdtest.Cluster
	machines []*machine
	password string // the file with the user's password
}

// machine is where calls come from.
type machine struct {
	client *Client
	links  []*etcdtest.Link
	mark   string // in the environment of everything that runs there
	config string // the file that leads its calls to etcd
	agent  *agent // nil: each call has a keeper of its own
}

// etcdMachines is how many machines there are; the last has clocks that are days ahead, where the system lets it.
const etcdMachines = 6

// aheadOfOthers is how far.
const aheadOfOthers = 200_000 * time.Second

// newFleet starts the servers; they end with the test. onLost is what commands do whose claim is lost: kill, or warn,
// which switches the fence off. With agents each machine has one for all its calls.
func newFleet(t testing.TB, onLost string, agents bool) *fleet {
	t.Helper()
	f := &fleet{t: t, cluster: etcdtest.Start(t, etcdtest.Options{Members: 3, Flags: []string{"--bcrypt-cost", "4",
		"--auth-token-ttl", "10"}}), password: filepath.Join(t.TempDir(), "password")}
	f.cluster.AskForPasswords(t, etcdUser, "word-0")
	f.write(f.password, "word-0\n")
	flags := []string{"--grace", etcdGrace.String(), "--on-lost", onLost}
	if !agents { // the lease of an agent is for all
		flags = append(flags, "--ttl", etcdTTL.String())
	}
	for i := range etcdMachines {
		links, endpoints := f.cluster.NewLinks(t)
		m := &machine{links: links, mark: fmt.Sprintf("SOAK_MACHINE=m%d", i)}
		m.config = filepath.Join(t.TempDir(), "limit.yaml")
		f.write(m.config, fmt.Sprintf("backend: {etcd: {endpoints: [%s], username: %s, password_file: %s}}\n"+
			"agent: {ttl: %s, rules: [{change_limits: true, cancel_others: true}]}\n",
			strings.Join(endpoints, ", "), etcdUser, f.password, etcdTTL))
		m.client = &Client{
			Name:     fmt.Sprintf("m%d", i),
			Env:      []string{m.mark, "LIMIT_CONFIG=" + m.config},
			RunFlags: slices.Clone(flags),
			NoDag:    true, // it has no --ttl: a minute
		}
		f.machines = append(f.machines, m)
	}
	f.setClockAhead(f.machines[etcdMachines-1].client)
	if agents {
		for _, m := range f.machines {
			m.agent = newAgent(t, m)
		}
	}
	return f
}

func (f *fleet) write(file, text string) {
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		f.t.Error(err)
	}
}

// setClockAhead puts a machine's processes into a time namespace of their own.
func (f *fleet) setClockAhead(c *Client) {
	seconds := strconv.Itoa(int(aheadOfOthers / time.Second))
	before := []string{"unshare", "--time", "--monotonic", seconds, "--boottime", seconds}
	if out, err := exec.Command(before[0], append(before[1:], "true")...).CombinedOutput(); err != nil {
		f.t.Logf("no machine with another clock: unshare --time: %v %s", err, out)
		return
	}
	c.Before, c.Ahead = before, aheadOfOthers
}

func (f *fleet) Name() string {
	if f.agents() {
		return "agent"
	}
	return "etcd"
}

// agents reports whether the machines have some.
func (f *fleet) agents() bool { return f.machines[0].agent != nil }

func (f *fleet) Clients() []*Client {
	var clients []*Client
	for _, m := range f.machines {
		clients = append(clients, m.client)
	}
	return clients
}

func (f *fleet) Figures() Figures {
	return Figures{Workers: 72, Pace: 12, Epoch: 2 * time.Minute, Stall: etcdStall, Settle: etcdSettle,
		Failing: []string{"stops", "networks", "servers", "agents", theMachine}}
}

// gate is the pid of the keeper that decides for those who wait; 0: nobody.
func (f *fleet) gate() int {
	for _, m := range f.cluster.Members {
		keys, err := f.cluster.Keys(m, etcdPrefix+"default/gate")
		if err != nil {
			continue
		}
		for _, k := range keys {
			var sign struct{ PID int }
			if json.Unmarshal([]byte(k.Value), &sign) == nil {
				return sign.PID
			}
		}
		return 0
	}
	return 0
}

// Gatekeeper is the wrapper whose keeper has the gate.
func (f *fleet) Gatekeeper(wrappers []int) int {
	gate := f.gate()
	if gate == 0 {
		return 0
	}
	at := slices.IndexFunc(wrappers, func(pid int) bool { return (&Call{PID: pid}).Keeper() == gate })
	if at < 0 {
		return 0
	}
	return wrappers[at]
}

// Leaks are keys under leases, but for the starts that rates remember, and keys without one that are neither settings
// nor history.
func (f *fleet) Leaks(ctx context.Context) []string {
	keys, err := f.cluster.Keys(f.cluster.Members[0], etcdPrefix)
	if err != nil {
		return []string{"the keys cannot be read: " + err.Error()}
	}
	var left []string
	for _, k := range keys {
		kind := strings.Split(k.Name, "/")[4] // /limit/1/NAMESPACE/kind
		switch {
		case kind == "cool" && k.Lease != 0:
		case (kind == "settings" || kind == "queue" || kind == "stats") && k.Lease == 0:
		default:
			left = append(left, fmt.Sprintf("key %s, lease %x: %.100s", k.Name, k.Lease, k.Value))
		}
	}
	return left
}
