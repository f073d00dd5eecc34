//go:build linux

package soak

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"limit/integration/etcdtest"
)

// networkFaults befall one machine: its links, or all of it.
func (f *fleet) networkFaults() []Fault {
	lane := Lane{"networks", 5 * time.Second}
	whole := func(do func(*etcdtest.Link)) func(*machine, *rand.Rand) {
		return func(m *machine, _ *rand.Rand) { m.each(do) }
	}
	cut, up, down := whole((*etcdtest.Link).Cut), whole((*etcdtest.Link).CutUp), whole((*etcdtest.Link).CutDown)
	const brief = etcdFence - etcdGrace // the commands live on, if a renewal had just been answered
	return []Fault{
		f.network("cut briefly", 4, lane, cut, 100*time.Millisecond, brief),
		f.network("cut for longer than the fence", 3, lane, cut, etcdFence, etcdTTL+3*time.Second),
		f.network("cut one way, up", 2, lane, up, 500*time.Millisecond, etcdTTL+2*time.Second),
		f.network("cut one way, down", 2, lane, down, 500*time.Millisecond, etcdTTL+2*time.Second),
		f.network("one member unreachable", 3, lane,
			func(m *machine, r *rand.Rand) { m.links[r.IntN(len(m.links))].Cut() }, time.Second, etcdTTL+2*time.Second),
		f.network("slow", 4, lane, slow, 2*time.Second, 8*time.Second),
		f.network("resets", 4, lane, whole((*etcdtest.Link).Reset), 0, 10*time.Millisecond),
		{"machine dies", 2, lane, func(ctx context.Context, r *rand.Rand, field *Field) bool {
			m := f.machines[r.IntN(len(f.machines))]
			m.each((*etcdtest.Link).Cut)
			defer m.whole()
			if a := m.agent; a != nil { // what it has noted is gone with the machine
				a.mu.Lock()
				defer a.mu.Unlock()
				a.end(syscall.SIGKILL)
				os.RemoveAll(a.dir)
				defer a.start()
			}
			died := m.die(ctx, field)
			rest(ctx, etcdTTL+time.Duration(r.Int64N(int64(2*time.Second))))
			return died
		}},
	}
}

// network is a fault of a machine's links that lasts from least to most.
func (f *fleet) network(kind string, weight int, lane Lane, do func(*machine, *rand.Rand), least,
	most time.Duration) Fault {
	return Fault{kind, weight, lane, func(ctx context.Context, r *rand.Rand, _ *Field) bool {
		m := f.machines[r.IntN(len(f.machines))]
		defer m.whole()
		do(m, r)
		rest(ctx, between(r, least, most))
		return true
	}}
}

// slow gives a machine round trips of 50 to 500 ms, with jitter.
func slow(m *machine, r *rand.Rand) {
	trip := 50*time.Millisecond + time.Duration(r.Int64N(int64(400*time.Millisecond)))
	m.each(func(l *etcdtest.Link) { l.Slow(trip/2, 25*time.Millisecond) })
}

func (m *machine) each(do func(*etcdtest.Link)) {
	for _, l := range m.links {
		do(l)
	}
}

// whole takes back whatever was done to the links.
func (m *machine) whole() {
	m.each(func(l *etcdtest.Link) {
		l.Slow(0, 0)
		l.Mend()
	})
}

// die kills everything that runs on the machine, all of each call at once. Calls that begin meanwhile live.
func (m *machine) die(ctx context.Context, field *Field) bool {
	var dying sync.WaitGroup
	hit := false
	var mu sync.Mutex
	for _, c := range field.Calls(nil) {
		if c.Client.Name != m.client.Name { // a client has a copy for each namespace
			continue
		}
		dying.Go(func() {
			for ctx.Err() == nil { // what it forks meanwhile, too
				if !field.Kill(c, m.processes(c)...) {
					return
				}
				mu.Lock()
				hit = true
				mu.Unlock()
			}
		})
	}
	dying.Wait()
	return hit
}

// processes are those of a call, by what is in their environment: the wrapper, its keeper, and everything of the
// command.
func (m *machine) processes(c *Call) []int {
	var found []int
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	call := "SOAK_CALL=" + strconv.Itoa(c.ID)
	for _, name := range environs {
		environ, _ := os.ReadFile(name)
		entries := strings.Split(string(environ), "\x00")
		if slices.Contains(entries, m.mark) && slices.Contains(entries, call) {
			if pid, _ := strconv.Atoi(strings.Split(name, "/")[2]); pid > 1 {
				found = append(found, pid)
			}
		}
	}
	return found
}
