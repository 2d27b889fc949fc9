package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A task is a cause to be answered, or effects that follow from a fact.
type task struct {
	cause *delivery // nil for facts
	// attempt is 1 the first time.
	attempt uint64
	effects []contract.Event
}

// maxInFlight bounds the causes that are being answered.
const maxInFlight = 512

// A term is the time for which one replica leads.
type term struct {
	workers []chan task
	// book holds the causes that were taken up and answered, slots what may still be taken up.
	book  *book
	slots chan struct{}
	// after runs what belongs to the term; its end awaits it.
	after func(func())
}

// consume hands the causes to the workers. What the last leader has left open comes first.
func (r *Runtime[S]) consume(ctx context.Context, t *term) {
	p := r.tail.join(r.s.Causes, t.book.next())
	defer r.tail.leave(p)
	for ctx.Err() == nil {
		batch, err := r.read(ctx, p)
		if err != nil && ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("cannot read causes; trying again")
			pause(ctx, readPause)
		}
		for _, d := range batch {
			r.takeUp(ctx, t, d)
		}
	}
}

func (r *Runtime[S]) takeUp(ctx context.Context, t *term, d *delivery) {
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	if !t.book.begin(d) {
		<-t.slots
		return
	}
	r.dispatch(ctx, t, key(d), task{cause: d, attempt: 1})
}

// key fixes the worker: all events of one flow go to the same, so that its effects keep their order.
// Submissions are independent of each other, and say their flow only inside.
func key(d *delivery) string {
	tokens := strings.SplitN(d.subject, ".", 4)
	switch {
	case len(tokens) > 2:
		return tokens[2]
	case d.subject == string(contract.TypeFlowSubmit):
		return strconv.FormatUint(d.seq, 10)
	default:
		return d.subject
	}
}

func (r *Runtime[S]) work(ctx context.Context, t *term, tasks <-chan task) {
	for {
		select {
		case todo := <-tasks:
			r.do(ctx, t, todo)
		case <-ctx.Done():
			return
		}
	}
}

