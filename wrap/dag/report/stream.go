package report

import (
	"bytes"
	"errors"
	"io"
	"os"

	"limit/wrap/dag/journal"
)

// maxLine is how long a line may grow in prefix mode before it is shown though its end has not come.
const maxLine = 16 << 10

// Live returns what is to see a step's output as it comes, or nil. It is called from one goroutine for each step.
func (c *Console) Live(s *journal.Step, condition bool) func([]byte) {
	switch {
	case condition:
		return nil
	case c.Output == Interleave:
		return func(p []byte) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.add(c.safe(p))
			c.write()
		}
	case c.Output == Prefix:
		return func(p []byte) { c.prefixed(s.ID, p) }
	}
	return nil
}

// prefixed shows whole lines, each after the step's id, and keeps the rest.
func (c *Console) prefixed(id string, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rest := c.partial[id]
	if rest == nil {
		rest = &bytes.Buffer{}
		c.partial[id] = rest
	}
	rest.Write(p)
	for {
		at := bytes.IndexByte(rest.Bytes(), '\n')
		if at < 0 && rest.Len() < maxLine {
			break
		}
		if at < 0 {
			at = maxLine - 1
		}
		line := rest.Next(at + 1)
		c.add(c.prefix(id) + c.safe(bytes.TrimSuffix(line, []byte("\n"))) + "\n")
	}
	c.write()
}

func (c *Console) prefix(id string) string { return c.dimText(clean(id)+" |") + " " }

// endPartial shows the last line of a step, which may have no end.
func (c *Console) endPartial(id string) {
	if rest := c.partial[id]; rest != nil {
		if rest.Len() > 0 {
			c.add(c.prefix(id) + c.safe(rest.Bytes()) + "\n")
		}
		delete(c.partial, id)
	}
}

// copyLog shows a log. What cannot be read is left out: the log stays where it is.
func (c *Console) copyLog(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	buffer := make([]byte, 32<<10)
	last := byte('\n')
	for {
		n, err := io.ReadFull(f, buffer)
		if n > 0 {
			last = buffer[n-1]
			c.add(c.safe(buffer[:n]))
		}
		if err != nil || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
	}
	if last != '\n' {
		c.add("\n")
	}
}
