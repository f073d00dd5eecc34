package cli

import "testing"

// What every start pays for the command line: the commands with their flags and texts, and the search for --help.
func BenchmarkCommandLine(b *testing.B) {
	for b.Loop() {
		app := (&program{}).app("run")
		args := []string{"limit", "run", "--pool", "p", "--", "true"}
		if _, asked := helpAsked(app, args); asked {
			b.Fatal("help")
		}
		permute(app, args)
	}
}
