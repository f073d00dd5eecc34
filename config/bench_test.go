package config

import "testing"

// Configuration is read before every command: what a machine without a file pays, and one with a file of the usual
// size.

func BenchmarkLoadWithoutFile(b *testing.B) {
	root := b.TempDir()
	at := surroundings(root, "")
	for b.Loop() {
		if _, err := Load(Flags{}, at); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseAWholeFile(b *testing.B) {
	for b.Loop() {
		if _, err := parse("f", "/", []byte(whole)); err != nil {
			b.Fatal(err)
		}
	}
}
