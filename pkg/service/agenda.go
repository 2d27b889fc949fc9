package service

import (
	"container/heap"
	"time"
)

// An agenda holds the keys that need a decision: those that something has happened to, first come first
// served, and those whose time is still to come.
type agenda struct {
	queue  []string
	queued map[string]bool
	due    dueHeap
	byKey  map[string]*dueKey
}

func newAgenda() agenda {
	return agenda{queued: make(map[string]bool), byKey: make(map[string]*dueKey)}
}

// touch queues a key, once.
func (a *agenda) touch(key string) {
	if !a.queued[key] {
		a.queued[key] = true
		a.queue = append(a.queue, key)
	}
}

// take removes the first key of the queue, "" where there is none.
func (a *agenda) take() string {
	if len(a.queue) == 0 {
		a.queue = nil // the backing array goes, too
		return ""
	}
	key := a.queue[0]
	a.queue = a.queue[1:]
	delete(a.queued, key)
	return key
}

// schedule sets the time at which a key is to be decided again; the zero time for none.
func (a *agenda) schedule(key string, at time.Time) {
	d := a.byKey[key]
	switch {
	case at.IsZero() && d != nil:
		heap.Remove(&a.due, d.index)
		delete(a.byKey, key)
	case at.IsZero():
	case d != nil:
		d.at = at
		heap.Fix(&a.due, d.index)
	default:
		d = &dueKey{key: key, at: at}
		a.byKey[key] = d
		heap.Push(&a.due, d)
	}
}

// advance queues the keys whose time has come.
func (a *agenda) advance(now time.Time) {
	for len(a.due) > 0 && !a.due[0].at.After(now) {
		key := a.due[0].key
		a.schedule(key, time.Time{})
		a.touch(key)
	}
}

// next returns the earliest time to come; ok is false where there is none.
func (a *agenda) next() (at time.Time, ok bool) {
	if len(a.due) == 0 {
		return time.Time{}, false
	}
	return a.due[0].at, true
}

type dueKey struct {
	key   string
	at    time.Time
	index int
}

type dueHeap []*dueKey

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for package heap.
func (h *dueHeap) Push(x any) {
	d := x.(*dueKey)
	d.index = len(*h)
	*h = append(*h, d)
}

// Pop is for package heap.
func (h *dueHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return d
}
