package cli

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/urfave/cli/v2"

	"limit/wrap"
)

// voice is all that a run of a dag says: on standard output, standard error, and as events. Whoever reads it may be
// slow, or gone: the run does not wait for that.
type voice struct {
	p        *program
	out, err *wrap.Outlet
	stderr   io.Writer // as it was
	messages *wrap.Messages
	events   *wrap.Events
}

// patience is how long a reader of the events that reads nothing is waited for when a run has ended. One of standard
// output is waited for as long as it takes: a pager may be left open.
const patience = 15 * time.Second

func newVoice(p *program, c *cli.Context, events *wrap.Events) *voice {
	v := &voice{p: p, out: wrap.NewOutlet(p.Out), err: wrap.NewOutlet(p.Err), stderr: p.Err, events: events}
	events.Queue()
	p.Err = v.err
	v.messages = p.messages(c)
	return v
}

// restore gives standard error back to the program, whose last messages wait for its reader no longer than others do.
func (v *voice) restore() {
	v.p.Err = v.stderr
	v.p.queueMessages()
}

// end writes what is left to say, and returns what could not be. A reader that does not read is waited for no longer
// once a signal has come; a run that was stopped waits for nobody.
func (v *voice) end(stopped bool) error {
	hurry := v.p.supervisor.Asked()
	if stopped {
		now := make(chan struct{})
		close(now)
		hurry = now
	}
	told := time.AfterFunc(time.Second, func() {
		v.messages.Info("the steps have ended; waiting for whoever reads the output or the events")
	})
	defer told.Stop()
	lost := v.out.Close(math.MaxInt64, hurry)
	if lost != nil {
		lost = fmt.Errorf("writing standard output: %w; 'limit dag show' and 'limit dag logs' have what was lost", lost)
	}
	if err := v.events.Drain(patience, hurry); err != nil && lost == nil {
		lost = err
	}
	v.err.Close(patience, hurry) // a standard error that nobody reads is nobody's concern
	return lost
}
