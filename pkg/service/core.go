package service

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/snapshot"
)

// A core is a service without its I/O: what it has folded, what is to be decided, and which effects are
// under way. It has no clock, no goroutine and no lock, so that a simulation can drive it.
type core[S any] struct {
	s     Service[S]
	c     Config
	state S
	// at is the last message that was folded: the state knows all that EVENTS held at that time.
	at place
	// now is when it was stored. It does not go back when the broker's clock is set back.
	now     time.Time
	leading bool
	agenda  agenda
	// last is the place of the last event of each aggregate that lives, as far as is known. An aggregate
	// that is not in it is looked up when it matters.
	last map[string]uint64
	// flights are the effects under way, by each aggregate that they are about.
	flights map[string]*flight
	flying  int
	// relaunch are flights that follow one that failed.
	relaunch []*flight
	// landing are flights that have ended and wait until what they published is folded.
	landing []*flight
	// tries counts the failed attempts at an aggregate; refused holds those for which an event has said so.
	tries   map[string]int
	refused map[string]bool
	says    []*say[S]
	// aside are the messages that could not be folded and are still to be answered, in order.
	aside []outcast
	// folds and answers are the service's, as sets.
	folds, answers map[contract.Type]bool
	// alarm is told of what must not happen.
	alarm func(what string)
}

type place = snapshot.Place

// An outcast is a message that could not be folded, and why, where that is more than that it is unreadable.
type outcast struct {
	Seq uint64 `json:"seq"`
	Why string `json:"why,omitempty"`
}

// A message is one message of EVENTS, decoded if the service folds its type.
type message struct {
	place
	subject string
	kind    contract.Type
	event   contract.Event
	// problems say why the message is not an event.
	problems problem.List
}

// A flight is a list of effects on its way to becoming true: performed and published in order.
type flight struct {
	effects    []contract.Event
	aggregates []string
	// decided is the number of the last message that the state had folded when it was decided.
	decided uint64
	// keys are decided again once it has landed.
	keys []string
	// pause is how long a flight without effects takes: nothing is done about its aggregates meanwhile.
	pause time.Duration
	// seq is the last message that is to be folded before the flight has landed.
	seq uint64
	// say is what asked for the flight, nil for a decision.
	say hasDone
}

// hasDone hides the type of a say's state from flight.
type hasDone interface{ end(error) }

// A say is an observation that its finder wants published.
type say[S any] struct {
	decide func(S) []contract.Event
	done   chan error
	// under is true while its flight is under way.
	under bool
}

func (s *say[S]) end(err error) { s.done <- err }

// An outcome is how a flight has ended.
type outcome struct {
	*flight
	// performed are the acts and publications that are true.
	performed []contract.Event
	// failed is the effect that failed, with err; nil where all went well.
	failed *contract.Event
	err    error
}

// keyAside is the agenda's key for messages that were set aside. No name has a space.
const keyAside = " aside"

func newCore[S any](s Service[S], c Config, state S) *core[S] {
	return &core[S]{
		s: s, c: c, state: state, agenda: newAgenda(), last: make(map[string]uint64),
		flights: make(map[string]*flight), tries: make(map[string]int), refused: make(map[string]bool),
		folds: setOf(s.Folds), answers: setOf(s.Answers), alarm: func(string) {},
	}
}

func setOf(types []contract.Type) map[contract.Type]bool {
	set := make(map[contract.Type]bool, len(types))
	for _, t := range types {
		set[t] = true
	}
	return set
}

// wants reports whether messages of a type must be decoded.
func (c *core[S]) wants(t contract.Type) bool { return c.folds[t] || c.answers[t] }

// fold takes in the next message of EVENTS.
func (c *core[S]) fold(m *message) {
	c.at = m.place
	if m.At.After(c.now) {
		c.now = m.At
	}
	switch {
	case len(m.problems) > 0:
		if c.answers[m.kind] {
			c.setAside(m.Seq, "")
		}
	case c.folds[m.kind]:
		m.event.Time = c.now // whatever its publisher's clock says
		c.evolve(m.event)
	}
	c.answered(m)
	c.remember(m)
	c.land()
	if c.leading {
		c.agenda.advance(c.now)
	}
}

// fact takes in what is no message of EVENTS.
func (c *core[S]) fact(e contract.Event) { c.evolve(e) }

// evolve folds an event or fact. One that the state cannot take must not stop the service: it is set aside.
func (c *core[S]) evolve(e contract.Event) {
	defer c.contain(string(e.Type)+" of "+e.Subject, func(why string) {
		if e.Seq > 0 {
			c.setAside(e.Seq, why)
		}
	})
	for _, key := range c.s.Evolve(c.state, e) {
		c.touch(key)
	}
}

// contain keeps a panic of the service's decisions from ending it. It is for a defer.
func (c *core[S]) contain(what string, then func(why string)) {
	p := recover()
	if p == nil {
		return
	}
	why := fmt.Sprintf("%s cannot be folded by the %s: %v", what, c.s.Name, p)
	c.alarm(why + "\n" + string(debug.Stack()))
	then(why)
}

