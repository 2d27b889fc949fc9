package event

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/trace"
)

// The fast path is taken for every example, and decodes the same event as the slow path.
func TestFastPathAgreesWithSlowPath(t *testing.T) {
	for _, entry := range contract.Table {
		if entry.Command {
			continue
		}
		msg := written(t, entry)
		e, ok := plain(entry, msg.Subject, msg.Header, msg.Data)
		if !ok {
			t.Errorf("%s does not take the fast path:\n%s", entry.Type, msg.Data)
		}
		long, err := interpret(entry, msg.Subject, msg.Header, msg.Data)
		if err != nil || !reflect.DeepEqual(e, long) {
			t.Errorf("%s: %+v\nthe slow path decodes %+v, %v", entry.Type, e, long, err)
		}
	}
}

// So is it for an event whose data was elsewhere.
func TestFastPathWithData(t *testing.T) {
	e := New(contract.TypeFlowSpawned, "/dagyo/test", "a", &contract.FlowSpawned{Jobs: 2}, time.Unix(1, 5).UTC())
	whole, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := EncodeReference(e, Reference{Bucket: "data", Object: "a b"})
	if err != nil {
		t.Fatal(err)
	}
	entry, _ := contract.Lookup(e.Type)
	if _, ok := plain(entry, msg.Subject, msg.Header, msg.Data); ok {
		t.Error("an event without its data takes the fast path")
	}
	body, err := WithData(msg.Header, msg.Data, Payload(whole))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := plain(entry, msg.Subject, msg.Header, body)
	long, err := interpret(entry, msg.Subject, msg.Header, body)
	if !ok || err != nil || !reflect.DeepEqual(got, long) {
		t.Errorf("%t %+v\nthe slow path decodes %+v, %v", ok, got, long, err)
	}
}

// However an event is changed: if the fast path accepts it, the slow path decodes it equally.
func TestFastPathAcceptsNothingElse(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(rt *rapid.T) {
		entry := rapid.SampledFrom(contract.Table).Draw(rt, "entry")
		msg := written(t, entry)
		for range rapid.IntRange(0, 3).Draw(rt, "changes") {
			msg.Data = changed(rt, msg.Data)
		}
		if rapid.IntRange(0, 4).Draw(rt, "other header") == 0 {
			msg.Header.Set(rapid.SampledFrom(names).Draw(rt, "header"), rapid.SampledFrom(values).Draw(rt, "value"))
		}
		e, ok := plain(entry, msg.Subject, msg.Header, msg.Data)
		if !ok {
			return
		}
		accepted++
		long, err := interpret(entry, msg.Subject, msg.Header, msg.Data)
		if err != nil || !reflect.DeepEqual(e, long) {
			rt.Fatalf("%+v %+v\nthe slow path decodes %+v %+v, %v\n%s", e, e.Data, long, long.Data, err, msg.Data)
		}
	})
	if accepted == 0 {
		t.Error("no event was accepted")
	}
}

var (
	names  = []string{"ce-id", "CE-Type", "Content-Type", "nats-msg-id"}
	values = []string{"1", "application/json", mediaStructured}
	pieces = []string{
		` `, `"`, `,`, `{`, `}`, `null`, `"id":"",`, `"subject":"",`, `"subject":"b",`, `"data":{},`, `"x":1,`, `"dataref":"nats-object://data/a",`, `"dataref":"",`,
		`"time":"2026-01-01T00:00:00Z",`, `"traceparent":"",`, `"traceparent":"no",`, `"tracestate":"no",`, `é`, `\u0041`, `:`, `%41`, `//`,
	}
)

// changed replaces a few bytes of a message by a part of another one.
func changed(t *rapid.T, data []byte) []byte {
	at := rapid.IntRange(0, len(data)).Draw(t, "at")
	if rapid.Bool().Draw(t, "in front") {
		at = min(1, len(data))
	}
	end := min(len(data), at+rapid.IntRange(0, 3).Draw(t, "dropped"))
	return fmt.Appendf(nil, "%s%s%s", data[:at], rapid.SampledFrom(pieces).Draw(t, "piece"), data[end:])
}

func written(t *testing.T, entry contract.Entry) *nats.Msg {
	t.Helper()
	e := New(entry.Type, "/dagyo/test", "a", entry.New(), time.Unix(1, 5).UTC())
	switch d := e.Data.(type) {
	case *contract.JobStarted:
		d.Job = "j"
	case *contract.JobDone:
		d.Job = "j"
	case *contract.JobPanic:
		d.Job = "j"
	case *contract.ExecutorStarted:
		d.Progdef = "p"
	case *contract.ExecutorDraining:
		d.Progdef = "p"
	case *contract.ExecutorExited:
		d.Progdef = "p"
	case *contract.FlowSubmit:
		*d = []byte("{}")
	}
	e.Trace = trace.Parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1,b@c=2")
	msg, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}
