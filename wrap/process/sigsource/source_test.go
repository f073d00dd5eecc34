package sigsource

import (
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// receiving has a Source receive signals for one test.
func receiving(t *testing.T, signals ...syscall.Signal) (*Source, <-chan Signal) {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan Signal, 100)
	var tasks sync.WaitGroup
	tasks.Go(func() { c.Receive(0, func(m Signal) { received <- m }, func() {}) })
	t.Cleanup(func() {
		c.Close()
		tasks.Wait()
	})
	c.Take(signals...)
	return c, received
}

func next(t *testing.T, received <-chan Signal) Signal {
	t.Helper()
	select {
	case m := <-received:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("no signal has arrived")
		return Signal{}
	}
}

func TestASignalThatIsTakenIsReceivedWithItsSender(t *testing.T) {
	_, received := receiving(t, syscall.SIGUSR1, syscall.SIGTERM)
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGUSR1} {
		syscall.Kill(os.Getpid(), sig)
		m := next(t, received)
		if m.Sig != sig || !m.SentByProcess() || m.PID != 0 && m.PID != os.Getpid() {
			t.Errorf("%v sent by this process: %+v", sig, m)
		}
	}
}

func TestASignalThatIsGivenBackIsNotReceived(t *testing.T) {
	c, received := receiving(t, syscall.SIGWINCH, syscall.SIGUSR1)
	c.GiveBack(syscall.SIGWINCH)
	syscall.Kill(os.Getpid(), syscall.SIGWINCH)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	if m := next(t, received); m.Sig != syscall.SIGUSR1 {
		t.Errorf("%+v, want SIGUSR1 alone", m)
	}
}

func TestAFloodOfSignalsEnds(t *testing.T) {
	_, received := receiving(t, syscall.SIGUSR1, syscall.SIGUSR2)
	for range 5000 {
		syscall.Kill(os.Getpid(), syscall.SIGUSR1)
		for len(received) > cap(received)/2 {
			<-received
		}
	}
	syscall.Kill(os.Getpid(), syscall.SIGUSR2)
	for next(t, received).Sig != syscall.SIGUSR2 {
	}
}
