package etcdtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// talk is one connection through a link to a server that answers each line with itself, and says each second line what
// it likes.
type talk struct {
	t    *testing.T
	conn net.Conn
	from *bufio.Reader
}

func newTalk(t *testing.T, l *Link) *talk {
	conn, err := net.Dial("tcp", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &talk{t, conn, bufio.NewReader(conn)}
}

func (k *talk) say(line string) { fmt.Fprintln(k.conn, line) }

// hear returns the next line, "" if none comes within a time.
func (k *talk) hear(within time.Duration) (string, error) {
	k.conn.SetReadDeadline(time.Now().Add(within))
	line, err := k.from.ReadString('\n')
	return line, err
}

func (k *talk) expect(line string, within time.Duration) {
	k.t.Helper()
	if got, err := k.hear(within); err != nil || got != line+"\n" {
		k.t.Fatalf("heard %q, %v within %s; want %q", got, err, within, line)
	}
}

func (k *talk) expectSilence() {
	k.t.Helper()
	if got, err := k.hear(100 * time.Millisecond); got != "" || err == io.EOF {
		k.t.Fatalf("heard %q, %v; want silence", got, err)
	}
}

// echo is a server that tells what it hears and echoes it.
func echo(t *testing.T) (address string, heard chan string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard = make(chan string, 100)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for scan := bufio.NewScanner(conn); scan.Scan(); {
					heard <- scan.Text()
					fmt.Fprintln(conn, scan.Text())
				}
			}()
		}
	}()
	return listener.Addr().String(), heard
}

func TestALinkIsCutInBothDirectionsOrInOne(t *testing.T) {
	address, heard := echo(t)
	l := NewLink(t, address)
	k := newTalk(t, l)
	k.say("whole")
	k.expect("whole", 5*time.Second)
	<-heard
	for name, cut := range map[string]func(){"both": l.Cut, "up": l.CutUp, "down": l.CutDown} {
		cut()
		k.say(name)
		if name == "down" {
			if got := <-heard; got != name {
				t.Fatalf("cut down: the server hears %q", got)
			}
		}
		k.expectSilence()
		if name != "down" && len(heard) > 0 {
			t.Fatalf("cut %s: the server hears %q", name, <-heard)
		}
		l.Mend()
		k.expect(name, 5*time.Second)
		for len(heard) > 0 {
			<-heard
		}
	}
}

func TestASlowLinkDelaysWithoutHoldingUpWhatFollows(t *testing.T) {
	address, _ := echo(t)
	l := NewLink(t, address)
	k := newTalk(t, l)
	const latency = 100 * time.Millisecond
	l.Slow(latency, 10*time.Millisecond)
	start := time.Now()
	for i := range 20 {
		k.say(fmt.Sprint(i))
		<-time.After(2 * time.Millisecond) // separate segments
	}
	for i := range 20 {
		k.expect(fmt.Sprint(i), 5*time.Second)
	}
	if took := time.Since(start); took < 2*latency || took > 10*latency {
		t.Errorf("twenty lines and their echoes at %s each way took %s", latency, took)
	}
	l.Slow(0, 0)
	k.say("fast")
	k.expect("fast", 5*time.Second)
}

func TestAResetBreaksConnectionsAndNewOnesPass(t *testing.T) {
	address, _ := echo(t)
	l := NewLink(t, address)
	k := newTalk(t, l)
	k.say("a")
	k.expect("a", 5*time.Second)
	l.Reset()
	if got, err := k.hear(5 * time.Second); err == nil {
		t.Errorf("heard %q after the reset", got)
	}
	again := newTalk(t, l)
	again.say("b")
	again.expect("b", 5*time.Second)
}

func TestALinkThatIsCutOrSlowClosesAtOnce(t *testing.T) {
	address, _ := echo(t)
	t.Run("while bytes wait", func(t *testing.T) {
		l := NewLink(t, address)
		l.Slow(time.Hour, 0)
		newTalk(t, l).say("never")
		cut := NewLink(t, address)
		cut.Cut()
		newTalk(t, cut).say("never")
	})
}
