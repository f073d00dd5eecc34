package local

import (
	"bytes"
	"context"
	"os"
	"reflect"
	"sync"

	"limit/backend"
)

// entry is a claim as its owner sees it.
type entry struct {
	s    *Store
	id   id
	opts backend.EnterOptions
	file fileNumber
	life *os.File // what every process of the claim shares

	work  sync.Mutex // held from reading the state until what was read is acted upon
	mu    sync.Mutex // of the next
	claim backend.Claim
	asked backend.Claim // as it entered
	stay  backend.Stay

	moves    int32 // of the store when the claim entered
	witness  witness
	released bool // nothing is to be witnessed any more

	events chan backend.Event
	told   bool            // the owner knows that he is to stop
	over   bool            // the owner knows that the claim is gone
	blocks []backend.Block // as last told

	ears  *os.File // where wakes are heard; nil until somebody listens
	woken chan struct{}
	news  chan struct{} // what blocks the claim may have changed
	gate  gate

	glimpsed                glimpsed
	recheckTimer, newsTimer timer
	newsDue                 bool // newsTimer is set
	trouble                 trouble

	ctx     context.Context // ends with Release
	cancel  context.CancelFunc
	running sync.WaitGroup
	listens sync.Once
	release sync.Once
}

var _ backend.Entry = (*entry)(nil)

// eventRoom is more than an owner can leave unread: each kind but Blocked comes once, or once for each Reacquire.
const eventRoom = 16

