package dag

import (
	"sync"

	"limit/wrap"
)

// outage tells once that the store does not answer the claims of steps, and once that it answers them again, however
// many they are. It leaves both to the claim of the run where that hears of it: that one knows how long it is held.
type outage struct {
	messages *wrap.Messages

	mu     sync.Mutex
	run    bool                // the store does not answer the run's claim
	claims map[*claim]struct{} // nor these
	told   bool
}

// hearRun hears what happens to the claim of the run, which tells of it.
func (o *outage) hearRun(n wrap.News) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch n.Kind {
	case wrap.Unreachable:
		o.run, o.told = true, false
	case wrap.Reachable:
		o.run = false
	}
}

// hear hears what happens to the claim of a step.
func (o *outage) hear(c *claim, n wrap.News) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch n.Kind {
	case wrap.Unreachable:
		if len(o.claims) == 0 && !o.run {
			o.told = true
			o.messages.Info("the store does not answer (%s); steps wait on for their pools", n.Reason)
		}
		o.claims[c] = struct{}{}
	case wrap.Reachable, wrap.Over:
		delete(o.claims, c)
		if len(o.claims) == 0 && o.told && n.Kind == wrap.Reachable {
			o.messages.Info("the store answers again")
		}
		o.told = o.told && len(o.claims) > 0
	}
}
