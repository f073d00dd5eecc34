//go:build linux

package soak

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The limits of a soak. The pools that vary are changed while calls wait; the others stay.
const (
	reserveAfter = 2 * time.Second
	runsLimit    = 14
	tenantLimit  = 2 // of tag:tenant=acme
)

// pools are the limits at the beginning of each epoch; rated has a rate besides.
func pools() map[string]int {
	return map[string]int{"wide": 4, "narrow": 2, "single": 1, "inner": 2, "steps": 2, "rated": 3}
}

// varying are the pools that are changed, with the least and the most that a change sets; 0 comes besides.
func varying() map[string][2]int { return map[string][2]int{"wide": {2, 6}, "narrow": {1, 3}} }

// settings is the configuration that is applied to the store at the start.
func settings() string {
	var b strings.Builder
	fmt.Fprintf(&b, "concurrency:\n  reserve_after: %s\n  runs:\n    max_concurrent_runs: %d\n    "+
		"tag_concurrency_limits:\n      - {key: tenant, value: acme, limit: %d}\n  pools:\n    limits:\n", reserveAfter,
		runsLimit, tenantLimit)
	all := pools()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name == "rated" {
			fmt.Fprintf(&b, "      %s: {limit: %d, rate: 30/2s}\n", name, all[name])
			continue
		}
		fmt.Fprintf(&b, "      %s: %d\n", name, all[name])
	}
	return b.String()
}

// limitsAtStart are the limits as the journal names them.
func limitsAtStart() map[string]int {
	limits := map[string]int{"runs": runsLimit, "tag:tenant=acme": tenantLimit}
	for name, value := range pools() {
		limits["pool:"+name] = value
	}
	return limits
}

// draw is one call as drawn.
type draw struct {
	flags    []string
	needs    map[string]int
	priority int
	waits    bool
	inner    bool // it makes another call
	dag      bool
	action   string
	ms       int
}

// drawCall draws what a worker calls next.
func drawCall(r *rand.Rand) draw {
	d := draw{needs: map[string]int{"runs": 1}, waits: true, action: "work", ms: r.IntN(30)}
	if r.IntN(5) == 0 {
		d.ms = 30 + r.IntN(170)
	}
	d.drawPools(r)
	if r.IntN(4) == 0 {
		d.priority = r.IntN(7) - 3
		d.flags = append(d.flags, "--priority", strconv.Itoa(d.priority))
	}
	switch r.IntN(6) {
	case 0:
		d.flags = append(d.flags, "--tag", "tenant=acme")
		d.needs["tag:tenant=acme"] = 1
	case 1:
		d.flags = append(d.flags, "--tag", "tenant=globex")
	}
	switch r.IntN(8) {
	case 0:
		d.flags = append(d.flags, "--if-busy", []string{"fail", "skip", "replace", "wait"}[r.IntN(4)])
	case 1:
		d.flags = append(d.flags, "--wait", fmt.Sprintf("%dms", 1+r.IntN(1500)))
	}
	d.drawAction(r)
	return d
}

func (d *draw) claim(pool string, slots int) {
	name := pool
	if slots > 1 {
		name = fmt.Sprintf("%s=%d", pool, slots)
	}
	d.flags = append(d.flags, "--pool", name)
	d.needs["pool:"+pool] = slots
}

func (d *draw) drawPools(r *rand.Rand) {
	switch r.IntN(10) {
	case 0, 1, 2:
		d.claim("wide", 1+r.IntN(3))
	case 3, 4:
		d.claim("narrow", 1+r.IntN(2))
	case 5:
		d.claim("single", 1)
	case 6:
		d.claim("wide", 1+r.IntN(2))
		d.claim("narrow", 1)
	case 7:
		d.claim("narrow", 1)
		d.claim("single", 1)
	case 8:
		d.claim("rated", 1)
		d.waits = false
	case 9: // the run queue alone
	}
}

func (d *draw) drawAction(r *rand.Rand) {
	switch r.IntN(24) {
	case 0:
		d.action = "stubborn"
		d.flags = append(d.flags, "--grace", "200ms")
	case 1:
		d.action = "daemon"
	case 2:
		d.action = "tree"
		d.flags = append(d.flags, "--hold-tree")
	case 3:
		d.inner = true
	case 4:
		d.flags = append(d.flags, "--timeout", fmt.Sprintf("%dms", 1+r.IntN(100)), "--grace", "100ms")
	case 5:
		d.flags = append(d.flags, "--min-hold", fmt.Sprintf("%dms", r.IntN(200)))
	case 6:
		*d = draw{needs: map[string]int{"runs": 1}, dag: true, ms: d.ms}
	case 7, 8:
		d.action = "closes"
	case 9:
		d.flags = append(d.flags, "-v")
	}
}

