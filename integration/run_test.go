package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// idOf returns the id of the claim with that name, waiting or held.
func (w *world) idOf(name string) string {
	w.t.Helper()
	s := w.status()
	for _, c := range s.Waiting {
		if c.Name == name {
			return c.ID
		}
	}
	for _, c := range s.Held {
		if c.Name == name {
			return c.ID
		}
	}
	w.t.Fatalf("no claim is named %s: %+v", name, s)
	return ""
}

func TestTheCommandsOutputAndCodeAreItsOwn(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	r := w.limit("run", "--pool", "p", "--tag", "db", "--", "sh", "-c", "echo out; echo err >&2; exit 42")
	expect(t, "result", r, result{42, "out\n", "err\n"})
	r = w.limit("run", "--pool", "p", "-c", "kill -9 $$")
	expect(t, "killed by a signal", r.code, 128+9)
	r = w.limit("run", "--pool", "p", "--", "/nonexistent/command")
	expect(t, "no such command", r.code, 127)
	r = w.limit("run", "--pool", "p", "--", "/etc/passwd")
	expect(t, "cannot be executed", r.code, 126)
	r = w.limit("run", "--pool", "p", "--", "echo", "--pool", "x", "--help")
	expect(t, "after the first operand all is the command's", r.stdout, "--pool x --help\n")
	r = w.limit("run", "--pool", "p", "--", "help")
	expect(t, "a command called help", r.code, 127)
}

func TestThePoolWithoutAnyLimitIsALockAndSaysSo(t *testing.T) {
	w := newWorld(t)
	r := w.limit("run", "--pool", "mispelt", "--", "echo", "hello")
	expect(t, "result", r, result{0, "hello\n",
		"limit: pool mispelt has no limit and there is no default: one slot, as a lock has; 'limit pool set mispelt N' sets one\n"})
	holder := w.hold("holder", "--pool", "mispelt")
	expect(t, "a second one", w.limit("run", "--pool", "mispelt", "--if-busy", "fail", "true").code, 75)
	holder.finish(0)
}

func TestTheEnvironmentTellsWhatIsHeld(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "db", "2")
	w.must("pool", "set", "big-pool", "3")
	w.must("pool", "set", "free", "unlimited")
	r := w.limit("run", "--pool", "db", "--pool", "big-pool=2", "--pool", "free", "--", "env")
	got := map[string]string{}
	for line := range strings.Lines(r.stdout) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), "="); strings.HasPrefix(name, "LIMIT_") && name != "LIMIT_BACKEND" {
			got[name] = value
		}
	}
	for _, name := range []string{"LIMIT_RUN_ID", "LIMIT_CLAIM_ID"} {
		if len(got[name]) != 32 {
			t.Errorf("%s is %q, not 128 bits", name, got[name])
		}
		delete(got, name)
	}
	if got["LIMIT_TOKEN"] == "" {
		t.Error("there is no LIMIT_TOKEN")
	}
	delete(got, "LIMIT_TOKEN")
	expect(t, "the rest", fmt.Sprint(got), fmt.Sprint(map[string]string{
		"LIMIT_NAMESPACE": "default", "LIMIT_POOLS": "big-pool=2,db=1,free=1", "LIMIT_SLOT_DB": "0", "LIMIT_SLOT_BIG_POOL": "0,1",
	}))
}

