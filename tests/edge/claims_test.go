package edge

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/stream"
)

// Of many writers that begin an edge at the same time one succeeds, and the reader gets what that one has sent, whether it
// waits already or comes later.
func TestOneWriterHasTheEdge(t *testing.T) {
	for _, waits := range []bool{true, false} {
		t.Run(fmt.Sprintf("waits=%v", waits), func(t *testing.T) {
			e := setup(t, jetstream.MemoryStorage)
			for round := range 10 {
				e.addr = address("f", round)
				oneOfMany(e, waits)
			}
		})
	}
}

func oneOfMany(e *bundle, waits bool) {
	e.t.Helper()
	got := make(chan []string, 1)
	read := start(e.t, func() error {
		return e.readTexts(got)
	})
	if waits {
		e.attached()
	}
	const writers = 6
	var mu sync.Mutex
	var won []int
	var sending sync.WaitGroup
	for n := range writers {
		w := e.writer(stream.Claims())
		sending.Go(func() {
			for i := range 20 {
				err := w.Send(e.ctx, fmt.Appendf(nil, "%d-%d", n, i))
				if errors.Is(err, stream.ErrTaken) {
					return
				}
				if err != nil {
					e.t.Error(err)
				}
			}
			switch err := w.Close(e.ctx); {
			case err == nil:
				mu.Lock()
				defer mu.Unlock()
				won = append(won, n)
			case !errors.Is(err, stream.ErrTaken):
				e.t.Error(err)
			}
		})
	}
	sending.Wait()
	read()
	texts := <-got
	if len(won) != 1 || len(texts) != 20 {
		e.t.Fatalf("writers %v succeeded, %d records were read", won, len(texts))
	}
	for i, text := range texts {
		if text != fmt.Sprintf("%d-%d", won[0], i) {
			e.t.Fatalf("%s; writer %d has the edge", strings.Join(texts, " "), won[0])
		}
	}
}

func (e *bundle) readTexts(got chan<- []string) error {
	r := e.reader()
	var texts []string
	for {
		record, err := r.Recv(e.ctx)
		if err == io.EOF { //nolint:errorlint // the contract is ==
			got <- texts
			return nil
		}
		if err != nil {
			got <- texts
			return err
		}
		texts = append(texts, string(record))
	}
}

// A writer that comes later is refused, although the first one sends directly, so that the broker stores nothing more.
func TestALaterWriterIsRefused(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	r := e.reader()
	w := e.writer(stream.Claims())
	for i := range 3 {
		if err := w.Send(e.ctx, record(i, 10)); err != nil {
			t.Fatal(err)
		}
		if err := expectOne(e.ctx, r, i, 10); err != nil {
			t.Fatal(err)
		}
		other := e.writer(stream.Claims())
		if err := other.Close(e.ctx); !errors.Is(err, stream.ErrTaken) {
			t.Errorf("after record %d: %v", i, err)
		}
	}
	wait := start(t, func() error { return w.Close(e.ctx) })
	if _, err := r.Recv(e.ctx); err != io.EOF { //nolint:errorlint // the contract is ==
		t.Error(err)
	}
	wait()
}
