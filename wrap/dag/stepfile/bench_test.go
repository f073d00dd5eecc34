package stepfile

import (
	"fmt"
	"strings"
	"testing"
)

// chainOf is the text of a file with so many steps in a chain, or independent.
func textOf(steps int, chain bool) []byte {
	var b strings.Builder
	b.WriteString("steps:\n")
	for i := range steps {
		switch {
		case chain && i > 0:
			fmt.Fprintf(&b, "  s%d: {run: \"true\", needs: s%d}\n", i, i-1)
		default:
			fmt.Fprintf(&b, "  s%d: \"true\"\n", i)
		}
	}
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	for _, steps := range []int{1000, 10_000, 100_000} {
		for _, chain := range []bool{false, true} {
			b.Run(fmt.Sprintf("steps=%d/chain=%t", steps, chain), func(b *testing.B) {
				data := textOf(steps, chain)
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := Parse("x.yaml", data, Options{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
