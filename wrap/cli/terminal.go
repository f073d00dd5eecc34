package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// isTerminal reports whether standard output is one.
func (p *program) isTerminal() bool {
	f, ok := p.Out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is that of the terminal, or 0 where standard output is none.
func (p *program) width() int {
	width, _ := p.size()
	return width
}

func (p *program) size() (width, height int) {
	f, ok := p.Out.(*os.File)
	if !ok {
		return 0, 0
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

// untilInterrupted returns a context that ends at INT or TERM: for verbs that watch, and run no command.
func (p *program) untilInterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

// screen shows one text after the other: over the last one on a terminal, below it elsewhere, and there only if it
// changed.
type screen struct {
	w             io.Writer
	terminal      bool
	size          func() (width, height int)
	last          string
	lines         int // of the last text, on the terminal
	width, height int // when it was drawn
}

func (s *screen) draw(write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	text := b.String()
	if !s.terminal {
		if text == s.last {
			return nil
		}
		s.last = text
		_, err := io.WriteString(s.w, text)
		return err
	}
	width, height := s.size()
	resized := s.lines > 0 && (width != s.width || height != s.height)
	if text == s.last && !resized {
		return nil
	}
	s.last, s.width, s.height = text, width, height
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if height > 2 && len(lines) > height-1 {
		more := len(lines) - height + 2
		lines = append(lines[:height-2], fmt.Sprintf("… %d more lines", more))
	}
	out := ""
	switch {
	case resized: // the lines have moved: nobody knows where to
		out = "\x1b[H"
	case s.lines > 0:
		out = fmt.Sprintf("\x1b[%dA", s.lines)
	}
	out += "\r\x1b[J" + strings.Join(lines, "\n") + "\n"
	s.lines = len(lines)
	_, err := io.WriteString(s.w, out)
	return err
}
