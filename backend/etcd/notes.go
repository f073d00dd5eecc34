package etcd

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"limit/backend"
	"limit/backend/etcd/boot"
	"limit/backend/etcd/fence"
)

// notes are what an agent leaves to the next one of its host: a file for each claim and one for the lease of each
// namespace, in a directory that is gone after a boot, or says of which boot it is. A nil *notes keeps none.
type notes struct {
	dir  string
	boot string
	lock *os.File // held as long as the agent lives: one at a time
}

// claimNote is a claim. It is written before the claim is entered, before its wrapper is told that it has entered or is
// held, and when the wrapper tells of its command: what a wrapper knows, the next agent knows.
type claimNote struct {
	Boot      string
	Namespace string
	Options   Options // grace, what to do on loss
	Claim     backend.Claim
	Enter     backend.EnterOptions
	Since     time.Duration // on the boot clock
	UID       int
	Wrapper   fence.Process
	Command   fence.Process
	Entered   bool
	Held      bool
	Unsure    bool // a transaction of its entering may still arrive
	Over      bool // it was given back, and its keys may still be there
}

// leaseNote is the lease of a namespace. It is removed before the lease is revoked.
type leaseNote struct {
	Boot      string
	Namespace string
	Lease     clientv3.LeaseID
	TTL       time.Duration
	Sent      time.Duration // of the last answered renewal, on the boot clock
	fence.Takeover
}

// left is what an agent has left of a namespace.
type left struct {
	lease  leaseNote
	claims []claimNote
}

// openNotes takes the directory for this agent.
func openNotes(dir string) (*notes, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the agent's directory: %w; name another with agent.state", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the agent's directory: %w; name another with agent.state", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the agent's directory: %w; name another with agent.state", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("another agent uses %s (%w); end that one, or give each a directory with agent.state",
			dir, err)
	}
	id, err := boot.ID()
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &notes{dir, id, lock}, nil
}

func (n *notes) close() { n.lock.Close() }

// read finds what was left of each namespace, of this boot.
func (n *notes) read() (map[string]*left, error) {
	entries, err := os.ReadDir(n.dir)
	if err != nil {
		return nil, err
	}
	all := map[string]*left{}
	of := func(namespace string) *left {
		if all[namespace] == nil {
			all[namespace] = &left{}
		}
		return all[namespace]
	}
	for _, e := range entries {
		var c claimNote
		var l leaseNote
		switch kind, _, _ := strings.Cut(e.Name(), "-"); {
		case kind == "claim" && n.load(e.Name(), &c) && c.Boot == n.boot:
			of(c.Namespace).claims = append(of(c.Namespace).claims, c)
		case kind == "lease" && n.load(e.Name(), &l) && l.Boot == n.boot:
			of(l.Namespace).lease = l
		case kind != "lock":
			os.Remove(filepath.Join(n.dir, e.Name())) // of another boot, or half written
		}
	}
	return all, nil
}

func (n *notes) load(name string, into any) bool {
	data, err := os.ReadFile(filepath.Join(n.dir, name))
	return err == nil && json.Unmarshal(data, into) == nil
}

// path is the file of a namespace's lease, or of a claim in it: names may be long, and are another's.
func (n *notes) path(kind string, names ...string) string {
	return filepath.Join(n.dir, hashed(kind, names...))
}

// hashed is a file's name for names that may be too long for one.
func hashed(kind string, names ...string) string {
	return fmt.Sprintf("%s-%x", kind, sha256.Sum256([]byte(encode(names))))
}

func (n *notes) write(path string, v any) error {
	err := replaceFile(path, filepath.Join(n.dir, "new-"+filepath.Base(path)), encode(v))
	if err != nil {
		return fmt.Errorf("the agent cannot note a claim, which the next agent would have to know: %w", err)
	}
	return nil
}

// replaceFile writes a file under another name first, so that it is whole at any time.
func replaceFile(path, next, content string) error {
	err := os.WriteFile(next, []byte(content), 0o600)
	if err == nil {
		err = os.Rename(next, path)
	}
	return err
}

func (n *notes) claim(c *claimNote) error {
	if n == nil {
		return nil
	}
	c.Boot = n.boot
	return n.write(n.path("claim", c.Namespace, c.Claim.ID), c)
}

func (n *notes) forgetClaim(c *claimNote) {
	if n != nil {
		os.Remove(n.path("claim", c.Namespace, c.Claim.ID))
	}
}

// lease notes a renewal. One that is not noted leaves the next agent an earlier moment to keep.
func (n *notes) lease(l leaseNote) {
	if n != nil {
		l.Boot = n.boot
		n.write(n.leasePath(l.Namespace), l)
	}
}

// forgetLease comes before a lease is revoked. Where the file cannot be removed, the next agent would rely on it.
func (n *notes) forgetLease(namespace string) {
	if n == nil {
		return
	}
	if err := os.Remove(n.leasePath(namespace)); err != nil && !errors.Is(err, os.ErrNotExist) {
		n.lease(leaseNote{Namespace: namespace})
	}
}

func (n *notes) leasePath(namespace string) string {
	if n == nil {
		return ""
	}
	return n.path("lease", namespace)
}
