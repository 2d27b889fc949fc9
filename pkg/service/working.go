package service

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// working holds the causes that this replica has taken and not answered. The broker is told that they
// are being worked on, so that it may offer those of a dead replica soon.
type working struct {
	mu   sync.Mutex
	msgs map[jetstream.Msg]struct{}
}

func (w *working) begin(m jetstream.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.msgs[m] = struct{}{}
}

func (w *working) end(m jetstream.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.msgs, m)
}

func (w *working) all() []jetstream.Msg {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]jetstream.Msg, 0, len(w.msgs))
	for m := range w.msgs {
		out = append(out, m)
	}
	return out
}

func (r *Runtime[S]) keepInProgress(ctx context.Context) {
	t := time.NewTicker(r.c.AckWait / 3)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			for _, m := range r.working.all() {
				_ = m.InProgress() // lost: the cause comes again
			}
		case <-ctx.Done():
			return
		}
	}
}
