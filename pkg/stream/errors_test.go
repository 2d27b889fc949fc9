package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestLasting(t *testing.T) {
	api := func(code int, number jetstream.ErrorCode) error {
		return &jetstream.APIError{Code: code, ErrorCode: number}
	}
	for _, lasting := range []error{
		nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrInvalidConnection, nats.ErrMaxPayload,
		nats.ErrBadSubject, jetstream.ErrStreamNotFound, jetstream.ErrConsumerNotFound,
		api(400, 10071), api(403, 0), fmt.Errorf("publish: %w", nats.ErrConnectionClosed),
	} {
		if !Lasting(lasting) {
			t.Errorf("%v does not last", lasting)
		}
	}
	for _, passing := range []error{
		nil, &net.OpError{Op: "write", Err: syscall.EPIPE}, net.ErrClosed, io.ErrUnexpectedEOF,
		nats.ErrReconnectBufExceeded, nats.ErrStaleConnection, nats.ErrDisconnected, nats.ErrTimeout,
		nats.ErrNoResponders, nats.ErrNoServers, context.DeadlineExceeded, jetstream.ErrNoStreamResponse,
		jetstream.ErrJetStreamNotEnabled, api(408, 0), api(429, 10167), api(500, 10077), api(503, 10008),
		api(400, accountLimits), errors.New("tls: bad record MAC"),
	} {
		if Lasting(passing) {
			t.Errorf("%v lasts", passing)
		}
	}
}
