package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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
	// ErrTaken refuses an event that was to open its aggregate. Perform may return it, too.
	ErrTaken = errors.New("its subject is in use")
	errFence = errors.New("the lease has run out")
)

// fly carries out a flight and tells the core how it went.
func (r *Runtime[S]) fly(t *term, f *flight) {
	o := r.carryOut(t, f)
	if t.ctx.Err() != nil || errors.Is(o.err, errFence) {
		return // the next leader decides on it
	}
	r.step(func(c *core[S]) { c.finished(o) })
}

func (r *Runtime[S]) carryOut(t *term, f *flight) outcome {
	o := outcome{flight: f}
	if f.pause > 0 {
		r.stats.Retries.Add(1)
		pause(t.ctx, f.pause)
	}
	own := make(map[string]uint64)
	for i := range f.effects {
		e, err := r.carryOutOne(t, f, f.effects[i], own)
		if err != nil {
			o.failed, o.err = &f.effects[i], r.connected(err)
			return o
		}
		o.performed = append(o.performed, e)
	}
	return o
}

// connected tells an error of a broker that is away from others: how long that takes says nothing of the effect.
func (r *Runtime[S]) connected(err error) error {
	if !r.link.IsConnected() {
		return errors.Join(errDisconnected, err)
	}
	return err
}

// carryOutOne makes an effect true and publishes it. own are the places of what the flight has published.
func (r *Runtime[S]) carryOutOne(
	t *term, f *flight, e contract.Event, own map[string]uint64,
) (contract.Event, error) {
	trace := e.TraceParent
	e, err := r.perform(t, e)
	if err != nil {
		return e, err
	}
	if e.TraceParent == "" {
		e.TraceParent = trace
	}
	if _, said := contract.Lookup(e.Type); !said {
		return e, nil // an act
	}
	seq, err := r.publish(t, f.decided, e, own)
	f.seq = max(f.seq, seq)
	return e, err
}

func (r *Runtime[S]) perform(t *term, e contract.Event) (contract.Event, error) {
	if o, ok := e.With.(outcast); ok {
		return r.readOutcast(t.ctx, o)
	}
	if r.s.Perform == nil {
		return e, nil
	}
	if !t.lease.Held() {
		return e, errFence
	}
	return r.s.Perform(t.ctx, r, e)
}

// readOutcast reads a message that was set aside and returns its answer.
func (r *Runtime[S]) readOutcast(ctx context.Context, o outcast) (contract.Event, error) {
	m, raw, err := r.message(ctx, o.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return deadLetter("", o.Seq, problem.List{{
			Code: problem.InternalFailure, Message: "the message is not kept any more; " + o.Why,
		}}, nil), nil
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
	m := &message{subject: raw.Subject, kind: contract.TypeOf(raw.Subject), place: place{seq, raw.Time}}
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

// publish stores an event on the condition that nothing was published about its aggregate that the state had
// not folded when it decided, and returns the event's place.
func (r *Runtime[S]) publish(
	t *term, decided uint64, e contract.Event, own map[string]uint64,
) (uint64, error) {
	ctx, cancel := context.WithTimeout(t.ctx, publishWait)
	defer cancel()
	aggregate := e.Aggregate()
	last, mine := own[aggregate]
	if !mine {
		last = r.lastOf(aggregate)
		if last > decided {
			return 0, &staleError{last}
		}
	}
	seq, err := r.publishBehind(ctx, t, e, aggregate, last)
	if broker.SaidBefore(err) {
		found, kind, lookErr := r.look(ctx, e, aggregate)
		switch {
		case lookErr != nil:
			return 0, lookErr
		case found > max(decided, last):
			return 0, &staleError{found}
		case e.Opens && found > 0 && kind != contract.TypeFlowRejected:
			return 0, ErrTaken
		}
		seq, err = r.publishBehind(ctx, t, e, aggregate, found)
	}
	if err != nil {
		return 0, err
	}
	own[aggregate] = seq
	r.stats.Effects.Add(1)
	return seq, nil
}

// publishBehind publishes an event if the last one of its aggregate is the one at last.
func (r *Runtime[S]) publishBehind(
	ctx context.Context, t *term, e contract.Event, aggregate string, last uint64,
) (uint64, error) {
	e.Source, e.Time = contract.Source(r.s.Name), time.Now().UTC()
	if e.ID == "" {
		e.ID = fmt.Sprintf("%s.%d", e.NATSSubject(), last) // nothing else is stored behind that one
	}
	msg, err := r.encode(ctx, e)
	if err != nil {
		return 0, err
	}
	msg.Subject = e.IngressSubject()
	if !t.lease.Held() {
		return 0, errFence
	}
	ack, err := r.link.JS.PublishMsg(ctx, msg, jetstream.WithExpectLastSequenceForSubject(last, aggregate))
	if err != nil {
		return 0, err
	}
	r.log.Debug().Str("event", msg.Subject).Uint64("seq", ack.Sequence).Msg("published")
	return ack.Sequence, nil
}

func (r *Runtime[S]) lastOf(aggregate string) uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.core.last[aggregate]
}

// look asks the broker for the last event of an aggregate: its place, and its type; 0 where there is none,
// or where it is so old that it is not kept.
func (r *Runtime[S]) look(ctx context.Context, e contract.Event, aggregate string) (uint64, contract.Type, error) {
	events, err := r.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return 0, "", err
	}
	m, err := events.GetLastMsgForSubject(ctx, aggregate)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", fmt.Errorf("look for the last event on %s: %w", e.Subject, err)
	}
	return m.Sequence, contract.TypeOf(m.Subject), nil
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
