package plan

import (
	"container/heap"
	"time"
)

// delays are the steps that wait for their next attempt, the soonest first.
type delays struct{ heap delayHeap }

type delay struct {
	step int
	at   time.Duration
}

func (d *delays) add(step int, at time.Duration) { heap.Push(&d.heap, delay{step, at}) }

// due takes out a step whose time has come.
func (d *delays) due(now time.Duration) (int, bool) {
	if len(d.heap) == 0 || d.heap[0].at > now {
		return 0, false
	}
	return heap.Pop(&d.heap).(delay).step, true
}

func (d *delays) next() (time.Duration, bool) {
	if len(d.heap) == 0 {
		return 0, false
	}
	return d.heap[0].at, true
}

type delayHeap []delay

func (h delayHeap) Len() int           { return len(h) }
func (h delayHeap) Less(a, b int) bool { return h[a].at < h[b].at }
func (h delayHeap) Swap(a, b int)      { h[a], h[b] = h[b], h[a] }
func (h *delayHeap) Push(x any)        { *h = append(*h, x.(delay)) }
func (h *delayHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	*h = (*h)[:last]
	return d
}
