package wrap

import (
	"fmt"
	"strings"

	"github.com/rivo/uniseg"
)

// Cells is how many cells of a terminal a text takes.
func Cells(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return uniseg.StringWidth(s)
		}
	}
	return len(s) // as most names are
}

// Cut shortens a text to so many cells, at least one, the last of them an ellipsis.
func Cut(s string, width int) string {
	if Cells(s) <= width {
		return s
	}
	head, _ := split(s, width-1)
	return head + "…"
}

// CutMiddle shortens a text to so many cells in its middle: its ends tell long names apart.
func CutMiddle(s string, width int) string {
	cells := Cells(s)
	if cells <= width || width < 3 {
		return Cut(s, width)
	}
	head := Cut(s, width/2)
	room := width - Cells(head)
	begun, tail := split(s, cells-room)
	if rest := cells - Cells(begun); rest > room { // a wide character stands across the place
		_, tail = split(s, cells-room+1)
	}
	return head + tail
}

// split divides a text behind the last character that ends within so many cells.
func split(s string, cells int) (head, tail string) {
	var b strings.Builder
	used := 0
	for g := uniseg.NewGraphemes(s); g.Next(); {
		if used += g.Width(); used > cells {
			break
		}
		b.WriteString(g.Str())
	}
	return b.String(), s[b.Len():]
}

// Plural is 1 step, 2 steps.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
