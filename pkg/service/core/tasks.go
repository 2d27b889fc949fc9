package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Tasks returns the tasks to start now. Their results must be passed to Finish.
func (c *Core[S]) Tasks() (tasks []*Task) {
	tasks, c.next = c.next, nil
	for c.running < c.limits.Workers {
		key, ok := c.queue.take(c.Now)
		if !ok {
			break
		}
		tasks = append(tasks, c.decide(key)...)
	}
	return tasks
}

// decide returns the tasks that the state requires under a key.
func (c *Core[S]) decide(key string) (tasks []*Task) {
	defer c.contain(contract.Event{}, "decide "+key, func(why string) { c.endObservation(key, errors.New(why)) })
	groups, next := c.effects(key)
	if next.After(c.Now) {
		c.queue.add(key, next)
	} else if !next.IsZero() {
		c.overdue = append(c.overdue, key)
	}
	for _, group := range groups {
		if c.running >= c.limits.Workers {
			c.touch(key) // the others wait for a worker
			break
		}
		if t := c.newTask(key, group); t != nil {
			tasks = append(tasks, t)
		}
	}
	return tasks
}

// ownKey is the prefix of the core's own keys; no key of a service has it.
const ownKey = "core "

// effects returns the effects that the state requires under a key, grouped into tasks.
func (c *Core[S]) effects(key string) (groups [][]contract.Event, next time.Time) {
	if !strings.HasPrefix(key, ownKey) {
		effects, next := c.logic.Decide(c.State, key, c.Now)
		return grouped(effects), next
	}
	var effects []contract.Event
	if o := c.observations[key]; o != nil {
		effects = o.Decide(c.State)
	} else if key == keyUnprocessed {
		effects = c.answerUnprocessed()
	}
	if len(effects) == 0 {
		c.endObservation(key, nil)
		return nil, next
	}
	return [][]contract.Event{effects}, next
}

// grouped splits effects after each one about a flow: those before it must be performed before the flow's event is
// published. Each effect after the last one about a flow is a group.
func grouped(effects []contract.Event) (groups [][]contract.Event) {
	begin := 0
	for i, e := range effects {
		if e.Flow() != "" {
			groups = append(groups, effects[begin:i+1])
			begin = i + 1
		}
	}
	return slices.AppendSeq(groups, slices.Chunk(effects[begin:], 1))
}

// newTask puts effects in flight. If a task about one of their aggregates is already in flight, it returns nil, and the
// key is decided again after that task.
func (c *Core[S]) newTask(key string, effects []contract.Event) *Task {
	t := &Task{effects: effects, intent: effects, keys: []string{key}, decided: c.Last.Seq}
	for _, e := range effects {
		a := aggregateOf(e)
		if other := c.inFlight[a]; other != nil {
			if !slices.Contains(other.keys, key) {
				other.keys = slices.Insert(other.keys, 0, key) // before that of the other task
			}
			return nil
		}
		if !slices.Contains(t.aggregates, a) {
			t.aggregates = append(t.aggregates, a)
		}
	}
	c.putInFlight(t)
	c.noteIntent(t, true)
	return t
}

// noteIntent tells the service which effects are in flight, or no longer.
func (c *Core[S]) noteIntent(t *Task, begins bool) {
	if c.logic.InFlight == nil {
		return
	}
	for _, e := range t.intent {
		for _, key := range c.logic.InFlight(c.State, e, begins) {
			c.touch(key)
		}
	}
}

func (c *Core[S]) putInFlight(t *Task) {
	for _, a := range t.aggregates {
		c.inFlight[a] = t
	}
	if t.Pause < longPause {
		c.running++
	}
}

