package main

// fleetCases compare limit run on etcd with etcdctl lock on the same server, of the same version and of Debian's.
func fleetCases() []benchCase {
	const ctl = "etcdctl 3.7"
	limit := []string{"limit", "run", "--pool", "p", "--", "/bin/true"}
	var cases []benchCase
	for _, peer := range []string{ctl, debianCtl} {
		cases = append(cases, benchCase{
			name: "uncontended, etcd", peer: peer + " lock", aim: 1, pairs: 40,
			a: milliseconds(limit...), b: locking(peer, milliseconds),
		})
	}
	cases = append(cases,
		benchCase{
			name: "200 at once, one slot, etcd", peer: ctl + " lock", aim: 0.5, pairs: 3,
			a: atOnce(limit...), b: locking(ctl, atOnce),
		},
		benchCase{
			name: "hand-over without the start, 10 waiting, etcd", peer: "one put", aim: 3, pairs: 7,
			a: overStart(handOver(10)), b: put,
		},
		benchCase{
			name: "resident set, waiting, embedded", peer: ctl + " lock", unit: "MiB", aim: 0.7, pairs: 3,
			a: embedded(resident(1, withKeeper)), b: residentCtl(ctl),
		},
		benchCase{
			name: "resident set, waiting, with its keeper, etcd", peer: ctl + " lock", unit: "MiB", aim: 1, pairs: 3,
			a: resident(1, withKeeper), b: residentCtl(ctl),
		},
		benchCase{
			name: "uncontended, etcd, agent", peer: ctl + " lock", aim: 0.4, pairs: 40, agent: true,
			a: milliseconds(limit...), b: locking(ctl, milliseconds),
		},
		benchCase{
			name: "200 at once, one slot, etcd, agent", peer: ctl + " lock", aim: 0.25, pairs: 3, agent: true,
			a: atOnce(limit...), b: locking(ctl, atOnce),
		},
		benchCase{
			name: "hand-over without the start, 10 waiting, etcd, agent", peer: "one put", aim: 4, pairs: 7,
			agent: true,
			a:     overStart(handOver(10)), b: put,
		},
		benchCase{
			name: "resident set, waiting, with 1/100 of the agent, etcd", peer: ctl + " lock", unit: "MiB", aim: 0.4,
			pairs: 3, agent: true,
			a: resident(100, withShare), b: residentCtl(ctl),
		},
	)
	for i := range cases {
		c := &cases[i]
		c.fleet, c.tools = true, []string{"etcd 3.7", ctl}
		if c.unit == "" {
			c.unit = "ms"
		}
		if c.peer == debianCtl+" lock" {
			c.tools = append(c.tools, debianCtl)
		}
	}
	return cases
}

// lock is a call of etcdctl that takes a lock and runs a command under it.
func (b *bench) lock(name, lock string, command ...string) []string {
	return append([]string{name, "--endpoints", b.server.address, "lock", lock}, command...)
}

// locking measures such calls, in the same way as those of limit.
func locking(name string, how func(args ...string) measurement) measurement {
	return func(b *bench) (float64, error) { return how(b.lock(name, "bench", "/bin/true")...)(b) }
}

// embedded measures limit on the embedded store in a case of a fleet.
func embedded(m measurement) measurement {
	return func(b *bench) (float64, error) {
		b.fleet = false
		defer func() { b.fleet = true }()
		return m(b)
	}
}
