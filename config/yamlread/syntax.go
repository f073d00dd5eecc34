package yamlread

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// searchBytes bounds the text that is parsed again to find the place of a syntax error.
const searchBytes = 2 << 20

// noteSyntax notes what the YAML library found. It gives a line at most, and for faults of structure only that of
// the structure; so the place is searched: the line after the longest beginning of the file that is YAML by itself.
func (d *Document) noteSyntax(err error) {
	message, line := splitMessage(err.Error())
	if d.noteAnchor(message) {
		return
	}
	if structural(message) {
		if found, ok := d.firstBadLine(); ok {
			line = found
		} else {
			line++ // the library counts these from 0
		}
	}
	lines := d.lines()
	line = min(max(line, 1), len(lines))
	col := firstColumn(lines[line-1])
	fact, remedy := explain(message)
	if at, ok := culprit(message, lines[line-1]); ok {
		col = at
		if []rune(lines[line-1])[at-1] == '\t' {
			fact, remedy = "a tab cannot indent", "use spaces"
		}
	}
	d.note(line, col, 1, fact, remedy)
}

// splitMessage takes a message of the library apart: "yaml: line 3: fact". The line is 1 where it has none.
func splitMessage(text string) (message string, line int) {
	message = strings.TrimPrefix(text, "yaml: ")
	rest, found := strings.CutPrefix(message, "line ")
	if !found {
		return message, 1
	}
	number, rest, found := strings.Cut(rest, ": ")
	n, err := strconv.Atoi(number)
	if !found || err != nil {
		return message, 1
	}
	return rest, n
}

// structural tells the faults whose line the library does not know well.
func structural(message string) bool {
	for _, part := range []string{"did not find expected ',' or", "did not find expected key",
		"did not find expected '-'", "did not find expected node", "did not find expected <",
		"unexpected end of stream", "could not find expected ':'"} {
		if strings.Contains(message, part) {
			return true
		}
	}
	return false
}

// explain says a fault in the words of those who write the file.
func explain(message string) (fact, remedy string) {
	for _, known := range [][3]string{
		{"mapping values are not allowed", `a second ": " stands in this line`,
			"put the value in quotes, or mend the indentation"},
		{"did not find expected ',' or ']'", "a list in brackets is not closed", `add "," or "]"`},
		{"did not find expected ',' or '}'", "a mapping in braces is not closed", `add "," or "}"`},
		{"did not find expected key", "this line does not belong to the mapping above", "mend the indentation"},
		{"did not find expected '-'", "this line does not belong to the list above",
			`begin it with "- ", or mend the indentation`},
		{"could not find expected ':'", "a key without a value", `write "key: value"`},
		{"unexpected end of stream", "a quoted text is not closed", "add the quote"},
		{"unknown escape character", "unknown escape in a text in double quotes",
			`write \\ for a backslash, or use single quotes`},
		{"cannot start any token", "a value cannot begin with this character", "put it in quotes"},
		{"block sequence entries are not allowed", `"- " cannot stand here`, "begin the list on a line of its own"},
		{"tab character", "a tab cannot indent", "use spaces"},
		{"did not find expected node content", "a value is missing here, or a bracket is too many", ""},
		{"incompatible YAML document", "unknown version of YAML", "leave the %YAML line out"},
	} {
		if strings.Contains(message, known[0]) {
			return known[1], known[2]
		}
	}
	return message, ""
}

// culprit finds the column of a fault within its line, where the message tells what to look for.
func culprit(message, line string) (int, bool) {
	at := -1
	switch {
	case strings.Contains(message, "mapping values are not allowed"):
		if first := strings.Index(line, ": "); first >= 0 {
			if second := strings.Index(line[first+1:], ": "); second >= 0 {
				at = first + 1 + second
			} else {
				at = first
			}
		}
	case strings.Contains(message, "tab character"):
		at = strings.IndexByte(line, '\t')
	case strings.Contains(message, "cannot start any token"):
		at = badStart(line)
	}
	if at < 0 {
		return 0, false
	}
	return utf8.RuneCountInString(line[:at]) + 1, true
}

// badStart finds a character that nothing can begin with, where something begins.
func badStart(line string) int {
	for i := range len(line) {
		before := strings.TrimRight(line[:i], " \t")
		begins := before == "" || strings.HasSuffix(before, ":") || strings.HasSuffix(before, "-") ||
			strings.HasSuffix(before, ",") || strings.HasSuffix(before, "[") || strings.HasSuffix(before, "{")
		if begins && strings.IndexByte("\t@`%", line[i]) >= 0 {
			return i
		}
	}
	return -1
}

func firstColumn(line string) int {
	return len(line) - len(strings.TrimLeft(line, " \t")) + 1
}

// noteAnchor notes an alias without anchor, for which the library gives no line at all.
func (d *Document) noteAnchor(message string) bool {
	rest, found := strings.CutPrefix(message, "unknown anchor '")
	name, _, closed := strings.Cut(rest, "' referenced")
	if !found || !closed {
		return false
	}
	offset := strings.Index(d.text, "*"+name)
	if offset < 0 {
		return false
	}
	before := splitLines(d.text[:offset])
	d.note(len(before), utf8.RuneCountInString(before[len(before)-1])+1, 1+utf8.RuneCountInString(name),
		"alias *"+name+" has no anchor before it", "name the value it stands for with &"+name)
	return true
}

// firstBadLine returns the line after the longest beginning of the text, in whole lines, that is YAML by itself. It
// gives up when that costs too much.
func (d *Document) firstBadLine() (int, bool) {
	lines := d.lines()
	parsed := 0
	for end, k := len(d.text), len(lines)-1; k >= 0; k-- {
		end = strings.LastIndex(d.text[:end], lines[k])
		if parsed += end; end < 0 || parsed > searchBytes {
			return 0, false
		}
		if parses(d.text[:end]) {
			return k + 1, true
		}
	}
	return 0, false
}

func parses(text string) bool {
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	for {
		if _, err := decodeNode(decoder); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}
