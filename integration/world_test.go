package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"limit/integration/binary"
	"limit/integration/etcdtest"
	"limit/integration/until"
)

// world is one embedded store and the commands that use it.
type world struct {
	t      *testing.T
	dir    string // for files of the test
	store  string // --backend
	record string
	env    []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	w.dir, w.env = binary.Home(t)
	w.store, w.record = "local:"+filepath.Join(w.dir, "store"), filepath.Join(w.dir, "record")
	t.Cleanup(w.nobodyLeft)
	return w
}

// onBothStores runs a test in a world of each store, with a pool p of one slot.
func onBothStores(t *testing.T, test func(t *testing.T, w *world)) {
	t.Parallel()
	in := func(w *world) {
		w.must("pool", "set", "p", "1")
		test(w.t, w)
	}
	t.Run("local", func(t *testing.T) { in(newWorld(t)) })
	t.Run("etcd", func(t *testing.T) { in(newEtcdWorld(t)) })
}

// newEtcdWorld is a world of a store on etcd.
func newEtcdWorld(t *testing.T) *world {
	t.Helper()
	endpoints := etcdtest.Start(t, etcdtest.Options{}).Endpoints() // outlives the world
	w := newWorld(t)
	w.store = "etcd://" + strings.TrimPrefix(endpoints[0], "http://")
	w.env = append(w.env, "LIMIT_BACKEND="+w.store)
	return w
}

// sparedFiles is how many files of claims the store keeps to use them again.
const sparedFiles = 16

// nobodyLeft checks that at the end nothing is held, nobody waits, and the store has no file of a claim that anybody
// holds open, nor more than it keeps for the next claims.
func (w *world) nobodyLeft() {
	if w.t.Failed() {
		return
	}
	s := w.status()
	if len(s.Held) > 0 || len(s.Waiting) > 0 {
		w.t.Errorf("at the end %d are held and %d wait: %+v", len(s.Held), len(s.Waiting), s)
	}
	claims, _ := filepath.Glob(filepath.Join(w.dir, "store", "*", "claims", "*"))
	if len(claims) > sparedFiles {
		w.t.Errorf("%d files of claims are left", len(claims))
	}
	for _, claim := range claims {
		if !unlocked(claim) {
			w.t.Errorf("somebody holds %s", claim)
		}
	}
}

// unlocked reports whether nobody holds an flock on a file.
func unlocked(path string) bool {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil
}

func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary.Path(w.t), args...)
	cmd.Env = w.env
	cmd.Dir = w.dir
	return cmd
}

// result is how a call of limit ended.
type result struct {
	code           int
	stdout, stderr string
}

// limit calls limit and waits for it.
func (w *world) limit(args ...string) result {
	w.t.Helper()
	return w.ended(w.command(args...))
}

// ended runs a command to its end.
func (w *world) ended(cmd *exec.Cmd) result {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if _, exited := err.(*exec.ExitError); !exited {
			w.t.Fatal(err)
		}
	}
	return result{status(cmd.ProcessState), stdout.String(), stderr.String()}
}