func (c *core[S]) touch(key string) {
	if c.leading {
		c.agenda.touch(key)
	}
}

func (c *core[S]) setAside(seq uint64, why string) {
	c.aside = append(c.aside, outcast{seq, why})
	c.touch(keyAside)
}

// answered forgets the messages that were set aside and that an event answers.
func (c *core[S]) answered(m *message) {
	if len(c.aside) == 0 || m.event.Type == "" {
		return
	}
	seq := m.event.Cause
	if d, ok := m.event.Data.(*contract.DeadLetter); ok {
		seq = d.Sequence
	}
	i, found := slices.BinarySearchFunc(c.aside, seq, func(o outcast, seq uint64) int { return cmp.Compare(o.Seq, seq) })
	switch {
	case !found:
	case i == 0: // most likely: they are answered in order
		c.aside = c.aside[1:]
	default:
		c.aside = slices.Delete(c.aside, i, i+1)
	}
}

// remember notes which event of its aggregate is the last.
func (c *core[S]) remember(m *message) {
	area, rest, _ := strings.Cut(m.subject, ".")
	verb, name, named := strings.Cut(rest, ".")
	if !named || area != "flow" && area != "executor" {
		return
	}
	aggregate := area + ".*." + name
	delete(c.refused, aggregate)
	if verb == "cleaned" || verb == "exited" || verb == "rejected" {
		delete(c.last, aggregate) // nothing more is to come, most likely
		delete(c.tries, aggregate)
		return
	}
	c.last[aggregate] = m.Seq
}

// lead begins or ends a term. A new leader decides on all that is open.
func (c *core[S]) lead(leading bool) {
	c.leading = leading
	c.agenda = newAgenda()
	clear(c.flights)
	clear(c.tries)
	clear(c.refused)
	c.flying, c.landing, c.relaunch = 0, nil, nil
	for _, s := range c.says {
		s.end(errNotLeading)
	}
	c.says = nil
	if leading {
		for _, key := range c.s.Open(c.state) {
			c.touch(key)
		}
		c.touch(keyAside)
	}
}

var errNotLeading = errors.New("this replica does not lead any more")

// take returns the effects to begin now.
func (c *core[S]) take() (begin []*flight) {
	if !c.leading {
		return nil
	}
	begin, c.relaunch = c.relaunch, nil
	for _, s := range slices.Clone(c.says) {
		begin = append(begin, c.launchSay(s)...)
	}
	for c.flying < c.c.Workers {
		key := c.agenda.take()
		if key == "" {
			return begin
		}
		begin = append(begin, c.decide(key)...)
	}
	return begin
}

// decide launches the effects that the state asks for under a key.
func (c *core[S]) decide(key string) (begin []*flight) {
	defer c.contain("the decision on "+key, func(string) {})
	if key == keyAside {
		return c.decideAside()
	}
	effects, next := c.s.Decide(c.state, key, c.now)
	c.agenda.schedule(key, next)
	for _, group := range grouped(effects) {
		if c.flying >= c.c.Workers {
			c.agenda.touch(key) // the rest is decided when there is room
			return begin
		}
		if f := c.launch(group, key); f != nil {
			begin = append(begin, f)
		}
	}
	return begin
}

// launch begins a flight unless something is under way about one of its aggregates: the key is decided again
// when that has landed.
func (c *core[S]) launch(effects []contract.Event, key string) *flight {
	f := &flight{effects: effects, decided: c.at.Seq}
	if key != "" {
		f.keys = []string{key}
	}
	for _, e := range effects {
		a := aggregateOf(e)
		if other := c.flights[a]; other != nil {
			if key != "" && !slices.Contains(other.keys, key) {
				other.keys = append(other.keys, key)
			}
			return nil
		}
		if !slices.Contains(f.aggregates, a) {
			f.aggregates = append(f.aggregates, a)
		}
	}
	c.takeOff(f)
	return f
}

func (c *core[S]) takeOff(f *flight) {
	for _, a := range f.aggregates {
		c.flights[a] = f
	}
	c.flying++
}

func (c *core[S]) launchSay(s *say[S]) []*flight {
	if s.under {
		return nil
	}
	effects := s.decide(c.state)
	if len(effects) == 0 {
		c.ended(s, nil)
		return nil
	}
	f := c.launch(effects, "")
	if f == nil {
		return nil // what is under way about it lands first
	}
	s.under, f.say = true, s
	return []*flight{f}
}

// say takes up an observation.
func (c *core[S]) say(s *say[S]) {
	if !c.leading {
		s.end(errNotLeading)
		return
	}
	c.says = append(c.says, s)
}

// ended takes a say off the list and tells its finder.
func (c *core[S]) ended(s hasDone, err error) {
	c.says = slices.DeleteFunc(c.says, func(x *say[S]) bool { return hasDone(x) == s })
	s.end(err)
}

// forget drops a say that nobody waits for any more.
func (c *core[S]) forget(s *say[S]) {
	c.says = slices.DeleteFunc(c.says, func(x *say[S]) bool { return x == s })
}

