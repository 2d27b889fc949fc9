package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A task is a cause to be answered, or effects that follow from a fact.
type task struct {
	msg     jetstream.Msg // nil for facts
	effects []contract.Event
}

// release gives a cause back unanswered, for another replica or the next start.
func (r *Runtime[S]) release(t task) {
	if t.msg != nil {
		r.working.end(t.msg)
		_ = t.msg.Nak() // a lost nak only costs AckWait
	}
}

// maxInFlight bounds the causes that one replica holds unanswered.
const maxInFlight = 512

func (r *Runtime[S]) consume(ctx context.Context) error {
	cons, err := r.link.JS.CreateOrUpdateConsumer(ctx, contract.StreamEvents, jetstream.ConsumerConfig{
		Durable:        r.s.Name,
		Description:    "causes that " + r.s.Name + " answers",
		FilterSubjects: patterns(r.s.Causes),
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        r.c.AckWait,
		MaxAckPending:  10 * maxInFlight,
	})
	if err != nil {
		return fmt.Errorf("consume causes: %w", err)
	}
	cc, err := cons.Consume(func(m jetstream.Msg) {
		r.working.begin(m)
		r.dispatch(ctx, key(m), task{msg: m})
	}, jetstream.PullMaxMessages(maxInFlight), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		r.log.Debug().Err(err).Msg("consuming interrupted; it resumes by itself")
	}))
	if err != nil {
		return fmt.Errorf("consume causes: %w", err)
	}
	select {
	case <-ctx.Done():
		cc.Stop()
		<-cc.Closed()
		return nil
	case <-cc.Closed(): // somebody has deleted the consumer
		return errors.New("consume causes: the consumer is gone")
	}
}

// key fixes the worker: all events of one flow go to the same, so that its effects keep their order.
// Submissions are independent of each other, and say their flow only inside.
func key(m jetstream.Msg) string {
	tokens := strings.SplitN(m.Subject(), ".", 4)
	switch {
	case len(tokens) > 2:
		return tokens[2]
	case m.Subject() == string(contract.TypeFlowSubmit):
		return m.Reply() // unique: it names the message's place in the stream
	default:
		return m.Subject()
	}
}

func (r *Runtime[S]) work(ctx context.Context, tasks <-chan task) {
	for {
		select {
		case t := <-tasks:
			r.do(ctx, t)
		case <-ctx.Done():
			return
		}
	}
}

// handBack gives back what no worker has taken up.
func (r *Runtime[S]) handBack(workers []chan task) {
	for _, tasks := range workers {
		for len(tasks) > 0 {
			r.release(<-tasks)
		}
	}
}

func (r *Runtime[S]) do(ctx context.Context, t task) {
	if t.msg != nil {
		r.answerCause(ctx, t.msg)
		return
	}
	err := r.carryOut(ctx, t.effects)
	if ctx.Err() != nil {
		return
	}
	id := t.effects[0].DedupID()
	attempt := r.tries.note(id, err, time.Now())
	if err == nil {
		return
	}
	r.log.Warn().Err(err).Int("attempt", attempt).Msg("effect of a fact failed; a later tick tries again")
	if p := r.hopeless(err, attempt); p != nil {
		if err := r.refuse(ctx, contract.Event{}, t.effects, *p); err == nil {
			r.tries.note(id, nil, time.Now())
		}
	}
}

// hopeless returns the problem of an error that is not worth another attempt, else nil.
func (r *Runtime[S]) hopeless(err error, attempt int) *problem.Problem {
	var permanent *Permanent
	switch {
	case errors.As(err, &permanent):
		return &permanent.Problem
	case attempt >= r.c.MaxAttempts:
		return &problem.Problem{
			Code:    problem.GaveUp,
			Message: fmt.Sprintf("%s gave up after %d attempts: %v", r.s.Name, attempt, err),
		}
	default:
		return nil
	}
}

func (r *Runtime[S]) answerCause(ctx context.Context, m jetstream.Msg) {
	r.stats.Causes.Add(1)
	defer r.working.end(m)
	err := r.handle(ctx, m)
	switch {
	case err == nil:
		err = m.Ack()
	case ctx.Err() != nil:
		err = m.Nak()
	default:
		r.stats.Retries.Add(1)
		delay := backOff(attempts(m))
		r.log.Warn().Err(err).Str("cause", m.Subject()).Dur("retry", delay).Msg("passing error")
		err = m.NakWithDelay(delay)
	}
	if err != nil && ctx.Err() == nil {
		r.log.Debug().Err(err).Str("cause", m.Subject()).Msg("cannot acknowledge; it comes again")
	}
}

