package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
)

// junitTail is how much of a step's output a test case carries.
const junitTail = 64 << 10

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Hostname  string      `xml:"hostname,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name      string        `xml:"name,attr"`
	Class     string        `xml:"classname,attr"`
	Time      string        `xml:"time,attr"`
	Failure   *junitReason  `xml:"failure"`
	Skipped   *junitReason  `xml:"skipped"`
	Flaky     []junitReason `xml:"flakyFailure"` // attempts before one that succeeded, as Maven's Surefire has it
	Rerun     []junitReason `xml:"rerunFailure"` // and before one that failed
	SystemOut string        `xml:"system-out,omitempty"`
}

type junitReason struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
	Output  string `xml:"system-out,omitempty"`
}

// JUnit writes the run as JUnit XML: a test case for each step. Logs are read from the run's directory.
func JUnit(w io.Writer, r *journal.Run, dir string) error {
	suite := junitSuite{Name: legal(r.Name), Time: seconds(r.Ended),
		Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"), Hostname: legal(r.Host)}
	for _, s := range r.Steps {
		if s.Outcome.State == plan.Unselected {
			continue
		}
		c := junitCase{Name: legal(s.ID), Class: legal(r.Name), Time: seconds(s.Took())}
		switch o := s.Outcome; {
		case o.State == plan.Failed && !o.Tolerated:
			c.Failure = &junitReason{Message: legal(whyFailed(s)), Type: "failed",
				Text: legal(strings.Join(lastLines(s, dir), "\n"))}
			c.Rerun = earlierAttempts(s, dir)
			suite.Failures++
		case o.State == plan.Failed:
			c.Skipped = &junitReason{Message: legal("failed, and is tolerated: " + whyFailed(s)), Type: "tolerated"}
			suite.Skipped++
		case o.State == plan.Succeeded:
			c.Flaky = earlierAttempts(s, dir)
		case o.State == plan.Skipped, o.State == plan.NotRun:
			c.Skipped = &junitReason{Message: legal(o.Reason)}
			suite.Skipped++
		case o.State == plan.Pending:
			c.Skipped = &junitReason{Message: "did not finish"}
			suite.Skipped++
		}
		c.SystemOut = outputOf(s.Last(), dir)
		suite.Tests++
		suite.Cases = append(suite.Cases, c)
	}
	all := junitSuites{Tests: suite.Tests, Failures: suite.Failures, Skipped: suite.Skipped, Time: suite.Time,
		Suites: []junitSuite{suite}}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// earlierAttempts are the attempts of a step before the last.
func earlierAttempts(s *journal.Step, dir string) []junitReason {
	var failed []junitReason
	for i := range max(0, len(s.Attempts)-1) {
		a := &s.Attempts[i]
		failed = append(failed, junitReason{Message: legal(how(a)), Type: "failed", Output: outputOf(a, dir)})
	}
	return failed
}

// outputOf is the end of what an attempt has printed.
func outputOf(a *journal.Attempt, dir string) string {
	if a == nil || a.Log == "" {
		return ""
	}
	return legal(tail(filepath.Join(dir, filepath.FromSlash(a.Log))))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// tail is the end of a log; "" where it cannot be read.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	var b bytes.Buffer
	if journal.Tail(f, &b, 1<<30, junitTail) != nil {
		return ""
	}
	return b.String()
}

// legal replaces what XML cannot hold.
func legal(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, illegal) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if illegal(r) {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func illegal(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
}
