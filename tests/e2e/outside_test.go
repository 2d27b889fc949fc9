package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/tests/harness"
)

// outsider is a user with only a NATS connection: no Dagyo code touches its messages.
type outsider struct {
	t    *testing.T
	nc   *nats.Conn
	msgs chan *nats.Msg
}

func newOutsider(t *testing.T, s *harness.Stack, subject string) *outsider {
	t.Helper()
	nc, err := nats.Connect(s.Server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	o := &outsider{t: t, nc: nc, msgs: make(chan *nats.Msg, 1000)}
	if _, err := nc.ChanSubscribe(subject, o.msgs); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *outsider) next() (subject string, e cloudEvent) {
	o.t.Helper()
	select {
	case m := <-o.msgs:
		if err := json.Unmarshal(m.Data, &e); err != nil {
			o.t.Fatalf("%s: not structured JSON: %v", m.Subject, err)
		}
		if got := m.Header.Get("content-type"); got != "application/cloudevents+json" {
			o.t.Errorf("%s: content-type %q", m.Subject, got)
		}
		return m.Subject, e
	case <-time.After(harness.Patience):
		o.t.Fatal("no event")
		return "", e
	}
}

type cloudEvent struct {
	SpecVersion, ID, Type, Source, Subject, TraceParent string
	Time                                                time.Time
	Data                                                json.RawMessage
}

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestFromOutside(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	applyGood(t, s.Client(t), 10, 1)

	binary := nats.NewMsg("flow.submit")
	binary.Data = []byte(words)
	for k, v := range map[string]string{
		"ce-specversion": "1.0", "ce-id": "1", "ce-type": "flow.submit", "ce-source": "/outside",
		"ce-subject": "binary", "ce-traceparent": trace, "content-type": "application/json",
	} {
		binary.Header.Set(k, v)
	}
	structured := nats.NewMsg("flow.submit")
	structured.Header.Set("content-type", "application/cloudevents+json")
	structured.Data = []byte(`{"specversion": "1.0", "id": "structured", "type": "flow.submit", "source": "/outside",
		"traceparent": "` + trace + `", "data": ` + words + `}`)

	for flow, m := range map[string]*nats.Msg{"binary": binary, "structured": structured} {
		t.Run(flow, func(t *testing.T) {
			o := newOutsider(t, s, "flow.*."+flow)
			m.Reply = o.nc.NewRespInbox()
			ack, err := o.nc.RequestMsg(m, harness.Patience)
			if err != nil {
				t.Fatal(err)
			}
			var accepted struct{ Stream string }
			if err := json.Unmarshal(ack.Data, &accepted); err != nil || accepted.Stream != "EVENTS" {
				t.Errorf("submission with a reply subject got %s, want JetStream's ack", ack.Data)
			}
			var types []string
			for len(types) == 0 || types[len(types)-1] != "flow.cleaned" {
				subject, e := o.next()
				types = append(types, e.Type)
				if subject != e.Type+"."+flow || e.Subject != flow || e.SpecVersion != "1.0" || e.ID == "" || e.Source == "" || e.Time.IsZero() {
					t.Errorf("%s: envelope %+v", subject, e)
				}
				if e.TraceParent != trace {
					t.Errorf("%s: traceparent %q, want the submission's", subject, e.TraceParent)
				}
				if _, problems := document.Check(e.Type, e.Data, document.Limits{Bytes: 1 << 20, Depth: 32}); len(problems) > 0 {
					t.Errorf("%s breaks its schema:\n%v\n%s", subject, problems, e.Data)
				}
			}
			want := []string{"flow.validated", "flow.planned", "flow.spawned", "flow.completed", "flow.cleaned"}
			if !slices.Equal(types, want) {
				t.Errorf("events %v, want %v", types, want)
			}
		})
	}
}

// A subscriber to flow.panic.> receives the only verdict of each failing flow.
func TestFollowPanics(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	c.ApplyFaulty(t, harness.Faulty{Name: "returns-error", Out: true})
	o := newOutsider(t, s, "flow.panic.>")
	c.Submit(t, "good", words)
	c.Submit(t, "bad", alone("returns-error"))
	subject, e := o.next()
	if subject != "flow.panic.bad" {
		t.Errorf("first panic is on %s", subject)
	}
	if _, problems := document.Check(e.Type, e.Data, document.DefaultLimits()); len(problems) > 0 {
		t.Errorf("the verdict breaks its schema:\n%v", problems)
	}
	c.AwaitEnd(t, "good")
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "bad"))
	select {
	case m := <-o.msgs:
		t.Errorf("a second verdict: %s", m.Subject)
	default:
	}
}

