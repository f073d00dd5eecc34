package cli

import (
	"io"
	"strings"

	"limit/wrap"
)

// table is rows of cells in columns as wide as their widest cell. Where a line would be wider than the terminal,
// the columns named in shrink are cut, the widest first; those of spare not before the others are short.
type table struct {
	rows   [][]string
	right  map[int]bool // columns of numbers
	shrink []int
	spare  map[int]bool
}

const (
	columnGap  = 2
	shortWidth = 12 // to which a column is cut before those of spare are
	leastWidth = 8  // to which any column is cut
)

func (t *table) add(cells ...string) {
	for i, cell := range cells {
		cells[i] = wrap.Printable(cell)
	}
	t.rows = append(t.rows, cells)
}

// write lays the table out; width 0 is unbounded.
func (t *table) write(w io.Writer, width int) error {
	widths := t.widths(width)
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			cell = wrap.Cut(cell, widths[i])
			pad := strings.Repeat(" ", widths[i]-wrap.Cells(cell))
			if i > 0 {
				line.WriteString(strings.Repeat(" ", columnGap))
			}
			if t.right[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *table) widths(most int) []int {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], wrap.Cells(cell))
		}
	}
	total := columnGap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for most > 0 && total > most {
		widest := t.widest(widths, shortWidth, true)
		if widest < 0 {
			widest = t.widest(widths, leastWidth, false)
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		total--
	}
	return widths
}

// widest finds the widest column that may be cut and is wider than least, -1 where there is none.
func (t *table) widest(widths []int, least int, sparing bool) int {
	widest := -1
	for _, i := range t.shrink {
		if i < len(widths) && widths[i] > least && !(sparing && t.spare[i]) &&
			(widest < 0 || widths[i] > widths[widest]) {
			widest = i
		}
	}
	return widest
}
