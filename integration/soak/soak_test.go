//go:build linux

package soak

import (
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"limit/integration/binary"
)

func TestMain(m *testing.M) {
	flag.Duration("soak.for", 0, "how long the soak of a store lasts; 0: some seconds")
	flag.String("soak.store", "", "the store: embedded, etcd, or etcd through an agent; empty: all")
	flag.Uint64("soak.seed", 0, "of everything that is drawn; 0: any")
	flag.Parse()
	os.Exit(binary.Run(m))
}

// given is the value of a flag.
func given[T any](name string) T { return flag.Lookup(name).Value.(flag.Getter).Get().(T) }

// options are those of the flags. The directory is kept where the test fails.
func options(t *testing.T, smoke time.Duration) Options {
	t.Helper()
	o := Options{For: given[time.Duration]("soak.for"), Seed: given[uint64]("soak.seed"), Progress: os.Stderr,
		Binary: binary.Path(t), Command: binary.SoakCommand(t)}
	if o.For == 0 {
		o.For = smoke
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	dir, err := os.MkdirTemp("", "limit-soak-")
	if err != nil {
		t.Fatal(err)
	}
	o.Dir = dir
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the commands wrote is in %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	return o
}

func TestSoakFindsNothing(t *testing.T) {
	stores := map[string]func(t *testing.T) Store{
		"embedded": func(t *testing.T) Store { return newEmbedded(t) },
		"etcd":     func(t *testing.T) Store { return newFleet(t, "kill", false) },
		"agent":    func(t *testing.T) Store { return newFleet(t, "kill", true) },
	}
	only := given[string]("soak.store")
	if only != "" && stores[only] == nil {
		t.Fatalf("-soak.store=%s: the stores are embedded, etcd and agent", only)
	}
	for _, name := range []string{"embedded", "etcd", "agent"} {
		if only != "" && only != name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			o := options(t, 8*time.Second)
			r, err := Run(t.Context(), stores[name](t), o)
			if err != nil {
				t.Errorf("seed %d: %v", o.Seed, err)
			}
			report(t, r)
		})
	}
}

// report shows the table, and fails for all that was found.
func report(t *testing.T, r Result) {
	t.Helper()
	t.Logf("\n%s", r)
	for i, p := range r.Problems {
		if i == 20 {
			t.Errorf("and %d more", len(r.Problems)-i)
			break
		}
		t.Errorf("seed %d: %s", r.Seed, strings.TrimSpace(p))
	}
	if !r.proves(true) {
		t.Errorf("seed %d: nothing was proved", r.Seed)
	}
}
