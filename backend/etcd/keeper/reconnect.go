package keeper

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"limit/backend/etcd/boot"
)

// Between tries to reach an agent that has gone.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

// tellAfter is how long an agent is away before the owners of claims are told: a restart takes less.
const tellAfter = time.Second

// reconnect speaks to the next agent at the same place, however long that takes. Claims are kept until their last
// moment meanwhile, as guard sees to; requests fail when the connect timeout is over. false says that the client was
// closed before.
func (c *Client) reconnect(why error) bool {
	if errors.Is(why, io.EOF) {
		why = errors.New("it has ended")
	}
	told, since := false, time.Now()
	for retry := time.Duration(0); ; retry = min(max(firstRetry, 2*retry), lastRetry) {
		select {
		case <-c.life.Done():
			return false
		case <-time.After(retry):
		}
		err := c.comeBack()
		if err == nil {
			return true
		}
		away := time.Since(since)
		if retry > 0 || away >= tellAfter { // the first try knows less than the connection that ended
			why = err
		}
		if away >= tellAfter && !told {
			told = true
			c.tell(silence(c.agent, why).Error())
		}
		if away >= c.options.ConnectTimeout {
			c.failCalls(unanswered(c.agent, why))
		}
	}
}

// tryFor bounds one try: an agent that has just started may be taking over, or be stopped.
const tryFor = 3 * time.Second

// comeBack tries once.
func (c *Client) comeBack() error {
	ctx, cancel := context.WithTimeout(c.life, tryFor)
	defer cancel()
	conn, err := dial(ctx, c.agent)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	line := NewLine(conn)
	if err := c.greet(line); err != nil {
		conn.Close()
		if ctx.Err() != nil {
			return errors.New("it has not answered within " + tryFor.String() +
				", as etcd does not answer it, or it is stopped")
		}
		return err
	}
	return c.resume(line)
}

// next is the number of another request.
func (c *Client) next() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	return c.number
}

// greet opens the store again.
func (c *Client) greet(line *Line) error {
	r := c.open()
	r.Number = c.next()
	m, err := c.ask(line, r)
	if err == nil {
		err = m.Error.V.Err()
	}
	if err == nil {
		err = m.Hello.V.Speaks("the agent")
	}
	if err != nil {
		return err
	}
	c.inForce(m)
	c.take(m)
	return nil
}

// ask sends a request, and takes what comes before the answer.
func (c *Client) ask(line *Line, r Request) (*Message, error) {
	if err := line.Send(r); err != nil {
		return nil, err
	}
	for {
		m := new(Message)
		if err := line.Receive(m); err != nil || m.Number == r.Number {
			return m, err
		}
		c.take(m)
	}
}

// resume tells the next agent of the claims, and of the requests under way.
func (c *Client) resume(line *Line) error {
	c.posting.Lock()
	defer c.posting.Unlock()
	c.line.Replace(line)
	c.mu.Lock()
	entries := slices.Collect(maps.Values(c.entries))
	watched := slices.Collect(maps.Keys(c.changes))
	given := c.givenUp
	c.givenUp = nil
	c.mu.Unlock()
	for _, id := range given {
		if err := c.line.Send(Request{Op: OpGiveUp, ID: id}); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if err := c.resumeEntry(e); err != nil {
			return err
		}
	}
	for _, number := range watched {
		if err := c.line.Send(Request{Op: OpChanges, Number: number}); err != nil {
			return err
		}
		c.take(&Message{Number: number, Change: true}) // one may have been missed
	}
	c.mu.Lock()
	calls := maps.Clone(c.calls)
	c.mu.Unlock()
	for _, number := range slices.Sorted(maps.Keys(calls)) {
		switch r := calls[number].request; r.Op {
		case OpWrite, OpCancel, OpDrop: // doing it twice may not be the same as once
			c.fail(number, errors.New("the agent was restarted while it did this; look whether it is done"))
		case OpChanges:
		case OpOpen:
			c.take(&Message{Number: number, Done: true, Hello: Rare[Hello]{V: NewHello()}})
		default:
			if err := c.line.Send(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// resumeEntry asks for one claim.
func (c *Client) resumeEntry(e *entry) error {
	r, ok := e.resume()
	if !ok {
		return nil
	}
	r.Number = c.next()
	m, err := c.ask(c.line, r)
	if err != nil {
		return err
	}
	c.take(&Message{Deadline: m.Deadline})
	e.resumed(m.Error.V.Err())
	return nil
}

// giveUp remembers a claim that the agent may not have heard is of no use any more: the next one may know it.
func (c *Client) giveUp(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.agent != "" {
		c.givenUp = append(c.givenUp, id)
	}
}

// tell tells the owners of all claims that the agent does not answer.
func (c *Client) tell(reason string) {
	c.mu.Lock()
	entries, deadline := slices.Collect(maps.Values(c.entries)), c.deadline
	c.mu.Unlock()
	for _, e := range entries {
		e.troubles(reason, boot.At(deadline))
	}
}

// failCalls ends the requests under way.
func (c *Client) failCalls(err error) {
	c.mu.Lock()
	numbers := slices.Collect(maps.Keys(c.calls))
	c.mu.Unlock()
	for _, number := range numbers {
		c.fail(number, err)
	}
}

func (c *Client) fail(number int64, err error) {
	c.take(&Message{Number: number, Done: true, Error: Rare[Failure]{V: Fail(err)}})
}