// Finish handles the result of a task.
func (c *Core[S]) Finish(r Result) {
	t := r.task
	if c.inFlight[t.aggregates[0]] != t {
		return // of an earlier term
	}
	c.Stats.Effects += len(r.effects)
	for _, e := range r.effects {
		if e.IsAct() {
			if e.Time.IsZero() {
				e.Time = c.Now
			}
			c.evolve(e)
		}
	}
	var stale *staleError
	switch {
	case r.Err == nil:
		c.succeed(r)
	case r.failed == nil: // the tick after a pause was not stored
		c.follow(t, &Task{Pause: t.Pause})
	case errors.As(r.Err, &stale):
		t.published = max(t.published, stale.seq)
	default:
		c.fail(r)
	}
	c.finished = append(c.finished, t)
	c.release()
}

// succeed clears the failures of a task's aggregates, and records the aggregate whose failing effect it has answered.
func (c *Core[S]) succeed(r Result) {
	for _, e := range r.effects {
		delete(c.failures, aggregateOf(e))
	}
	if f, failing := c.failures[r.task.refuses]; failing {
		c.failures[r.task.refuses] = failure{attempts: f.attempts, answered: true}
	}
}

// release ends the tasks whose events are folded.
func (c *Core[S]) release() {
	if len(c.finished) == 0 {
		return
	}
	c.finished = slices.DeleteFunc(c.finished, func(t *Task) bool {
		if t.published > c.Last.Seq {
			return false
		}
		c.endFlight(t)
		if t.Pause < longPause {
			c.running--
		}
		for _, key := range t.keys {
			c.touch(key)
		}
		return true
	})
}

// endFlight ends a task, unless another one follows it.
func (c *Core[S]) endFlight(t *Task) {
	if c.inFlight[t.aggregates[0]] != t {
		return
	}
	for _, a := range t.aggregates {
		delete(c.inFlight, a)
	}
	c.noteIntent(t, false)
}

// follow starts next after the failed task t. next has the aggregates and the deciding state of t, so that an event
// that was published since then makes it stale.
func (c *Core[S]) follow(t, next *Task) {
	next.aggregates, next.keys, next.intent, next.decided = t.aggregates, t.keys, t.intent, t.decided
	t.keys = nil
	c.putInFlight(next)
	c.next = append(c.next, next)
}

// longPause is the pause between attempts of an effect that was given up and that the state still requires, such as a
// verdict. It does not occupy a worker.
const longPause = time.Minute

// fail decides what follows a failed effect: a pause and another attempt, or an event that reports why there is none.
func (c *Core[S]) fail(r Result) {
	a := aggregateOf(*r.failed)
	f := c.failures[a]
	if !errors.Is(r.Err, ErrUnavailable) {
		f.attempts++
	}
	c.Alarm(*r.failed, fmt.Sprintf("%s of %s failed (attempt %d): %v", r.failed.Type, r.failed.Subject, f.attempts, r.Err))
	c.Stats.Retries++
	next := &Task{Pause: backOff(f.attempts)}
	if p := c.hopeless(r.Err, f.attempts); p != nil {
		for _, key := range r.task.keys {
			c.endObservation(key, r.Err)
		}
		switch {
		case f.answered:
			next.Pause = longPause
		case r.task.refuses == "": // else the refusal itself failed: it follows the next attempt
			next = &Task{refuses: a, effects: []contract.Event{refusal(*r.failed, r.task.effects, *p)}}
		}
	}
	c.failures[a] = f
	c.follow(r.task, next)
}

// hopeless returns the problem of an error that a retry cannot resolve, or nil for other errors.
func (c *Core[S]) hopeless(err error, attempts int) *problem.Problem {
	var permanent *problem.Permanent
	switch {
	case errors.As(err, &permanent):
		return &permanent.Problem
	case attempts >= c.limits.MaxAttempts:
		return &problem.Problem{
			Code:    problem.GaveUp,
			Message: fmt.Sprintf("the %s gave up after %d attempts: %v", c.logic.Name, attempts, err),
		}
	}
	return nil
}

// backOff grows from 100 ms to 5 s.
func backOff(attempts int) time.Duration {
	return min(100*time.Millisecond<<min(max(attempts-1, 0), 6), 5*time.Second)
}
