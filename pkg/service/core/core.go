package core

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

// A Core is one replica of a service. It is not safe for concurrent use. After each call, the caller starts the tasks
// that Tasks returns, and passes their results to Finish.
type Core[S any] struct {
	// State is the folded state, Last the last folded message. Only the core changes them.
	State S
	Last  event.Place
	// Now is when Last was stored: the state includes everything that EVENTS held then. It never goes back, even if the
	// broker's clock is set back.
	Now time.Time
	// Leading reports whether the replica leads; Lead sets it.
	Leading bool
	// Alarm receives messages for the operator, and the event that each is about, as far as that is known.
	Alarm func(about contract.Event, text string)
	Stats Stats

	logic  Logic[S]
	limits Limits
	// unprocessed are the messages that could not be decoded or folded and have no answer, in order.
	unprocessed []Unprocessed
	// lastOf holds the last event of each live aggregate, as far as it is known. The worker looks up the others.
	lastOf map[string]uint64
	// image is the image that is not complete yet, nil if there is none.
	image *Image

	// The leader's work; empty in other replicas.
	queue        queue
	overdue      []string                   // keys that are due and cannot change before the next message
	observations map[string]*Observation[S] // by key
	observed     int                        // numbers the keys of observations
	inFlight     map[string]*Task           // by aggregate
	running      int                        // tasks in flight, without long pauses
	next         []*Task                    // tasks that follow a failed one
	finished     []*Task                    // in flight until what they published is folded
	failures     map[string]failure         // by aggregate
}

// Stats are counted since the core was created.
type Stats struct {
	Effects    int `json:"effects"`
	Retries    int `json:"retries"`
	Refused    int `json:"refused"` // answered with a rejection or a dead letter
	Unreadable int `json:"unreadable"`
}

// A failure describes an aggregate whose effects fail.
type failure struct {
	attempts int
	answered bool // an event has reported that the effect was given up
}

// New returns a core with a new state that has folded nothing.
func New[S any](logic Logic[S], limits Limits, state S, alarm func(contract.Event, string)) *Core[S] {
	c := &Core[S]{State: state, Alarm: alarm, logic: logic, limits: limits, lastOf: make(map[string]uint64)}
	c.Lead(false)
	return c
}

// LastOf returns the last folded event of an aggregate, or 0 if it is not known.
func (c *Core[S]) LastOf(aggregate string) uint64 { return c.lastOf[aggregate] }

// Due returns the broker's time at which the next decision is due; ok is false if no decision depends on time.
func (c *Core[S]) Due() (at time.Time, ok bool) {
	if len(c.overdue) > 0 {
		return c.Now, true
	}
	return c.queue.next(c.Now)
}

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
	for _, key := range c.overdue {
		c.touch(key)
	}
	c.overdue = nil
}

// Observe folds a fact, an observation that is not an event of EVENTS, at the estimated time of the broker.
func (c *Core[S]) Observe(fact contract.Event) { c.evolve(fact) }

// evolve folds an event, fact or act. If the service panics, the event is answered and the fold continues.
func (c *Core[S]) evolve(e contract.Event) {
	defer c.contain(e, "fold "+string(e.Type)+" of "+e.Subject, func(why string) {
		if e.Seq > 0 {
			c.setUnprocessed(Unprocessed{e.Seq, why})
		}
	})
	c.beforeChange(e)
	for _, key := range c.logic.Evolve(c.State, e) {
		c.touch(key)
	}
}

// contain recovers from a panic of the service's logic. It must be deferred.
func (c *Core[S]) contain(about contract.Event, what string, then func(why string)) {
	if p := recover(); p != nil {
		why := fmt.Sprintf("the %s cannot %s: %v", c.logic.Name, what, p)
		c.Alarm(about, why+"\n"+string(debug.Stack()))
		then(why)
	}
}

func (c *Core[S]) touch(key string) {
	if c.Leading {
		c.queue.add(key, time.Time{})
	}
}

// noteLast records the last event of its aggregate. That of an ended aggregate is dropped, since further events are
// rare.
func (c *Core[S]) noteLast(m *event.Stored) {
	aggregate, ends := contract.FlowOrExecutor(m.Subject)
	if aggregate == "" {
		return
	}
	c.lastOf[aggregate] = m.Seq
	if f, failing := c.failures[aggregate]; failing {
		c.failures[aggregate] = failure{attempts: f.attempts}
	}
	if ends {
		delete(c.lastOf, aggregate)
		delete(c.failures, aggregate)
	}
}

// Lead begins or ends a term. Tasks in flight are dropped: the next leader decides everything that is open.
func (c *Core[S]) Lead(leading bool) {
	for key := range c.observations {
		c.endObservation(key, ErrNotLeading)
	}
	for _, t := range c.inFlight {
		c.endFlight(t)
	}
	c.Leading, c.queue = leading, newQueue()
	c.observations, c.inFlight = make(map[string]*Observation[S]), make(map[string]*Task)
	c.failures = make(map[string]failure)
	c.running, c.overdue, c.next, c.finished = 0, nil, nil, nil
	if leading {
		for _, key := range c.logic.Open(c.State) {
			c.touch(key)
		}
		c.touch(keyUnprocessed)
	}
}

// An Observation is something that a service has observed outside of EVENTS and publishes.
type Observation[S any] struct {
	// Decide returns the events that are still to be published in this state, or none if all are published. It is pure.
	Decide func(S) []contract.Event
	// Done is called when no events are left to publish, or with the error that prevents it.
	Done func(error)
	key  string
}

// Publish decides an observation until there is nothing left to publish.
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

// endObservation ends the observation of a key, if the key is one's.
func (c *Core[S]) endObservation(key string, err error) {
	if o := c.observations[key]; o != nil {
		delete(c.observations, key)
		o.Done(err)
	}
}

// Decode restores a stored core into a new one, which continues after the last folded message.
func (c *Core[S]) Decode(last event.Place, stored []byte) error {
	head, state, _ := bytes.Cut(stored, []byte("\n"))
	var e envelope
	if err := json.Unmarshal(head, &e); err != nil {
		return err
	}
	c.Last, c.Now, c.unprocessed = last, last.At, e.Unprocessed
	return c.logic.Snapshot.Decode(c.State, state)
}

// Needs returns the first message of EVENTS that the state refers to, or 0 if there is none.
func (c *Core[S]) Needs() (first uint64) {
	if c.logic.Snapshot.Needs != nil {
		first = c.logic.Snapshot.Needs(c.State)
	}
	if len(c.unprocessed) > 0 && (first == 0 || c.unprocessed[0].Seq < first) {
		first = c.unprocessed[0].Seq
	}
	return first
}
