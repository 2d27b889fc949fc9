package kubernetes

import "github.com/dagyo/dagyo/services/spawner/backend"

// tellNews requests a search of the books for exits.
func (b *Backend) tellNews() {
	select {
	case b.news <- struct{}{}:
	default: // already requested
	}
}

// deliver delivers the exits in the books, until Close.
func (b *Backend) deliver() {
	defer close(b.exits)
	var pending []backend.Exit // not yet received
	for {
		var exits chan<- backend.Exit // nil: never ready
		var next backend.Exit
		if len(pending) > 0 {
			exits, next = b.exits, pending[0]
		}
		select {
		case <-b.closing:
			return
		case exits <- next:
			pending = pending[1:]
		case <-b.news:
			pending = b.unheard(pending)
		}
	}
}

// unheard adds new exits to the pending ones, and removes those that were forgotten in the meantime.
func (b *Backend) unheard(pending []backend.Exit) []backend.Exit {
	b.mu.Lock()
	defer b.mu.Unlock()
	exited := map[string]bool{}
	for _, s := range b.sets {
		for _, e := range s.book.Entries {
			if e.Exit == nil {
				continue
			}
			exited[e.Executor] = true
			if !s.reported[e.Executor] {
				s.reported[e.Executor] = true
				pending = append(pending, *e.Exit)
			}
		}
		for executor := range s.reported {
			if !exited[executor] {
				delete(s.reported, executor)
			}
		}
	}
	kept := pending[:0]
	for _, exit := range pending {
		if exited[exit.Executor] {
			kept = append(kept, exit)
		}
	}
	return kept
}
