package service

import (
	"context"
	"sync"
)

// recent remembers the message ids that this replica has said lately, so that nothing is said twice
// because two workers, or two ticks, came to the same decision. Two generations bound its size.
type recent struct {
	mu       sync.Mutex
	now, old map[string]struct{}
	pending  map[string]chan struct{} // closed when the attempt is over
}

const recentGeneration = 20_000

func (r *recent) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hasLocked(id)
}

// pends reports whether somebody is about to say the id.
func (r *recent) pends(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending[id] != nil
}

// knows reports whether the id was said, or somebody is about to.
func (r *recent) knows(id string) bool { return r.has(id) || r.pends(id) }

func (r *recent) hasLocked(id string) bool {
	_, a := r.now[id]
	_, b := r.old[id]
	return a || b
}

// once calls say unless it has succeeded for the id before. While another call is at it, it waits.
func (r *recent) once(ctx context.Context, id string, say func() error) error {
	for {
		other, mine := r.begin(id)
		switch {
		case mine:
			err := say()
			r.end(id, err == nil)
			return err
		case other == nil:
			return nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin claims the id, or returns who is at it; neither when it was said already.
func (r *recent) begin(id string) (other chan struct{}, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hasLocked(id) {
		return nil, false
	}
	if c, busy := r.pending[id]; busy {
		return c, false
	}
	if r.pending == nil {
		r.pending = make(map[string]chan struct{})
	}
	r.pending[id] = make(chan struct{})
	return nil, true
}

func (r *recent) end(id string, said bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.pending[id])
	delete(r.pending, id)
	if !said {
		return
	}
	if len(r.now) >= recentGeneration || r.now == nil {
		r.old, r.now = r.now, make(map[string]struct{})
	}
	r.now[id] = struct{}{}
}
