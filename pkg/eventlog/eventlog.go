// Package eventlog publishes to EVENTS and reads single messages from it. It is separate from package broker, which
// executors import, because it logs.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

const (
	// publishWait limits one publication, readWait reading one message.
	publishWait = 10 * time.Second
	readWait    = 5 * time.Second
	// dataTries is the number of tries to get an event's data, dataPause the pause between two tries.
	dataTries = 3
	dataPause = time.Second
	// readsAtOnce limits the events whose data Read reads at the same time: a small message may refer to much.
	readsAtOnce = 4
)

// A Log is the stream EVENTS, to which one service publishes and from which it reads single messages.
type Log struct {
	link    *broker.Link
	service string
	log     zerolog.Logger
	reads   chan struct{} // holds a token for each event whose data Read reads
}

// New returns the log of a service.
func New(link *broker.Link, service string, log zerolog.Logger) Log {
	return Log{link: link, service: service, log: log, reads: make(chan struct{}, readsAtOnce)}
}

// Append stores an event if the last event of its aggregate is at last (0: there is none), and returns its place.
// stored is false if the last event is another one. An event without an aggregate is stored unconditionally. An error
// that a retry cannot resolve is a *problem.Permanent.
func (s Log) Append(ctx context.Context, e contract.Event, last uint64) (seq uint64, stored bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	e.Source, e.Time = contract.Source(s.service), time.Now().UTC()
	e.ID = e.NATSSubject() + "." + eventID(e, last)
	msg, err := s.encode(ctx, e)
	if err != nil {
		return 0, false, err
	}
	msg.Subject = e.IngressSubject()
	var condition []jetstream.PublishOpt
	if a := e.Aggregate(); a != "" {
		condition = append(condition, jetstream.WithExpectLastSequenceForSubject(last, a))
	}
	ack, err := s.link.JS.PublishMsg(ctx, msg, condition...)
	if broker.SaidBefore(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	s.answer(e, msg)
	s.log.Debug().EmbedObject(About(e)).Str("event", e.NATSSubject()).Uint64("seq", ack.Sequence).Msg("published")
	return ack.Sequence, true, nil
}

// answer sends a stored dead letter to the sender of the message, who knows its place in EVENTS.
func (s Log) answer(e contract.Event, stored *nats.Msg) {
	if e.Type == contract.TypeDeadLetter && e.Cause > 0 {
		_ = s.link.PublishMsg(&nats.Msg{ // fails only if the connection is closed
			Subject: contract.DeadLetterSubject(e.Cause), Header: stored.Header, Data: stored.Data,
		})
	}
}

// eventID returns an id that distinguishes an event from others on its subject. A repeated publication has the same id:
// only one event is stored after a given event of an aggregate, and a message has one dead letter.
func eventID(e contract.Event, last uint64) string {
	switch {
	case e.Aggregate() != "":
		return fmt.Sprint(last)
	case e.Cause > 0:
		return fmt.Sprint(e.Cause)
	}
	return nuid.Next()
}

func (s Log) encode(ctx context.Context, e contract.Event) (*nats.Msg, error) {
	msg, err := s.link.Encode(ctx, e)
	var problems problem.List
	switch {
	case errors.As(err, &problems):
		return nil, &problem.Permanent{Problem: problems[0]}
	case err != nil && !broker.Passing(err):
		return nil, &problem.Permanent{Problem: problem.Problem{Code: problem.InternalFailure, Message: err.Error()}}
	}
	return msg, err
}

// Last returns the place and type of the last event of an aggregate, or 0 if EVENTS has none.
func (s Log) Last(ctx context.Context, aggregate string) (uint64, contract.Type, error) {
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	events, err := s.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return 0, "", err
	}
	m, err := events.GetLastMsgForSubject(ctx, aggregate)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", fmt.Errorf("read the last event on %s: %w", aggregate, err)
	}
	return m.Sequence, contract.TypeOf(m.Subject), nil
}

