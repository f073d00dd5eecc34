package dag

import (
	"strings"
	"time"

	"limit/backend"
	"limit/wrap/dag/journal"
)

// waits adds up what a claim waits for, from the changes of what blocks it. Where several limits block, the
// time counts for each.
type waits struct {
	since time.Duration
	open  []backend.Block
	done  []journal.Wait
}

func newWaits(now time.Duration) *waits { return &waits{since: now} }

// blocked says that other limits block from now on.
func (w *waits) blocked(now time.Duration, blocks []backend.Block) {
	w.close(now)
	w.open = blocks
}

// end returns all of it.
func (w *waits) end(now time.Duration) []journal.Wait {
	w.close(now)
	w.open = nil
	return w.done
}

func (w *waits) close(now time.Duration) {
	for _, b := range w.open {
		w.add(journal.Wait{Limit: b.Limit, From: w.since, Long: now - w.since, By: strings.Join(b.By, " ")})
	}
	w.since = now
}

// add makes one of two stretches of the same limit that follow each other.
func (w *waits) add(n journal.Wait) {
	if n.Long <= 0 {
		return
	}
	for i := len(w.done) - 1; i >= 0; i-- {
		if d := &w.done[i]; d.Limit == n.Limit && d.From+d.Long == n.From {
			d.Long += n.Long
			return
		}
	}
	w.done = append(w.done, n)
}
