// Package clienttest is a server for tests of what asks for flows: NATS with the stream of events, and
// an answer to [contract.AskFlowGet] and [contract.AskFlowList] from a list in memory. None of Dagyo's
// services runs.
package clienttest

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
)

// A Server knows some flows. Its methods may be called concurrently.
type Server struct {
	// URL is where NATS listens.
	URL  string
	link *broker.Link

	mu     sync.Mutex
	flows  []contract.FlowStatus
	onList func()
	ahead  time.Duration
}

// Start starts a server that runs until the test ends.
func Start(t testing.TB, flows ...contract.FlowStatus) *Server {
	t.Helper()
	nats, err := embedded.Start(t.Context(), embedded.Options{
		Port: embedded.RandomPort, Dir: t.TempDir(), Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nats.Shutdown)
	s := &Server{URL: nats.ClientURL(), flows: flows, onList: func() {}}
	if s.link, err = broker.Connect(t.Context(), broker.Options{URL: s.URL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.link.Close)
	if err := s.serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Server) serve(ctx context.Context) error {
	if err := broker.Ensure(ctx, s.link, broker.DefaultConfig()); err != nil {
		return err
	}
	service, err := micro.AddService(s.link.Conn, micro.Config{Name: "flows", Version: "0.0.0"})
	if err != nil {
		return err
	}
	err = service.AddEndpoint("get", micro.HandlerFunc(s.get), micro.WithEndpointSubject(contract.AskFlowGet))
	if err != nil {
		return err
	}
	err = service.AddEndpoint("list", micro.HandlerFunc(s.list), micro.WithEndpointSubject(contract.AskFlowList))
	if err != nil {
		return err
	}
	return s.link.Flush()
}

// Began returns a channel that receives when the server's only client has begun to follow events.
func (s *Server) Began(t testing.TB) <-chan struct{} {
	t.Helper()
	began, asked := make(chan struct{}, 1), 0
	_, err := s.link.Subscribe(s.link.LeaderSubject(contract.StreamEvents), func(m *nats.Msg) {
		if !bytes.Contains(m.Data, []byte("last_by_subj")) {
			return
		}
		if asked++; asked == 1 {
			return // it looks for its start
		}
		select {
		case began <- struct{}{}:
		default:
		}
	})
	if err == nil {
		err = s.link.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return began
}

// Set replaces the flows.
func (s *Server) Set(flows ...contract.FlowStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows = flows
}

// SetClock sets by how much the server's clock is ahead, as answers tell it.
func (s *Server) SetClock(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
}

// OnList has f called before each page is sent. What f changes is not in the page.
func (s *Server) OnList(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onList = f
}

// Publish stores an encoded event.
func (s *Server) Publish(t testing.TB, e contract.Event) {
	t.Helper()
	m, err := s.link.Encode(t.Context(), e)
	if err == nil {
		m.Subject = e.IngressSubject()
		_, err = s.link.JS.PublishMsg(t.Context(), m)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *Server) before() {
	s.mu.Lock()
	onList := s.onList
	s.mu.Unlock()
	onList()
}

func (s *Server) known() []contract.FlowStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flows
}

func (s *Server) get(req micro.Request) {
	flows := s.known()
	i := slices.IndexFunc(flows, func(f contract.FlowStatus) bool { return f.Flow == string(req.Data()) })
	if i < 0 {
		_ = req.Error("404", "no such flow", nil)
		return
	}
	_ = req.RespondJSON(flows[i], s.time())
}

func (s *Server) list(req micro.Request) {
	q, err := history.ParseQuery(req.Data())
	if err != nil {
		_ = req.Error("400", err.Error(), nil)
		return
	}
	nothing := history.NewIndex(nil, nil)
	page, err := nothing.Page(context.Background(), q, slices.Values(s.known()), history.DefaultBudget())
	if err != nil {
		_ = req.Error("500", err.Error(), nil)
		return
	}
	body, err := json.Marshal(page)
	if err != nil {
		_ = req.Error("500", err.Error(), nil)
		return
	}
	s.before()
	_ = req.Respond(body, s.time())
}

// time is the header with the time of the server.
func (s *Server) time() micro.RespondOpt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return micro.WithHeaders(micro.Headers{contract.HeaderTime: {time.Now().Add(s.ahead).UTC().Format(time.RFC3339Nano)}})
}
