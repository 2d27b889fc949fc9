package aggregator

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A process that starts from a snapshot knows the clients that flows depend on, and grants them their time again.
func TestClientsAreInSnapshots(t *testing.T) {
	before := &machine{t: t, s: NewState(DefaultLimits()), now: time.Unix(1_000_000, 0).UTC()}
	before.restart()
	for _, line := range []string{"client f c1", "validated f", "planned f a:source", "tick 50s"} {
		before.do(line)
	}
	raw, err := snapshots().Encode(before.s)
	if err != nil {
		t.Fatal(err)
	}
	after := &machine{t: t, s: NewState(DefaultLimits()), now: before.now, seq: before.seq}
	if err := decode(after.s, raw); err != nil {
		t.Fatal(err)
	}
	after.restart()
	if out := after.do("tick 59s"); out != "" {
		t.Errorf("decided %s", out)
	}
	after.do("tick 2s")
	if len(after.s.runs) > 0 {
		t.Error("the flow goes on without its client")
	}
}

// Anybody may send signs of life: what is remembered of them is bounded.
func TestClientsAreBounded(t *testing.T) {
	s, now := NewState(DefaultLimits()), time.Unix(1_000_000, 0)
	heard := func(flow, client string) {
		Evolve(s, ClientHeard(ClientBeat{Flow: flow, Client: client}, now))
	}
	for i := range 2 * clientsMost {
		heard("f", fmt.Sprint(i))
	}
	if n := len(s.early.of["f"]); n != clientsMost {
		t.Errorf("%d clients of one flow", n)
	}
	for i := range 2 * earlyMost {
		heard(fmt.Sprint(i), "c")
	}
	if len(s.early.of) > earlyMost || len(s.early.order) > earlyMost {
		t.Errorf("%d flows, %d in order", len(s.early.of), len(s.early.order))
	}
	Evolve(s, ClientHeard(ClientBeat{Flow: "ended", Client: "c", Released: true}, now))
	if _, known := s.early.of["ended"]; known {
		t.Error("a flow that its client releases is remembered")
	}
	now = now.Add(s.limits.CancelMemory + time.Second)
	heard("g", "c")
	if len(s.early.of) != 1 || len(s.early.order) != 1 {
		t.Errorf("%d flows, %d in order", len(s.early.of), len(s.early.order))
	}
}

func TestReadClientBeat(t *testing.T) {
	for data, want := range map[string]ClientBeat{
		"+45000": {Flow: "f", Client: "c", For: 45 * time.Second},
		"":       {Flow: "f", Client: "c", Released: true},
	} {
		m := &nats.Msg{Subject: contract.ClientSubject("f", "c"), Data: []byte(data)}
		if got, ok := readClientBeat(m); !ok || got != want {
			t.Errorf("%q is %+v, %v", data, got, ok)
		}
	}
	for _, data := range []string{"45000", "+", "+0", "x", "+1.5"} {
		m := &nats.Msg{Subject: contract.ClientSubject("f", "c"), Data: []byte(data)}
		if got, ok := readClientBeat(m); ok {
			t.Errorf("%q is %+v", data, got)
		}
	}
	if subjects := []string{"client.f", "client.f.a.b"}; slices.ContainsFunc(subjects, func(subject string) bool {
		_, ok := readClientBeat(&nats.Msg{Subject: subject})
		return ok
	}) {
		t.Error("a subject with too few or too many tokens is read")
	}
}
