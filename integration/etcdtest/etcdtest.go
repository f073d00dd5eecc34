// Package etcdtest runs real etcd servers as processes of their own, on loopback, so that tests can kill, stop and cut
// them off. The servers come from the module file integration/etcd/go.mod, built once by the go command and cached.
//
// It is not in integration/etcd because that directory is a module of its own.
package etcdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options say what servers to start. The zero value is one member of etcd 3.7 without TLS and passwords.
type Options struct {
	Members int      // 0: 1
	Binary  string   // "": Server(t)
	Flags   []string // further ones of etcd
	TLS     *Certs   // nil: plain text
}

// Cluster is a running etcd.
type Cluster struct {
	Members []*Member
	tls     *Certs
	binary  string
	asRoot  bool // passwords are asked for
}

// Member is one etcd process. Clients reach it through a proxy of the test, so that the link can be cut.
type Member struct {
	Name  string
	Link  *Link
	peer  string // address for the other members
	own   string // address behind the link
	dir   string
	args  []string
	log   string
	bin   string
	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start starts a cluster and waits until it answers. It ends with the test.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Binary == "" {
		o.Binary = Server(t)
	}
	if o.Members == 0 {
		o.Members = 1
	}
	c := &Cluster{tls: o.TLS, binary: o.Binary}
	var peers []string
	for i := range o.Members {
		m := &Member{Name: fmt.Sprintf("m%d", i), own: FreeAddress(t), peer: FreeAddress(t), dir: t.TempDir(),
			bin: o.Binary}
		m.log = filepath.Join(t.TempDir(), m.Name+".log")
		m.Link = NewLink(t, m.own)
		peers = append(peers, m.Name+"=http://"+m.peer)
		c.Members = append(c.Members, m)
	}
	for _, m := range c.Members {
		m.args = append([]string{
			"--name", m.Name, "--data-dir", m.dir,
			"--listen-client-urls", c.scheme() + m.own, "--advertise-client-urls", c.scheme() + m.own,
			"--listen-peer-urls", "http://" + m.peer, "--initial-advertise-peer-urls", "http://" + m.peer,
			"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-state", "new",
			"--initial-cluster-token", t.Name(), "--log-level", "warn", "--logger", "zap",
		}, o.Flags...)
		if o.TLS != nil {
			m.args = append(m.args, o.TLS.flags()...)
		}
		m.Start(t)
	}
	t.Cleanup(func() {
		for _, m := range c.Members {
			m.Kill()
			if t.Failed() {
				t.Logf("log of %s:\n%s", m.Name, m.lastLog())
			}
		}
	})
	c.WaitReady(t)
	return c
}

func (c *Cluster) scheme() string {
	if c.tls != nil {
		return "https://"
	}
	return "http://"
}

// Endpoints are the members' addresses through their links.
func (c *Cluster) Endpoints() []string {
	var e []string
	for _, m := range c.Members {
		e = append(e, c.scheme()+m.Link.Address())
	}
	return e
}

// NewLinks are links of one client's own to every member, with the endpoints that use them.
func (c *Cluster) NewLinks(t testing.TB) (links []*Link, endpoints []string) {
	t.Helper()
	for _, m := range c.Members {
		l := NewLink(t, m.own)
		links = append(links, l)
		endpoints = append(endpoints, c.scheme()+l.Address())
	}
	return links, endpoints
}

// Direct are the members' addresses beside the links.
func (c *Cluster) Direct() []string {
	var e []string
	for _, m := range c.Members {
		e = append(e, c.scheme()+m.own)
	}
	return e
}

// Healthy reports whether a member answers and has a leader.
func (c *Cluster) Healthy(m *Member) bool { return m.Running() && c.healthy(m) }

// Restart kills a member and starts it again on the same data. It returns before the member is ready.
func (m *Member) Restart(t testing.TB) {
	t.Helper()
	m.Kill()
	m.Start(t)
}

// WaitReady waits until every member has a leader.
func (c *Cluster) WaitReady(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for _, m := range c.Members {
		for !c.healthy(m) {
			if time.Now().After(deadline) || !m.Running() {
				t.Fatalf("etcd %s is not ready:\n%s", m.Name, m.lastLog())
			}
			time.Sleep(20 * time.Millisecond) // the outside world leaves nothing else
		}
	}
}

func (c *Cluster) healthy(m *Member) bool {
	body, err := c.fetch(m, "/health")
	return err == nil && strings.Contains(body, `"health":"true"`)
}

