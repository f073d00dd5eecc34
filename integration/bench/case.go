package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// bench is one run of the benchmarks.
type bench struct {
	programs
	dir    string
	smoke  bool
	server *etcdServer // started with the first case that needs it
	fleet  bool        // the case under way is one of a fleet: limit uses the server
	agent  *exec.Cmd   // started with the first case that needs it
	asked  bool        // the case under way is one of the agent: limit uses that
}

// benchCase is one row: what is measured for limit, and for its peer.
type benchCase struct {
	name  string
	peer  string
	unit  string
	aim   float64  // the ratio that is aimed at
	tools []string // what must be installed
	fleet bool     // on etcd
	agent bool     // through an agent
	pairs int      // in a full run
	a, b  measurement
}

// measurement is one half of a pair, in the unit of its case.
type measurement func(b *bench) (float64, error)

// constant is the peer of a measurement with a bound of its own.
func constant(v float64) measurement { return func(*bench) (float64, error) { return v, nil } }

// cases are all rows, in the order in which they are measured and shown.
func cases() []benchCase { return slices.Concat(localCases(), queueCases(), fleetCases(), dagCases()) }

// missing names what a case needs and is not there.
func (b *bench) missing(c benchCase) string {
	for _, tool := range c.tools {
		if _, err := b.find(tool); err != nil {
			return tool
		}
	}
	return ""
}

// find is the path of a program that a case names: one that was built, or one that is installed.
func (b *bench) find(name string) (string, error) {
	built := map[string]string{"limit": b.limit, "stamp": b.stamp, "etcd 3.7": b.etcd, "etcdctl 3.7": b.etcdctl}
	if path, ok := built[name]; ok {
		if path == "" {
			return "", fmt.Errorf("%s was not built", name)
		}
		return path, nil
	}
	if name == debianCtl {
		return findDebianCtl()
	}
	return exec.LookPath(name)
}

// measure runs both in turn, after one run of each that does not count; in a smoke run that is the only one.
func (b *bench) measure(c benchCase) (result, error) {
	if err := b.prepare(c); err != nil {
		return result{}, err
	}
	first, last := -1, c.pairs-1
	if b.smoke {
		first, last = 0, 0
	}
	var as, bs []float64
	for i := first; i <= last; i++ {
		one, err := c.a(b)
		if err != nil {
			return result{}, fmt.Errorf("limit: %w", err)
		}
		other, err := c.b(b)
		if err != nil {
			return result{}, fmt.Errorf("%s: %w", c.peer, err)
		}
		if i >= 0 {
			as, bs = append(as, one), append(bs, other)
		}
	}
	return newResult(c, as, bs), nil
}

// prepare starts the server where a case is the first to need it, and gives the pools of the store their limits.
func (b *bench) prepare(c benchCase) error {
	b.fleet, b.asked = c.fleet, c.agent
	if c.fleet && b.server == nil {
		server, err := startEtcd(b.etcd, filepath.Join(b.dir, "etcd"))
		if err != nil {
			return err
		}
		b.server = server
	}
	if c.agent && b.agent == nil {
		if err := b.startAgent(); err != nil {
			return err
		}
	}
	for pool, limit := range map[string]string{"p": "1", "four": "4"} {
		if out, err := b.command("limit", "pool", "set", pool, limit).CombinedOutput(); err != nil {
			return fmt.Errorf("setting a pool: %w: %s", err, out)
		}
	}
	return nil
}

func (b *bench) close() {
	if b.agent != nil {
		end(b.agent)
	}
	if b.server != nil {
		b.server.end()
	}
}

// command prepares a call; "limit" is the binary measured, with a store of its own.
func (b *bench) command(args ...string) *exec.Cmd {
	path, err := b.find(args[0])
	if err != nil {
		path = args[0] // its start will tell
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = b.dir
	agent := "none"
	if b.asked {
		agent = b.socket()
	}
	cmd.Env = append(os.Environ(), "LIMIT_BACKEND="+b.store(), "LIMIT_AGENT="+agent, "PARALLEL_HOME="+b.dir,
		"TS_SOCKET="+filepath.Join(b.dir, "tsp"), "TS_SLOTS=1")
	return cmd
}

// store is where limit keeps its claims in the case under way.
func (b *bench) store() string {
	if b.fleet {
		return "etcd://" + b.server.address
	}
	return "local:" + filepath.Join(b.dir, "store")
}