// must calls limit and expects success.
func (w *world) must(args ...string) string {
	w.t.Helper()
	r := w.limit(args...)
	if r.code != 0 {
		w.t.Fatalf("limit %s exits %d: %s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

// status is the exit status as a shell shows it.
func status(s *os.ProcessState) int {
	ws := s.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// started is a limit in the background.
type started struct {
	w      *world
	name   string
	cmd    *exec.Cmd
	stderr *os.File
	done   chan struct{}
}

// start runs "limit run FLAGS -- record" in the background; the command ends when release(name) is called, or
// after until where that is a duration.
func (w *world) start(name, until string, flags ...string) *started {
	w.t.Helper()
	if until == "" {
		until = filepath.Join(w.dir, "release-"+name)
	}
	args := append([]string{"run", "--name", name}, flags...)
	return w.background(name, append(args, "--", binary.Record(w.t), w.record, name, until)...)
}

// background starts limit, and ends it with the test.
func (w *world) background(name string, args ...string) *started {
	w.t.Helper()
	s := &started{w: w, name: name, cmd: w.command(args...), done: make(chan struct{})}
	var err error
	s.stderr, err = os.Create(filepath.Join(w.dir, "stderr-"+name))
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.stderr.Close()
	s.cmd.Stderr = s.stderr
	if err := s.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		s.cmd.Wait()
		close(s.done)
	}()
	w.t.Cleanup(func() {
		w.release(name)
		s.cmd.Process.Signal(syscall.SIGTERM)
		<-s.done
	})
	return s
}

// queue starts a command and waits until it waits for its slots.
func (w *world) queue(name string, flags ...string) *started {
	w.t.Helper()
	s := w.start(name, "", flags...)
	w.until(name+" waits", func() bool { return slices.Contains(w.waiting(), name) })
	return s
}

// hold starts a command and waits until it runs.
func (w *world) hold(name string, flags ...string) *started {
	w.t.Helper()
	s := w.start(name, "", flags...)
	w.until(name+" runs", func() bool { return slices.Contains(w.running(), name) })
	return s
}

// said is what limit has written to standard error.
func (s *started) said() string {
	data, err := os.ReadFile(s.stderr.Name())
	if err != nil {
		s.w.t.Error(err)
	}
	return string(data)
}

// release ends the command of that name.
func (w *world) release(name string) {
	if err := os.WriteFile(filepath.Join(w.dir, "release-"+name), nil, 0o600); err != nil {
		w.t.Error(err)
	}
}

// finish releases a command and expects its exit status.
func (s *started) finish(code int) {
	s.w.t.Helper()
	s.w.release(s.name)
	s.ends(code)
}

// ends waits for limit to end.
func (s *started) ends(code int) {
	s.w.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.w.t.Fatalf("%s does not end; status: %+v", s.name, s.w.status())
	}
	if got := status(s.cmd.ProcessState); got != code {
		s.w.t.Fatalf("%s exits %d, want %d; it says: %s", s.name, got, code, s.said())
	}
}

// patience bounds every wait for the outside world.
const patience = 60 * time.Second

// until polls for something that must come true.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	if !until.Within(patience, holds) {
		w.t.Fatalf("it never came true that %s; running %v, waiting %v", what, w.running(), w.waiting())
	}
}

// running lists the commands that have started and not ended, in the order of their start.
func (w *world) running() []string {
	var names []string
	for _, e := range readRecord(w.t, w.record) {
		if e.start {
			names = append(names, e.name)
		} else {
			names = slices.DeleteFunc(names, func(n string) bool { return n == e.name })
		}
	}
	return names
}

// order lists the commands by their start.
func (w *world) order() []string {
	var names []string
	for _, e := range readRecord(w.t, w.record) {
		if e.start {
			names = append(names, e.name)
		}
	}
	return names
}

// waiting lists those who wait, in order.
func (w *world) waiting() []string {
	var names []string
	for _, c := range w.status().Waiting {
		names = append(names, c.Name)
	}
	return names
}

// statusJSON is what these tests read of limit status --json.
type statusJSON struct {
	Pools []struct {
		Name          string
		Limit         *int
		Source        string
		Used, Waiting int
		Rate          *string
	}
	Runs struct {
		Limit         *int
		Used, Waiting int
	}
	TagLimits []struct {
		Key           string
		Value         *string
		PerValue      bool `json:"per_value"`
		Limit         *int
		Used, Waiting int
	} `json:"tag_limits"`
	Held []struct {
		ID       string
		Name     string
		PID      int
		Slots    map[string][]int
		Token    int64
		Orphaned bool
	}
	Waiting []struct {
		ID        string
		Name      string
		Position  int
		BlockedBy []struct {
			Limit          string
			Used, Capacity int
			By             []string
			Why            string
		} `json:"blocked_by"`
	}
}

func (w *world) status() statusJSON {
	w.t.Helper()
	r := w.limit("status", "--json")
	if r.code != 0 {
		w.t.Fatalf("limit status exits %d: %s", r.code, r.stderr)
	}
	var s statusJSON
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		w.t.Fatalf("limit status prints %s: %v", r.stdout, err)
	}
	return s
}

// sweep checks the record: never more than most at once, and tokens that rise with the starts where one at a time is
// allowed. It returns for how long exactly so many ran, by their number.
func (w *world) sweep(most int) map[int]time.Duration {
	w.t.Helper()
	entries := readRecord(w.t, w.record)
	slices.SortStableFunc(entries, func(a, b entry) int { return int(a.at - b.at) })
	running, spent := 0, map[int]time.Duration{}
	var last int64
	for i, e := range entries {
		if i > 0 {
			spent[running] += time.Duration(e.at - last)
		}
		last = e.at
		if e.start {
			running++
		} else {
			running--
		}
		if running > most {
			w.t.Fatalf("%d run at once where %d may, at %s:\n%s", running, most, e.name, describe(entries[:i+1]))
		}
	}
	return spent
}

func describe(entries []entry) string {
	var b strings.Builder
	for _, e := range entries[max(0, len(entries)-20):] {
		fmt.Fprintf(&b, "%+v\n", e)
	}
	return b.String()
}

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func expectNames(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
