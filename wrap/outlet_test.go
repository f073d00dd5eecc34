package wrap

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is a writer whose reader does not read until it is opened.
type stuck struct {
	open chan struct{}
	got  bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.open
	return s.got.Write(p)
}

func TestAnOutletDoesNotWaitForItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{open: make(chan struct{})}
		o := NewOutlet(s)
		io.WriteString(o, "one ")
		o.Later(func(w io.Writer) error { _, err := io.WriteString(w, "two "); return err })
		io.WriteString(o, "three")
		if o.Idle() || !o.Moves() {
			t.Error("nothing was read yet, and a second has not passed")
		}
		time.Sleep(2 * outletStall)
		if o.Moves() {
			t.Error("a reader that takes nothing for two seconds is said to read")
		}
		close(s.open)
		if err := o.Close(time.Hour, nil); err != nil || s.got.String() != "one two three" {
			t.Errorf("%q %v", s.got.String(), err)
		}
	})
}

func TestAnOutletIsClosedThoughItsReaderNeverComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{open: make(chan struct{})}
		o := NewOutlet(s)
		io.WriteString(o, "lost")
		start := time.Now()
		if err := o.Close(10*time.Second, nil); !errors.Is(err, ErrUnread) {
			t.Error(err)
		}
		if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("closed after %s, not 10s", took)
		}
		hurry := make(chan struct{})
		close(hurry)
		start = time.Now()
		if err := o.Close(time.Hour, hurry); !errors.Is(err, ErrUnread) || time.Since(start) > 2*time.Second {
			t.Errorf("in a hurry: %v after %s", err, time.Since(start))
		}
		close(s.open)
		<-o.done
	})
}

func TestAnOutletSaysWhatItCouldNotWrite(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	o := NewOutlet(w)
	io.WriteString(o, "x")
	o.Flush()
	io.WriteString(o, "y")
	if err := o.Close(time.Minute, nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	s := &stuck{open: make(chan struct{})}
	o = NewOutlet(s)
	o.Write(make([]byte, outletRoom-1))
	o.Write(make([]byte, 5))
	o.Write(make([]byte, outletRoom))
	close(s.open)
	if err := o.Close(time.Minute, nil); !errors.Is(err, ErrUnread) {
		t.Error(err)
	}
}

func TestNothingIsWrittenWhileTheTerminalIsLent(t *testing.T) {
	var b lockedWriter
	o := NewOutlet(&b)
	io.WriteString(o, "before ")
	<-o.Lend()
	io.WriteString(o, "after")
	if b.String() != "before " {
		t.Errorf("%q", b.String())
	}
	o.TakeBack()
	o.Flush()
	if b.String() != "before after" {
		t.Errorf("%q", b.String())
	}
	if err := o.Close(time.Minute, nil); err != nil {
		t.Error(err)
	}
}

// lockedWriter is a buffer for several goroutines.
type lockedWriter struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedWriter) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
