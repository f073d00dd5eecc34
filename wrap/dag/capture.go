package dag

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"limit/wrap"
	"limit/wrap/dag/report"
)

// capture reads what a command prints, masks it, and writes it to the attempt's log, which is made when there is
// something to write: making a file costs more than starting a small command. The command's end settles it: what is in
// the pipe then belongs to the command. Where a process that it left behind keeps the pipe open, reading goes on until
// shut, so that this process lives; it is slowed down to a rate that neither fills the disk nor takes the machine.
type capture struct {
	reader, writer *os.File
	mask           *maskStream
	path           string       // of the log
	limit          int64        // of the log, in bytes; 0: none
	live           *report.Live // shows the log as it grows, or nil
	buffers        *sync.Pool

	log     *os.File
	wrote   int64
	dropped int64  // bytes beyond the limit
	tail    []byte // the last of them
	full    bool   // nothing more is kept
	failed  error

	ending  chan struct{} // closed by stop
	settled chan struct{} // closed when what the command itself has printed is in the log
	over    chan struct{} // closed by shut
	done    chan struct{}

	printed printed // valid when settled is closed
}

// printed is what a capture has of a command that has ended.
type printed struct {
	had   int64 // bytes in the log
	fault error
	left  bool // another process holds the pipe, or the log is still being written
}

const (
	bufferSize = 32 << 10 // how much is read at once
	keptTail   = 32 << 10 // of what is beyond the limit
	lingerFor  = 20 * time.Millisecond
)

// newCapture makes the pipe. Its writer is the command's standard output and error.
func newCapture(path string, mask *Mask, limit int64, live *report.Live, buffers *sync.Pool) (*capture, error) {
	r, w, err := pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	return &capture{reader: r, writer: w, mask: mask.stream(), path: path, limit: limit, live: live, buffers: buffers,
		ending: make(chan struct{}), settled: make(chan struct{}), over: make(chan struct{}),
		done: make(chan struct{})}, nil
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

// start reads until nobody holds the pipe any more, or shut.
func (c *capture) start() {
	c.writer.Close()
	go c.read()
}

// abandon is for a command that was not started.
func (c *capture) abandon() {
	c.writer.Close()
	c.reader.Close()
}

// past is a deadline that ends a read.
func past() time.Time { return time.Unix(1, 0) }

// stop settles the capture with what is in the pipe now, and waits for that.
func (c *capture) stop(files *wrap.Files) printed {
	close(c.ending)
	c.reader.SetReadDeadline(past())
	if err := files.Try(func() error { <-c.settled; return nil }); err != nil {
		return printed{fault: err, left: true}
	}
	return c.printed
}

// shut ends the reading of what others write, after stop.
func (c *capture) shut(files *wrap.Files) {
	close(c.over)
	c.reader.SetReadDeadline(past())
	files.Try(func() error { <-c.done; return nil })
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
			c.printed.left = !c.drain(buffer[:])
			break
		}
		if err != nil {
			break
		}
	}
	if !c.printed.left {
		c.close()
		c.settle()
		return
	}
	c.cut()
	c.reader.SetReadDeadline(time.Time{})
	c.settle()
	c.linger(buffer[:])
	c.close()
}

// settle says that the command's own output is in the log.
func (c *capture) settle() {
	c.printed.had, c.printed.fault = c.wrote, c.failed
	close(c.settled)
}

// close ends the log.
func (c *capture) close() {
	if c.mask != nil {
		c.write(c.mask.rest())
	}
	c.cut()
	if c.log != nil {
		c.failed = errors.Join(c.failed, c.log.Close())
	}
}

// drain reads what is in the pipe now, without waiting, and reports whether that was its end.
func (c *capture) drain(buffer []byte) (end bool) {
	raw, err := c.reader.SyscallConn()
	if err != nil {
		return true
	}
	raw.Control(func(fd uintptr) {
		for left := unread(int(fd)); ; {
			n, err := unix.Read(int(fd), buffer)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case errors.Is(err, unix.EAGAIN):
				return
			case n <= 0:
				end = true
				return
			}
			c.take(buffer[:n])
			if left -= n; left < 0 {
				return // that came later
			}
		}
	})
	return end
}

// linger reads what those print whom the command has left behind.
func (c *capture) linger(buffer []byte) {
	for {
		n, err := c.reader.Read(buffer)
		c.take(buffer[:n])
		if err != nil {
			return
		}
		select {
		case <-c.over:
			return
		case <-time.After(lingerFor):
		}
	}
}

func (c *capture) take(p []byte) {
	if len(p) > 0 && c.mask != nil {
		p = c.mask.next(p)
	}
	c.write(p)
}

// write appends to the log, up to its limit: of what is beyond, the last is kept for cut.
func (c *capture) write(p []byte) {
	if c.full {
		return
	}
	if room := c.limit - c.wrote; c.limit > 0 && int64(len(p)) > room {
		beyond := p[max(room, 0):]
		p = p[:max(room, 0)]
		c.dropped += int64(len(beyond))
		if c.tail = append(c.tail, beyond...); len(c.tail) > 2*keptTail {
			c.tail = append(c.tail[:0], c.tail[len(c.tail)-keptTail:]...)
		}
	}
	c.add(p)
}

// cut says in the log what of the command's output is not in it, and adds the last of that. What comes later is left
// out.
func (c *capture) cut() {
	if c.dropped == 0 || c.full {
		return
	}
	tail := c.tail[max(0, len(c.tail)-keptTail):]
	c.add(fmt.Appendf(nil, "\nlimit: %d bytes are left out here: log_limit is %d bytes\n", c.dropped-int64(len(tail)),
		c.limit))
	c.add(tail)
	c.tail, c.full = nil, true
}

// add writes to the log. After a failure (a full disk) the rest is read and dropped, so that the command goes on.
func (c *capture) add(p []byte) {
	if len(p) == 0 || c.failed != nil {
		return
	}
	if c.log == nil {
		if c.log, c.failed = os.OpenFile(c.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); c.failed != nil {
			return
		}
	}
	n, err := c.log.Write(p)
	c.wrote += int64(n)
	c.failed = err
	if c.live != nil && !c.isSettled() {
		c.live.Grew(c.wrote, c.ending)
	}
}

func (c *capture) isSettled() bool {
	select {
	case <-c.settled:
		return true
	default:
		return false
	}
}
