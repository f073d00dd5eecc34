package process

import (
	"syscall"
	"testing"
)

func TestASignalOfTheWitnessIsTheEchoOfOneThatThisProcessReceived(t *testing.T) {
	for _, c := range []struct {
		name  string
		calls func(e *echoes)
		want  []bool // of what waits: all have got it
	}{
		{"this process alone", func(e *echoes) { e.received(syscall.SIGTERM) }, []bool{false}},
		{"this process first", func(e *echoes) { e.received(syscall.SIGTERM); e.reported(syscall.SIGTERM) }, []bool{true}},
		{"the witness first", func(e *echoes) { e.reported(syscall.SIGTERM); e.received(syscall.SIGTERM) }, []bool{true}},
		{"another signal", func(e *echoes) { e.reported(syscall.SIGINT); e.received(syscall.SIGTERM) }, []bool{false}},
		{"equal signals merge", func(e *echoes) { e.received(syscall.SIGTERM); e.received(syscall.SIGTERM) }, []bool{false}},
		{"real-time signals do not", func(e *echoes) { e.received(40); e.received(40); e.reported(40) }, []bool{true, false}},
	} {
		var e echoes
		c.calls(&e)
		if len(e.waiting) != len(c.want) {
			t.Errorf("%s: %+v waits, want %d", c.name, e.waiting, len(c.want))
			continue
		}
		for i, want := range c.want {
			if e.waiting[i].all != want {
				t.Errorf("%s: %+v, want all: %v", c.name, e.waiting[i], want)
			}
		}
	}
}

// TestASignalWaitsUntilTheWitnessHasAnswered: the machine may be too busy for the witness to report in the window.
func TestASignalWaitsUntilTheWitnessHasAnswered(t *testing.T) {
	var e echoes
	e.received(syscall.SIGTERM)
	marked := e.waiting[0].at + echoWindow
	e.reported(syscall.SIGTERM) // late, but before the answer
	if due := e.due(marked); len(due) != 1 || !due[0].all {
		t.Errorf("%+v is taken, want one that all have got", due)
	}
	e.received(syscall.SIGINT)
	if due := e.due(e.waiting[0].at); len(due) != 0 {
		t.Errorf("%+v is taken by an answer to an earlier marker", due)
	}
}
