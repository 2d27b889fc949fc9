package aggregator

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A hookMachine folds commands about webhooks and what is decided, as EVENTS would store it.
type hookMachine struct {
	t   *testing.T
	s   *State
	seq uint64
	now time.Time
}

func newHookMachine(t *testing.T) *hookMachine {
	return &hookMachine{t: t, s: NewState(DefaultLimits()), now: time.Unix(1_000_000, 0).UTC()}
}

func (m *hookMachine) fold(e contract.Event) uint64 {
	m.seq++
	e.Seq, e.Time = m.seq, m.now
	Evolve(m.s, e)
	return m.seq
}

// settle folds the answers to all commands but tests in flight, and returns them.
func (m *hookMachine) settle() (out []contract.Event) {
	for {
		effects, _ := Decide(m.s, keyHooks, m.now)
		if len(effects) == 0 {
			return out
		}
		out = append(out, effects[0])
		m.fold(effects[0])
	}
}

// command folds a command and returns its answer.
func (m *hookMachine) command(typ contract.Type, name, raw string) contract.Event {
	m.t.Helper()
	seq := m.fold(contract.Event{Type: typ, Subject: name, By: "ada", Raw: []byte(raw), Data: new(json.RawMessage)})
	answers := m.settle()
	if len(answers) != 1 || answers[0].Cause != seq || answers[0].Subject != name {
		m.t.Fatalf("%s of %s is answered with %+v", typ, name, answers)
	}
	return answers[0]
}

func (m *hookMachine) apply(name string) contract.Event {
	m.t.Helper()
	return m.command(contract.TypeWebhookApply, name, fmt.Sprintf(`{"name": %q, "url": "https://example.com/"}`, name))
}

// refused checks that an answer is a rejection with a code.
func (m *hookMachine) refused(what string, e contract.Event, code problem.Code) {
	m.t.Helper()
	if d, ok := e.Data.(*contract.WebhookRejected); !ok || d.Problems[0].Code != code || d.By != "ada" {
		m.t.Errorf("%s: %+v, want a problem with the code %s", what, e.Data, code)
	}
}

func TestWebhooksAreLimited(t *testing.T) {
	m := newHookMachine(t)
	for i := range hooksMost {
		if e := m.apply(fmt.Sprint("hook", i)); e.Type != contract.TypeWebhookApplied {
			t.Fatalf("%d: %+v", i, e)
		}
	}
	m.refused("one more", m.apply("more"), problem.TooMany)
	if e := m.apply("hook3"); e.Type != contract.TypeWebhookApplied {
		t.Errorf("a change: %+v", e)
	}
	if e := m.command(contract.TypeWebhookRemove, "hook3", "{}"); e.Type != contract.TypeWebhookRemoved {
		t.Errorf("a removal: %+v", e)
	}
	if e := m.apply("more"); e.Type != contract.TypeWebhookApplied {
		t.Errorf("one in the place of another: %+v", e)
	}
	// Several commands at once are judged one after another.
	m.command(contract.TypeWebhookRemove, "more", "{}")
	for _, name := range []string{"x", "y"} {
		m.fold(contract.Event{Type: contract.TypeWebhookApply, Subject: name, By: "ada", Raw: fmt.Appendf(nil, `{"name": %q, "url": "https://e/"}`, name)})
	}
	all := m.settle()
	if len(all) != 2 || all[0].Type != contract.TypeWebhookApplied {
		t.Fatalf("%+v", all)
	}
	m.refused("the second of two", all[1], problem.TooMany)
}

