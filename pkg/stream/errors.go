package stream

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrGone says that the stream with the flow's edges does not exist any more (it was lost with a broker that kept
// it in memory, or deleted): the flow is over.
var ErrGone = errors.New("the stream of the flow's edges is gone")

// ErrReaderClosed says that the reader wants no more records; the writer may end normally.
var ErrReaderClosed = errors.New("the reader wants no more")

// ErrFinishing as the cause of a context's end lets Send finish the record of which it has taken a part
// already. So the edge can still be closed in order.
var ErrFinishing = errors.New("no more records are wanted")

// ErrClosed says that this end was closed or aborted by its own user.
var ErrClosed = errors.New("closed")

// A ProtocolError is a breach of the edge's rules: a gap, a malformed frame, wrong totals, a frame
// that the broker refuses. It ends the edge, and its job should panic with kind "protocol".
type ProtocolError struct {
	// Edge is the subject of the edge's frames.
	Edge string
	// Frame is the number of the frame at fault, 0 where there is none.
	Frame uint64
	// Message says what was found.
	Message string
}

func (e *ProtocolError) Error() string {
	if e.Frame == 0 {
		return fmt.Sprintf("edge %s: %s", e.Edge, e.Message)
	}
	return fmt.Sprintf("edge %s: frame %d: %s", e.Edge, e.Frame, e.Message)
}

// edgeError adds the edge to an error, so that what reaches the user says where it happened.
func edgeError(edge string, err error) error {
	var p *ProtocolError
	if err == nil || errors.As(err, &p) {
		return err
	}
	return fmt.Errorf("edge %s: %w", edge, err)
}

// lastingErrors are the errors of nats.go that no reconnect ends.
var lastingErrors = []error{
	nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrInvalidConnection,
	nats.ErrMaxPayload, nats.ErrBadSubject, nats.ErrHeadersNotSupported,
}

// Lasting reports whether an error of a publish, a subscription or a request to NATS or JetStream will
// come again however often that is repeated. All other errors pass: a write to a connection that is about
// to reconnect (*net.OpError, and whatever TLS makes of it), a full reconnect buffer, a request that nobody
// answers, a time-out, a server that is busy or starting. What was published when one of those came may be
// lost, and may have arrived.
//
// It is not for nats.Conn.Flush, which says ErrConnectionClosed at every disconnect.
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

// accountLimits says that the account may store no more, for now.
const accountLimits jetstream.ErrorCode = 10002

// lastingAPI judges an error of JetStream. Its code is like that of HTTP.
func lastingAPI(e *jetstream.APIError) bool {
	return e.Code < http.StatusInternalServerError && e.Code != http.StatusRequestTimeout &&
		e.Code != http.StatusTooManyRequests && e.ErrorCode != accountLimits
}

// unlessPassing drops an error that passes: whoever calls it repeats, sooner or later, what was lost.
func unlessPassing(err error) error {
	if Lasting(err) {
		return err
	}
	return nil
}
