package aggregator

import (
	"container/list"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A ClientBeat is a heartbeat of a client that feeds or reads a flow.
type ClientBeat struct {
	Flow, Client string
	// By is the user who published it, or "" if that is not known.
	By string
	// For is the time that the client counts as alive after this beat, at least Limits.ClientSilence.
	For time.Duration
	// Released is set if the flow no longer depends on the client.
	Released bool
}

// ClientHeard returns the fact that a client published a heartbeat.
func ClientHeard(b ClientBeat, at time.Time) contract.Event {
	return contract.Event{Type: factClient, With: b, Time: at}
}

// A client is a client that a flow depends on: no other client feeds or reads the flow.
type client struct {
	// Heard is the time of its last heartbeat.
	Heard time.Time `json:"heard"`

	// lasts is how long it counts as alive then, deaf is how long this process had received nothing. They are not
	// stored: a new process grants every client its time again.
	lasts, deaf time.Duration
	run         *run // nil while the flow is not known
	clock       timer
}

func (c *client) of() *run                { return c.run }
func (c *client) timer() *timer           { return &c.clock }
func (c *client) dead(s *State) time.Time { return s.clientGone(c) }

func (c *client) lasting(s *State) (time.Time, time.Duration) { return c.Heard, s.patience(c) }

const (
	// clientsMost bounds the clients of one flow, because any client may publish heartbeats.
	clientsMost = 64
	// earlyMost bounds the clients of unknown flows, earlyOfUser those of each user.
	earlyMost   = 10_000
	earlyOfUser = 1000
	// clientNameMost bounds the token of a client, in bytes.
	clientNameMost = 64
)

// clientHeard folds a heartbeat of a client. The flow may not be known yet.
func (s *State) clientHeard(b ClientBeat, now time.Time) {
	if r := s.runs[b.Flow]; r != nil && (contract.Sender{Name: b.By}).Foreign(r.Owner) {
		return // the flow depends on clients of its owner only
	}
	if b.Released {
		s.released(b)
		return
	}
	c := s.client(b, now)
	if c == nil {
		return
	}
	c.Heard, c.lasts, c.deaf = now, min(b.For, longestPulse), s.ears.deaf
	if c.run != nil {
		s.alive(c)
	}
}

// released removes a client. A client also releases a flow that has ended: nothing is remembered of it.
func (s *State) released(b ClientBeat) {
	if c := s.early.of[earlyKey{b.Flow, b.Client, b.By}]; c != nil {
		s.early.forget(c)
	}
	if r := s.runs[b.Flow]; r != nil && r.Clients[b.Client] != nil {
		s.living.remove(r.Clients[b.Client])
		delete(r.Clients, b.Client)
	}
}

// client returns the client that a heartbeat is from. It is nil if the flow has ended or has too many clients.
func (s *State) client(b ClientBeat, now time.Time) *client {
	r, shown := s.runs[b.Flow], s.shown[b.Flow]
	switch {
	case r != nil && r.Clients[b.Client] == nil && len(r.Clients) < clientsMost:
		if r.Clients == nil {
			r.Clients = make(map[string]*client)
		}
		r.Clients[strings.Clone(b.Client)] = &client{run: r}
		return r.Clients[b.Client]
	case r != nil:
		return r.Clients[b.Client]
	case shown != nil && shown.Verdict != "" && shown.Verdict != contract.TypeFlowRejected:
		return nil
	}
	return s.early.client(earlyKey{b.Flow, b.Client, b.By}, now, s.limits.CancelMemory)
}

// early holds the clients of flows that are not known yet. They are not stored.
type early struct {
	of  map[earlyKey]*earlyClient
	all *list.List // of *earlyClient, the oldest first
	// users and flows are the same of each user and of each flow.
	users, flows lists
}

// lists are lists by name, without those that are empty.
type lists map[string]*list.List

func (l lists) push(name string, v any) *list.Element {
	if l[name] == nil {
		l[name] = list.New()
	}
	return l[name].PushBack(v)
}

func (l lists) remove(name string, e *list.Element) {
	if l[name].Remove(e); l[name].Len() == 0 {
		delete(l, name)
	}
}

// An earlyKey names a client of an unknown flow, by the user who published its heartbeats: the owner of the flow is
// not known yet.
type earlyKey struct{ flow, client, user string }

type earlyClient struct {
	client
	earlyKey
	at time.Time // of its first heartbeat
	// inAll, ofUser and ofFlow are its places in early.all and in the lists of its user and flow.
	inAll, ofUser, ofFlow *list.Element
}

func newEarly() early {
	return early{of: make(map[earlyKey]*earlyClient), all: list.New(), users: lists{}, flows: lists{}}
}

// client returns a client, and remembers it for a while. The oldest are forgotten first: of the user, if the user has too
// many, else of all.
func (e *early) client(k earlyKey, now time.Time, memory time.Duration) *client {
	if c := e.of[k]; c != nil {
		return &c.client
	}
	if own := e.users[k.user]; own != nil && own.Len() >= earlyOfUser {
		e.forget(own.Front().Value.(*earlyClient))
	}
	for first := e.all.Front(); first != nil; first = e.all.Front() {
		if c := first.Value.(*earlyClient); e.all.Len() < earlyMost && now.Sub(c.at) <= memory {
			break
		}
		e.forget(first.Value.(*earlyClient))
	}
	// The names are parts of a longer subject.
	k = earlyKey{strings.Clone(k.flow), strings.Clone(k.client), strings.Clone(k.user)}
	c := &earlyClient{earlyKey: k, at: now}
	e.of[k], c.inAll, c.ofUser, c.ofFlow = c, e.all.PushBack(c), e.users.push(k.user, c), e.flows.push(k.flow, c)
	return &c.client
}

func (e *early) forget(c *earlyClient) {
	delete(e.of, c.earlyKey)
	e.all.Remove(c.inAll)
	e.users.remove(c.user, c.ofUser)
	e.flows.remove(c.flow, c.ofFlow)
}

// take returns the clients of a newly known flow, without those of other users than its owner. Each gets its full time
// from now on, given ears.deaf.
func (e *early) take(flow, owner string, now time.Time, deaf time.Duration) map[string]*client {
	var clients map[string]*client
	for e.flows[flow] != nil {
		c := e.flows[flow].Front().Value.(*earlyClient)
		if e.forget(c); (contract.Sender{Name: c.user}).Foreign(owner) || len(clients) == clientsMost {
			continue
		}
		if clients == nil {
			clients = make(map[string]*client)
		}
		clients[c.earlyKey.client] = &client{Heard: later(c.Heard, now), lasts: c.lasts, deaf: deaf}
	}
	return clients
}

// clientGone returns when a client counts as gone without a further beat; the zero time before this process listens.
func (s *State) clientGone(c *client) time.Time {
	return s.until(c.Heard, s.patience(c), c.deaf, 0)
}

// patience returns how long a client may be silent.
func (s *State) patience(c *client) time.Duration { return max(c.lasts, s.limits.ClientSilence) }

// silentClients lists the clients of a run whose time has expired.
func (s *State) silentClients(r *run, now time.Time) (out []string) {
	for name, c := range r.Clients {
		if gone := s.clientGone(c); !gone.IsZero() && now.After(gone) {
			out = append(out, name)
		}
	}
	slices.Sort(out) // the same facts give the same decision
	return out
}

// judgeClients ends a run with a silent client, once all heartbeats until now are received.
func (s *State) judgeClients(flow string, r *run, now time.Time) []contract.Event {
	silent := s.silentClients(r, now)
	if len(silent) == 0 {
		return nil
	}
	for _, name := range silent {
		if !r.listened.After(s.clientGone(r.Clients[name])) {
			return []contract.Event{{Type: actListen, Subject: flow}}
		}
	}
	return []contract.Event{{Type: actAbandon, Subject: flow, With: silent}}
}

// abandon cancels a run whose client is gone.
func (s *State) abandon(flow string, silent []string, now time.Time) {
	s.with(flow, func(r *run) {
		if r.Cancel != nil {
			return
		}
		r.Cancel = &cancel{
			Flow: flow, By: contract.Source(Name), At: now,
			Reason: fmt.Sprintf("no heartbeat for %v from the client that feeds or reads the flow",
				s.patience(r.Clients[silent[0]])),
		}
		r.CancelledFirst = len(r.Failures) == 0
		r.beginEnding(now)
	})
}
