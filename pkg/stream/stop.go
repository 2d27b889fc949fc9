package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Stopped reports whether a flow's stream holds a stop, or is gone. Ask it after subscribing to the
// stop's subject, and a stop is seen whenever it was sent. It is one direct get: cheap enough for
// every job.
func Stopped(ctx context.Context, js jetstream.JetStream, stream, stop string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultAckTimeout)
	defer cancel()
	m, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "DIRECT.GET."+stream+"."+stop), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		err := checkStream(ctx, js, stream)
		return errors.Is(err, ErrGone), err
	case err != nil:
		return false, fmt.Errorf("look for a stop in %s: %w", stream, err)
	}
	switch code := m.Header.Get("Status"); code {
	case "":
		return true, nil
	case "404":
		return false, nil
	default:
		return false, fmt.Errorf("look for a stop in %s: status %s", stream, code)
	}
}