func TestWhatToDoWhenBusyInItsFourWays(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	holder := w.hold("holder", "--pool", "p")
	r := w.limit("run", "--pool", "p", "--if-busy", "fail", "true")
	expect(t, "fail", r.code, 75)
	if !strings.HasPrefix(r.stderr, "limit: not granted: pool:p (1 of 1 used) held by holder (") {
		t.Errorf("fail says %q", r.stderr)
	}
	expect(t, "skip", w.limit("run", "--pool", "p", "--if-busy", "skip", "true"), result{0, "", ""})
	expect(t, "--wait 0", w.limit("run", "--pool", "p", "--wait", "0", "true").code, 75)
	expect(t, "another code", w.limit("run", "--pool", "p", "--if-busy", "fail", "--busy-exit-code", "3", "true").code, 3)
	begun := time.Now()
	r = w.limit("run", "--pool", "p", "--wait", "0.3s", "true")
	expect(t, "--wait", r.code, 75)
	if !strings.HasPrefix(r.stderr, "limit: gave up: no slot within 300ms, waited for pool:p (1 of 1 used) held by holder (") {
		t.Errorf("--wait says %q", r.stderr)
	}
	if waited := time.Since(begun); waited < 300*time.Millisecond {
		t.Errorf("gave up after %v", waited)
	}
	successor := w.start("successor", "", "--pool", "p", "--if-busy", "replace")
	holder.ends(128 + 15)
	w.until("the successor runs", func() bool { return slices.Equal(w.running()[1:], []string{"successor"}) })
	successor.finish(0)
}

func TestReplaceSparesTheHoldersThatAreNotInTheWay(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "3")
	oldest := w.hold("oldest", "--pool", "p")
	older := w.hold("older", "--pool", "p")
	young := w.hold("young", "--pool", "p")
	two := w.start("two", "", "--pool", "p=2", "--if-busy", "replace")
	oldest.ends(128 + 15)
	older.ends(128 + 15)
	w.until("two runs", func() bool { return slices.Contains(w.running(), "two") })
	two.finish(0)
	young.finish(0)
}

func TestMinHoldKeepsTheSlot(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	short := w.start("short", "1ms", "--pool", "p", "--min-hold", "1500ms")
	w.until("the command has ended", func() bool { return len(readRecord(t, w.record)) == 2 })
	expect(t, "the slot meanwhile", w.limit("run", "--pool", "p", "--if-busy", "fail", "true").code, 75)
	begun := time.Now()
	short.ends(0)
	expect(t, "the slot afterwards", w.limit("run", "--pool", "p", "--if-busy", "fail", "true").code, 0)
	if time.Since(begun) > 10*time.Second {
		t.Errorf("it was held for %v more", time.Since(begun))
	}
}

func TestTheTimeoutEndsTheCommand(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	r := w.limit("run", "--pool", "p", "--timeout", "0.2", "--", "sleep", "60")
	expect(t, "result", r, result{124, "", "limit: timed out after 200ms\n"})
	r = w.limit("run", "--pool", "p", "--timeout", "0.2", "--grace", "0.2", "-c", "trap '' TERM; sleep 60 & wait; sleep 60")
	expect(t, "one that ignores TERM", r.code, 124)
	expect(t, "the slot", w.limit("run", "--pool", "p", "--if-busy", "fail", "true").code, 0)
}

func TestCancelStopsAHolderAndSendsAWaiterAway(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	holder := w.hold("holder", "--pool", "p")
	waiter := w.queue("waiter", "--pool", "p")
	w.must("cancel", w.idOf("waiter"), "--reason", "not today")
	waiter.ends(75)
	if !strings.Contains(waiter.said(), "limit: cancelled while waiting (not today, by ") {
		t.Errorf("the waiter says %q", waiter.said())
	}
	w.must("cancel", w.idOf("holder")[:6])
	holder.ends(128 + 15)
	r := w.limit("cancel", "0123")
	expect(t, "cancelling nobody", r.code, 125)
}

