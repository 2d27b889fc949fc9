package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/tests/harness"
)

// small sets the smallest limits that EVENTS may have.
func small(o *harness.Options) {
	for _, c := range []*service.Config{&o.Validator.Config, &o.Planner.Config, &o.Spawner.Config, &o.Aggregator.Config} {
		c.Broker.EventsMaxCount, c.Broker.EventsMaxBytes = 1000, 1<<20
	}
}

// flood publishes messages, and retries those that the broker rejects.
func flood(t *testing.T, c *harness.Client, n int, message func(i int) *nats.Msg) {
	t.Helper()
	js, err := jetstream.New(c.Conn, jetstream.WithPublishAsyncMaxPending(2000))
	if err != nil {
		t.Fatal(err)
	}
	const batch = 1000
	for first := 0; first < n; first += batch {
		acks := make(map[int]jetstream.PubAckFuture)
		for i := first; i < min(first+batch, n); i++ {
			ack, err := js.PublishMsgAsync(message(i))
			if err != nil {
				t.Fatal(err)
			}
			acks[i] = ack
		}
		for _, ack := range acks {
			select {
			case <-ack.Ok():
			case <-ack.Err(): // the broker is full because of the flood
			case <-time.After(harness.Patience):
				t.Fatal("the broker does not answer")
			}
		}
	}
}

func answers(e contract.Event) bool {
	return e.Type == contract.TypeDeadLetter || e.Type == contract.TypeFlowRejected
}

// within waits until EVENTS is within its limits.
func within(t *testing.T, c *harness.Client, bounds broker.Config) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	answered := 0
	for deadline := time.Now().Add(harness.Patience); ; <-tick.C {
		// Answers to the flood are stored in addition.
		if n := len(c.Events(answers)); n > answered {
			answered, deadline = n, time.Now().Add(harness.Patience)
		}
		s, err := c.JS.Stream(t.Context(), contract.StreamEvents)
		if err != nil {
			t.Fatal(err)
		}
		state := s.CachedInfo().State
		// Ticks and other events of services are stored in addition.
		if int64(state.Msgs) <= bounds.EventsMaxCount+200 && int64(state.Bytes) <= bounds.EventsMaxBytes*11/10 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("EVENTS has %d messages, %d bytes; its limits are %d and %d",
				state.Msgs, state.Bytes, bounds.EventsMaxCount, bounds.EventsMaxBytes)
		}
	}
}

// A flood does not delete the events of a live flow, and EVENTS returns to its limits.
func TestFlood(t *testing.T) {
	messages := 8000 // more than fits into EVENTS
	if os.Getenv(envLong) != "" {
		messages = 20_000
	}
	cancel := func(i int) *nats.Msg {
		body, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": fmt.Sprint("c", i), "type": "flow.cancel", "source": "/flood",
			"subject": fmt.Sprintf("nothing-%d", i), "data": map[string]string{},
		})
		if err != nil {
			t.Fatal(err)
		}
		return &nats.Msg{Subject: "flow.cancel", Data: body}
	}
	floods := map[string]func(int) *nats.Msg{
		"malformed": func(i int) *nats.Msg {
			return &nats.Msg{Subject: "job.done.x.y", Data: fmt.Appendf(nil, "garbage %d", i)}
		},
		"cancels": cancel,
		"submissions": func(i int) *nats.Msg {
			return &nats.Msg{Subject: "flow.submit", Header: binaryHeader(fmt.Sprintf("garbage-%d", i)), Data: []byte(`{"nodes": 5}`)}
		},
	}
	for name, message := range floods {
		t.Run(name, func(t *testing.T) {
			o := harness.DefaultOptions()
			small(&o)
			o.Processes = harness.Services
			s := harness.Start(t, o)
			c := s.Client(t)
			c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Silence: "1m"})
			planned := start(t, c, "live", fed("sink", "10m"))
			before := memoryOf(t, s)
			flood(t, c, messages, message)
			for service, now := range memoryOf(t, s) {
				t.Logf("%s: %d MiB before, %d MiB after", service, before[service]>>20, now>>20)
				if now > before[service]+200<<20 { // the race detector needs several times the memory in use
					t.Errorf("the %s has grown from %d to %d MiB", service, before[service]>>20, now>>20)
				}
			}
			s.RestartAll(t)
			closeInput(t, c, planned)
			fine(t, c.AwaitEnd(t, "live"))
			c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "live"))
			within(t, c, o.Planner.Broker) // submissions are accepted again
			next := start(t, c, "next", fed("sink", "10m"))
			closeInput(t, c, next)
			fine(t, c.AwaitEnd(t, "next"))
			within(t, c, o.Planner.Broker)
		})
	}
}

func memoryOf(t *testing.T, s *harness.Stack) map[string]int64 {
	t.Helper()
	out := make(map[string]int64)
	for _, name := range slices.Sorted(slices.Values(harness.Services)) {
		out[name] = harness.Memory(s.Leader(t, name).PID())
	}
	return out
}
