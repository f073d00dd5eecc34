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
