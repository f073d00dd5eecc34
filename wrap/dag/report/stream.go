package report

import (
	"bytes"
	"io"
	"os"
	"time"

	"limit/wrap/dag/journal"
)

// maxLine is how long a line may grow in prefix mode before it is shown though its end has not come.
const maxLine = 16 << 10

// maxBehind is how much live output may wait for a reader that reads before the steps that print wait for it.
const maxBehind = 1 << 20

// Live shows a step's output while it comes, from its log: what a slow reader has not taken yet is on disk alone.
type Live struct {
	c    *Console
	path string
	id   string // "": without a prefix

	// Under the Console's lock:
	upto   int64 // how much of the log there is to show
	shown  int64
	queued bool

	// Of the Outlet's goroutine:
	log  *os.File
	rest bytes.Buffer // a line without its end
}

// Live returns what shows an attempt's output as it comes, nil where that is not to be.
func (c *Console) Live(s *journal.Step, path string) *Live {
	if c.Output != Interleave && c.Output != Prefix {
		return nil
	}
	l := &Live{c: c, path: path}
	if c.Output == Prefix {
		l.id = s.ID
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live[s.ID] = l
	return l
}

// Grew says that the log has grown. It waits, until ending is closed, for a reader that reads and is far behind: so a
// pipe lets a command wait. One that does not read at all is not waited for.
func (l *Live) Grew(upto int64, ending <-chan struct{}) {
	for l.grown(upto) > maxBehind && l.c.Out.Moves() {
		select {
		case <-ending:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// grown notes it and returns how much waits for the reader, of all steps.
func (l *Live) grown(upto int64) int64 {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if upto > l.upto {
		c.behind += upto - l.upto
		l.upto = upto
	}
	if !l.queued && l.shown < l.upto {
		l.queued = true
		c.spoke = c.now()
		c.later(l.show)
	}
	return c.behind
}

// show writes what there is of the log that was not shown. It is called by the Outlet.
func (l *Live) show(w io.Writer) error {
	l.c.mu.Lock()
	from, upto := l.shown, l.upto
	l.shown, l.queued = upto, false
	l.c.mu.Unlock()
	defer func() {
		l.c.mu.Lock()
		defer l.c.mu.Unlock()
		l.c.behind -= upto - from
	}()
	if l.log == nil {
		var err error
		if l.log, err = os.Open(l.path); err != nil {
			return nil // the log was removed meanwhile
		}
	}
	text := io.NewSectionReader(l.log, from, upto-from)
	if l.id == "" {
		return l.c.copySafe(w, text)
	}
	return l.prefixed(w, text)
}

// prefixed writes whole lines, each after the step's id, and keeps the rest.
func (l *Live) prefixed(w io.Writer, text io.Reader) error {
	buffer := make([]byte, maxLine)
	for {
		n, err := text.Read(buffer)
		l.rest.Write(buffer[:n])
		var lines bytes.Buffer
		for {
			at := bytes.IndexByte(l.rest.Bytes(), '\n')
			if at < 0 && l.rest.Len() < maxLine {
				break
			}
			if at < 0 {
				at = maxLine - 1
			}
			l.line(&lines, bytes.TrimSuffix(l.rest.Next(at+1), []byte("\n")))
		}
		if _, writeErr := w.Write(lines.Bytes()); writeErr != nil {
			return writeErr
		}
		if err != nil {
			return nil
		}
	}
}

func (l *Live) line(b *bytes.Buffer, line []byte) {
	b.WriteString(l.c.dimText(clean(l.id)+" |") + " " + l.c.safe(line) + "\n")
}

// endLive shows the last line of an attempt, which may have no end.
func (c *Console) endLive(id string) {
	l := c.live[id]
	if l == nil {
		return
	}
	delete(c.live, id)
	c.later(func(w io.Writer) error {
		if l.log != nil {
			l.log.Close()
		}
		if l.rest.Len() == 0 {
			return nil
		}
		var b bytes.Buffer
		l.line(&b, l.rest.Bytes())
		_, err := w.Write(b.Bytes())
		return err
	})
}

// showLog shows a log as far as it is written now. What cannot be read is left out: the log stays where it is.
func (c *Console) showLog(path string) {
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	c.later(func(w io.Writer) error {
		f, err := os.Open(path)
		if err != nil {
			return nil
		}
		defer f.Close()
		last := make([]byte, 1)
		if err := c.copySafe(w, io.NewSectionReader(f, 0, info.Size())); err != nil {
			return err
		}
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			_, err := io.WriteString(w, "\n")
			return err
		}
		return nil
	})
}

// copySafe copies a log to w; only what w says is an error.
func (c *Console) copySafe(w io.Writer, log io.Reader) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := io.ReadFull(log, buffer)
		if _, writeErr := io.WriteString(w, c.safe(buffer[:n])); writeErr != nil {
			return writeErr
		}
		if err != nil {
			return nil
		}
	}
}
