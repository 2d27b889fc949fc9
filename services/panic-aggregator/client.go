package aggregator

import (
	"fmt"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A ClientBeat is a sign of life of a client that is to feed or to read a flow.
type ClientBeat struct {
	Flow, Client string
	// For is how long the client is alive from now on unless it beats again, Limits.ClientSilence at least.
	For time.Duration
	// Released is set when the flow no longer depends on the client.
	Released bool
}

// ClientHeard is the fact that a client gave a sign of life.
func ClientHeard(b ClientBeat, at time.Time) contract.Event {
	return contract.Event{Type: factClient, With: b, Time: at}
}

// A client is one that a flow depends on: nobody else would feed or read the flow.
type client struct {
	// Heard is when it gave its last sign of life.
	Heard time.Time `json:"heard"`

	// lasts is for how long it is alive then, deaf is for how long we had been deaf. They are not stored: a new
	// process grants every client its time again.
	lasts, deaf time.Duration
}

const (
	// clientsMost bounds the clients of one flow: anybody may send signs of life.
	clientsMost = 64
	// earlyMost bounds the flows that are not known yet of which clients are.
	earlyMost = 10_000
)

// clientHeard folds a sign of life of a client. The flow may not be known yet.
func (s *State) clientHeard(b ClientBeat, now time.Time) {
	clients := s.clientsOf(b.Flow, now)
	_, known := clients[b.Client]
	switch {
	case b.Released:
		delete(clients, b.Client)
	case known, clients != nil && len(clients) < clientsMost:
		clients[b.Client] = client{Heard: now, lasts: min(b.For, longestPulse), deaf: s.ears.deaf}
	}
}

// clientsOf returns the clients of a flow, nil if it has ended.
func (s *State) clientsOf(flow string, now time.Time) map[string]client {
	r, shown := s.runs[flow], s.shown[flow]
	switch {
	case r != nil && r.Clients == nil:
		r.Clients = make(map[string]client)
		return r.Clients
	case r != nil:
		return r.Clients
	case shown != nil && shown.Verdict != "" && shown.Verdict != contract.TypeFlowRejected:
		return nil
	}
	return s.early.clients(flow, now, s.limits.CancelMemory)
}

// early are the clients of flows that are not known yet. They are no part of what is stored.
type early struct {
	of    map[string]map[string]client
	order []earlyFlow // the oldest first
}

type earlyFlow struct {
	flow string
	at   time.Time
}

// clients returns the clients of a flow, and remembers it for a while.
func (e *early) clients(flow string, now time.Time, memory time.Duration) map[string]client {
	if clients := e.of[flow]; clients != nil {
		return clients
	}
	for len(e.order) > 0 && (len(e.order) >= earlyMost || now.Sub(e.order[0].at) > memory) {
		delete(e.of, e.order[0].flow)
		e.order = e.order[1:]
	}
	e.of[flow] = make(map[string]client)
	e.order = append(e.order, earlyFlow{flow, now})
	return e.of[flow]
}

// take returns the clients of a flow that is known from now on. Each has its time from then.
func (e *early) take(flow string, now time.Time) map[string]client {
	clients := e.of[flow]
	delete(e.of, flow)
	for name, c := range clients {
		c.Heard = later(c.Heard, now)
		clients[name] = c
	}
	return clients
}

// clientGone returns when a client counts as gone unless it is heard; the zero time while we have not listened.
func (s *State) clientGone(c client) time.Time {
	return s.until(c.Heard, s.patience(c), c.deaf, 0)
}

// patience is how long a client may be silent.
func (s *State) patience(c client) time.Duration { return max(c.lasts, s.limits.ClientSilence) }

// silentClients lists the clients of a run whose time is over.
func (s *State) silentClients(r *run, now time.Time) (out []string) {
	for name, c := range r.Clients {
		if gone := s.clientGone(c); !gone.IsZero() && now.After(gone) {
			out = append(out, name)
		}
	}
	slices.Sort(out) // the same facts give the same decision
	return out
}

// judgeClients ends a run of which a client is silent, once all that was sent until now is heard.
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

// abandon cancels a run that nobody feeds or reads any more.
func (s *State) abandon(flow string, silent []string, now time.Time) {
	s.with(flow, func(r *run) {
		if r.Cancel != nil {
			return
		}
		r.Cancel = &cancel{
			Flow: flow, By: contract.Source(Name), At: now,
			Reason: fmt.Sprintf("the client that was to feed or read the flow has given no sign of life for %v",
				s.patience(r.Clients[silent[0]])),
		}
		r.CancelledFirst = len(r.Failures) == 0
		r.beginEnding(now)
	})
}
