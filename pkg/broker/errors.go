package broker

import (
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// The server's codes for "wrong last sequence", of single and of replicated streams.
const (
	wrongLastSequence           jetstream.ErrorCode = 10071
	wrongLastSequenceReplicated jetstream.ErrorCode = 10164
)

// SaidBefore reports whether a message that was to be the first on its subject came too late.
func SaidBefore(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == wrongLastSequence || api.ErrorCode == wrongLastSequenceReplicated)
}
