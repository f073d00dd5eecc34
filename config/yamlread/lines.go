package yamlread

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// excerptRunes is how much of a line is shown: a problem in a file of one endless line stays readable.
const excerptRunes = 160

// lines are the lines of the text as YAML counts them: its line breaks are more than the newline.
func (d *Document) lines() []string {
	if d.source == nil {
		d.source = splitLines(d.text)
	}
	return d.source
}

func splitLines(text string) []string {
	lines := make([]string, 0, 1+strings.Count(text, "\n"))
	start := 0
	for i := 0; i < len(text); {
		width := breakWidth(text[i:])
		if width == 0 {
			i++
			continue
		}
		lines = append(lines, text[start:i])
		i += width
		start = i
	}
	return append(lines, text[start:])
}

// breakWidth is the length in bytes of the line break that s begins with, or 0.
func breakWidth(s string) int {
	switch s[0] {
	case '\n':
		return 1
	case '\r':
		if len(s) > 1 && s[1] == '\n' {
			return 2
		}
		return 1
	case 0xc2: // next line
		if len(s) > 1 && s[1] == 0x85 {
			return 2
		}
	case 0xe2: // line separator, paragraph separator
		if len(s) > 2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9) {
			return 3
		}
	}
	return 0
}

// printable replaces what could steer a terminal or turn the reading direction. The number of runes stays the same.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return utf8.RuneError
		}
		return r
	}, line)
}

// excerpt cuts a long line to the neighbourhood of a column; it returns the column in what is left.
func excerpt(line string, col int) (string, int) {
	runes := []rune(line)
	if len(runes) <= excerptRunes {
		return line, col
	}
	first := max(0, min(col-1-excerptRunes/2, len(runes)-excerptRunes))
	last := min(first+excerptRunes, len(runes))
	cut := string(runes[first:last])
	if last < len(runes) {
		cut += "…"
	}
	if first > 0 {
		return "…" + cut, col - first + 1
	}
	return cut, col
}

// caret points below a line: tabs stay tabs and wide characters take two cells, so that it stands where a terminal
// shows the column. It underlines up to length runes of the line.
func caret(line string, col, length int) string {
	runes := []rune(line)
	before := runes[:min(col-1, len(runes))]
	under := runes[len(before):min(len(before)+length, len(runes))]
	var b strings.Builder
	for i, part := range strings.Split(string(before), "\t") {
		if i > 0 {
			b.WriteByte('\t')
		}
		b.WriteString(strings.Repeat(" ", uniseg.StringWidth(part)))
	}
	b.WriteByte('^')
	if width := uniseg.StringWidth(string(under)); width > 1 {
		b.WriteString(strings.Repeat("~", width-1))
	}
	return b.String()
}
