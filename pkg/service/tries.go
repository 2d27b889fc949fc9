package service

import (
	"sync"
	"time"
)

// tries counts the attempts at effects of facts, which no broker counts for us, and spaces them.
type tries struct {
	mu     sync.Mutex
	failed map[string]try
}

type try struct {
	attempts int
	next     time.Time
}

// note takes down how an attempt went, and returns how many have failed in a row.
func (t *tries) note(id string, err error, now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.failed, id)
		return 0
	}
	if t.failed == nil {
		t.failed = make(map[string]try)
	}
	n := t.failed[id].attempts + 1
	t.failed[id] = try{attempts: n, next: now.Add(backOff(uint64(n)))}
	return n
}

// due reports whether the effect may be tried (again) now.
func (t *tries) due(id string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !now.Before(t.failed[id].next)
}
