package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// IsStop reports whether a message on a job's stop subject stops the job.
func IsStop(m *nats.Msg) bool { return string(m.Data) != contract.Running }

// Stopped reports whether a job's flow was stopped or cleaned up. If it is called after subscribing to the stop
// subject, no stop is missed. It is one direct get: cheap enough for every job.
func Stopped(ctx context.Context, js jetstream.JetStream, job *contract.Job) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultAckTimeout)
	defer cancel()
	stream := job.StopStream()
	m, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "DIRECT.GET."+stream+"."+job.Stop), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		err := checkStream(ctx, js, stream)
		return errors.Is(err, ErrGone), err
	case err != nil:
		return false, fmt.Errorf("read the stop in %s: %w", stream, err)
	}
	switch code := m.Header.Get("Status"); {
	case code == "":
		return IsStop(m), nil
	case code == "404": // a flow's own stream holds a stop only; a shard, which has no replicas, whether the flow is running
		return job.Stream != "", nil
	default:
		return false, fmt.Errorf("read the stop in %s: status %s", stream, code)
	}
}
