package event_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/trace"
	"github.com/dagyo/dagyo/schemas"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEvent(t)
		msg, err := event.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.Decode(msg.Subject, msg.Header, msg.Data)
		if err != nil {
			t.Fatalf("%v\n%s", err, msg.Data)
		}
		got.Raw = nil
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v %+v\nwant %+v %+v\n%s", got, got.Data, want, want.Data, msg.Data)
		}
	})
}

func drawEvent(t *rapid.T) contract.Event {
	entry := rapid.SampledFrom(contract.Table).Draw(t, "entry")
	name := drawName(t)
	e := contract.Event{
		ID:      rapid.StringMatching(`[!-~]{1,40}`).Draw(t, "id"),
		Type:    entry.Type,
		Source:  rapid.StringMatching(`(/[a-z]{1,8}){1,3}`).Draw(t, "source"),
		Subject: name,
		Time:    time.Unix(0, rapid.Int64Range(1, 1<<61).Draw(t, "time")).UTC(),
		Data:    entry.New(),
	}
	if rapid.Bool().Draw(t, "traced") {
		parent := rapid.StringMatching(`00-[0-9a-f]{31}[1-9a-f]-[1-9a-f][0-9a-f]{15}-0[0-3]`).Draw(t, "traceparent")
		state := rapid.StringMatching(`([a-z0-9][a-z0-9_*/-]{0,5}=[ -+.-<>-~]{0,5}[!-+.-<>-~](,[a-z]=1)?)?`).Draw(t, "tracestate")
		e.Trace = trace.Context{Parent: parent, State: state}
	}
	drawInto(t, reflect.ValueOf(e.Data).Elem(), "")
	switch d := e.Data.(type) {
	case *contract.FlowCancel:
		d.Flow = name
	case *contract.ProgdefRemove:
		d.Name = name
	case *contract.WebhookRemove:
		d.Name = name
	case *contract.WebhookRotate:
		d.Name = name
	case *contract.WebhookTest:
		d.Name = name
	case *contract.ProgdefApply:
		*d = json.RawMessage(`{"name":"` + name + `"}`)
	}
	return e
}

func drawName(t *rapid.T) string {
	return rapid.StringMatching(`[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?`).Draw(t, "name")
}

// drawInto fills a payload with values that JSON preserves.
func drawInto(t *rapid.T, v reflect.Value, tag string) {
	switch special := v.Addr().Interface().(type) {
	case *json.RawMessage:
		*special = json.RawMessage(`{"nodes":{},"<":null}`)
		return
	case *time.Time:
		*special = time.Unix(0, rapid.Int64Range(1, 1<<61).Draw(t, "moment")).UTC()
		return
	case **contract.Sealed: // no event has a key
		return
	case *flow.Value:
		*special = rapid.SliceOf(rapid.Byte()).Draw(t, "value")
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(drawText(t, tag))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "uint"))
	case reflect.Interface: // any JSON
		v.Set(reflect.ValueOf(rapid.String().Draw(t, "any")))
	default:
		drawContainer(t, v, tag)
	}
}

// drawText returns a name for fields that become tokens, and any text for the others.
func drawText(t *rapid.T, tag string) string {
	switch tag {
	case "job", "progdef", "executor":
		return drawName(t)
	case "reason":
		return rapid.StringN(0, 50, -1).Draw(t, "reason")
	default:
		return rapid.String().Draw(t, "text")
	}
}

// drawContainer leaves empty optional fields nil, as JSON decodes them.
func drawContainer(t *rapid.T, v reflect.Value, tag string) {
	name, option, _ := strings.Cut(tag, ",")
	n := rapid.IntRange(0, 2).Draw(t, name)
	if n == 0 && option == "omitempty" && v.Kind() != reflect.Struct {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			drawInto(t, v.Field(i), v.Type().Field(i).Tag.Get("json"))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		drawInto(t, v.Elem(), "")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			drawInto(t, v.Index(i), "")
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			elem := reflect.New(v.Type().Elem()).Elem()
			drawInto(t, elem, "")
			v.SetMapIndex(reflect.ValueOf(drawName(t)), elem)
		}
	default:
		t.Fatalf("cannot draw a %s", v.Type())
	}
}

// FuzzDecode checks that Decode never panics, returns no error but Unreadable, and that an accepted event has only
// names in its subject and can be encoded again.
func FuzzDecode(f *testing.F) {
	for _, entry := range contract.Table {
		whole, parts := exampleOf(f, entry.Type)
		subject := subjectOf(f, entry, parts)
		f.Add(subject, "application/cloudevents+json", "", "", whole)
		f.Add(subject, "", "ce-type", string(entry.Type), []byte(parts["data"]))
	}
	for _, r := range refusals() {
		f.Add(r.subject, r.header.Get("content-type"), "ce-id", "x", []byte(r.body))
	}
	f.Fuzz(func(t *testing.T, subject, media, key, value string, body []byte) {
		for _, header := range []nats.Header{
			nil, {}, {"Content-Type": {media}}, {"Content-Type": {media}, key: {value}},
			minimal(key, value, "ce-type", subject), {key: nil}, {key: {value, value}},
		} {
			checkDecoded(t, subject, header, body)
		}
	})
}

func checkDecoded(t *testing.T, subject string, header nats.Header, body []byte) {
	t.Helper()
	e, err := event.Decode(subject, header, body)
	var unreadable *event.Unreadable
	if err != nil {
		if !errors.As(err, &unreadable) || len(unreadable.Problems) == 0 {
			t.Fatalf("%v", err)
		}
		return
	}
	if e.NATSSubject() != subject || e.Flow() != "" && !document.ValidName(e.Flow()) {
		t.Fatalf("accepted %+v on %s", e, subject)
	}
	if _, isDocument := e.Data.(*json.RawMessage); isDocument || e.Data == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = time.Unix(1, 0)
	}
	if _, err := event.Encode(e); err != nil {
		t.Fatalf("%v: %+v", err, e)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, typ := range []contract.Type{
		contract.TypeJobStarted, contract.TypeFlowSubmit, contract.TypeFlowCancel,
		contract.TypeFlowPlanned,
	} {
		whole, parts := exampleOf(b, typ)
		entry, _ := contract.Lookup(typ)
		subject := subjectOf(b, entry, parts)
		header, data := parts.binary(b, strings.ToLower)
		b.Run(string(typ)+"/structured", func(b *testing.B) { decodeLoop(b, subject, nil, whole) })
		b.Run(string(typ)+"/binary", func(b *testing.B) { decodeLoop(b, subject, header, data) })
	}
}

func decodeLoop(b *testing.B, subject string, header nats.Header, body []byte) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Decode(subject, header, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, typ := range []contract.Type{contract.TypeJobStarted, contract.TypeFlowPlanned} {
		whole, err := fs.ReadFile(schemas.Files, "examples/"+string(typ)+".json")
		if err != nil {
			b.Fatal(err)
		}
		_, parts := exampleOf(b, typ)
		entry, _ := contract.Lookup(typ)
		e, err := event.Decode(subjectOf(b, entry, parts), nil, whole)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(typ), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := event.Encode(e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
