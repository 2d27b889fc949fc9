package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Query selects a stored message, as the server reads it: by its number, the last one on a subject, or the next one
// on subjects from a number or a time on.
type Query struct {
	Seq  uint64     `json:"seq,omitempty"`
	Last string     `json:"last_by_subj,omitempty"`
	Next string     `json:"next_by_subj,omitempty"`
	From *time.Time `json:"start_time,omitempty"`
	// Batch and MaxBytes limit the messages that answer a query to a replica. A message that exceeds MaxBytes is the
	// last one.
	Batch    int `json:"batch,omitempty"`
	MaxBytes int `json:"max_bytes,omitempty"`
}

// LeaderSubject is where the leader of a stream answers queries, with one message each. It has every message whose
// publication was acknowledged.
func (l *Link) LeaderSubject(stream string) string { return l.API("STREAM.MSG.GET." + stream) }

// ReplicaSubject is where any replica of a stream answers queries. It may be behind the leader.
func (l *Link) ReplicaSubject(stream string) string { return l.API("DIRECT.GET." + stream) }

// leader is a link for requests to the leaders of streams.
func leader(js jetstream.JetStream) *Link { return &Link{Conn: js.Conn(), JS: js} }

// LeaderMessage asks the leader of a stream for a message. It needs no handle on the stream, which only who may read
// the stream's configuration gets. The error may be jetstream.ErrMsgNotFound or jetstream.ErrStreamNotFound.
func (l *Link) LeaderMessage(ctx context.Context, stream string, q Query) (*jetstream.RawStreamMsg, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	m, err := l.RequestWithContext(ctx, l.LeaderSubject(stream), body)
	if err != nil {
		return nil, err
	}
	return LeaderAnswer(m)
}

// LeaderAnswer decodes the answer of a stream's leader to a query.
func LeaderAnswer(m *nats.Msg) (*jetstream.RawStreamMsg, error) {
	if code := statusOf(m); code == "503" {
		return nil, nats.ErrNoResponders
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	err := jsonv2.Unmarshal(m.Data, &answer) // twice as fast as encoding/json with large data
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the broker's answer: %w", err)
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, jetstream.ErrMsgNotFound
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return nil, jetstream.ErrStreamNotFound
	case answer.Error != nil:
		return nil, answer.Error
	case answer.Message == nil:
		return nil, errors.New("read the broker's answer: it has no message")
	}
	out := &jetstream.RawStreamMsg{
		Subject: answer.Message.Subject, Sequence: answer.Message.Sequence,
		Data: answer.Message.Data, Time: answer.Message.Time,
	}
	if len(answer.Message.Header) > 0 {
		// The broker stores malformed headers. A message that has some is read without any.
		out.Header, _ = nats.DecodeHeadersMsg(answer.Message.Header)
	}
	return out, nil
}

// A ReplicaAnswer is one of the messages that answer a query to a replica.
type ReplicaAnswer struct {
	// Message is nil in the last answer to a query for a batch, and if there is no such message.
	Message *jetstream.RawStreamMsg
	// Before is the number of the message before it in the batch, 0 for the first one.
	Before uint64
	// Pending is the number of further messages that match the query.
	Pending uint64
}

// ReadReplicaAnswer decodes an answer of a replica to a query. The broker adds its headers behind those of the message,
// which may have the same names. A message with malformed headers cannot be read from a replica: it is answered
// like the end of a batch.
func ReadReplicaAnswer(m *nats.Msg) (a ReplicaAnswer, err error) {
	if added(m, nats.JSSequence) == "" {
		return a, refused(m)
	}
	out := &jetstream.RawStreamMsg{Subject: added(m, nats.JSSubject), Header: m.Header, Data: m.Data}
	if out.Sequence, err = strconv.ParseUint(added(m, nats.JSSequence), 10, 64); err != nil {
		return a, fmt.Errorf("read the number of a stored message: %w", err)
	}
	if out.Time, err = time.Parse(time.RFC3339Nano, added(m, nats.JSTimeStamp)); err != nil {
		return a, fmt.Errorf("read the time of message %d: %w", out.Sequence, err)
	}
	if before := added(m, nats.JSLastSequence); before != "" {
		if a.Before, err = strconv.ParseUint(before, 10, 64); err != nil {
			return a, fmt.Errorf("read the place of message %d: %w", out.Sequence, err)
		}
	}
	if pending := added(m, "Nats-Num-Pending"); pending != "" {
		if a.Pending, err = strconv.ParseUint(pending, 10, 64); err != nil {
			return a, fmt.Errorf("read what follows message %d: %w", out.Sequence, err)
		}
	}
	a.Message = out
	return a, nil
}

// refused returns an error if a message without a number is not the end of an answer.
func refused(m *nats.Msg) error {
	switch code := statusOf(m); code {
	case "", "204", "404": // malformed headers; the end of a batch; no message
		return nil
	case "503":
		return nats.ErrNoResponders
	default:
		return fmt.Errorf("the broker refused a query: status %s %s", code, m.Header.Get("Description"))
	}
}

// statusOf returns the status code of a message that carries one instead of a payload, else "".
func statusOf(m *nats.Msg) string {
	if len(m.Data) > 0 {
		return ""
	}
	return m.Header.Get("Status")
}

// added returns the value of a header that the broker has added.
func added(m *nats.Msg, key string) string {
	values := m.Header[key]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
