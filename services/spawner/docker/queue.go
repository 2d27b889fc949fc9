package docker

import "sync"

// A queue holds at most one item per key, ordered by the arrival of the keys. It may be used concurrently,
// but only one goroutine may take items.
type queue[T any] struct {
	// changed receives after an item was added to the queue.
	changed chan struct{}

	mu    sync.Mutex
	keys  []string
	items map[string]T
}

func newQueue[T any]() *queue[T] {
	return &queue[T]{changed: make(chan struct{}, 1), items: map[string]T{}}
}

// put adds an item, or replaces the one with the same key.
func (q *queue[T]) put(key string, item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, there := q.items[key]; !there {
		q.keys = append(q.keys, key)
	}
	q.items[key] = item
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// first returns the oldest item without removing it.
func (q *queue[T]) first() (key string, item T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.keys) == 0 {
		return "", item, false
	}
	return q.keys[0], q.items[q.keys[0]], true
}

// drop removes an item.
func (q *queue[T]) drop(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, there := q.items[key]; !there {
		return
	}
	delete(q.items, key)
	for i, k := range q.keys {
		if k == key {
			q.keys = append(q.keys[:i], q.keys[i+1:]...)
			return
		}
	}
}
