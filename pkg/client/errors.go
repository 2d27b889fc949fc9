package client

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// ErrNoServer is returned if no NATS server answers at the address.
var ErrNoServer = errors.New("no NATS server answers")

// ErrNotInstalled is returned if Dagyo is not installed on the NATS server.
var ErrNotInstalled = errors.New("Dagyo is not installed on this NATS server: stream " +
	contract.StreamEvents + " not found; the services create it (start them with `dagyo up`, or " +
	"`dagyo validator` and the others)")

// ErrNoLeader is returned if no server of a cluster takes what is published.
var ErrNoLeader = errors.New("no NATS server leads the stream " + contract.StreamEvents + ": nothing was published; too few servers " +
	"of the cluster run, or Dagyo is not installed on them (see `dagyo health`)")

// ErrNoAnswer is returned if no service answers a request.
var ErrNoAnswer = errors.New("no Dagyo service answers (see `dagyo health`)")

// ErrUnknownOutcome is returned if the server did not acknowledge a command in time.
var ErrUnknownOutcome = errors.New("no answer from the server: the command may or may not be stored")

// ErrUnknownFlow is returned if no current or ended flow has the id.
var ErrUnknownFlow = errors.New("flow not found")

// ErrUnknownNode is returned if a flow has no node of that name.
var ErrUnknownNode = errors.New("node not found")

// ErrNotFed is returned if nothing was fed to an input, and it is not known whether another client feeds it.
var ErrNotFed = errors.New("nothing was fed")

// ErrUnknownProgdef is returned if the progdef is not in the catalogue.
var ErrUnknownProgdef = errors.New("progdef not found")

// ErrUnknownType is returned if the type is not in the type catalogue.
var ErrUnknownType = errors.New("type not found in the type catalogue")

// ErrUnknownWebhook is returned if there is no such webhook.
var ErrUnknownWebhook = errors.New("webhook not found")

// explained replaces the errors of NATS on a server without Dagyo by ErrNotInstalled and the like.
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