func TestWebhookCommandsAreRefused(t *testing.T) {
	m := newHookMachine(t)
	m.apply("orders")
	m.refused("remove", m.command(contract.TypeWebhookRemove, "order", "{}"), problem.UnknownWebhook)
	m.refused("rotate", m.command(contract.TypeWebhookRotate, "order", "{}"), problem.UnknownWebhook)
	m.refused("test", m.command(contract.TypeWebhookTest, "order", "{}"), problem.UnknownWebhook)
	m.refused("another name", m.command(contract.TypeWebhookApply, "orders", `{"name": "bills", "url": "https://e/"}`), problem.BadName)
	m.refused("a bad URL", m.command(contract.TypeWebhookApply, "orders", `{"name": "orders", "url": "https://a:b@e/"}`), problem.BadURL)
	m.refused("no JSON", m.command(contract.TypeWebhookApply, "orders", `{`), problem.NotJSON)
	long := `{"name": "orders", "url": "https://e/", "$schema": "` + strings.Repeat("x", hookBytes) + `"}`
	m.refused("a large document", m.command(contract.TypeWebhookApply, "orders", long), problem.TooLarge)
	if len(m.s.hooks.of) != 1 || len(m.s.hooks.pending) > 0 {
		t.Errorf("%+v", m.s.hooks)
	}
}

// A change keeps the key and what is still to be delivered. A webhook that was removed or off begins anew.
func TestWebhookBegins(t *testing.T) {
	m := newHookMachine(t)
	m.apply("orders")
	first := m.s.hooks.of["orders"]
	m.now = m.now.Add(time.Hour)
	m.apply("orders")
	changed := m.s.hooks.of["orders"]
	if changed.Since != first.Since || !changed.On.Equal(first.On) || changed.Keys[0] != first.Keys[0] || !changed.At.After(first.At) {
		t.Errorf("changed: %+v, before %+v", changed, first)
	}
	off := m.s.hooks.switchOff("orders", first.Since, "gone")
	if len(off) != 1 || len(m.s.hooks.switchOff("orders", first.Since+1, "gone")) > 0 || len(m.s.hooks.switchOff("bills", first.Since, "gone")) > 0 {
		t.Fatalf("%+v", off)
	}
	m.fold(off[0])
	if len(m.s.hooks.switchOff("orders", first.Since, "gone")) > 0 || m.s.hooks.of["orders"].Disabled != "gone" {
		t.Errorf("%+v", m.s.hooks.of)
	}
	m.refused("a test", m.command(contract.TypeWebhookTest, "orders", "{}"), problem.NotAnswerable)
	m.apply("orders")
	again := m.s.hooks.of["orders"]
	if again.Disabled != "" || again.Since <= first.Since || !again.On.Equal(m.now) || again.Keys[0] != first.Keys[0] {
		t.Errorf("switched on again: %+v", again)
	}
	m.command(contract.TypeWebhookRemove, "orders", "{}")
	m.apply("orders")
	if now := m.s.hooks.of["orders"]; now.Keys[0] == first.Keys[0] || now.Since <= again.Since {
		t.Errorf("applied after a removal: %+v", now)
	}
}

func TestWebhookKeysRotate(t *testing.T) {
	m := newHookMachine(t)
	m.apply("orders")
	for range keysReplaced {
		e := m.command(contract.TypeWebhookRotate, "orders", "{}")
		if d, ok := e.Data.(*contract.WebhookRotated); !ok || !d.Until.Equal(m.now.Add(keyOverlap)) || e.With != e.Cause {
			t.Fatalf("%+v", e)
		}
		m.now = m.now.Add(time.Hour)
	}
	keys := m.s.hooks.of["orders"].Keys
	if len(keys) != 3 || !keys[0].Until.IsZero() || !keys[1].Until.After(keys[2].Until) || keys[2].Serial != 1 {
		t.Errorf("%+v", keys)
	}
	m.refused("too many", m.command(contract.TypeWebhookRotate, "orders", "{}"), problem.TooMany)
	m.now = m.now.Add(keyOverlap - 90*time.Minute) // the first has expired
	if e := m.command(contract.TypeWebhookRotate, "orders", "{}"); e.Type != contract.TypeWebhookRotated {
		t.Errorf("%+v", e)
	}
}

