// Bench times limit against its peers, each pair side by side in one run: A B A B …, so that a machine whose speed
// drifts slows both. It prints medians and the median of the ratios, as a table, as JSON and as README shows them.
//
// Run it by scripts/bench.sh, which builds what it needs.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	programs
	smoke              bool
	only, json, readme string
}

// programs are what scripts/bench.sh has built.
type programs struct {
	limit, stamp, etcd, etcdctl string
}

func parse() options {
	var o options
	flag.StringVar(&o.limit, "limit", "", "the binary to measure")
	flag.StringVar(&o.stamp, "stamp", "", "the program integration/bench/stamp")
	flag.StringVar(&o.etcd, "etcd", "", "an etcd server, 3.7")
	flag.StringVar(&o.etcdctl, "etcdctl", "", "its etcdctl")
	flag.BoolVar(&o.smoke, "smoke", false, "few and small runs: that it works, not how fast")
	flag.StringVar(&o.only, "only", "", "cases whose name or peer contains this")
	flag.StringVar(&o.json, "json", "", "write the results to this file too")
	flag.StringVar(&o.readme, "readme", "", "write the table into this file too, in place of the one that is there")
	flag.Parse()
	return o
}

func run() error {
	o := parse()
	dir, err := os.MkdirTemp("", "limit-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{programs: o.programs, dir: dir, smoke: o.smoke}
	defer b.close()
	var results []result
	for _, c := range cases() {
		if !strings.Contains(c.name+" "+c.peer, o.only) {
			continue
		}
		if missing := b.missing(c); missing != "" {
			fmt.Fprintf(os.Stderr, "bench: %s: %s is not installed, left out\n", c.name, missing)
			if os.Getenv("CI") != "" {
				return fmt.Errorf("%s is not installed, though CI installs everything", missing)
			}
			continue
		}
		r, err := b.measure(c)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", c.name, c.peer, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %s, %s: %.2f\n", c.name, c.peer, r.Ratio)
		results = append(results, r)
	}
	show(results)
	if err := writeJSON(o.json, results); err != nil {
		return err
	}
	return writeReadme(o.readme, results)
}