// finished takes in how a flight has ended.
func (c *core[S]) finished(o outcome) {
	if !c.leading || len(o.aggregates) > 0 && c.flights[o.aggregates[0]] != o.flight {
		return // of an earlier term
	}
	for _, e := range o.performed {
		if _, said := contract.Lookup(e.Type); said {
			continue
		}
		if e.Time.IsZero() {
			e.Time = c.now
		}
		c.evolve(e)
	}
	var stale *staleError
	switch {
	case o.err == nil && len(o.effects) == 0: // a pause is over
	case len(o.effects) == 0:
		c.follow(o, &flight{pause: o.pause})
	case o.err == nil:
		for _, a := range o.aggregates {
			delete(c.tries, a)
			delete(c.refused, a)
		}
	case errors.As(o.err, &stale):
		o.seq = max(o.seq, stale.seq)
	case errors.Is(o.err, ErrTaken):
		c.taken(o)
	default:
		c.failed(o)
	}
	c.landing = append(c.landing, o.flight)
	c.land()
}

// land ends the flights whose events are folded.
func (c *core[S]) land() {
	if len(c.landing) == 0 {
		return
	}
	c.landing = slices.DeleteFunc(c.landing, func(f *flight) bool {
		if f.seq > c.at.Seq {
			return false
		}
		c.landed(f)
		return true
	})
}

func (c *core[S]) landed(f *flight) {
	for _, a := range f.aggregates {
		if c.flights[a] == f {
			delete(c.flights, a)
		}
	}
	c.flying--
	for _, key := range f.keys {
		c.touch(key)
	}
	if s, ok := f.say.(*say[S]); ok {
		s.under = false // it is decided again, and has nothing to say then
	}
}

// taken answers a submission under a name that is in use. The answer is an event: the submission must not come
// back to a replica that follows, or that starts from an older snapshot.
func (c *core[S]) taken(o outcome) {
	p := problem.Problem{Code: problem.NotAnswerable, Message: o.err.Error(), Hint: "submit it under another id"}
	answer := deadLetter(string(contract.TypeFlowSubmit), o.failed.Cause, problem.List{p}, nil)
	c.follow(o, &flight{effects: []contract.Event{answer}})
}

// failed plans what comes after a failed effect: a pause, and another decision; or, where no other attempt
// is worth it, an event that says why. What is still wanted after that, such as the verdict on a flow, is tried
// again at a slow pace.
func (c *core[S]) failed(o outcome) {
	a := aggregateOf(*o.failed)
	if !errors.Is(o.err, errDisconnected) {
		c.tries[a]++
	}
	c.alarm(fmt.Sprintf("%s of %s failed (attempt %d): %v", o.failed.Type, o.failed.Subject, c.tries[a], o.err))
	p := c.hopeless(o.err, c.tries[a])
	if p != nil && o.say != nil {
		c.ended(o.say, o.err)
		o.say = nil
	}
	switch {
	case p == nil:
		c.follow(o, &flight{pause: backOff(c.tries[a])})
	case c.refused[a]:
		c.follow(o, &flight{pause: slowPace})
	default:
		c.refused[a] = true
		c.follow(o, &flight{effects: []contract.Event{refusal(*o.failed, o.effects, *p)}})
	}
}

// slowPace is the time between two tries of what was refused and is still wanted.
const slowPace = time.Minute

// follow has a flight go on with another one, about the same and by the same state: what has become known since
// may have answered it.
func (c *core[S]) follow(o outcome, next *flight) {
	next.aggregates, next.keys, next.decided, next.say = o.aggregates, o.keys, o.decided, o.say
	o.keys, o.say = nil, nil
	c.takeOff(next)
	c.relaunch = append(c.relaunch, next)
}

// hopeless returns the problem of an error that is not worth another attempt, else nil.
func (c *core[S]) hopeless(err error, attempt int) *problem.Problem {
	var permanent *Permanent
	switch {
	case errors.As(err, &permanent):
		return &permanent.Problem
	case attempt >= c.c.MaxAttempts:
		return &problem.Problem{
			Code:    problem.GaveUp,
			Message: fmt.Sprintf("the %s gave up after %d attempts: %v", c.s.Name, attempt, err),
		}
	default:
		return nil
	}
}

// backOff grows from 100 ms to 5 s.
func backOff(attempt int) time.Duration {
	return min(100*time.Millisecond<<min(max(attempt-1, 0), 6), 5*time.Second)
}

// grouped splits effects behind each one that is about a flow: what comes before it must be true before
// the flow is told. Those behind the last such effect stand alone.
func grouped(effects []contract.Event) (groups [][]contract.Event) {
	begin := 0
	for i, e := range effects {
		if e.Flow() != "" {
			groups = append(groups, effects[begin:i+1])
			begin = i + 1
		}
	}
	for i := begin; i < len(effects); i++ {
		groups = append(groups, effects[i:i+1])
	}
	return groups
}

// aggregateOf is what an effect is about; of an act it is the act.
func aggregateOf(e contract.Event) string {
	if a := e.Aggregate(); a != "" {
		return a
	}
	return string(e.Type) + " " + e.Subject
}
