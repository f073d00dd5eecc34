package keeper

import (
	"context"
	"net"
	"testing"
	"time"

	"limit/backend"
	"limit/backend/etcd/boot"
)

// A wrapper that goes on after it was stopped finds renewals that it has not read: until it has, the last one that it
// knows is out of date.
func TestAWrapperThatWasStoppedReadsItsArrearsBeforeItGivesUp(t *testing.T) {
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		line := NewLine(theirs)
		defer line.Close()
		for {
			var r Request
			if line.Receive(&r) != nil {
				return
			}
			switch r.Op {
			case OpEnter:
				r.Claim.Grant = &backend.Grant{Token: 1}
				line.Send(Message{Deadline: boot.Now() - time.Second}) // while it was stopped
				line.Send(Message{Number: r.Number, Done: true, Claim: r.Claim})
				<-time.After(3 * arrears) // the machine is busy
				line.Send(Message{Deadline: boot.Now() + time.Hour})
			default:
				line.Send(Message{Number: r.Number, Done: true, Hello: Rare[Hello]{V: NewHello()}})
			}
		}
	}()
	c, err := Connect(t.Context(), ours, Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Enter(t.Context(), backend.Claim{ID: "a", Pools: map[string]int{"p": 1}}, backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case event := <-e.Events():
		t.Errorf("the claim that was kept is told %+v", event)
	case <-time.After(longestArrears + 2*arrears):
	}
	if err := e.Release(context.Background()); err != nil {
		t.Error(err)
	}
	c.Close()
	<-served
}