// A test waits for its end, which is I/O; one of a webhook that is removed meanwhile is rejected.
func TestWebhookTestsEnd(t *testing.T) {
	m := newHookMachine(t)
	m.apply("orders")
	m.apply("bills")
	test := func(name string) uint64 {
		return m.fold(contract.Event{Type: contract.TypeWebhookTest, Subject: name, By: "ada", Data: &contract.WebhookTest{Name: name}})
	}
	one, two := test("orders"), test("bills")
	if len(m.settle()) > 0 || len(m.s.hooks.tests) != 2 {
		t.Fatalf("%+v", m.s.hooks)
	}
	done := m.s.hooks.tested(one, contract.WebhookTested{Delivered: true, Status: 204, Took: document.Duration(time.Second)})
	if d, ok := done[0].Data.(*contract.WebhookTested); !ok || d.Name != "orders" || d.By != "ada" || done[0].Cause != one {
		t.Fatalf("%+v", done)
	}
	m.fold(done[0])
	if len(m.s.hooks.tested(one, contract.WebhookTested{})) > 0 {
		t.Error("a test is answered twice")
	}
	m.fold(contract.Event{Type: contract.TypeWebhookRemove, Subject: "bills", By: "ada", Data: &contract.WebhookRemove{Name: "bills"}})
	all := m.settle()
	if len(all) != 2 || all[0].Type != contract.TypeWebhookRemoved || all[1].Cause != two {
		t.Fatalf("%+v", all)
	}
	m.refused("a test of a removed webhook", all[1], problem.UnknownWebhook)
	for range hookTests {
		test("orders")
	}
	m.refused("one test too many", m.command(contract.TypeWebhookTest, "orders", "{}"), problem.TooMany)
	m.fold(contract.Event{Type: contract.TypeDeadLetter, Subject: "deadletter", Data: &contract.DeadLetter{Sequence: m.s.hooks.tests[0].Seq}})
	if len(m.s.hooks.tests) != hookTests-1 {
		t.Error("a dead letter does not end a test")
	}
}

// A start without a snapshot begins with the bucket, and folds events whose changes the bucket has.
func TestWebhooksOfTheBucketAreReplayed(t *testing.T) {
	m := newHookMachine(t)
	var events []contract.Event
	note := func(typ contract.Type, raw string) {
		e := m.command(typ, "orders", raw)
		e.Seq, e.Time = m.seq, m.now
		events = append(events, e)
		m.now = m.now.Add(time.Hour)
	}
	note(contract.TypeWebhookApply, `{"name": "orders", "url": "https://example.com/"}`)
	for range keysReplaced {
		note(contract.TypeWebhookRotate, "{}")
	}
	again := NewState(DefaultLimits()).withHooks(m.s.hooks.stored())
	for _, e := range events {
		Evolve(again, e)
	}
	if !reflect.DeepEqual(again.hooks.of, m.s.hooks.of) || again.hooks.Seq != m.s.hooks.Seq {
		t.Errorf("%+v\nwant %+v", again.hooks.of, m.s.hooks.of)
	}
}

func TestWebhooksAreInSnapshots(t *testing.T) {
	m := newHookMachine(t)
	m.apply("orders")
	m.command(contract.TypeWebhookRotate, "orders", "{}")
	m.fold(contract.Event{Type: contract.TypeWebhookTest, Subject: "orders", By: "ada", Data: &contract.WebhookTest{Name: "orders"}})
	m.fold(contract.Event{Type: contract.TypeWebhookApply, Subject: "bills", By: "ada", Raw: []byte(`{"name": "bills", "url": "http://e/"}`)})
	text, err := json.Marshal(rest(m.s))
	if err != nil {
		t.Fatal(err)
	}
	later := NewState(DefaultLimits()).withHooks(storedHooks{Seq: 99})
	if err := decode(later, text); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(later.hooks, m.s.hooks) {
		t.Errorf("%+v\nwant %+v", later.hooks, m.s.hooks)
	}
	// A snapshot of the version before has none: those of the bucket count.
	kept := NewState(DefaultLimits()).withHooks(m.s.hooks.stored())
	if err := decode(kept, []byte(`{}`)); err != nil || len(kept.hooks.of) != 1 {
		t.Errorf("%+v, %v", kept.hooks, err)
	}
}
