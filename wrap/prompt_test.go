package wrap

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPromptMessageIsWrittenWhenWriteReturns(t *testing.T) {
	var b bytes.Buffer
	o := NewOutlet(&b)
	io.WriteString(o.Prompt(), "first\n")
	if got := b.String(); got != "first\n" {
		t.Errorf("written is %q", got)
	}
	if err := o.Close(time.Minute, nil); err != nil {
		t.Error(err)
	}
}

func TestPromptMessagesWaitOnceForAReaderThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		o := NewOutlet(w)
		began := time.Now()
		for range 100 {
			io.WriteString(o.Prompt(), "line\n")
		}
		if took := time.Since(began); took != promptness {
			t.Errorf("100 messages took %s, want %s", took, promptness)
		}
		r.Close()
		o.Close(time.Minute, nil)
	})
}
