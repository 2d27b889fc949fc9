package broker

import (
	"context"

	"github.com/nats-io/nats.go"
)

// Unbroken calls do with a context that ends when the connection is lost: the requests in flight are never answered, and
// time out otherwise. It returns when do has returned, with ErrInterrupted if the connection was lost meanwhile.
func (l *Link) Unbroken(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := l.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	defer l.RemoveStatusListener(lost)
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	select {
	case <-lost:
		cancel()
		<-done
		return ErrInterrupted
	case err := <-done:
		select {
		case <-lost:
			return ErrInterrupted
		default:
			return err
		}
	}
}
