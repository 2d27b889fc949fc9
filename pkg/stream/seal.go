package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
)

// ErrSealed means that an edge is sealed and its address has no key: only the flow's owner and the jobs at both ends get
// it.
var ErrSealed = errors.New("the edge is sealed, and only the owner of the flow and its own jobs have the key")

// An end is one end of an edge: what it stores is on subjects that end in its own name, and what the other end stores on
// subjects that end in the other name. On an edge that is not sealed, both are "".
//
// Everybody can store messages under names of their own, so the name of an executor counts once a message has opened that
// was stored under it, since a seal opens only on the subject for which it was made; or if the panic-aggregator says so.
type end struct {
	seal *wire.Seal // nil if the edge is not sealed
	own  string     // suffix of the subjects on which this end stores
	peer string     // that of the other end; anyPeer until it is known
	who  []byte     // the job at the other end, to ask for its executor
	// dropped counts what did not open.
	dropped *atomic.Int64
}

// anyPeer matches the suffix of everybody's subjects.
var anyPeer = contract.FromAny("")

// newEnd returns an end of the edge at an address, with the limits that count in the address. The other end is one of
// those in the address.
func newEnd(addr contract.Address, name string, other *contract.End) (end, contract.Address, error) {
	x := end{dropped: new(atomic.Int64)}
	switch {
	case addr.Salt == "":
		return x, addr, nil
	case addr.Sealed == nil:
		return x, addr, ErrSealed
	}
	var err error
	if x.seal, err = wire.NewSeal(addr.Sealed.Key); err != nil {
		return x, addr, fmt.Errorf("the key of the edge: %w", err)
	}
	x.own, x.peer = addr.From(name, ""), anyPeer
	switch {
	case other == nil: // somebody
	case other.Name != "":
		x.peer = addr.From(other.Name, "")
	case other.Job != "":
		x.who = []byte(contract.FlowOfEdge(addr.Subject) + "." + other.Job)
	}
	return x, addr.Limits(), nil
}

// known reports whether it is known where the other end stores.
func (x *end) known() bool { return x.peer != anyPeer }

// told records the answer to the question which executor has started the job at the other end.
func (x *end) told(answer []byte) {
	var who contract.JobExecutor
	if json.Unmarshal(answer, &who) == nil && who.Executor != "" && !x.known() {
		x.peer = contract.Sender{Name: who.Executor}.On("")
	}
}

// pack returns a message as it is published on a subject. Call done when it is published.
func (x *end) pack(subject string, message []byte) (packed []byte, done func()) {
	if x.seal == nil || len(message) == 0 {
		return message, func() {}
	}
	b := storage(len(message) + wire.SealSize)
	if b == nil {
		b = make([]byte, 0, len(message)+wire.SealSize)
	}
	b = x.seal.Append(b[:0], subject, message)
	return b, func() {
		if cap(b) > DefaultFrameTarget/2 {
			frameStorage.Put(&b)
		}
	}
}

// open returns a message that was received on a subject. What does not open is counted and dropped: anybody can send
// that.
func (x *end) open(subject string, data []byte) ([]byte, bool) {
	if x.seal == nil {
		return data, true
	}
	message, ok := x.seal.Open(subject, data)
	if !ok {
		x.dropped.Add(1)
	}
	return message, ok
}

// openStored is open for a message that the stream has sent; it also shows where the other end stores.
func (x *end) openStored(m *nats.Msg, base string) ([]byte, bool) {
	subject := m.Header.Get(nats.JSSubject)
	data, ok := x.open(subject, m.Data)
	if ok {
		x.met(subject, base)
	}
	return data, ok
}

// met records where the other end stores, from the subject of a message that opened.
func (x *end) met(subject, base string) {
	if suffix, is := strings.CutPrefix(subject, base); is && x.seal != nil {
		x.peer = suffix
	}
}

// last returns the last message that the other end has stored on a subject of the edge, or nil if there is none. If the
// name of the other end is not known, others can make it nil.
func (x *end) last(ctx context.Context, js jetstream.JetStream, stream, base string) ([]byte, error) {
	m, err := getLast(ctx, js, stream, base+x.peer)
	if err != nil || m == nil {
		return nil, err
	}
	data, ok := x.openStored(m, base)
	if !ok {
		return nil, nil
	}
	return data, nil
}

// getLast returns the last stored message on a subject, or nil if there is none.
func getLast(ctx context.Context, js jetstream.JetStream, stream, subject string) (*nats.Msg, error) {
	m, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "DIRECT.GET."+stream+"."+subject), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, errors.Join(checkStream(ctx, js, stream), err)
	case err != nil:
		return nil, err
	}
	switch code := status(m); code {
	case "":
		return m, nil
	case "404":
		return nil, nil
	default:
		return nil, fmt.Errorf("read the last message on %s: status %s", subject, code)
	}
}
