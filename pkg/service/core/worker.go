package core

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A Task is a list of effects that are performed and published in order, or a pause without effects between two
// attempts.
type Task struct {
	// Pause is the time to wait before the task begins.
	Pause      time.Duration
	effects    []contract.Event
	intent     []contract.Event // the effects of the first task in a series of attempts
	aggregates []string         // the aggregates of the effects
	keys       []string         // decided again when the task has ended
	refuses    string           // the aggregate whose failed effect the task answers
	// decided is the last message folded when the task was decided, published the last one that the task published.
	decided, published uint64
}

// A Result is how a task has ended.
type Result struct {
	// Err is nil if all effects were performed and published.
	Err     error
	task    *Task
	effects []contract.Event // performed, and published unless they are acts
	failed  *contract.Event  // the effect that Err is about; nil for a pause
}

// A Log is the EVENTS stream, to which effects are published.
type Log interface {
	// Append stores an event if the last event of its aggregate is at last (0: there is none), and returns its place.
	// stored is false if the last event is another one. An event without an aggregate is stored unconditionally.
	Append(ctx context.Context, e contract.Event, last uint64) (seq uint64, stored bool, err error)
	// Last returns the place and type of the last event of an aggregate, or 0 if EVENTS has none.
	Last(ctx context.Context, aggregate string) (uint64, contract.Type, error)
}

// A Worker carries out tasks.
type Worker struct {
	Service string
	Log     Log
	// Perform performs an effect before it is published, and returns the event to publish. It must be idempotent.
	Perform func(context.Context, contract.Event) (contract.Event, error)
	// Each calls do for 0 to n-1, at the same time, and returns when all calls have. If it is nil, they are made one
	// after the other.
	Each func(n int, do func(i int))
	// Read returns a message of EVENTS and its data, or nil if EVENTS no longer holds it.
	Read func(ctx context.Context, seq uint64) (*event.Stored, []byte, error)
	// LastOf is Core.LastOf of the current state.
	LastOf func(aggregate string) uint64
	// Held reports whether the replica holds the lease.
	Held func() bool
}

// staleError reports that an event about the aggregate was published that was not folded when the task was decided.
type staleError struct{ seq uint64 }

func (e *staleError) Error() string {
	return fmt.Sprintf("event %d was published in the meantime", e.seq)
}

// Do performs and publishes the effects of a task. A pause ends with a tick, so the next attempt is decided on a state
// that includes what the previous one published, even if the broker's answer was lost.
func (w Worker) Do(ctx context.Context, t *Task) Result {
	r := Result{task: t}
	if t.Pause > 0 {
		t.published, _, r.Err = w.append(ctx, contract.NewTick(w.Service), 0)
		return r
	}
	own := make(map[string]uint64) // the last event that the task has published, by aggregate
	for rest := t.effects; len(rest) > 0 && r.Err == nil; {
		group := rest[:independent(rest)]
		rest = rest[len(group):]
		performed := w.performAll(ctx, t, group)
		for i, p := range performed { // what was performed is published even if another one failed
			e, err := w.conclude(ctx, t, p, own)
			switch {
			case err == nil:
				r.effects = append(r.effects, e)
			case r.Err == nil:
				r.failed, r.Err = &group[i], err
			}
		}
	}
	return r
}

// together is the maximum number of effects that a task performs at the same time.
const together = 8

// independent returns how many of the first effects may be performed at the same time: starts of executors, or one effect
// of another kind.
func independent(effects []contract.Event) int {
	n := slices.IndexFunc(effects, func(e contract.Event) bool { return e.Type != contract.TypeExecutorStarted })
	if n < 0 {
		n = len(effects)
	}
	return min(max(n, 1), together)
}

// A performed effect is an event to publish, or the error that prevents it.
type performed struct {
	event contract.Event
	err   error
}

// performAll performs independent effects.
func (w Worker) performAll(ctx context.Context, t *Task, effects []contract.Event) []performed {
	out := make([]performed, len(effects))
	each := w.Each
	if each == nil || len(effects) == 1 {
		each = oneByOne
	}
	each(len(effects), func(i int) {
		if out[i] = (performed{effects[i], ErrFenced}); w.Held() {
			out[i].event, out[i].err = w.perform(ctx, t, effects[i])
		}
	})
	return out
}

func oneByOne(n int, do func(i int)) {
	for i := range n {
		do(i)
	}
}

// conclude publishes a performed effect, unless it is an act. If an event that opens its aggregate is refused, a dead
// letter is published instead.
func (w Worker) conclude(ctx context.Context, t *Task, p performed, own map[string]uint64) (contract.Event, error) {
	e, err := p.event, p.err
	if err == nil {
		err = w.publish(ctx, t, e, own)
	}
	if !errors.Is(err, ErrTaken) {
		return e, err
	}
	letter := contract.NewDeadLetter(string(contract.TypeFlowSubmit), e.Cause, problem.List{Taken(e.Subject)})
	letter.Trace = e.Trace
	if err = w.confirm(ctx, e, letter, t.decided); err != nil {
		return letter, err
	}
	if letter, err = w.filled(ctx, letter); err == nil {
		err = w.publish(ctx, t, letter, own)
	}
	return letter, err
}

