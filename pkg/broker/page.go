package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// pageWait bounds the reading of one page.
const pageWait = 10 * time.Second

var errShort = errors.New("a page broke off")

// Page reads up to n messages of a stream in order, those with one of the subjects, from a number on.
// It returns none when there was none.
func Page(
	ctx context.Context, js jetstream.JetStream, stream string, subjects []string, from uint64, n int,
) ([]jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, pageWait)
	defer cancel()
	cons, err := js.CreateConsumer(ctx, stream, passing(subjects, max(from, 1)))
	if err != nil {
		return nil, fmt.Errorf("read %s from %d: %w", stream, from, err)
	}
	defer drop(ctx, js, stream, cons)
	n = int(min(uint64(n), cons.CachedInfo().NumPending))
	if n == 0 {
		return nil, nil
	}
	batch, err := cons.Fetch(n, jetstream.FetchContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("read %s from %d: %w", stream, from, err)
	}
	page := make([]jetstream.Msg, 0, n)
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Consumer != uint64(len(page)+1) {
			return nil, errors.Join(errGap, err)
		}
		page = append(page, m)
	}
	if len(page) < n {
		return nil, errors.Join(errShort, batch.Error())
	}
	return page, nil
}