func newEntry(s *Store, i id, claim backend.Claim, o backend.EnterOptions) *entry {
	e := &entry{s: s, id: i, opts: o, claim: claim, asked: claim, events: make(chan backend.Event, eventRoom),
		woken: make(chan struct{}, 1), news: make(chan struct{}, 1)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.stay.Enter()
	return e
}

// discard undoes what an Enter that failed has made.
func (e *entry) discard() {
	e.cancel()
	e.closeFiles()
	e.running.Wait()
}

func (e *entry) closeFiles() {
	e.gate.close()
	for _, f := range []*os.File{e.ears, e.life} {
		if f != nil {
			f.Close()
		}
	}
}

// Claim implements backend.Entry.
func (e *entry) Claim() backend.Claim {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.claim
}

// Events implements backend.Entry. A claim that was granted at once begins to listen for its cancellation with the
// first call.
func (e *entry) Events() <-chan backend.Event {
	e.listen()
	return e.events
}

// Inherit implements backend.Entry.
func (e *entry) Inherit() *os.File { return e.life }

// begin starts to listen where the claim waits.
func (e *entry) begin() {
	if e.Claim().Grant == nil {
		e.listen()
	}
}

// listen starts the goroutines that hear wakes.
func (e *entry) listen() {
	e.listens.Do(func() {
		if e.ctx.Err() != nil || e.ears == nil && e.openEars() != nil {
			return // released, or out of descriptors: then nobody can reach the claim
		}
		e.running.Add(2)
		go e.hearWakes(e.ears)
		go e.run()
	})
}

func (e *entry) openEars() (err error) {
	e.ears, err = e.s.listen(e.s.claims, e.file.name())
	return err
}

// hearWakes passes on what is written into the claim's FIFO.
func (e *entry) hearWakes(f *os.File) {
	defer e.running.Done()
	var b [64]byte
	for {
		n, err := f.Read(b[:])
		if bytes.IndexByte(b[:n], newsByte) >= 0 {
			notify(e.news)
		}
		if err != nil || bytes.IndexByte(b[:n], wakeByte) >= 0 {
			notify(e.woken)
		}
		if err != nil {
			return
		}
	}
}

// hearGate passes on that the last writer of the gate is gone.
func (e *entry) hearGate(f *os.File, lost chan<- struct{}) {
	defer e.running.Done()
	var b [64]byte
	for {
		if _, err := f.Read(b[:]); err != nil {
			notify(lost)
			return
		}
	}
}

// notify makes something known that becomes one where it happens several times.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// granted takes over a grant, and what it settles.
func (e *entry) granted(as *backend.Claim) {
	e.mu.Lock()
	known := e.claim.Grant != nil && e.claim.Grant.Token == as.Grant.Token
	if !known {
		e.claim.Follow(as)
		e.stay.Grant()
		e.blocks = nil
	}
	e.mu.Unlock()
	if !known {
		e.emit(backend.Event{Kind: backend.Granted})
	}
}

// blocked tells the owner what stands in the way of the claim.
func (e *entry) blocked(o backend.Obstacles) {
	e.blocks = o.Blocks
	e.emit(backend.Event{Kind: backend.Blocked, Obstacles: o})
}

// mindsBlocks reports whether the owner is to be told of these blocks: he wants to know, they are new, and he has read
// what came before.
func (e *entry) mindsBlocks(blocks []backend.Block) bool {
	return e.opts.WatchBlocks && !reflect.DeepEqual(blocks, e.blocks) && len(e.events) <= eventRoom/2
}

// Obstacles implements backend.Entry.
func (e *entry) Obstacles(ctx context.Context) (o backend.Obstacles, err error) {
	err = e.s.peek(ctx, func(c *change) error {
		if r := c.img.find(e.id); r != nil && r.standing() {
			o = c.nameObstacles(e.id, c.blocks(e.id))
		}
		return nil
	})
	return o, err
}

func (e *entry) emit(ev backend.Event) {
	select {
	case e.events <- ev:
	case <-e.ctx.Done():
	}
}

// Yield implements backend.Entry.
func (e *entry) Yield(ctx context.Context) error {
	e.work.Lock()
	defer e.work.Unlock()
	err := e.s.change(ctx, func(c *change) error {
		c.within = e.id
		r := c.img.find(e.id)
		if r == nil || r.aside {
			return nil
		}
		r.aside, c.dirty, c.news = true, true, true
		if r.grant != nil {
			r.grant, r.shape = nil, c.img.intern(&e.asked)
			c.img.forgetStart(e.id)
		}
		c.advance()
		return nil
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.claim.Follow(&e.asked)
	e.stay.Aside()
	e.mu.Unlock()
	for range len(e.events) { // a grant that the owner has not seen is void
		if ev := <-e.events; ev.Kind != backend.Granted {
			e.events <- ev
		}
	}
	notify(e.woken)
	return nil
}

// Reacquire implements backend.Entry.
func (e *entry) Reacquire(ctx context.Context) error {
	e.work.Lock()
	defer e.work.Unlock()
	var held *backend.Claim
	err := e.s.change(ctx, func(c *change) error {
		c.within = e.id
		r := c.img.find(e.id)
		if r == nil || !r.aside {
			return nil
		}
		r.aside, c.dirty, c.news = false, true, true
		c.advance()
		if r = c.img.find(e.id); r.grant != nil {
			held = r.claim()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if held != nil {
		e.granted(held)
	}
	e.listen()
	notify(e.woken)
	return nil
}

// past is what is remembered of the claim when it ends.
func (e *entry) past() backend.Past {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stay.End(&e.claim)
}

// Conclude implements backend.Entry.
func (e *entry) Conclude(o backend.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stay.Conclude(o)
}

// Release implements backend.Entry. Where the state cannot be written the claim's file is closed all the same, and the
// death of the claim is noticed as any other.
func (e *entry) Release(ctx context.Context) error {
	var err error
	e.release.Do(func() {
		e.listens.Do(func() {}) // nobody starts to listen now
		e.cancel()
		e.mu.Lock()
		if e.ears != nil {
			e.ears.Close()
		}
		e.mu.Unlock()
		e.running.Wait()
		past, heirs := e.past(), false
		var settings backend.Settings
		err = e.s.change(ctx, func(c *change) error {
			c.within = e.id
			if c.img.find(e.id) != nil {
				c.remove(e.id)
				e.retract()
				c.rotate()
				c.advance()
				c.trim()
			}
			heirs, settings = c.img.anyStanding(), c.img.settings
			return nil
		})
		if isGone(err) {
			err = nil // and the claim with it
		}
		if err == nil {
			e.life.Close()
			e.handGateOn(ctx, heirs)
			past.Met(settings.Capacities(past.Pools, past.Runs))
			e.s.remember(ctx, past, settings)
		}
		e.closeFiles()
	})
	return err
}