// Bounds returns the numbers of the first message and of the last one.
func (s Log) Bounds(ctx context.Context) (first, last uint64, err error) {
	events, err := s.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return 0, 0, err
	}
	state := events.CachedInfo().State
	return state.FirstSeq, state.LastSeq, nil
}

// Read reads and decodes one message, and also returns its body. The message is nil if EVENTS no longer has it. A message
// whose data cannot be read in time has problems: whoever has sent it gets an answer.
func (s Log) Read(ctx context.Context, seq uint64) (*event.Stored, []byte, error) {
	short, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	raw, err := s.link.LeaderMessage(short, contract.StreamEvents, broker.Query{Seq: seq})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read event %d: %w", seq, err)
	}
	m := event.NewStored(event.Place{Seq: seq, At: raw.Time}, raw.Subject)
	if _, refers, _ := event.Referenced(m.Type, raw.Header, raw.Data); refers {
		select {
		case s.reads <- struct{}{}:
			defer func() { <-s.reads }()
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	slow := func(err error) bool { return errors.Is(err, broker.ErrSlow) }
	body, err := s.resolve(ctx, raw.Subject, raw.Header, raw.Data, slow)
	if err != nil {
		if broker.Transient(err) && !slow(err) || ctx.Err() != nil {
			return nil, nil, err
		}
		m.Fail(givenUp(err))
	}
	m.Decode(raw.Header, body)
	m.Event.Time = raw.Time
	return m, body, nil
}

// Receive returns a message that a follower received, decoded if its reader handles the type.
//
// Few events refer to data, and the others do not wait for it for long: an event whose data cannot be read after some
// tries is unreadable. The document of a submission is not read: it may be large, and only the service that judges
// the submission needs it.
func (s Log) Receive(
	ctx context.Context, msg *nats.Msg, meta *nats.MsgMetadata, reads func(contract.Type) bool,
) *event.Stored {
	m := event.NewStored(event.Place{Seq: meta.Sequence.Stream, At: meta.Timestamp}, msg.Subject)
	m.Size = len(msg.Subject) + len(msg.Data)
	for key, values := range msg.Header {
		for _, v := range values {
			m.Size += len(key) + len(v)
		}
	}
	if reads(m.Type) {
		body := msg.Data
		if m.Type != contract.TypeFlowSubmit {
			var err error
			body, err = s.resolve(ctx, msg.Subject, msg.Header, msg.Data, func(error) bool { return true })
			if err != nil {
				m.Fail(givenUp(err))
			}
		}
		m.Decode(msg.Header, body)
	}
	return m
}

// resolve returns a message's body, including the data that it may refer to. After some errors it tries again.
func (s Log) resolve(
	ctx context.Context, subject string, header nats.Header, body []byte, again func(error) bool,
) ([]byte, error) {
	return insist(ctx, s.link.IsConnected, func() ([]byte, error) {
		return s.link.Resolve(ctx, subject, header, body)
	}, func(err error) bool {
		if isUnreadable(err) || !again(err) {
			return false
		}
		s.log.Warn().Err(err).Str("event", subject).Msg("cannot get an event's data; trying again")
		return true
	})
}

// insist calls get until it succeeds or no further call is of use, and at most dataTries times while connected: without
// a connection, the data is not the cause.
func insist(
	ctx context.Context, connected func() bool, get func() ([]byte, error), again func(error) bool,
) ([]byte, error) {
	for attempt := 1; ; {
		body, err := get()
		if err == nil || ctx.Err() != nil || attempt == dataTries || !again(err) {
			return body, err
		}
		select {
		case <-time.After(dataPause):
		case <-ctx.Done():
		}
		if connected() {
			attempt++
		}
	}
}

// givenUp returns the error of data that is not read again, as the sender of the event learns it.
func givenUp(err error) error {
	if isUnreadable(err) {
		return err
	}
	return &event.Unreadable{Problems: problem.List{{
		Code: problem.GaveUp, Pointer: "/dataref", Message: err.Error(), Hint: "send the event again",
	}}}
}

func isUnreadable(err error) bool {
	var unreadable *event.Unreadable
	return errors.As(err, &unreadable)
}
