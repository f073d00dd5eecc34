package dag

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"limit/wrap/dag/journal"
)

// capture reads what a command prints, masks it, and writes it to the attempt's log, which is made when there
// is something to write: making a file costs more than starting a small command. The command's end ends it, even where
// a process that the command left behind keeps the pipe open.
type capture struct {
	reader, writer *os.File
	mask           *maskStream
	path           string       // of the log
	live           func([]byte) // sees each piece, or nil; from the capture's goroutine
	buffers        *sync.Pool

	log    *os.File
	wrote  int64
	failed error
	done   chan struct{}
}

// bufferSize is how much is read at once.
const bufferSize = 32 << 10

// newCapture makes the pipe. Its writer is the command's standard output and error.
func newCapture(dir, step string, attempt int, mask *Mask, live func([]byte), buffers *sync.Pool) (*capture, error) {
	r, w, err := pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	path := filepath.Join(dir, filepath.FromSlash(journal.LogName(step, attempt)))
	return &capture{reader: r, writer: w, mask: mask.stream(), path: path, live: live, buffers: buffers, done: make(chan struct{})}, nil
}

// pipe is os.Pipe without what is of no use here: the writing end, which is the command's, blocks and is not polled.
func pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := pipeCloseOnExec(&fds); err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "|0"), os.NewFile(uintptr(fds[1]), "|1"), nil
}

// start reads until nobody holds the pipe any more or stop is called.
func (c *capture) start() {
	c.writer.Close()
	go c.read()
}

// abandon is for a command that was not started.
func (c *capture) abandon() {
	c.writer.Close()
	c.reader.Close()
}

// stop lets the capture end with what is in the pipe now, and waits for that.
func (c *capture) stop() {
	c.reader.SetReadDeadline(time.Unix(1, 0))
	<-c.done
}

func (c *capture) read() {
	defer close(c.done)
	defer c.reader.Close()
	buffer := c.buffers.Get().(*[bufferSize]byte)
	defer c.buffers.Put(buffer)
	for {
		n, err := c.reader.Read(buffer[:])
		c.take(buffer[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.drain(buffer[:])
		}
		if err != nil {
			break
		}
	}
	if c.mask != nil {
		c.write(c.mask.rest())
	}
	if c.log != nil {
		c.failed = errors.Join(c.failed, c.log.Close())
	}
}

// drain reads what is in the pipe without waiting.
func (c *capture) drain(buffer []byte) {
	raw, err := c.reader.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		for {
			n, err := unix.Read(int(fd), buffer)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if n <= 0 {
				return
			}
			c.take(buffer[:n])
		}
	})
}

func (c *capture) take(p []byte) {
	if len(p) > 0 && c.mask != nil {
		p = c.mask.next(p)
	}
	c.write(p)
}

// write appends to the log. After a failure (a full disk) the rest is read and dropped, so that the command goes on.
func (c *capture) write(p []byte) {
	if len(p) == 0 {
		return
	}
	if c.live != nil {
		c.live(p)
	}
	if c.log == nil && c.failed == nil {
		c.log, c.failed = os.OpenFile(c.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	}
	if c.failed == nil {
		n, err := c.log.Write(p)
		c.wrote += int64(n)
		c.failed = err
	}
}