// perform makes an effect true, and returns the event to publish. If it cannot, that is the event as it was decided.
func (w Worker) perform(ctx context.Context, t *Task, effect contract.Event) (contract.Event, error) {
	decided, filled := effect, false
	if u, ok := effect.With.(Unprocessed); ok {
		m, data, err := w.Read(ctx, u.Seq)
		if err != nil {
			return effect, err
		}
		decided = u.answer(m, data)
		filled = decided.Type == contract.TypeDeadLetter
	}
	e, err := w.contained(ctx, decided)
	if err == nil {
		err = w.confirm(ctx, decided, e, t.decided)
	}
	if err != nil {
		return decided, err
	}
	if e.Trace.IsZero() {
		e.Trace = decided.Trace
	}
	if filled {
		return e, nil
	}
	return w.filled(ctx, e)
}

// contained performs an effect. If that panics, it fails for good, and the service goes on: another attempt would panic, too.
func (w Worker) contained(ctx context.Context, effect contract.Event) (e contract.Event, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w\n%s", &problem.Permanent{Problem: problem.Problem{
				Code: problem.InternalFailure, Message: fmt.Sprintf("the %s cannot carry out %s of %s: %v", w.Service, effect.Type, effect.Subject, p),
				Hint: "this is a defect of Dagyo: report it, with the log of the service",
			}}, debug.Stack())
		}
	}()
	return w.Perform(ctx, effect)
}

// confirm checks, for an event that is published in place of another one, that nothing was published about the aggregate
// of that one since it was decided. The store checks only the aggregate of the event itself, and a dead letter has none.
func (w Worker) confirm(ctx context.Context, decided, e contract.Event, known uint64) error {
	aggregate := decided.Aggregate()
	if aggregate == "" || e.Aggregate() == aggregate {
		return nil
	}
	last, _, err := w.Log.Last(ctx, aggregate)
	if err == nil && last > known {
		err = &staleError{last}
	}
	return err
}

// filled returns a dead letter with what it repeats of its message, and any other event as it is.
func (w Worker) filled(ctx context.Context, e contract.Event) (contract.Event, error) {
	if e.Type != contract.TypeDeadLetter || e.Cause == 0 {
		return e, nil
	}
	m, data, err := w.Read(ctx, e.Cause)
	return about(e, m, data), err
}

// publish publishes an event, unless it is an act.
func (w Worker) publish(ctx context.Context, t *Task, e contract.Event, own map[string]uint64) error {
	if e.IsAct() {
		return nil
	}
	seq, err := w.store(ctx, t.decided, e, own)
	t.published = max(t.published, seq)
	return err
}

// store stores an event on the condition that nothing was published about its aggregate but what the deciding state
// included and what the task itself has published. The core does not know the last events of progdefs and types: they are
// looked up first, since plain subscribers receive these answers also if EVENTS refuses them.
func (w Worker) store(
	ctx context.Context, decided uint64, e contract.Event, own map[string]uint64,
) (uint64, error) {
	aggregate := e.Aggregate()
	last, mine := own[aggregate]
	if !mine {
		if last = w.LastOf(aggregate); last > decided {
			return 0, &staleError{last}
		}
		if e.Opens {
			last = 0 // EVENTS must have none
		}
	}
	if remembered, _ := contract.FlowOrExecutor(e.NATSSubject()); !mine && aggregate != "" && remembered == "" {
		var err error
		if last, err = w.resolve(ctx, e, decided); err != nil {
			return 0, err
		}
	}
	seq, stored, err := w.append(ctx, e, last)
	if err == nil && !stored {
		if last, err = w.resolve(ctx, e, max(decided, last)); err == nil {
			seq, stored, err = w.append(ctx, e, last)
		}
	}
	if err == nil && !stored {
		err = errConflict
	}
	if err == nil && aggregate != "" {
		own[aggregate] = seq
	}
	return seq, err
}

// resolve returns the last event of an aggregate that does not end where it was expected to. That is not a conflict if
// the last event was known when the effect was decided, or if EVENTS was trimmed beyond it.
func (w Worker) resolve(ctx context.Context, e contract.Event, known uint64) (uint64, error) {
	last, kind, err := w.Log.Last(ctx, e.Aggregate())
	switch {
	case err != nil:
		return 0, err
	case last > known:
		return 0, &staleError{last}
	case e.Opens && last > 0 && kind != contract.TypeFlowRejected:
		return 0, fmt.Errorf("%s of %s: %w", e.Type, e.Subject, ErrTaken)
	}
	return last, nil
}

func (w Worker) append(ctx context.Context, e contract.Event, last uint64) (uint64, bool, error) {
	if !w.Held() {
		return 0, false, ErrFenced
	}
	return w.Log.Append(ctx, e, last)
}

// aggregateOf returns the aggregate of an effect; an act is its own aggregate.
func aggregateOf(e contract.Event) string {
	if a := e.Aggregate(); a != "" {
		return a
	}
	return string(e.Type) + " " + e.Subject
}