func (r *Runtime[S]) do(ctx context.Context, t *term, todo task) {
	if todo.cause != nil {
		r.answerCause(ctx, t, todo)
		return
	}
	_, err := r.carryOut(ctx, todo.effects, none)
	if ctx.Err() != nil {
		return
	}
	id := todo.effects[0].DedupID()
	attempt := r.tries.note(id, err, time.Now())
	if err == nil {
		return
	}
	r.log.Warn().Err(err).Int("attempt", attempt).Msg("effect of a fact failed; a later tick tries again")
	if p := r.hopeless(err, attempt); p != nil {
		if err := r.refuse(ctx, contract.Event{}, todo.effects, *p); err == nil {
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

// answerCause answers a cause, or tries again later. What the end of the term leaves open is for the next
// leader.
func (r *Runtime[S]) answerCause(ctx context.Context, t *term, todo task) {
	r.stats.Causes.Add(1)
	err := r.handle(ctx, todo)
	switch {
	case err == nil:
		t.book.done(todo.cause.seq)
		<-t.slots
	case ctx.Err() == nil:
		r.stats.Retries.Add(1)
		delay := backOff(todo.attempt)
		r.log.Warn().Err(err).Str("cause", todo.cause.subject).Dur("retry", delay).Msg("passing error")
		todo.attempt++
		t.after(func() {
			pause(ctx, delay)
			r.dispatch(ctx, t, key(todo.cause), todo)
		})
	}
}

// handle answers one cause, which the state has folded. An error means: try again later.
func (r *Runtime[S]) handle(ctx context.Context, todo task) error {
	d, e := todo.cause, todo.cause.event
	if len(d.problems) > 0 {
		r.stats.Unreadable.Add(1)
		_, err := r.publish(ctx, refuseUnreadable(d))
		return err
	}
	// One flow's causes are answered one after the other, and each sees the effects of the one before:
	// two submissions of one flow must not be judged as if the other did not exist.
	defer r.busy.lock(e.Subject)()
	effects, err := r.decide(e)
	if err != nil {
		return r.refuse(ctx, e, nil, problem.Problem{Code: problem.InternalFailure, Message: err.Error()})
	}
	if len(effects) == 0 && len(e.Problems) > 0 { // a command that nobody can carry out
		_, err := r.publish(ctx, deadLetter(d.subject, d.seq, e.Problems, d.data))
		return err
	}
	for i := range effects {
		effects[i].TraceParent = first(effects[i].TraceParent, e.TraceParent)
	}
	last, err := r.carryOutFor(ctx, e.Subject, effects)
	if err == nil {
		err = r.cursor.await(ctx, last, r.c.FoldWait)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if p := r.hopeless(err, int(todo.attempt)); p != nil {
		return r.refuse(ctx, e, effects, *p)
	}
	return err
}

// carryOutFor carries out the effects of a cause, but leaves those that another worker is at to that worker,
// unless they are about the cause's own subject or about no flow. A decision about shared capacity is one
// for many flows, and many causes lead to it at once: each worker takes up the next of them.
func (r *Runtime[S]) carryOutFor(ctx context.Context, subject string, effects []contract.Event) (uint64, error) {
	return r.carryOut(ctx, effects, func(e contract.Event) bool {
		return e.Flow() != "" && e.Subject != subject && r.said.pends(e.DedupID())
	})
}

// carryOut makes the effects true and says so, in order, without those that are left to others. It returns
// the place of the last one that we fold ourselves.
func (r *Runtime[S]) carryOut(
	ctx context.Context, effects []contract.Event, left func(contract.Event) bool,
) (last uint64, err error) {
	for _, e := range effects {
		if left(e) {
			continue
		}
		err := r.said.once(ctx, e.DedupID(), func() error {
			seq, err := r.carryOutOne(ctx, e)
			last = max(last, seq)
			return err
		})
		if err != nil {
			return last, fmt.Errorf("%s of %s: %w", e.Type, e.Subject, err)
		}
	}
	return last, nil
}

// none leaves nothing to others.
func none(contract.Event) bool { return false }

func (r *Runtime[S]) carryOutOne(ctx context.Context, e contract.Event) (uint64, error) {
	if r.s.Perform != nil {
		if err := r.s.Perform(ctx, e); err != nil {
			return 0, err
		}
	}
	if _, said := contract.Lookup(e.Type); !said {
		return 0, nil // an act
	}
	return r.publish(ctx, e)
}

// publishWait bounds one publication, its retries included.
const publishWait = 10 * time.Second

// publish says an event, and returns its place in EVENTS if it is new and we fold it ourselves.
func (r *Runtime[S]) publish(ctx context.Context, e contract.Event) (uint64, error) {
	e.Source = contract.Source(r.s.Name)
	e.Time = time.Now().UTC()
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	msg, err := r.encode(ctx, e)
	if err != nil {
		return 0, err
	}
	var opts []jetstream.PublishOpt
	if e.Once {
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(0))
	}
	ack, err := r.link.JS.PublishMsg(ctx, msg, opts...)
	if e.Once && broker.SaidBefore(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	r.stats.Effects.Add(1)
	r.log.Debug().Str("event", msg.Subject).Uint64("seq", ack.Sequence).Bool("repeat", ack.Duplicate).Msg("said")
	if ack.Duplicate || !r.folds[e.Type] {
		return 0, nil
	}
	return ack.Sequence, nil
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
		_, err := r.publish(ctx, deadLetter(string(cause.Type), cause.Seq, problem.List{p}, cause.Raw))
		return err
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
	_, err := r.publish(ctx, rejection)
	return err
}

// refuseUnreadable answers a message that is no event: a submission that says which flow it is about
// with a rejection, all else with a dead letter.
func refuseUnreadable(d *delivery) contract.Event {
	e := d.event
	switch {
	case e.Type == contract.TypeFlowSubmit && e.Subject != "":
		return contract.Event{
			Type: contract.TypeFlowRejected, Subject: e.Subject, MsgID: contract.JudgedID(e.Subject, d.seq),
			Data: &contract.FlowRejected{Problems: d.problems},
		}
	default:
		return deadLetter(d.subject, d.seq, d.problems, d.data)
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

// backOff grows from 100 ms to 5 s.
func backOff(attempt uint64) time.Duration {
	return min(100*time.Millisecond<<min(attempt-1, 6), 5*time.Second)
}
