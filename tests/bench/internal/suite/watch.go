package suite

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

// A Watch receives the events of flows as any client does, and records when they arrived.
type Watch struct {
	mu    sync.Mutex
	flows map[string]*Story
}

// A Story contains the events received about one flow.
type Story struct {
	mu sync.Mutex
	// at is when an event of each type was first received.
	at map[contract.Type]time.Time
	// started counts job.started; last is when the last of them arrived.
	started int
	last    time.Time
	planned *contract.FlowPlanned
	// told is the message in the flow's panic or rejection.
	told string
	// mayPanic is set if the flow is expected to panic.
	mayPanic bool
	changed  chan struct{}
}

// newWatch subscribes to events, until the connection is closed.
func newWatch(link *broker.Link) (*Watch, error) {
	w := &Watch{flows: make(map[string]*Story)}
	for _, subject := range []string{"flow.*.*", contract.FromAny("job.started.*.*")} {
		sub, err := link.Subscribe(subject, w.hear)
		if err != nil {
			return nil, err
		}
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return nil, err
		}
	}
	return w, link.Flush()
}

// follow begins the story of a flow, without earlier events.
func (w *Watch) follow(flow string) *Story {
	s := &Story{at: make(map[contract.Type]time.Time), changed: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flows[flow] = s
	return s
}

func (w *Watch) forget(flow string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.flows, flow)
}

func (w *Watch) hear(m *nats.Msg) {
	now := time.Now()
	tokens := strings.Split(m.Subject, ".")
	w.mu.Lock()
	s := w.flows[tokens[2]]
	w.mu.Unlock()
	if s != nil {
		s.hear(contract.Type(tokens[0]+"."+tokens[1]), m, now)
	}
}

func (s *Story) hear(t contract.Type, m *nats.Msg, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch t {
	case contract.TypeJobStarted:
		s.started, s.last = s.started+1, now
	case contract.TypeFlowPlanned, contract.TypeFlowPanic, contract.TypeFlowRejected:
		s.read(m)
	}
	if _, heard := s.at[t]; !heard {
		s.at[t] = now
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Story) read(m *nats.Msg) {
	e, err := event.Decode(m.Subject, m.Header, m.Data)
	if err != nil {
		s.told = err.Error()
		return
	}
	switch d := e.Data.(type) {
	case *contract.FlowPlanned:
		s.planned = d
	case *contract.FlowPanic:
		s.told = d.Cause.Message
	case *contract.FlowRejected:
		s.told = d.Problems.Error()
	}
}

// await waits until done reports true. A rejection or an unexpected panic ends the wait.
func (s *Story) await(ctx context.Context, what string, done func(*Story) bool) error {
	for {
		s.mu.Lock()
		ok, bad, changed := done(s), s.bad(), s.changed
		told, started := s.told, s.started
		s.mu.Unlock()
		switch {
		case ok:
			return nil
		case bad != "":
			return fmt.Errorf("%s instead of %s: %s", bad, what, told)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("no %s (%d jobs started): %w", what, started, context.Cause(ctx))
		}
	}
}

// bad returns the event after which waiting is pointless.
func (s *Story) bad() contract.Type {
	if _, heard := s.at[contract.TypeFlowRejected]; heard {
		return contract.TypeFlowRejected
	}
	if _, heard := s.at[contract.TypeFlowPanic]; heard && !s.mayPanic {
		return contract.TypeFlowPanic
	}
	return ""
}

// awaitEvent waits for an event.
func (s *Story) awaitEvent(ctx context.Context, t contract.Type) error {
	return s.await(ctx, string(t), func(s *Story) bool { return !s.at[t].IsZero() })
}

// awaitCleaned waits until the flow is cleaned up, whatever its verdict.
func (s *Story) awaitCleaned(ctx context.Context) error {
	return s.awaitEvent(ctx, contract.TypeFlowCleaned)
}

// awaitStarted waits until the given number of jobs has started.
func (s *Story) awaitStarted(ctx context.Context, jobs int) error {
	return s.await(ctx, fmt.Sprintf("start of %d jobs", jobs),
		func(s *Story) bool { return s.started >= jobs })
}

// since is the time from a moment until an event was received.
func (s *Story) since(t0 time.Time, t contract.Type) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at[t].IsZero() {
		return 0
	}
	return s.at[t].Sub(t0)
}
