package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A Core is one replica of a service. Its methods are called one at a time; after each, the caller starts what Tasks
// returns and hands their results to Finish.
type Core[S any] struct {
	// State is what the service has folded, Last the last message of it. Only the core changes them.
	State S
	Last  event.Place
	// Now is when Last was stored: the state includes all that EVENTS held then. It never goes back, even if the
	// broker's clock is set back.
	Now time.Time
	// Leading reports whether the replica leads; Lead sets it.
	Leading bool
	// Alarm receives what an operator should know of.
	Alarm func(text string)
	Stats Stats

	logic  Logic[S]
	limits Limits
	// unprocessed are the messages that could not be decoded or folded and have no answer, in order.
	unprocessed []Unprocessed
	// lastOf is the last event of each live aggregate, as far as it is known. The worker looks the others up.
	lastOf map[string]uint64

	// The leader's work; empty in other replicas.
	queue        queue
	observations map[string]*Observation[S] // by key
	observed     int                        // numbers the keys of observations
	inFlight     map[string]*Task           // by aggregate
	running      int                        // tasks in flight, without long pauses
	next         []*Task                    // they follow a failed one
	finished     []*Task                    // in flight until what they published is folded
	failures     map[string]failure         // by aggregate
}

// Stats are counted since the core was made.
type Stats struct {
	Effects    int `json:"effects"`
	Retries    int `json:"retries"`
	Refused    int `json:"refused"` // answered with a rejection or a dead letter
	Unreadable int `json:"unreadable"`
}

// A failure is what is known of an aggregate whose effects fail.
type failure struct {
	attempts int
	answered bool // an event says that the effect was given up
}

// New returns a core that has folded nothing into a new state.
func New[S any](logic Logic[S], limits Limits, state S, alarm func(text string)) *Core[S] {
	c := &Core[S]{State: state, Alarm: alarm, logic: logic, limits: limits, lastOf: make(map[string]uint64)}
	c.Lead(false)
	return c
}

// LastOf returns the last event of an aggregate that was folded, 0 if it is not known.
func (c *Core[S]) LastOf(aggregate string) uint64 { return c.lastOf[aggregate] }

// Due returns the broker's time at which the next decision is due; ok is false if none waits for its time.
func (c *Core[S]) Due() (at time.Time, ok bool) { return c.queue.next(c.Now) }

// Reads reports whether messages of a type must be decoded before they are folded.
func (c *Core[S]) Reads(t contract.Type) bool {
	return slices.Contains(c.logic.Folds, t) || slices.Contains(c.logic.Answers, t) ||
		t == contract.TypeDeadLetter || t == contract.TypeTick
}

// Fold folds the next message of EVENTS.
func (c *Core[S]) Fold(m *event.Stored) {
	c.Last = m.Place
	if m.At.After(c.Now) {
		c.Now = m.At
	}
	switch {
	case len(m.Problems) > 0:
		c.Stats.Unreadable++
		if slices.Contains(c.logic.Answers, m.Type) {
			c.setUnprocessed(Unprocessed{Seq: m.Seq})
		}
	case slices.Contains(c.logic.Folds, m.Type):
		e := m.Event
		e.Time = c.Now // not the publisher's
		c.evolve(e)
	}
	c.forgetAnswered(m.Event)
	c.noteLast(m)
	c.release()
}

// Observe folds a fact: what was observed outside of EVENTS, at the broker's time as estimated.
func (c *Core[S]) Observe(fact contract.Event) { c.evolve(fact) }

// evolve folds an event, fact or act. If the service panics, the event is answered and the fold goes on.
func (c *Core[S]) evolve(e contract.Event) {
	defer c.contain("fold "+string(e.Type)+" of "+e.Subject, func(why string) {
		if e.Seq > 0 {
			c.setUnprocessed(Unprocessed{e.Seq, why})
		}
	})
	for _, key := range c.logic.Evolve(c.State, e) {
		c.touch(key)
	}
}

// contain recovers from a panic of the service's logic. It must be deferred.
func (c *Core[S]) contain(what string, then func(why string)) {
	if p := recover(); p != nil {
		why := fmt.Sprintf("the %s cannot %s: %v", c.logic.Name, what, p)
		c.Alarm(why + "\n" + string(debug.Stack()))
		then(why)
	}
}

