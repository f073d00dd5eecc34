//go:build linux

package wrapper

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"limit/integration/binary"
)

var (
	otherBinary = flag.String("binary", "", "the limit to test, in place of one built from this tree")
	writePeers  = flag.Bool("peers", false, "let TestPeers write peers.md")
)

func TestMain(m *testing.M) { os.Exit(binary.Run(m)) }

// limitBinary is the path of the limit to test.
func limitBinary(t testing.TB) string {
	if *otherBinary != "" {
		return *otherBinary
	}
	return binary.Path(t)
}

// wrapper is a program that runs another.
type wrapper struct {
	name string
	argv func(b *bench, flags ...string) []string // what to put before the command

	// timeout puts a bound on the run time, then a grace, before the command; nil where it has none.
	timeout func(b *bench, limit, grace string) []string
	// free reports whether the slot can be had at once; nil where there are no slots.
	free func(b *bench) bool
}

// testCase is one thing a wrapper must do.
type testCase struct {
	number int
	name   string
	need   need
	run    func(b *bench)
}

// need says what a wrapper must have for a case to make sense.
type need int

const (
	anything  need = iota
	slots          // it waits for a slot
	timeouts       // it bounds the run time
	limitOnly      // it is about limit's own flags
)

func (w *wrapper) has(n need) bool {
	switch n {
	case slots:
		return w.free != nil
	case timeouts:
		return w.timeout != nil
	case limitOnly:
		return w.name == "limit"
	}
	return true
}

func limit(path string) *wrapper {
	argv := func(b *bench, flags ...string) []string {
		argv := append([]string{path, "--backend", "local:" + b.dir + "/store", "run", "--pool", "p"}, flags...)
		return append(argv, "--")
	}
	return &wrapper{
		name: "limit",
		argv: argv,
		timeout: func(b *bench, limit, grace string) []string {
			return argv(b, "--timeout", limit+"s", "--grace", grace+"s")
		},
		free: func(b *bench) bool { return b.run(append(argv(b, "--if-busy", "fail"), "true")...).code() == 0 },
	}
}

func peers() []*wrapper {
	before := func(argv ...string) func(*bench, ...string) []string {
		return func(*bench, ...string) []string { return slices.Clone(argv) }
	}
	return []*wrapper{
		{name: "flock", argv: func(b *bench, flags ...string) []string { return []string{"flock", b.dir + "/lock"} },
			free: func(b *bench) bool { return b.run("flock", "-n", b.dir+"/lock", "true").code() == 0 }},
		{name: "timeout", argv: before("timeout", "600"), timeout: func(_ *bench, limit, grace string) []string {
			return []string{"timeout", "-k", grace, limit}
		}},
		{name: "tini", argv: before("tini", "-s", "--")},
		{name: "dumb-init", argv: before("dumb-init", "--")},
	}
}

func allCases() []testCase {
	var all []testCase
	for _, cases := range [][]testCase{
		streamCases(), terminalCases(), signalCases(), inheritedCases(), executingCases(), exitCases(), lifetimeCases(),
	} {
		all = append(all, cases...)
	}
	return all
}

func TestLimit(t *testing.T) {
	w := limit(limitBinary(t))
	for _, c := range allCases() {
		t.Run(c.title(), func(t *testing.T) {
			t.Parallel()
			c.run(newBench(t, w))
		})
	}
}

// title is the number and the name: 14_^C_reaches_the_command_once.
func (c testCase) title() string {
	return strings.ReplaceAll(twoDigits(c.number)+" "+c.name, " ", "_")
}

// require skips loudly where a program is missing.
func require(b *bench, programs ...string) {
	b.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			b.Skipf("needs %s, which is not installed: %v", name, err)
		}
	}
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }
