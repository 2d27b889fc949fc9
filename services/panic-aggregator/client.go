package aggregator

import (
	"fmt"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A ClientBeat is a sign of life of a client that feeds or reads a flow.
type ClientBeat struct {
	Flow, Client string
	// By is the user who published it, or "" if that is not known.
	By string
	// For is the time that the client counts as alive after this beat, at least Limits.ClientSilence.
	For time.Duration
	// Released is set if the flow no longer depends on the client.
	Released bool
}

// ClientHeard returns the fact that a client published a sign of life.
func ClientHeard(b ClientBeat, at time.Time) contract.Event {
	return contract.Event{Type: factClient, With: b, Time: at}
}

// A client is a client that a flow depends on: no other client feeds or reads the flow.
type client struct {
	// Heard is the time of its last sign of life.
	Heard time.Time `json:"heard"`

	// by is the user who published its first sign of life. It matters only while the owner of the flow is not known.
	by string
	// lasts is for how long it is alive then, deaf is for how long we had been deaf. They are not stored: a new
	// process grants every client its time again.
	lasts, deaf time.Duration
	run         *run // nil while the flow is not known
	clock       timer
}

func (c *client) of() *run                { return c.run }
func (c *client) timer() *timer           { return &c.clock }
func (c *client) dead(s *State) time.Time { return s.clientGone(c) }

func (c *client) lasting(s *State) (time.Time, time.Duration) { return c.Heard, s.patience(c) }

const (
	// clientsMost bounds the clients of one flow, because any client may publish signs of life.
	clientsMost = 64
	// earlyMost bounds the unknown flows with clients.
	earlyMost = 10_000
)

// clientHeard folds a sign of life of a client. The flow may not be known yet.
func (s *State) clientHeard(b ClientBeat, now time.Time) {
	if r := s.runs[b.Flow]; r != nil && (contract.Sender{Name: b.By}).Foreign(r.Owner) {
		return // the flow depends on clients of its owner only
	}
	if b.Released {
		s.released(b)
		return
	}
	clients := s.clientsOf(b.Flow, now)
	c := clients[b.Client]
	if c == nil {
		if clients == nil || len(clients) >= clientsMost {
			return
		}
		c = &client{by: b.By, run: s.runs[b.Flow]}
		clients[b.Client] = c
	}
	c.Heard, c.lasts, c.deaf = now, min(b.For, longestPulse), s.ears.deaf
	if c.run != nil {
		s.alive(c)
	}
}

// released removes a client. A client also releases a flow that has ended: nothing is remembered of it.
func (s *State) released(b ClientBeat) {
	delete(s.early.of[b.Flow], b.Client)
	if r := s.runs[b.Flow]; r != nil && r.Clients[b.Client] != nil {
		s.living.remove(r.Clients[b.Client])
		delete(r.Clients, b.Client)
	}
}

// clientsOf returns the clients of a flow, nil if it has ended.
func (s *State) clientsOf(flow string, now time.Time) map[string]*client {
	r, shown := s.runs[flow], s.shown[flow]
	switch {
	case r != nil && r.Clients == nil:
		r.Clients = make(map[string]*client)
		return r.Clients
	case r != nil:
		return r.Clients
	case shown != nil && shown.Verdict != "" && shown.Verdict != contract.TypeFlowRejected:
		return nil
	}
	return s.early.clients(flow, now, s.limits.CancelMemory)
}

// early holds the clients of flows that are not known yet. They are not stored.
type early struct {
	of    map[string]map[string]*client
	order []earlyFlow // the oldest first
}

type earlyFlow struct {
	flow string
	at   time.Time
}

// clients returns the clients of a flow, and remembers it for a while.
func (e *early) clients(flow string, now time.Time, memory time.Duration) map[string]*client {
	if clients := e.of[flow]; clients != nil {
		return clients
	}
	for len(e.order) > 0 && (len(e.order) >= earlyMost || now.Sub(e.order[0].at) > memory) {
		delete(e.of, e.order[0].flow)
		e.order = e.order[1:]
	}
	e.of[flow] = make(map[string]*client)
	e.order = append(e.order, earlyFlow{flow, now})
	return e.of[flow]
}

// take returns the clients of a newly known flow, without those of other users than its owner. Each gets its full time
// from now on, given ears.deaf.
func (e *early) take(flow, owner string, now time.Time, deaf time.Duration) map[string]*client {
	clients := e.of[flow]
	delete(e.of, flow)
	for name, c := range clients {
		if (contract.Sender{Name: c.by}).Foreign(owner) {
			delete(clients, name)
			continue
		}
		c.Heard, c.deaf = later(c.Heard, now), deaf
		clients[name] = c
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

// judgeClients ends a run with a silent client, once all signs of life until now are received.
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
			Reason: fmt.Sprintf("no sign of life for %v from the client that feeds or reads the flow",
				s.patience(r.Clients[silent[0]])),
		}
		r.CancelledFirst = len(r.Failures) == 0
		r.beginEnding(now)
	})
}