func TestCancelEndsWhatAKilledLimitHasLeftBehind(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	orphan := w.hold("orphan", "--pool", "p")
	next := w.queue("next", "--pool", "p")
	command := childOf(orphan.cmd.Process.Pid)
	orphan.cmd.Process.Kill()
	<-orphan.done
	w.until("the claim is an orphan's", func() bool {
		held := w.status().Held
		return len(held) == 1 && held[0].Orphaned
	})
	id := w.idOf("orphan")
	r := w.limit("cancel", id)
	want := fmt.Sprintf("limit: the limit process of %s was killed: ending the processes that it left (pids: %d)\n", id[:8], command)
	if r.code != 0 || r.stderr != want || !strings.HasPrefix(r.stdout, "cancelled "+id[:8]) {
		t.Errorf("exit %d: %q, %q, want %q", r.code, r.stdout, r.stderr, want)
	}
	w.until("the next runs", func() bool { return slices.Contains(w.running(), "next") })
	next.finish(0)
}

func TestANestedRunBelongsToTheOuterOne(t *testing.T) {
	w := newWorld(t)
	w.write("limit.yaml", "concurrency: {runs: {max_concurrent_runs: 1}, pools: {limits: {p: 2}}}\n")
	w.must("apply", "limit.yaml")
	r := w.limit("run", "--pool", "p", "--", "sh", "-c", w.path()+` run --pool p --if-busy fail -- sh -c 'echo $LIMIT_RUN_ID'; echo $LIMIT_RUN_ID`)
	lines := strings.Fields(r.stdout)
	if r.code != 0 || len(lines) != 2 || lines[0] != lines[1] {
		t.Errorf("nested: %+v", r)
	}
	r = w.limit("run", "--name", "outer", "--pool", "p=2", "--", "sh", "-c", w.path()+` run --pool p -- true`)
	expect(t, "what the ancestor makes impossible", r.code, 125)
	if !strings.Contains(r.stderr, "asks 1 of pool:p, which its own run keeps from it for ever: ") || !strings.Contains(r.stderr, " holds 2 of 2;") {
		t.Errorf("it says %q", r.stderr)
	}
}

func (w *world) path() string { return w.command().Path }

func TestEventsTellTheWholeLife(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	holder := w.hold("holder", "--pool", "p")
	events := filepath.Join(w.dir, "events")
	waiter := w.queue("waiter", "--pool", "p", "--events", events)
	holder.finish(0)
	waiter.finish(0)
	data, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	last := 0.0
	for line := range strings.Lines(string(data)) {
		var e struct {
			Time      time.Time
			Mono      float64
			Event     string
			Run       string
			Claim     string
			PID       int
			ExitCode  *int `json:"exit_code"`
			Waited    *float64
			Token     int64
			BlockedBy []struct{ Limit string } `json:"blocked_by"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		names = append(names, e.Event)
		if e.Mono < last || e.Time.IsZero() || len(e.Run) != 32 || len(e.Claim) != 32 {
			t.Errorf("the event %s lacks a time, a run or a claim, or is before the last", line)
		}
		last = e.Mono
		switch e.Event {
		case "blocked":
			if len(e.BlockedBy) != 1 || e.BlockedBy[0].Limit != "pool:p" {
				t.Errorf("blocked: %s", line)
			}
		case "granted":
			if e.Token == 0 || e.Waited == nil || *e.Waited <= 0 {
				t.Errorf("granted: %s", line)
			}
		case "started":
			if e.PID == 0 {
				t.Errorf("started: %s", line)
			}
		case "exited":
			if e.ExitCode == nil || *e.ExitCode != 0 {
				t.Errorf("exited: %s", line)
			}
		}
	}
	expectNames(t, "events", names, "run_started", "queued", "blocked", "granted", "started", "exited", "released", "run_finished")
}

func TestAWaitIsExplainedAfterASecond(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "p", "1")
	holder := w.hold("holder", "--pool", "p")
	waiter := w.queue("waiter", "--pool", "p")
	w.until("it says what it waits for", func() bool { return strings.HasSuffix(waiter.said(), "\n") })
	if said := waiter.said(); !strings.HasPrefix(said, "limit: waiting for pool:p (1 of 1 used) held by holder (") || strings.Count(said, "\n") != 1 {
		t.Errorf("it says %q", said)
	}
	holder.finish(0)
	waiter.finish(0)
}
