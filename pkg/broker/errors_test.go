package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestTransient(t *testing.T) {
	for err, want := range map[error]bool{
		nats.ErrTimeout:                                  true,
		context.DeadlineExceeded:                         true,
		&jetstream.APIError{Code: 503}:                   true,
		&jetstream.APIError{Code: 500, ErrorCode: 10008}: true,
		&jetstream.APIError{Code: 400, ErrorCode: 10005}: true,  // two of three servers have joined
		&jetstream.APIError{Code: 500, ErrorCode: 10049}: true,  // JetStream is being enabled
		&jetstream.APIError{Code: 500, ErrorCode: 10074}: false, // a single server, three replicas
		&jetstream.APIError{Code: 400}:                   false,
		errors.New("something else"):                     false,
	} {
		if got := Transient(fmt.Errorf("create a stream: %w", err)); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}