// handle answers one cause. An error means: try again later.
func (r *Runtime[S]) handle(ctx context.Context, m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	seq := meta.Sequence.Stream
	e, err := event.Decode(m.Subject(), m.Headers(), m.Data())
	var unreadable *event.Unreadable
	if errors.As(err, &unreadable) {
		r.stats.Unreadable.Add(1)
		return r.publish(ctx, refuseUnreadable(e, m, seq, unreadable.Problems))
	} else if err != nil {
		return err
	}
	e.Seq = seq
	if e.Time.IsZero() {
		e.Time = meta.Timestamp
	}
	// One flow's causes are answered one after the other, and each sees the effects of the one before:
	// two submissions of one flow must not be judged as if the other did not exist.
	defer r.busy.lock(e.Subject)()
	if err := r.cursor.await(ctx, seq, r.c.AckWait); err != nil {
		return err
	}
	effects, err := r.decide(e)
	if err != nil {
		return r.refuse(ctx, e, nil, problem.Problem{Code: problem.InternalFailure, Message: err.Error()})
	}
	if len(effects) == 0 && len(e.Problems) > 0 { // a command that nobody can carry out
		return r.publish(ctx, deadLetter(m.Subject(), seq, e.Problems, m.Data()))
	}
	for i := range effects {
		effects[i].TraceParent = first(effects[i].TraceParent, e.TraceParent)
	}
	err = r.carryOut(ctx, effects)
	if err == nil {
		err = r.cursor.await(ctx, r.ownLast.Load(), r.c.AckWait)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if p := r.hopeless(err, int(attempts(m))); p != nil {
		return r.refuse(ctx, e, effects, *p)
	}
	return err
}

// carryOut makes the effects true and says so, in order.
func (r *Runtime[S]) carryOut(ctx context.Context, effects []contract.Event) error {
	for _, e := range effects {
		err := r.said.once(ctx, e.DedupID(), func() error { return r.carryOutOne(ctx, e) })
		if err != nil {
			return fmt.Errorf("%s of %s: %w", e.Type, e.Subject, err)
		}
	}
	return nil
}

func (r *Runtime[S]) carryOutOne(ctx context.Context, e contract.Event) error {
	if r.s.Perform != nil {
		if err := r.s.Perform(ctx, e); err != nil {
			return err
		}
	}
	if _, said := contract.Lookup(e.Type); !said {
		return nil // an act
	}
	return r.publish(ctx, e)
}

// publishWait bounds one publication, its retries included.
const publishWait = 10 * time.Second

func (r *Runtime[S]) publish(ctx context.Context, e contract.Event) error {
	e.Source = contract.Source(r.s.Name)
	e.Time = time.Now().UTC()
	msg, err := event.Encode(e)
	if err != nil {
		return &Permanent{problem.Problem{Code: problem.InternalFailure, Message: err.Error()}}
	}
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	var opts []jetstream.PublishOpt
	if e.Once {
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(0))
	}
	ack, err := r.link.JS.PublishMsg(ctx, msg, opts...)
	if e.Once && broker.SaidBefore(err) {
		return nil
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return &Permanent{tooLarge(e, len(msg.Data), r.link.MaxPayload())}
	}
	if err != nil {
		return err
	}
	r.stats.Effects.Add(1)
	if r.folds[e.Type] && !ack.Duplicate {
		raise(&r.ownLast, ack.Sequence)
	}
	r.log.Debug().Str("event", msg.Subject).Uint64("seq", ack.Sequence).Bool("repeat", ack.Duplicate).Msg("said")
	return nil
}

func tooLarge(e contract.Event, size int, limit int64) problem.Problem {
	return problem.Problem{
		Code:    problem.TooLarge,
		Message: fmt.Sprintf("the %s event has %d octets; the broker carries %d", e.Type, size, limit),
		Hint:    "raise max_payload in the NATS server's configuration, or split the flow",
	}
}

// refuse turns an error that does not pass into an event that says why: a rejection of the flow that
// the effects are about, else of the cause's, else a dead letter. A flow that has ended already is left
// to ticks and reconcilers.
func (r *Runtime[S]) refuse(ctx context.Context, cause contract.Event, effects []contract.Event, p problem.Problem) error {
	r.stats.Refused.Add(1)
	r.log.Error().Str("cause", string(cause.Type)).Str("subject", cause.Subject).Stringer("problem", p).Msg("refused")
	flow, trace := cause.Flow(), cause.TraceParent
	for _, e := range effects {
		if e.Type == contract.TypeFlowCleaned {
			return nil
		}
		if e.Flow() != "" {
			flow, trace = e.Flow(), e.TraceParent
			break
		}
	}
	switch {
	case flow == "":
		return r.publish(ctx, deadLetter(string(cause.Type), cause.Seq, problem.List{p}, cause.Raw))
	case cause.EndsFlow() && flow == cause.Flow():
		return nil
	}
	rejection := contract.Event{
		Type: contract.TypeFlowRejected, Subject: flow, MsgID: contract.VerdictID(flow), TraceParent: trace,
		Data: &contract.FlowRejected{Problems: problem.List{p}},
	}
	if cause.Type == contract.TypeFlowSubmit {
		rejection.MsgID = contract.JudgedID(flow, cause.Seq)
	}
	return r.publish(ctx, rejection)
}

// refuseUnreadable answers a message that is no event: a submission that says which flow it is about
// with a rejection, all else with a dead letter.
func refuseUnreadable(e contract.Event, m jetstream.Msg, seq uint64, problems problem.List) contract.Event {
	switch {
	case e.Type == contract.TypeFlowSubmit && e.Subject != "":
		return contract.Event{
			Type: contract.TypeFlowRejected, Subject: e.Subject, MsgID: contract.JudgedID(e.Subject, seq),
			Data: &contract.FlowRejected{Problems: problems},
		}
	default:
		return deadLetter(m.Subject(), seq, problems, m.Data())
	}
}

const excerptLimit = 512

func deadLetter(subject string, seq uint64, problems problem.List, raw []byte) contract.Event {
	return contract.Event{
		Type: contract.TypeDeadLetter, Subject: "deadletter", MsgID: fmt.Sprintf("deadletter.%d", seq),
		Data: &contract.DeadLetter{
			Subject: subject, Sequence: seq, Problems: problems, Excerpt: excerpt(raw),
		},
	}
}

func excerpt(raw []byte) string {
	return string([]rune(string(raw[:min(len(raw), excerptLimit)])))
}

func attempts(m jetstream.Msg) uint64 {
	meta, err := m.Metadata()
	if err != nil {
		return 1
	}
	return meta.NumDelivered
}

// backOff grows from 100 ms to 5 s.
func backOff(attempt uint64) time.Duration {
	return min(100*time.Millisecond<<min(attempt-1, 6), 5*time.Second)
}