// call makes one call and waits for its end.
func (s *soak) call(client *Client, d draw) {
	e := entry{namespace: client.namespace(), needs: d.needs, priority: d.priority, waits: d.waits, dag: d.dag,
		spawned: now()}
	var argv []string
	switch {
	case d.dag:
		argv = []string{"dag", "run", "--progress", "none", "--output", "quiet", s.stepFile}
		e.what = "limit " + strings.Join(argv, " ")
		opened := s.journal.open(e)
		var env []string
		for _, step := range []string{"ONE", "TWO", "THREE"} {
			inner := s.journal.open(entry{what: "a step of " + strconv.Itoa(opened.id),
				needs: map[string]int{"pool:steps": 1}, namespace: opened.namespace, outer: opened,
				spawned: opened.spawned})
			env = append(env, fmt.Sprintf("SOAK_%s=%s %s %s %d work %d", step, s.command, s.commandsJournal, s.locks,
				inner.id, d.ms))
		}
		s.run(client, opened, argv, env)
		return
	default:
		e.what = "limit run " + strings.Join(d.flags, " ") + " -- " + d.action + " " + strconv.Itoa(d.ms)
	}
	opened := s.journal.open(e)
	argv = append([]string{"run"}, client.RunFlags...)
	argv = append(append(argv, "--name", strconv.Itoa(opened.id)), d.flags...)
	argv = append(argv, "--", s.command, s.commandsJournal, s.locks, strconv.Itoa(opened.id))
	if d.inner {
		inner := s.journal.open(entry{what: "inside of " + strconv.Itoa(opened.id),
			needs: map[string]int{"pool:inner": 1}, namespace: opened.namespace, outer: opened,
			spawned: opened.spawned})
		argv = append(argv, "nest", "0", s.binary, "run")
		argv = append(argv, client.RunFlags...)
		argv = append(argv, "--pool", "inner", "--", s.command, s.commandsJournal, s.locks, strconv.Itoa(inner.id),
			"work", strconv.Itoa(d.ms))
	} else {
		argv = append(argv, d.action, strconv.Itoa(d.ms))
	}
	s.run(client, opened, argv, nil)
}

// run starts limit, which faults can hit while it runs, and waits for its end.
func (s *soak) run(client *Client, e *entry, argv, env []string) (code int, stdout string) {
	cmd := exec.Command(s.binary, argv...)
	if len(client.Before) > 0 {
		cmd = exec.Command(client.Before[0], append(append(slices.Clone(client.Before[1:]), s.binary), argv...)...)
	}
	cmd.Env = append(append(s.environ(client), env...), "SOAK_AHEAD="+strconv.FormatInt(int64(client.Ahead), 10),
		"SOAK_CALL="+strconv.Itoa(e.id))
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Files, not pipes: Wait must not wait for those who are left behind.
	output, err := os.CreateTemp(s.dir, "output")
	if err != nil {
		s.problem("making a file for the output of a call: %v", err)
		return -1, ""
	}
	defer output.Close()
	os.Remove(output.Name())
	results, err := os.CreateTemp(s.dir, "output")
	if err != nil {
		s.problem("making a file for the output of a call: %v", err)
		return -1, ""
	}
	defer results.Close()
	os.Remove(results.Name())
	cmd.Stderr, cmd.Stdout = output, results
	if err := cmd.Start(); err != nil {
		s.problem("starting %s: %v", e.what, err)
		return -1, ""
	}
	s.field.add(&Call{PID: cmd.Process.Pid, Client: client, ID: e.id})
	cmd.Wait()
	s.field.remove(cmd.Process.Pid)
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	code = ws.ExitStatus()
	if ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	s.journal.exited(e, now(), code, content(output))
	return code, content(results)
}

func content(f *os.File) string {
	var b bytes.Buffer
	f.Seek(0, 0)
	b.ReadFrom(f)
	return strings.TrimSpace(b.String())
}

// environ is the test's environment without LIMIT_*, with the client's, and with the mark of this soak.
func (s *soak) environ(client *Client) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LIMIT_") })
	return append(append(env, "XDG_CONFIG_HOME="+s.dir, "XDG_STATE_HOME="+s.dir, mark+s.dir), client.Env...)
}

// mark marks the processes of a soak in their environment.
const mark = "SOAK_DIR="

// work is one worker of an epoch: calls at the pace of all, many of them at the same moment as others'.
func (s *soak) work(ctx context.Context, r *rand.Rand, client *Client) {
	pause := time.Duration(float64(s.figures.Workers) / s.figures.Pace * float64(time.Second))
	for ctx.Err() == nil {
		d := drawCall(r)
		for d.dag && client.NoDag {
			d = drawCall(r)
		}
		s.call(client, d)
		wait := time.Duration(r.ExpFloat64() * 0.7 * float64(pause))
		if r.IntN(3) > 0 { // to the next stroke of a common clock, so that there are crowds
			wait += pause/2 - time.Duration(now()+int64(wait))%(pause/2)
		}
		rest(ctx, wait)
	}
}
