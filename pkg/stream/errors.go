package stream

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrGone means that the stream with the flow's edges no longer exists (it was lost with a broker that kept it in
// memory, or deleted): the flow is over.
var ErrGone = errors.New("the stream of the flow's edges no longer exists")

// ErrReaderClosed means that the reader needs no more records; the writer may end normally.
var ErrReaderClosed = errors.New("the reader needs no more records")

// ErrTaken means that another writer has begun the edge. It ends a writer made with Claims.
var ErrTaken = errors.New("another client writes to it, or has")

// ErrFinishing as the cause of a context lets Send finish a record that it has already taken in part. So the
// edge can still be closed in order.
var ErrFinishing = errors.New("no more records are needed")

// ErrClosed means that this end was closed or aborted by its own user.
var ErrClosed = errors.New("closed")

// A ProtocolError is a violation of the edge's rules: a gap, a malformed frame, wrong totals, a frame
// that the broker rejects. It ends the edge, and its job should panic with kind "protocol".
type ProtocolError struct {
	// Edge is the subject of the edge's frames.
	Edge string
	// Frame is the number of the faulty frame, or 0 if there is none.
	Frame uint64
	// Message describes the fault.
	Message string
}

func (e *ProtocolError) Error() string {
	if e.Frame == 0 {
		return fmt.Sprintf("edge %s: %s", e.Edge, e.Message)
	}
	return fmt.Sprintf("edge %s: frame %d: %s", e.Edge, e.Frame, e.Message)
}

// edgeError adds the edge to an error, so that the user sees where it happened.
func edgeError(edge string, err error) error {
	var p *ProtocolError
	if err == nil || errors.As(err, &p) {
		return err
	}
	return fmt.Errorf("edge %s: %w", edge, err)
}

// lastingErrors are the errors of nats.go that a reconnect does not resolve.
var lastingErrors = []error{
	nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrInvalidConnection,
	nats.ErrMaxPayload, nats.ErrBadSubject, nats.ErrHeadersNotSupported,
}

// Lasting reports whether an error of a publish, a subscription or a request to NATS or JetStream will recur
// on every retry. All other errors are transient: a write to a connection that is about to reconnect
// (*net.OpError, and its equivalents in TLS), a full reconnect buffer, a request without a responder, a
// timeout, a busy or starting server. After a transient error, the published message may or may not have
// arrived.
//
// Do not use it for nats.Conn.Flush, which returns ErrConnectionClosed at every disconnect.
func Lasting(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return lastingAPI(api)
	}
	for _, lasting := range lastingErrors {
		if errors.Is(err, lasting) {
			return true
		}
	}
	return false
}

// accountLimits means that the account may store no more for now.
const accountLimits jetstream.ErrorCode = 10002

// lastingAPI classifies an error of JetStream. Its code is like that of HTTP.
func lastingAPI(e *jetstream.APIError) bool {
	return e.Code < http.StatusInternalServerError && e.Code != http.StatusRequestTimeout &&
		e.Code != http.StatusTooManyRequests && e.ErrorCode != accountLimits
}

// unlessPassing drops a transient error: the caller will repeat what was lost.
func unlessPassing(err error) error {
	if Lasting(err) {
		return err
	}
	return nil
}
