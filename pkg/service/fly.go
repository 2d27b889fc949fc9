package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A staleError says that something was published about an effect's aggregate that the state did not know when
// it decided.
type staleError struct{ seq uint64 }

func (e *staleError) Error() string {
	return fmt.Sprintf("event %d was published meanwhile", e.seq)
}

var (
	// ErrTaken refuses an event that was to open its aggregate. Perform may return it, too. A dead letter answers
	// the event's cause.
	ErrTaken = errors.New("there are events about it already")
	errFence = errors.New("the lease has run out")
)

// A Log is EVENTS, as the effects of a service are written to it.
type Log interface {
	// Append stores an event, and returns its place, if the last event of its aggregate is the one at last; else
	// the error is ErrConflict. An event without an aggregate is stored whatever is there.
	Append(ctx context.Context, e contract.Event, last uint64) (uint64, error)
	// Last returns the place and the type of the last event of an aggregate, 0 where there is none, or where it is
	// so old that it is not kept.
	Last(ctx context.Context, aggregate string) (uint64, contract.Type, error)
}

// ErrConflict says that something else was published about an event's aggregate.
var ErrConflict = errors.New("something else was published about it")

// A pilot carries out flights.
type pilot struct {
	service string
	log     Log
	// perform makes an effect true, and returns it as it is to be published.
	perform func(context.Context, contract.Event) (contract.Event, error)
	// lastOf is the place of the last event of an aggregate, as far as it is folded.
	lastOf func(aggregate string) uint64
	// held reports whether we lead.
	held func() bool
}

// carryOut makes the effects of a flight true and publishes them, in order.
//
// A pause between two tries ends with a tick: the state that decides on the next try knows whether the one before
// was stored although its answer was lost.
func (p pilot) carryOut(ctx context.Context, f *flight) outcome {
	o := outcome{flight: f}
	if len(f.effects) == 0 {
		f.seq, o.err = p.append(ctx, tick(p.service), 0)
		return o
	}
	own := make(map[string]uint64)
	for i := range f.effects {
		e, err := p.carryOutOne(ctx, f, f.effects[i], own)
		if err != nil {
			o.failed, o.err = &f.effects[i], err
			return o
		}
		o.performed = append(o.performed, e)
	}
	return o
}

// carryOutOne makes an effect true and publishes it. own are the places of what the flight has published.
func (p pilot) carryOutOne(
	ctx context.Context, f *flight, e contract.Event, own map[string]uint64,
) (contract.Event, error) {
	trace := e.TraceParent
	if !p.held() {
		return e, errFence
	}
	e, err := p.perform(ctx, e)
	if err != nil {
		return e, err
	}
	if e.TraceParent == "" {
		e.TraceParent = trace
	}
	if _, said := contract.Lookup(e.Type); !said {
		return e, nil // an act
	}
	seq, err := p.publish(ctx, f.decided, e, own)
	f.seq = max(f.seq, seq)
	return e, err
}

// publish stores an event on the condition that nothing was published about its aggregate that the state had
// not folded when it decided, and returns the event's place.
func (p pilot) publish(
	ctx context.Context, decided uint64, e contract.Event, own map[string]uint64,
) (uint64, error) {
	aggregate := e.Aggregate()
	if aggregate == "" {
		return p.append(ctx, e, 0)
	}
	last, mine := own[aggregate]
	if !mine {
		last = p.lastOf(aggregate)
		if last > decided {
			return 0, &staleError{last}
		}
		if e.Opens {
			last = 0 // what is there must be looked at
		}
	}
	seq, err := p.append(ctx, e, last)
	if errors.Is(err, ErrConflict) {
		found, kind, lookErr := p.log.Last(ctx, aggregate)
		switch {
		case lookErr != nil:
			return 0, lookErr
		case found > max(decided, last):
			return 0, &staleError{found}
		case e.Opens && found > 0 && kind != contract.TypeFlowRejected:
			return 0, fmt.Errorf("%s of %s: %w", e.Type, e.Subject, ErrTaken)
		}
		seq, err = p.append(ctx, e, found)
	}
	if err == nil {
		own[aggregate] = seq
	}
	return seq, err
}

func (p pilot) append(ctx context.Context, e contract.Event, last uint64) (uint64, error) {
	if !p.held() {
		return 0, errFence
	}
	return p.log.Append(ctx, e, last)
}

// fly carries out a flight and tells the core how it went.
func (r *Runtime[S]) fly(t *term, f *flight) {
	if f.pause > 0 {
		r.stats.Retries.Add(1)
		pause(t.ctx, f.pause)
	}
	p := pilot{
		service: r.s.Name, log: eventLog[S]{r}, lastOf: r.lastOf, held: t.lease.Held,
		perform: func(ctx context.Context, e contract.Event) (contract.Event, error) { return r.perform(ctx, e) },
	}
	o := p.carryOut(t.ctx, f)
	if t.ctx.Err() != nil || errors.Is(o.err, errFence) {
		return // the next leader decides on it
	}
	if o.err != nil && (!r.link.IsConnected() || broker.Full(o.err)) { // how long that takes says nothing of the effect
		o.err = errors.Join(errDisconnected, o.err)
	}
	r.step(func(c *core[S]) { c.finished(o) })
}

