package cli

import "testing"

// What every start pays for the command line: the commands with their flags and texts, and reading the flags that are
// given.
func BenchmarkCommandLine(b *testing.B) {
	args := []string{"limit", "run", "--pool", "p", "--", "true"}
	for b.Loop() {
		app := (&program{}).app("run")
		if c, err := directly(app, args); err != nil || c.NArg() != 1 {
			b.Fatal(err)
		}
	}
}