// Every event that a run causes is valid against its schema and stored in EVENTS. All types occur.
func TestEventsKeepTheirSchemas(t *testing.T) {
	o := harness.DefaultOptions()
	o.Aggregator.Limits.StallAfter = 500 * time.Millisecond
	o.Aggregator.LocalWebhooks = []string{"127.0.0.0/8"}
	s := harness.Start(t, o)
	c := s.Client(t)
	useWebhook(t, c)
	applyGood(t, c, 1, 1)
	c.ApplyFaulty(t, harness.Faulty{Name: "returns-error", Out: true, Idle: "1ms"})
	c.ApplyFaulty(t, harness.Faulty{Name: "waits", Out: true})
	c.Submit(t, "rejected", `{"nodes": {"a": {"progdef": "nope"}}}`)
	c.Submit(t, "cancelled", alone("waits"))
	c.Await(t, "grant", harness.Is(contract.TypeFlowSpawned, "cancelled"))
	c.Submit(t, "queued", words)
	c.Submit(t, "panics", alone("returns-error"))
	c.Await(t, "queue", harness.Is(contract.TypeFlowQueued, "queued"))
	c.Await(t, "stall", harness.Is(contract.TypeFlowStalled, "cancelled"))
	c.Cancel(t, "cancelled")
	for _, flow := range []string{"rejected", "cancelled", "queued", "panics"} {
		c.AwaitEnd(t, flow)
	}
	c.Await(t, "end of the webhook", harness.Is(contract.TypeWebhookDisabled, "gone"))
	c.Command(t, contract.TypeWebhookRemove, "gone", contract.WebhookRemove{Name: "gone"})
	c.Await(t, "removal of the webhook", harness.Is(contract.TypeWebhookRemoved, "gone"))
	c.Command(t, contract.TypeProgdefRemove, "waits", contract.ProgdefRemove{Name: "waits"})
	c.Command(t, contract.TypeProgdefRemove, "nobody", contract.ProgdefRemove{Name: "nobody"})
	c.Command(t, contract.TypeTypeApply, "invoice", map[string]any{"name": "invoice", "description": "A bill."})
	c.Command(t, contract.TypeTypeApply, "nothing", map[string]any{"name": "nothing"})
	c.Await(t, "type", harness.Is(contract.TypeTypeApplied, "invoice"))
	c.Await(t, "refused type", harness.Is(contract.TypeTypeRejected, "nothing"))
	c.Await(t, "removal", harness.Is(contract.TypeProgdefRemoved, "waits"))
	c.Await(t, "refusal", harness.Is(contract.TypeProgdefRejected, "nobody"))
	c.Await(t, "idle executor's exit", func(e contract.Event) bool {
		d, ok := e.Data.(*contract.ExecutorExited)
		return ok && d.Progdef == "returns-error"
	})
	if _, err := c.JS.Publish(context.Background(), "flow.cancel", []byte("not an event")); err != nil {
		t.Fatal(err)
	}
	letter := c.Await(t, "dead letter", func(e contract.Event) bool { return e.Type == contract.TypeDeadLetter })
	c.AwaitStored(t, letter.NATSSubject())

	seen := map[contract.Type]bool{}
	for _, m := range everything(t, c) {
		var e cloudEvent
		if json.Unmarshal(m.Data(), &e) != nil {
			continue // the garbage that the test sent
		}
		typ := contract.Type(e.Type)
		seen[typ] = true
		if entry, _ := contract.Lookup(typ); entry.Command {
			continue
		}
		if _, problems := document.Check(e.Type, e.Data, document.Limits{Bytes: 1 << 20, Depth: 32}); len(problems) > 0 {
			t.Errorf("%s breaks its schema:\n%v\n%s", m.Subject(), problems, e.Data)
		}
	}
	for _, entry := range contract.Table {
		if !seen[entry.Type] {
			t.Errorf("no %s was published", entry.Type)
		}
	}
}

// useWebhook applies, tests and rotates a webhook whose receiver wants no more events, and fails to apply another one.
func useWebhook(t *testing.T, c *harness.Client) {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	t.Cleanup(receiver.Close)
	c.Command(t, contract.TypeWebhookApply, "gone", map[string]any{"name": "gone", "url": receiver.URL})
	c.Command(t, contract.TypeWebhookApply, "odd", map[string]any{"name": "odd", "url": "ftp://127.0.0.1"})
	c.Await(t, "webhook", harness.Is(contract.TypeWebhookApplied, "gone"))
	c.Await(t, "refused webhook", harness.Is(contract.TypeWebhookRejected, "odd"))
	c.Command(t, contract.TypeWebhookTest, "gone", contract.WebhookTest{Name: "gone"})
	c.Command(t, contract.TypeWebhookRotate, "gone", contract.WebhookRotate{Name: "gone"})
	c.Await(t, "test of the webhook", harness.Is(contract.TypeWebhookTested, "gone"))
	c.Await(t, "new key of the webhook", harness.Is(contract.TypeWebhookRotated, "gone"))
}

// everything returns all messages of EVENTS.
func everything(t *testing.T, c *harness.Client) []jetstream.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	cons, err := c.JS.OrderedConsumer(ctx, contract.StreamEvents, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := cons.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := cons.Fetch(int(info.NumPending), jetstream.FetchMaxWait(harness.Patience))
	if err != nil {
		t.Fatal(err)
	}
	var out []jetstream.Msg
	for m := range batch.Messages() {
		out = append(out, m)
	}
	return out
}
