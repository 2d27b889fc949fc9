package edge

import (
	"errors"
	"io"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/stream"
)

// However many edges a connection has, its wildcard subscription is one: each writer adds one for its credits, and each
// reader one while it is attached.
func TestEdgesShareReplies(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	const edges = 20
	before := e.out.Conn().NumSubscriptions()
	var writers []*stream.Writer
	for n := range edges {
		e.addr = address("f", n)
		writers = append(writers, e.writer())
	}
	if got := e.out.Conn().NumSubscriptions() - before; got != edges {
		t.Errorf("%d writers have %d subscriptions", edges, got)
	}
	for n, w := range writers {
		if err := w.Send(e.ctx, []byte{byte(n)}); err != nil {
			t.Fatal(err)
		}
		go func() { _ = w.Close(e.ctx) }()
	}
	for n := range writers {
		e.addr = address("f", n)
		r := e.reader()
		if got, err := r.Recv(e.ctx); err != nil || got[0] != byte(n) {
			t.Fatalf("edge %d: %v, %v", n, got, err)
		}
		if _, err := r.Recv(e.ctx); !errors.Is(err, io.EOF) {
			t.Fatalf("edge %d: %v, want the end", n, err)
		}
	}
}
