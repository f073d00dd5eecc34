// Package manual runs what README and the manual show: each console block with the binary, compared with what it
// prints.
//
// A page is one session in a directory of its own. A block of yaml whose first line is a comment with a file's name
// becomes that file. In a block of console, lines after "$ " are given to sh; the lines below are what the command
// prints: a line "..." stands for any lines, "text..." for any end of a line, and "[exit status 1]" ends a command that
// fails. Ids, times, pids and names of people and hosts are not compared. A command that only looks is repeated until
// it prints what is shown, as what it looks at takes time.
package manual

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"limit/integration/binary"
	"limit/integration/until"
)

func TestMain(m *testing.M) { os.Exit(binary.Run(m)) }

func TestEveryConsoleBlockPrintsWhatThePageSays(t *testing.T) {
	pages, err := filepath.Glob("../../wrap/cli/manual/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal("no pages found:", err)
	}
	blocks := 0
	for _, page := range append(pages, "../../README.md") {
		if filepath.Base(page) == "recipes.md" { // package recipes runs those, with the programs that they need
			continue
		}
		t.Run(filepath.Base(page), func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			s := newSession(t)
			for _, b := range blocksOf(string(text)) {
				switch {
				case b.language == "yaml":
					s.file(b.lines)
				case b.language == "console":
					blocks++
					s.console(b)
				}
			}
		})
	}
	if blocks < 15 {
		t.Errorf("only %d blocks were run: is the pattern of a block still right?", blocks)
	}
}

// block is a fenced block of a page.
type block struct {
	language string
	lines    []string
	line     int // of its fence, from 1
}

func blocksOf(text string) []block {
	var blocks []block
	open := false
	for i, line := range strings.Split(text, "\n") {
		switch fence, is := strings.CutPrefix(line, "```"); {
		case is && open:
			open = false
		case is:
			open = true
			blocks = append(blocks, block{language: fence, line: i + 1})
		case open:
			last := &blocks[len(blocks)-1]
			last.lines = append(last.lines, line)
		}
	}
	return blocks
}

// session is a directory in which the commands of one page run, one after the other.
type session struct {
	*testing.T
	dir string
	env []string
}

func newSession(t *testing.T) *session {
	s := &session{T: t}
	s.dir, s.env = binary.Home(t)
	return s
}

// fileName is the first line of a yaml block that becomes a file.
var fileName = regexp.MustCompile(`^# ([a-z]+\.yaml)$`)

func (s *session) file(lines []string) {
	name := fileName.FindStringSubmatch(lines[0])
	if name == nil {
		return
	}
	if err := os.WriteFile(filepath.Join(s.dir, name[1]), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *session) console(b block) {
	for i := 0; i < len(b.lines); {
		command, isCommand := strings.CutPrefix(b.lines[i], "$ ")
		if !isCommand {
			s.Fatalf("line %d: no command before this output: %s", b.line+i+1, b.lines[i])
		}
		line := b.line + i + 1
		var want []string
		for i++; i < len(b.lines) && !strings.HasPrefix(b.lines[i], "$ "); i++ {
			want = append(want, b.lines[i])
		}
		s.command(line, command, want)
	}
}

// looks matches commands that change nothing.
var looks = regexp.MustCompile(`^limit (status|why|stats|history|pool (list|get)|doctor)\b`)

func (s *session) command(line int, command string, want []string) {
	if strings.HasPrefix(command, "go ") { // README's two commands are run by those who run this test
		return
	}
	if strings.HasSuffix(command, " &") {
		s.background(command)
		return
	}
	got := s.run(command)
	if looks.MatchString(command) {
		until.Within(20*time.Second, func() bool {
			got = s.run(command)
			return matches(want, got)
		})
	}
	if !matches(want, got) {
		s.Errorf("line %d: $ %s\nprints:\n%s\nthe page says:\n%s", line, command, got, strings.Join(want, "\n"))
	}
}

// background starts a limit run that is to go on, and returns when its claim is in the store, so that the order of
// claims is that of the page.
func (s *session) background(command string) {
	claims := func() int { return strings.Count(s.run("limit status --json"), `"queued_at"`) }
	before := claims()
	s.run(command)
	until.That(s, 20*time.Second, command+" enters the store", func() bool { return claims() > before })
}

// run returns what a command prints, and its exit status where that is not 0.
func (s *session) run(command string) string {
	s.Helper()
	out, err := os.CreateTemp(s.dir, "out")
	if err != nil {
		s.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, out, out // a file: what runs in the background keeps it open
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Run()
	s.Cleanup(func() { end(cmd.Process.Pid) })
	text, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		s.Fatal(readErr)
	}
	if err != nil {
		text = fmt.Appendf(bytes.TrimRight(text, "\n"), "\n[exit status %d]\n", cmd.ProcessState.ExitCode())
	}
	return string(text)
}

// end ends what a command has left in the background.
func end(group int) {
	until.Within(10*time.Second, func() bool { return syscall.Kill(-group, syscall.SIGTERM) != nil })
}

// varying is what differs between two calls.
var varying = []struct{ pattern, with string }{
	{`\b[0-9a-f]{8,32}\b`, "ID"},
	{`\b\d+(\.\d+)?(ns|µs|ms|s|m|h)\b`, "TIME"},
	{`(uid )?\S+@\S+ pid \d+`, "WHO"},
	{`\bpid \d+`, "PID"},
	{` +`, " "},
}

// matches reports whether output is what the lines of a page say.
func matches(want []string, got string) bool {
	normal := func(text string) string {
		for _, v := range varying {
			text = regexp.MustCompile(v.pattern).ReplaceAllString(text, v.with)
		}
		return strings.TrimSpace(text)
	}
	var pattern strings.Builder
	for _, line := range want {
		switch line = normal(line); {
		case line == "...":
			pattern.WriteString(`(?:.*\n)*`)
		case strings.HasSuffix(line, "..."):
			pattern.WriteString(regexp.QuoteMeta(strings.TrimSuffix(line, "...")) + `.*\n`)
		default:
			pattern.WriteString(regexp.QuoteMeta(line) + `\n`)
		}
	}
	var lines strings.Builder
	for line := range strings.Lines(got) {
		lines.WriteString(normal(line) + "\n")
	}
	return regexp.MustCompile(`^` + pattern.String() + `$`).MatchString(lines.String())
}
