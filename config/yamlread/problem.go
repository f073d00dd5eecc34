package yamlread

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/go-multierror"
)

// maxProblems bounds what is told of one file; the rest is counted.
const maxProblems = 100

// Problem is one mistake in a file, or, with Warning, something its author should know.
type Problem struct {
	File       string `json:"file"`
	Line       int    `json:"line"`             // from 1
	Col        int    `json:"col"`              // in characters, from 1; at most one past the end of the line
	Length     int    `json:"length,omitempty"` // characters concerned, at least 1
	Message    string `json:"message"`          // the fact
	Suggestion string `json:"suggestion,omitempty"`
	Source     string `json:"source,omitempty"` // the line, safe to print
	Warning    bool   `json:"warning,omitempty"`
}

// Error is FILE:LINE:COL: message, then the source line and a caret, each on a line of its own.
func (p *Problem) Error() string {
	head := p.Head()
	if strings.TrimSpace(p.Source) == "" {
		return head
	}
	source, col := excerpt(p.Source, p.Col)
	return head + "\n    " + source + "\n    " + caret(source, col, p.Length)
}

// Head is the first line of Error alone: where, what and what to do.
func (p *Problem) Head() string {
	head := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Message)
	if p.Suggestion != "" {
		head += "; " + p.Suggestion
	}
	return head
}

// Problems returns the problems in an error of Document.Err, however it was wrapped, in the order of the file.
func Problems(err error) []*Problem {
	var all *multierror.Error
	if !errors.As(err, &all) {
		if one := (*Problem)(nil); errors.As(err, &one) {
			return []*Problem{one}
		}
		return nil
	}
	var problems []*Problem
	for _, e := range all.Errors {
		if one := (*Problem)(nil); errors.As(e, &one) {
			problems = append(problems, one)
		}
	}
	return problems
}

// Err returns nil or all problems found so far, a *multierror.Error of *Problem in the order of the file.
func (d *Document) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	all := &multierror.Error{ErrorFormat: join}
	for _, p := range inOrder(d.problems) {
		all = multierror.Append(all, p)
	}
	if d.dropped > 0 {
		last := *d.problems[len(d.problems)-1]
		last.Message, last.Suggestion, last.Source = fmt.Sprintf("%d more mistakes are not shown", d.dropped), "", ""
		all = multierror.Append(all, &last)
	}
	return all.ErrorOrNil()
}

// Warnings returns what the author should know, in the order of the file.
func (d *Document) Warnings() []*Problem { return inOrder(d.warnings) }

func inOrder(problems []*Problem) []*Problem {
	sorted := slices.Clone(problems)
	slices.SortStableFunc(sorted, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return sorted
}

func join(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "\n")
}

// placed is what makes two problems the same: an anchored value that is used twice is wrong once.
type placed struct {
	line, col int
	message   string
}

// note takes a problem down.
func (d *Document) note(line, col, length int, fact, remedy string) {
	p := d.problem(line, col, length, fact, remedy)
	at := placed{p.Line, p.Col, fact}
	if d.seen[at] {
		return
	}
	if len(d.problems) == maxProblems {
		d.dropped++
		return
	}
	if d.seen == nil {
		d.seen = map[placed]bool{}
	}
	d.seen[at] = true
	d.problems = append(d.problems, p)
}

// problem places a message, within the text whatever the place given.
func (d *Document) problem(line, col, length int, fact, remedy string) *Problem {
	lines := d.lines()
	line = min(max(line, 1), len(lines))
	source := lines[line-1]
	runes := utf8.RuneCountInString(source)
	col = min(max(col, 1), runes+1)
	length = max(1, min(length, runes+1-col))
	return &Problem{File: d.name, Line: line, Col: col, Length: length,
		Message: fact, Suggestion: remedy, Source: printable(source)}
}
