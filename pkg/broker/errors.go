package broker

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The server's codes for "wrong last sequence", of single and of replicated streams.
const (
	wrongLastSequence           jetstream.ErrorCode = 10071
	wrongLastSequenceReplicated jetstream.ErrorCode = 10164
	// clusterNotReady means that JetStream has no leader, or not enough peers, yet.
	clusterNotReady jetstream.ErrorCode = 10008
	// noPeers means that the cluster has fewer servers than a stream has replicas: more may join.
	noPeers jetstream.ErrorCode = 10005
	// storeFailed means that the server could not make the store of a stream, as while JetStream is being enabled.
	storeFailed jetstream.ErrorCode = 10049
	// A stream has reached its limit, or the server that of its storage.
	maxBytes     jetstream.ErrorCode = 10077
	noResources  jetstream.ErrorCode = 10023
	storageLimit jetstream.ErrorCode = 10047
)

// ErrInterrupted means that the connection was lost: the requests in flight are never answered.
var ErrInterrupted = errors.New("the connection was interrupted")

// Full reports whether the broker rejected a message for lack of space. The error goes away when space is freed.
func Full(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == maxBytes || api.ErrorCode == noResources || api.ErrorCode == storageLimit)
}

// SaidBefore reports whether a message was rejected because its subject already has one.
func SaidBefore(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == wrongLastSequence || api.ErrorCode == wrongLastSequenceReplicated)
}

// Transient reports whether an error of the JetStream API may be gone at the next try: the broker does not
// answer, or cannot answer now, like a cluster without a leader.
func Transient(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code == 408 || api.Code == 429 || api.Code == 503 ||
			api.Code == 500 && (api.ErrorCode == clusterNotReady || api.ErrorCode == storeFailed) || api.ErrorCode == noPeers
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrConnectionReconnecting) ||
		errors.Is(err, ErrInterrupted)
}
