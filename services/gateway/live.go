package gateway

import (
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// The content types of answers that go on.
const (
	eventStream = "text/event-stream"
	jsonLines   = "application/jsonl"
)

// A live is an answer that goes on: what is written is sent at once.
type live struct {
	w     http.ResponseWriter
	flush func() error
}

// goLive begins a live answer. If its headers cannot be sent, the first write fails.
func goLive(ctx huma.Context, contentType string) *live {
	_, w := humago.Unwrap(ctx)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	l := &live{w, http.NewResponseController(w).Flush}
	_ = l.flush() // what follows may come late
	return l
}

// Write implements io.Writer.
func (l *live) Write(p []byte) (int, error) {
	n, err := l.w.Write(p)
	return n, errors.Join(err, l.flush())
}