func (c *Cluster) transport() *http.Transport {
	t := &http.Transport{DisableKeepAlives: true}
	if c.tls != nil {
		t.TLSClientConfig = c.tls.client()
	}
	return t
}

func (c *Cluster) fetch(m *Member, path string) (string, error) {
	client := &http.Client{Timeout: time.Second, Transport: c.transport()}
	resp, err := client.Get(c.scheme() + m.own + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return b.String(), err
}

// Leader is the member that leads, asked through etcdctl-free HTTP: the metric of each.
func (c *Cluster) Leader(t testing.TB) *Member {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		for _, m := range c.Members {
			if m.Running() && c.Metrics(t, m)["etcd_server_is_leader"] == 1 {
				return m
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("no member leads")
	return nil
}

// Metrics reads the numbers of one member by name, labels included; an empty map if it does not answer.
func (c *Cluster) Metrics(t testing.TB, m *Member) map[string]float64 {
	values := map[string]float64{}
	body, err := c.fetch(m, "/metrics")
	if err != nil {
		return values
	}
	for line := range strings.Lines(body) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if at := strings.LastIndexByte(strings.TrimSpace(line), ' '); at > 0 {
			name, value, ok = strings.TrimSpace(line)[:at], strings.TrimSpace(line)[at+1:], true
		}
		var v float64
		if _, err := fmt.Sscan(value, &v); ok && err == nil && !strings.HasPrefix(line, "#") {
			values[name] = v
		}
	}
	return values
}

// Start starts the process, after Kill again on the same data.
func (m *Member) Start(t testing.TB) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	m.cmd = exec.Command(m.bin, m.args...)
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if runtime.GOARCH != "amd64" {
		m.cmd.Env = append(os.Environ(), "ETCD_UNSUPPORTED_ARCH="+runtime.GOARCH) // 3.4 asks for it
	}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithTest(m.cmd)
	m.ended = make(chan struct{})
	if err := startLocked(m.cmd); err != nil {
		t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		cmd.Wait()
		close(ended)
	}(m.cmd, m.ended)
}

// startLocked starts a process from a thread that lives as long as this program: the parent-death
// signal is that of the thread.
func startLocked(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}

// Running reports whether the process is there, stopped or not.
func (m *Member) Running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// Kill is kill -9, and waits for the end.
func (m *Member) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cmd.Process.Signal(syscall.SIGKILL)
	<-m.ended
}

// Saved copies the data of a member that does not run; the returned function puts the copy in their place, as who
// restores a backup does.
func (m *Member) Saved(t testing.TB) (restore func()) {
	t.Helper()
	saved := filepath.Join(t.TempDir(), "saved")
	replace := func(to, from string) {
		t.Helper()
		if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
			t.Fatal(err)
		}
	}
	replace(saved, m.dir)
	return func() { replace(m.dir, saved) }
}

// Stop is SIGSTOP: the kernel goes on to accept and acknowledge.
func (m *Member) Stop() { m.cmd.Process.Signal(syscall.SIGSTOP) }

// Continue is SIGCONT.
func (m *Member) Continue() { m.cmd.Process.Signal(syscall.SIGCONT) }

func (m *Member) lastLog() string {
	b, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// FreeAddress is a loopback address that nobody listens on now. Its port is below those that the kernel gives to
// whoever asks for any: nobody else in this test gets it before the server does.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(20000))
		l, err := net.Listen("tcp", address)
		if err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port on loopback")
	return ""
}

// Server is the path of etcd 3.7, built if need be.
func Server(t testing.TB) string { t.Helper(); return tool(t, "go.etcd.io/etcd/server/v3") }

// Etcdctl is the path of etcdctl 3.7.
func Etcdctl(t testing.TB) string { t.Helper(); return tool(t, "go.etcd.io/etcd/etcdctl/v3") }

// Debian is the path of etcd 3.4 as Debian ships it; the test is skipped where it is not installed.
func Debian(t testing.TB) string {
	t.Helper()
	const path = "/usr/bin/etcd"
	out, err := exec.Command(path, "--version").Output()
	if err != nil || !strings.Contains(string(out), "etcd Version: 3.4.") {
		t.Skipf("SKIPPED: no etcd 3.4 at %s (%v %.40q); apt-get install etcd-server", path, err, out)
	}
	return path
}

func tool(t testing.TB, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile=integration/etcd/go.mod", "-n", name)
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// root is the directory of go.mod.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "integration", "etcd", "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("not within the project")
		}
		dir = parent
	}
}
