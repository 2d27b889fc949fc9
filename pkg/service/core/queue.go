package core

import (
	"container/heap"
	"time"
)

// A queue holds the keys to be decided, each with the time at which it is due. Touched keys have the zero time: they
// come first, in the order in which they were added.
type queue struct {
	first heapOfKeys
	keys  map[string]*queuedKey
	added uint64
}

type queuedKey struct {
	key   string
	at    time.Time
	added uint64
	index int // in the heap
}

func newQueue() queue { return queue{keys: make(map[string]*queuedKey)} }

// add adds a key. A key that is already queued is decided at the earlier of the two times.
func (q *queue) add(key string, at time.Time) {
	k := q.keys[key]
	if k != nil && !at.Before(k.at) {
		return
	}
	if k != nil {
		heap.Remove(&q.first, k.index)
	}
	q.added++
	k = &queuedKey{key: key, at: at, added: q.added}
	q.keys[key] = k
	heap.Push(&q.first, k)
}

// take removes the first key, if it is due.
func (q *queue) take(now time.Time) (key string, ok bool) {
	if len(q.first) == 0 || q.first[0].at.After(now) {
		return "", false
	}
	k := heap.Pop(&q.first).(*queuedKey)
	delete(q.keys, k.key)
	return k.key, true
}

// next returns the time at which the first key is due; ok is false if there is none, or if it waits for a worker.
func (q *queue) next(now time.Time) (at time.Time, ok bool) {
	if len(q.first) == 0 || !q.first[0].at.After(now) {
		return time.Time{}, false
	}
	return q.first[0].at, true
}

// heapOfKeys implements heap.Interface.
type heapOfKeys []*queuedKey

func (h heapOfKeys) Len() int { return len(h) }

func (h heapOfKeys) Less(i, j int) bool {
	if c := h[i].at.Compare(h[j].at); c != 0 {
		return c < 0
	}
	return h[i].added < h[j].added
}

func (h heapOfKeys) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *heapOfKeys) Push(x any) {
	k := x.(*queuedKey)
	k.index = len(*h)
	*h = append(*h, k)
}

func (h *heapOfKeys) Pop() any {
	last := len(*h) - 1
	k := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return k
}
