// Package journal is a list that grows while others wait for what will be in it.
package journal

import (
	"context"
	"sync"
)

// A Journal keeps what is added to it, in order. Its zero value is empty and ready; all methods may be
// called concurrently.
type Journal[T any] struct {
	mu      sync.Mutex
	entries []T
	grown   chan struct{} // closed and replaced when there is more
}

// Add appends an entry.
func (j *Journal[T]) Add(entry T) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
	if j.grown != nil {
		close(j.grown)
		j.grown = nil
	}
}

// Len is the number of entries.
func (j *Journal[T]) Len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.entries)
}

// From returns the entries behind the first n, and a channel that is closed when there are more.
func (j *Journal[T]) From(n int) (entries []T, grown <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.grown == nil {
		j.grown = make(chan struct{})
	}
	return j.entries[n:len(j.entries):len(j.entries)], j.grown
}

// All returns the entries so far.
func (j *Journal[T]) All() []T {
	entries, _ := j.From(0)
	return entries
}

// Await returns the first entry behind the first n that matches, and its index. The error is the
// context's.
func (j *Journal[T]) Await(ctx context.Context, n int, matches func(T) bool) (entry T, at int, err error) {
	for {
		entries, grown := j.From(n)
		for i, e := range entries {
			if matches(e) {
				return e, n + i, nil
			}
		}
		n += len(entries)
		select {
		case <-grown:
		case <-ctx.Done():
			return entry, 0, context.Cause(ctx)
		}
	}
}