func (r *Runtime[S]) perform(ctx context.Context, e contract.Event) (contract.Event, error) {
	if o, ok := e.With.(outcast); ok {
		return r.readOutcast(ctx, o)
	}
	if r.s.Perform == nil {
		return e, nil
	}
	return r.s.Perform(ctx, r, e)
}

// readOutcast reads a message that was set aside and returns its answer.
func (r *Runtime[S]) readOutcast(ctx context.Context, o outcast) (contract.Event, error) {
	m, raw, err := r.message(ctx, o.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return notKept(o), nil
	}
	if err != nil {
		return contract.Event{}, err
	}
	r.stats.Refused.Add(1)
	return answerOutcast(m, raw, o), nil
}

// messageWait bounds reading one message of EVENTS.
const messageWait = 5 * time.Second

// Event reads one event of EVENTS again, with the data that it may refer to. The problems say why the message
// is not an event.
func (r *Runtime[S]) Event(ctx context.Context, seq uint64) (contract.Event, problem.List, error) {
	m, _, err := r.message(ctx, seq)
	if err != nil {
		return contract.Event{}, nil, err
	}
	return m.event, m.problems, nil
}

// message reads and decodes one message of EVENTS.
func (r *Runtime[S]) message(ctx context.Context, seq uint64) (*message, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, messageWait)
	defer cancel()
	events, err := r.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return nil, nil, err
	}
	raw, err := events.GetMsg(ctx, seq)
	if err != nil {
		return nil, nil, fmt.Errorf("read event %d: %w", seq, err)
	}
	m := &message{subject: raw.Subject, kind: contract.TypeOf(raw.Subject), place: place{Seq: seq, At: raw.Time}}
	data, err := r.link.Resolve(ctx, raw.Header, raw.Data)
	var unreadable *event.Unreadable
	if err != nil && !errors.As(err, &unreadable) {
		return nil, nil, err
	}
	if err != nil {
		m.refuse(err)
	}
	m.decode(raw.Header, data)
	m.event.Seq, m.event.Time = seq, raw.Time
	return m, data, nil
}

// publishWait bounds one publication.
const publishWait = 10 * time.Second

// eventLog is EVENTS on the broker.
type eventLog[S any] struct{ r *Runtime[S] }

func (l eventLog[S]) Append(ctx context.Context, e contract.Event, last uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	e.Source, e.Time = contract.Source(l.r.s.Name), time.Now().UTC()
	switch {
	case e.Cause > 0 && e.Aggregate() == "":
		e.ID = fmt.Sprintf("%s.%d", e.NATSSubject(), e.Cause)
	case e.Aggregate() == "":
		e.ID = fmt.Sprintf("%s.%s", e.NATSSubject(), nuid.Next())
	default:
		e.ID = fmt.Sprintf("%s.%d", e.NATSSubject(), last) // nothing else is stored behind that one
	}
	msg, err := l.r.encode(ctx, e)
	if err != nil {
		return 0, err
	}
	msg.Subject = e.IngressSubject()
	var how []jetstream.PublishOpt
	if a := e.Aggregate(); a != "" {
		how = append(how, jetstream.WithExpectLastSequenceForSubject(last, a))
	}
	ack, err := l.r.link.JS.PublishMsg(ctx, msg, how...)
	if broker.SaidBefore(err) {
		return 0, ErrConflict
	}
	if err != nil {
		return 0, err
	}
	l.r.stats.Effects.Add(1)
	l.r.log.Debug().Str("event", e.NATSSubject()).Uint64("seq", ack.Sequence).Msg("published")
	return ack.Sequence, nil
}

func (l eventLog[S]) Last(ctx context.Context, aggregate string) (uint64, contract.Type, error) {
	ctx, cancel := context.WithTimeout(ctx, messageWait)
	defer cancel()
	events, err := l.r.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return 0, "", err
	}
	m, err := events.GetLastMsgForSubject(ctx, aggregate)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", fmt.Errorf("look for the last event on %s: %w", aggregate, err)
	}
	return m.Sequence, contract.TypeOf(m.Subject), nil
}

func (r *Runtime[S]) lastOf(aggregate string) uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.core.last[aggregate]
}

// encode makes the message of an event. What no try will make better is Permanent.
func (r *Runtime[S]) encode(ctx context.Context, e contract.Event) (*nats.Msg, error) {
	msg, err := r.link.Encode(ctx, e)
	var problems problem.List
	switch {
	case errors.As(err, &problems):
		return nil, &Permanent{problems[0]}
	case err != nil && broker.Passing(err):
		return nil, err
	case err != nil:
		return nil, &Permanent{problem.Problem{Code: problem.InternalFailure, Message: err.Error()}}
	}
	return msg, nil
}
