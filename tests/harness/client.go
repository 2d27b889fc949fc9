package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

// Patience is how long a test waits for something that must happen. No test measures it.
const Patience = 60 * time.Second

// A Client is a user: a NATS connection, and every event received since it connected.
type Client struct {
	*broker.Link
	sender contract.Sender
	mu     sync.Mutex
	events []contract.Event
	raw    []*nats.Msg
	more   chan struct{}
}

// Client connects a user for the duration of the test.
func (s *Stack) Client(t *testing.T) *Client {
	t.Helper()
	return Connect(t, s.Server.ClientURL())
}

// Connect connects a user to any server for the duration of the test.
func Connect(t *testing.T, url string) *Client {
	t.Helper()
	return ConnectAs(t, url, broker.Access{})
}

// ConnectAs is Connect with the credentials of a person, for a server with roles.
func ConnectAs(t *testing.T, url string, access broker.Access) *Client {
	t.Helper()
	link, err := broker.Connect(t.Context(), broker.Options{URL: url, Name: "test client", Wait: Patience, Access: access})
	if err != nil {
		t.Fatal(err)
	}
	holder, proven, err := access.Holder(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Link: link, sender: contract.Sender{Name: holder.Name}, more: make(chan struct{})}
	subjects := []string{"flow.*.>", "job.>", "executor.>", "progdef.*.>", "type.*.>", "webhook.*.>", "deadletter"}
	if proven { // to what a person may subscribe
		subjects = []string{
			"flow.*.*", "job.*.*.>", "executor.*.*.*", contract.FromAny("executor.draining.*.*"), "progdef.*.*", "type.*.*", "webhook.*.*", "deadletter",
		}
	}
	for _, subject := range subjects {
		if _, err := link.Subscribe(subject, c.hear); err != nil {
			t.Fatal(err)
		}
	}
	if err := link.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	return c
}

func (c *Client) hear(m *nats.Msg) {
	body, err := c.Resolve(context.Background(), m.Subject, m.Header, m.Data)
	var e contract.Event
	if err == nil {
		e, err = event.Decode(m.Subject, m.Header, body)
	}
	if err != nil {
		e = contract.Event{Type: "unreadable", Subject: err.Error()}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events, c.raw = append(c.events, e), append(c.raw, m)
	close(c.more)
	c.more = make(chan struct{})
}

// Events returns the matching events so far.
func (c *Client) Events(match func(contract.Event) bool) []contract.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []contract.Event
	for _, e := range c.events {
		if match(e) {
			out = append(out, e)
		}
	}
	return out
}

// Messages returns the messages of the events so far.
func (c *Client) Messages() []*nats.Msg {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*nats.Msg{}, c.raw...)
}

// Await returns the first matching event, and waits for it if necessary.
func (c *Client) Await(t testing.TB, what string, match func(contract.Event) bool) contract.Event {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	seen := 0
	for {
		c.mu.Lock()
		events, more := c.events[seen:], c.more
		seen = len(c.events)
		c.mu.Unlock()
		for _, e := range events {
			if match(e) {
				return e
			}
		}
		select {
		case <-more:
		case <-deadline.C:
			t.Fatalf("no %s within %v; received:\n%s", what, Patience, c.transcript())
		}
	}
}

func (c *Client) transcript() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for i, e := range c.events[max(0, len(c.events)-200):] {
		fmt.Fprintf(&b, "%3d %s %s\n", i, e.Type, c.raw[max(0, len(c.events)-200)+i].Subject)
	}
	return b.String()
}

// Is matches events of one type about one subject.
func Is(t contract.Type, subject string) func(contract.Event) bool {
	return func(e contract.Event) bool { return e.Type == t && e.Subject == subject }
}

// Ended matches the events that end a flow: verdicts and rejections.
func Ended(flow string) func(contract.Event) bool {
	return func(e contract.Event) bool {
		return e.Subject == flow && (contract.IsVerdict(e.Type) || e.Type == contract.TypeFlowRejected)
	}
}

// AwaitEnd returns the flow's verdict or rejection.
func (c *Client) AwaitEnd(t testing.TB, flow string) contract.Event {
	t.Helper()
	return c.Await(t, "verdict on "+flow, Ended(flow))
}

// Command publishes a command with a JSON document as its data.
func (c *Client) Command(t testing.TB, typ contract.Type, subject string, data any) {
	t.Helper()
	raw, ok := data.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(data); err != nil {
			t.Fatal(err)
		}
	}
	m := nats.NewMsg(c.sender.On(string(typ)))
	m.Header.Set("content-type", "application/cloudevents+json")
	body, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": fmt.Sprintf("%s-%s-%d", typ, subject, time.Now().UnixNano()),
		"type": typ, "source": "/test", "subject": subject, "data": raw,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Data = body
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if _, err := c.JS.PublishMsg(ctx, m); err != nil {
		t.Fatal(err)
	}
}

// AwaitFlush waits until the server has received everything that was published. A lost connection ends a flush with an
// error, and is then replaced.
func (c *Client) AwaitFlush(t testing.TB) {
	t.Helper()
	for {
		err := c.FlushTimeout(Patience)
		if err == nil {
			return
		}
		if !errors.Is(err, nats.ErrConnectionClosed) || c.IsClosed() {
			t.Fatal(err)
		}
	}
}

// AwaitStored waits until EVENTS has an event on the subject. A plain subscriber may receive an event before it is
// stored, and its next publication might overtake it.
func (c *Client) AwaitStored(t testing.TB, subject string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	events, err := c.JS.Stream(ctx, contract.StreamEvents)
	for err == nil {
		if _, err = events.GetLastMsgForSubject(ctx, subject); err == nil {
			return
		}
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = nil
		}
	}
	t.Fatalf("%s is not stored: %v", subject, err)
}

// Submit submits a flow document.
func (c *Client) Submit(t testing.TB, flow, document string) {
	t.Helper()
	c.Command(t, contract.TypeFlowSubmit, flow, json.RawMessage(document))
}

// Cancel cancels a flow.
func (c *Client) Cancel(t testing.TB, flow string) {
	t.Helper()
	c.Command(t, contract.TypeFlowCancel, flow, contract.FlowCancel{Flow: flow, Reason: "test"})
}

// Apply adds a progdef to the catalogue and waits until it is applied.
func (c *Client) Apply(t testing.TB, document string) {
	t.Helper()
	var d struct{ Name string }
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		t.Fatal(err)
	}
	c.Command(t, contract.TypeProgdefApply, d.Name, json.RawMessage(document))
	e := c.Await(t, "answer to progdef "+d.Name, func(e contract.Event) bool {
		return e.Subject == d.Name && (e.Type == contract.TypeProgdefApplied || e.Type == contract.TypeProgdefRejected)
	})
	if r, ok := e.Data.(*contract.ProgdefRejected); ok {
		t.Fatalf("progdef %s: %v", d.Name, r.Problems)
	}
}