func (c *Core[S]) touch(key string) {
	if c.Leading {
		c.queue.add(key, time.Time{})
	}
}

// noteLast notes the last event of its aggregate. That of an ended one is dropped: hardly anything follows.
func (c *Core[S]) noteLast(m *event.Stored) {
	area, rest, _ := strings.Cut(m.Subject, ".")
	verb, name, named := strings.Cut(rest, ".")
	if !named || area != "flow" && area != "executor" {
		return
	}
	aggregate := area + ".*." + name
	if verb == "cleaned" || verb == "exited" || verb == "rejected" {
		delete(c.lastOf, aggregate)
		delete(c.failures, aggregate)
		return
	}
	c.lastOf[aggregate] = m.Seq
	if f, failing := c.failures[aggregate]; failing {
		c.failures[aggregate] = failure{attempts: f.attempts}
	}
}

// Lead begins or ends a term. What was in flight is dropped: the next leader decides everything that is open.
func (c *Core[S]) Lead(leading bool) {
	for key := range c.observations {
		c.endObservation(key, ErrNotLeading)
	}
	c.Leading, c.queue = leading, newQueue()
	c.observations, c.inFlight = make(map[string]*Observation[S]), make(map[string]*Task)
	c.failures = make(map[string]failure)
	c.running, c.next, c.finished = 0, nil, nil
	if leading {
		for _, key := range c.logic.Open(c.State) {
			c.touch(key)
		}
		c.touch(keyUnprocessed)
	}
}

// An Observation is what a service observed outside of EVENTS and wants to publish.
type Observation[S any] struct {
	// Decide returns the events that are still to be published, given the state; none once they are. It is pure.
	Decide func(S) []contract.Event
	// Done is called once there are none, or with the error that prevents it.
	Done func(error)
	key  string
}

// Publish decides about an observation until there is nothing left to publish.
func (c *Core[S]) Publish(o *Observation[S]) {
	if !c.Leading {
		o.Done(ErrNotLeading)
		return
	}
	c.observed++
	o.key = fmt.Sprintf(ownKey+"observation %d", c.observed)
	c.observations[o.key] = o
	c.touch(o.key)
}

// Withdraw drops an observation.
func (c *Core[S]) Withdraw(o *Observation[S]) { delete(c.observations, o.key) }

// endObservation ends the observation of a key, if it is one's.
func (c *Core[S]) endObservation(key string, err error) {
	if o := c.observations[key]; o != nil {
		delete(c.observations, key)
		o.Done(err)
	}
}

// Tasks returns the tasks to start now. Each of them is finished with Finish.
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
	defer c.contain("decide "+key, func(why string) { c.endObservation(key, errors.New(why)) })
	groups, next := c.effects(key)
	if next.After(c.Now) {
		c.queue.add(key, next)
	} else if !next.IsZero() {
		c.queue.add(key, c.Now.Add(1)) // not before time has passed
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

// ownKey is what the core's own keys begin with, and no key of a service.
const ownKey = "core "

// effects returns what the state requires under a key, in groups of which each is a task.
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

// grouped splits effects behind each one that is about a flow: those before it must be true before the flow's event
// is published. Each effect behind the last of these is a group.
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

// newTask puts effects in flight. If a task about one of their aggregates is in flight already, it returns nil, and
// the key is decided again behind that one.
func (c *Core[S]) newTask(key string, effects []contract.Event) *Task {
	t := &Task{effects: effects, keys: []string{key}, decided: c.Last.Seq}
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
	return t
}

func (c *Core[S]) putInFlight(t *Task) {
	for _, a := range t.aggregates {
		c.inFlight[a] = t
	}
	if t.Pause < longPause {
		c.running++
	}
}

// Finish takes in the result of a task.
func (c *Core[S]) Finish(r Result) {
	t := r.task
	if c.inFlight[t.aggregates[0]] != t {
		return // of an earlier term
	}
	c.Stats.Effects += len(r.effects)
	for _, e := range r.effects {
		if isAct(e) {
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
	case r.failed == nil: // the tick behind a pause was not stored
		c.follow(t, &Task{Pause: t.Pause})
	case errors.As(r.Err, &stale):
		t.published = max(t.published, stale.seq)
	case errors.Is(r.Err, ErrTaken):
		c.answerTaken(r)
	default:
		c.fail(r)
	}
	c.finished = append(c.finished, t)
	c.release()
}

// succeed forgets the failures of a task's aggregates, and notes whose failing effect it has answered.
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
		for _, a := range t.aggregates {
			if c.inFlight[a] == t {
				delete(c.inFlight, a)
			}
		}
		if t.Pause < longPause {
			c.running--
		}
		for _, key := range t.keys {
			c.touch(key)
		}
		return true
	})
}

