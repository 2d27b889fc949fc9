package client

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// ErrNoServer says that no NATS server answers at the address.
var ErrNoServer = errors.New("no NATS server answers")

// ErrNotInstalled says that there is a NATS server, but no Dagyo on it.
var ErrNotInstalled = errors.New("there is no Dagyo on this NATS server: it has no stream " +
	contract.StreamEvents + ", which the services make (start them with `dagyo up`, or " +
	"`dagyo validator` and the others)")

// ErrNoAnswer says that no service answers a question.
var ErrNoAnswer = errors.New("no Dagyo service answers (see `dagyo health`)")

// ErrUnknownOutcome is returned when the server did not answer in time whether a command was stored.
var ErrUnknownOutcome = errors.New("no answer from the server: it is not known whether this was stored")

// ErrUnknownFlow says that there is no flow of the id, neither live nor in history.
var ErrUnknownFlow = errors.New("no such flow")

// ErrUnknownProgdef says that the catalogue has no such progdef.
var ErrUnknownProgdef = errors.New("no such progdef")

// ErrUnknownType says that the type catalogue has no documentation of the type.
var ErrUnknownType = errors.New("no such type is documented")

// explained replaces what NATS says of a server without Dagyo by what that means.
func explained(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrBucketNotFound),
		errors.Is(err, jetstream.ErrNoStreamResponse):
		return ErrNotInstalled
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return fmt.Errorf("JetStream is not enabled on this NATS server: %w", err)
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoAnswer
	}
	return err
}
