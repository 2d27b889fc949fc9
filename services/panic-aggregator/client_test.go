package aggregator

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A process that starts from a snapshot knows the clients that flows depend on, and grants them their time again.
func TestClientsAreInSnapshots(t *testing.T) {
	before := newMachine(t)
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

// Anybody may send heartbeats: what is remembered of them is bounded, and for each user.
func TestClientsAreBounded(t *testing.T) {
	s, now := NewState(DefaultLimits()), time.Unix(1_000_000, 0)
	heard := func(user, flow, client string) {
		Evolve(s, ClientHeard(ClientBeat{Flow: flow, Client: client, By: user}, now))
	}
	known := func(user, flow, client string) bool { return s.early.of[earlyKey{flow, client, user}] != nil }
	check := func(clients int) {
		t.Helper()
		own, flows := 0, 0
		for _, l := range s.early.users {
			own += l.Len()
		}
		for _, l := range s.early.flows {
			flows += l.Len()
		}
		if len(s.early.of) != clients || s.early.all.Len() != clients || own != clients || flows != clients {
			t.Errorf("%d clients, %d in order, %d of users, %d of flows; want %d", len(s.early.of), s.early.all.Len(), own, flows, clients)
		}
	}
	heard("bob", "f", "c")
	for i := range 2 * earlyOfUser {
		heard("ada", fmt.Sprint(i%7), fmt.Sprint(i))
	}
	if check(earlyOfUser + 1); !known("bob", "f", "c") || known("ada", "0", "0") {
		t.Error("a user's heartbeats push out those of another one")
	}
	for i := range 2 * earlyMost {
		heard(fmt.Sprint(i), "f", "c")
	}
	check(earlyMost)
	Evolve(s, ClientHeard(ClientBeat{Flow: "ended", Client: "c", Released: true}, now))
	check(earlyMost)
	now = now.Add(s.limits.CancelMemory + time.Second)
	heard("ada", "g", "c")
	check(1)
	for i := range 2 * clientsMost {
		heard("", "h", fmt.Sprint(i))
	}
	if n := len(s.early.take("h", "", now, 0)); n != clientsMost {
		t.Errorf("%d clients of one flow", n)
	}
	check(1)
}

// What is remembered of a subject does not keep the whole of it.
func TestClientsKeepNoSubjects(t *testing.T) {
	s := NewState(DefaultLimits())
	subject := contract.ClientSubject("f", "c") + ".by.ada"
	b, ok := readClientBeat(&nats.Msg{Subject: subject, Data: []byte("+45000")})
	if !ok {
		t.Fatal("not read")
	}
	Evolve(s, ClientHeard(b, time.Unix(1_000_000, 0)))
	for k := range s.early.of {
		for of, kept := range map[string]string{b.Flow: k.flow, b.Client: k.client, b.By: k.user} {
			if of != kept || unsafe.StringData(of) == unsafe.StringData(kept) {
				t.Errorf("%q is kept as a part of the subject", kept)
			}
		}
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
	long := strings.Repeat("x", 64)
	for _, subject := range []string{
		"client.f", "client.f.a.b", "client." + long + ".c", "client.F.c", "client.f." + long + "x", "client.f.c.by.Ada", "client.f.c.by." + long,
	} {
		if b, ok := readClientBeat(&nats.Msg{Subject: subject}); ok {
			t.Errorf("%s is %+v", subject, b)
		}
	}
	for _, subject := range []string{"health.f", "health.f.a.b", "health." + long + ".a", "health.f." + long, "health.f.a.by.X"} {
		if b, ok := readBeat(&nats.Msg{Subject: subject, Data: []byte("+1000")}); ok {
			t.Errorf("%s is %+v", subject, b)
		}
	}
	if b, ok := readClientBeat(&nats.Msg{Subject: "client.f." + long + ".by.ada"}); !ok || b.Client != long || b.By != "ada" {
		t.Errorf("%+v, %t", b, ok)
	}
}

// The reasons of cancels of unknown flows are bounded: the oldest are answered first.
func TestCancelsAreBounded(t *testing.T) {
	s, now := NewState(DefaultLimits()), time.Unix(1_000_000, 0)
	reason := strings.Repeat("x", 1<<20)
	for i := range 20 {
		Evolve(s, contract.Event{
			Type: contract.TypeFlowCancel, Subject: "f", Seq: uint64(i + 1), Time: now, Data: &contract.FlowCancel{Flow: "f", Reason: reason},
		})
	}
	effects, _ := Decide(s, keyUnanswerable, now)
	for _, e := range effects {
		e.Time = now
		Evolve(s, e)
	}
	if s.cancels.bytes > cancelBytes || len(s.cancels.of) != 8 || s.cancels.of[20] == nil {
		t.Errorf("%d cancels of %d bytes", len(s.cancels.of), s.cancels.bytes)
	}
	s.cancels.take("f")
	if s.cancels.bytes != 0 {
		t.Errorf("%d bytes of no cancels", s.cancels.bytes)
	}
}