// follow has a task about the same aggregates, decided by the same state, follow a failed one: what became known
// since may have answered it.
func (c *Core[S]) follow(t, next *Task) {
	next.aggregates, next.keys, next.decided = t.aggregates, t.keys, t.decided
	t.keys = nil
	c.putInFlight(next)
	c.next = append(c.next, next)
}

// answerTaken answers a submission under an id that is in use. The answer is an event, so that the submission does
// not come back to replicas that follow, or that start from an older snapshot.
func (c *Core[S]) answerTaken(r Result) {
	p := problem.Problem{Code: problem.NotAnswerable, Message: r.Err.Error(), Hint: "submit it under another id"}
	answer := deadLetter(string(contract.TypeFlowSubmit), r.failed.Cause, problem.List{p}, nil)
	c.follow(r.task, &Task{effects: []contract.Event{answer}})
}

// longPause lies between two attempts of an effect that was given up and that the state still requires, such as a
// verdict. It does not occupy a worker.
const longPause = time.Minute

// fail decides what follows a failed effect: a pause and another attempt, or an event that says why there is none.
func (c *Core[S]) fail(r Result) {
	a := aggregateOf(*r.failed)
	f := c.failures[a]
	if !errors.Is(r.Err, ErrUnavailable) {
		f.attempts++
	}
	c.Alarm(fmt.Sprintf("%s of %s failed (attempt %d): %v", r.failed.Type, r.failed.Subject, f.attempts, r.Err))
	c.Stats.Retries++
	next := &Task{Pause: backOff(f.attempts)}
	if p := c.hopeless(r.Err, f.attempts); p != nil {
		for _, key := range r.task.keys {
			c.endObservation(key, r.Err)
		}
		if next.Pause = longPause; !f.answered {
			next = &Task{refuses: a, effects: []contract.Event{refusal(*r.failed, r.task.effects, *p)}}
		}
	}
	c.failures[a] = f
	c.follow(r.task, next)
}

// hopeless returns the problem of an error that is not worth another attempt, else nil.
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

// envelope is the first line of a stored core; the state follows.
type envelope struct {
	Unprocessed []Unprocessed `json:"aside,omitempty"`
}

// Form is the version of what Encode puts around a state.
const Form = 1

// Encode returns what Decode starts from.
func (c *Core[S]) Encode() ([]byte, error) {
	head, err := json.Marshal(envelope{c.unprocessed})
	if err != nil {
		return nil, err
	}
	state, err := c.logic.Snapshot.Encode(c.State)
	return slices.Concat(head, []byte("\n"), state), err
}

// Decode starts a new core behind the last message that a stored one had folded.
func (c *Core[S]) Decode(last event.Place, stored []byte) error {
	head, state, _ := bytes.Cut(stored, []byte("\n"))
	var e envelope
	if err := json.Unmarshal(head, &e); err != nil {
		return err
	}
	c.Last, c.Now, c.unprocessed = last, last.At, e.Unprocessed
	return c.logic.Snapshot.Decode(c.State, state)
}

// Needs returns the first message of EVENTS that the state refers to, 0 for none.
func (c *Core[S]) Needs() (first uint64) {
	if c.logic.Snapshot.Needs != nil {
		first = c.logic.Snapshot.Needs(c.State)
	}
	if len(c.unprocessed) > 0 && (first == 0 || c.unprocessed[0].Seq < first) {
		first = c.unprocessed[0].Seq
	}
	return first
}
