package service

import "sync"

// recent remembers the message ids that this replica has published lately, so that a tick that
// decides again what was just said costs nothing. Two generations bound its size.
type recent struct {
	mu       sync.Mutex
	now, old map[string]struct{}
}

const recentGeneration = 20_000

func (r *recent) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, a := r.now[id]
	_, b := r.old[id]
	return a || b
}

func (r *recent) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.now) >= recentGeneration || r.now == nil {
		r.old, r.now = r.now, make(map[string]struct{})
	}
	r.now[id] = struct{}{}
}
