package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/schemas"
)

// attributes is a structured event whose data is not decoded.
type attributes map[string]json.RawMessage

func exampleOf(t testing.TB, typ contract.Type) (whole []byte, parts attributes) {
	t.Helper()
	whole, err := fs.ReadFile(schemas.Files, "examples/"+string(typ)+".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(whole, &parts); err != nil {
		t.Fatal(err)
	}
	return whole, parts
}

func (a attributes) text(t testing.TB, name string) string {
	t.Helper()
	var s string
	if err := json.Unmarshal(a[name], &s); err != nil {
		t.Fatal(name, err)
	}
	return s
}

// binary converts a structured event to binary mode; spell writes the names of the headers.
func (a attributes) binary(t testing.TB, spell func(string) string) (nats.Header, []byte) {
	t.Helper()
	header := nats.Header{}
	for name := range a {
		switch name {
		case "data":
		case "datacontenttype":
			header.Set(spell("content-type"), a.text(t, name))
		default:
			header.Set(spell("ce-"+name), a.text(t, name))
		}
	}
	return header, a["data"]
}

func structuredHeader() nats.Header {
	return nats.Header{"content-type": {"application/cloudevents+json; charset=utf-8"}}
}

// subjectOf is the subject on which the example of a type is published.
func subjectOf(t testing.TB, entry contract.Entry, parts attributes) string {
	t.Helper()
	e := contract.Event{Type: entry.Type, Subject: parts.text(t, "subject"), Data: entry.New()}
	if err := json.Unmarshal(parts["data"], e.Data); err != nil {
		t.Fatal(err)
	}
	return e.NATSSubject()
}

func sameJSON(t *testing.T, got, want []byte) {
	t.Helper()
	var g, w any
	if err := errors.Join(json.Unmarshal(got, &g), json.Unmarshal(want, &w)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestExamplesKeepTheirSchemas(t *testing.T) {
	for _, entry := range contract.Table {
		_, parts := exampleOf(t, entry.Type)
		_, problems := document.Check(string(entry.Type), parts["data"], document.DefaultLimits())
		if len(problems) > 0 {
			t.Errorf("%s: %v", entry.Type, problems)
		}
	}
}

func TestBothModesOfEveryType(t *testing.T) {
	spellings := map[string]func(string) string{
		"lower": strings.ToLower,
		"upper": strings.ToUpper,
		"title": func(s string) string { return strings.ToUpper(s[:1]) + s[1:] },
	}
	for _, entry := range contract.Table {
		whole, parts := exampleOf(t, entry.Type)
		subject := subjectOf(t, entry, parts)
		want, err := event.Decode(subject, structuredHeader(), whole)
		if err != nil {
			t.Errorf("%s: %v", entry.Type, err)
			continue
		}
		if len(want.Problems) > 0 || want.Data == nil || want.Type != entry.Type {
			t.Errorf("%s: %+v", entry.Type, want)
		}
		if got, err := event.Decode(subject, nil, whole); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s without content type: %+v, %v", entry.Type, got, err)
		}
		for spelling, spell := range spellings {
			header, data := parts.binary(t, spell)
			got, err := event.Decode(subject, header, data)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s in binary mode, %s: %v\ngot  %+v\nwant %+v",
					entry.Type, spelling, err, got, want)
			}
		}
		reencode(t, want, subject, whole)
	}
}

func reencode(t *testing.T, e contract.Event, subject string, whole []byte) {
	t.Helper()
	msg, err := event.Encode(e)
	if err != nil {
		t.Errorf("%s: %v", e.Type, err)
		return
	}
	sameJSON(t, msg.Data, whole)
	if msg.Subject != subject || msg.Header.Get(nats.MsgIdHdr) != "" ||
		msg.Header.Get("content-type") != "application/cloudevents+json" {
		t.Errorf("%s: %s %v", e.Type, msg.Subject, msg.Header)
	}
}

// A refusal is a message that is not an event, and the problems reported for it.
type refusal struct {
	name    string
	subject string
	header  nats.Header
	body    string
	want    string // "code pointer" of each problem
}

func minimal(more ...string) nats.Header {
	h := nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"one"}, "ce-source": {"/test"},
		"ce-type": {"flow.submit"}, "ce-subject": {"f"},
	}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = []string{more[i+1]}
	}
	return h
}

func refusals() []refusal {
	const submit = `{"specversion":"1.0","id":"one","source":"/t","type":"flow.submit","subject":"f"`
	huge := strings.Repeat("x", event.AttributeLimit+1)
	return []refusal{
		{"bare document", "flow.submit", nil, `{"nodes":{}}`, "not-a-cloudevent "},
		{"bare with media", "flow.submit", nats.Header{"Content-Type": {"application/json"}},
			submit + "}", "not-a-cloudevent "},
		{"garbage", "flow.submit", nil, "\xff\x00{", "not-a-cloudevent "},
		{"nothing", "flow.submit", nil, "", "not-a-cloudevent "},
		{"array", "flow.submit", structuredHeader(), "[]", "not-json "},
		{"torn", "flow.submit", structuredHeader(), submit, "not-json "},
		{"trailing", "flow.submit", nil, submit + "} {}", "not-json "},
		{"batch", "flow.submit",
			nats.Header{"content-type": {"application/cloudevents-batch+json"}}, "[]",
			"not-a-cloudevent "},
		{"repeated", "flow.submit", nil, submit + `,"id":"two"}`, "duplicate-key /id"},
		{"null then text", "flow.submit", nil, submit + `,"time":null,"time":"2026-01-01T00:00:00Z"}`,
			"duplicate-key /time"},
		{"data twice", "flow.submit", nil, submit + `,"data":{},"data_base64":"e30="}`,
			"duplicate-key /data_base64"},
		{"digit as base64", "flow.submit", nil, submit + `,"data_base64":1}`,
			"not-a-cloudevent /data_base64"},
		{"no base64", "flow.submit", nil, submit + `,"data_base64":"!"}`,
			"not-a-cloudevent /data_base64"},
		{"number as id", "flow.submit", nil, strings.Replace(submit, `"one"`, "1", 1) + "}",
			"not-a-cloudevent /id"},
		{"object as extension", "flow.submit", nil, submit + `,"x":{"a":1}}`, "not-a-cloudevent /x"},
		{"nameless attribute", "flow.submit", nil, submit + `,"":1}`, "not-a-cloudevent /"},
		{"attribute in capitals", "flow.submit", nil, submit + `,"Time":"x","x_y":1}`,
			"not-a-cloudevent /Time; not-a-cloudevent /x_y"},
		{"old version", "flow.submit", minimal("ce-specversion", "0.3"), "",
			"not-a-cloudevent /specversion"},
		{"no version", "flow.submit", nats.Header{"ce-type": {"flow.submit"}}, "",
			"bad-name /id; not-a-cloudevent /id; not-a-cloudevent /source; not-a-cloudevent /specversion"},
		{"bad time", "flow.submit", minimal("ce-time", "noon"), "", "not-a-cloudevent /time"},
		{"bad source", "flow.submit", minimal("ce-source", "%zz"), "", "not-a-cloudevent /source"},
		{"two ids", "flow.submit", minimal("CE-ID", "one"), "", "duplicate-key /id"},
		{"huge id", "flow.submit", minimal("ce-id", huge), "", "too-large /id"},
		{"not JSON by name", "flow.submit", minimal("content-type", "text/yaml"), "",
			"not-json /datacontenttype"},
		{"unknown type", "flow.submit", minimal("ce-type", "flow.start"), "", "unknown-type /type"},
		{"another's type", "flow.cancel", minimal(), `{"flow":"f"}`, "unknown-type /type"},
		{"unknown subject", "flow.start", minimal(), "", "unknown-type "},
		{"subject too long", "flow.submit.f", minimal(), "", "unknown-type "},
		{"subject too short", "flow.cleaned", minimal(), "", "unknown-type "},
		{"empty token", "flow.cleaned.", minimal(), "", "unknown-type "},
		{"other flow", "flow.cleaned.g", minimal("ce-type", "flow.cleaned"), `{"mailboxes":[]}`,
			"bad-name /subject"},
		{"other job", "job.started.f.k", minimal("ce-type", "job.started"),
			`{"job":"j","executor":"e"}`, "bad-name /subject"},
		{"job is not a name", "job.started.f.*", minimal("ce-type", "job.started"),
			`{"job":"*","executor":"e"}`, "bad-name /subject"},
		{"unknown field", "flow.cleaned.f", minimal("ce-type", "flow.cleaned"), `{"x":1}`,
			"not-json /data"},
		{"null data", "flow.cleaned.f", minimal("ce-type", "flow.cleaned"), `null`, "not-json /data"},
		{"data and more", "flow.cleaned.f", minimal("ce-type", "flow.cleaned"), `{} {}`,
			"not-json /data"},
		{"no data", "flow.cleaned.f", minimal("ce-type", "flow.cleaned"), ``, "not-json /data"},
		{"nobody's executor", "executor.started.p.e", minimal("ce-type", "executor.started",
			"ce-subject", ""), `{"progdef":"p"}`, "bad-name /subject"},
		{"cancel of two flows", "flow.cancel", minimal("ce-type", "flow.cancel"), `{"flow":"g"}`,
			"bad-name /data/flow"},
		{"cancel without a flow", "flow.cancel", minimal("ce-type", "flow.cancel", "ce-subject", ""), `{}`,
			"bad-name /data/flow"},
		{"apply of two progdefs", "progdef.apply", minimal("ce-type", "progdef.apply"), `{"name":"g"}`,
			"bad-name /data/name"},
	}
}

func TestRejections(t *testing.T) {
	for _, tt := range refusals() {
		t.Run(tt.name, func(t *testing.T) {
			_, err := event.Decode(tt.subject, tt.header, []byte(tt.body))
			if got := summary(t, err); got != tt.want {
				t.Errorf("got %q, want %q: %v", got, tt.want, err)
			}
		})
	}
}

func summary(t *testing.T, err error) string {
	t.Helper()
	var unreadable *event.Unreadable
	if !errors.As(err, &unreadable) {
		t.Fatalf("not an Unreadable: %v", err)
	}
	var out []string
	for _, p := range unreadable.Problems {
		out = append(out, string(p.Code)+" "+p.Pointer)
	}
	return strings.Join(out, "; ")
}

func TestSizeLimit(t *testing.T) {
	_, err := event.Decode("flow.submit", nil, bytes.Repeat([]byte(" "), event.SizeLimit+1))
	if got := summary(t, err); got != "too-large " {
		t.Error(got)
	}
}

func TestManyAttributesGiveAShortAnswer(t *testing.T) {
	header := minimal()
	body := []byte(`{"specversion":"1.0"`)
	for i := range 10_000 {
		name := strings.Repeat("a", i%50+1) + strings.Repeat("b", i/50)
		header["ce-"+name+"-"] = []string{"x"}
		body = append(body, `,"`+name+`-":{}`...)
	}
	for _, h := range []nats.Header{header, nil} {
		_, err := event.Decode("flow.submit", h, append(body, '}'))
		if err == nil || len(err.Error()) > 20_000 {
			t.Errorf("%.200v", err)
		}
	}
}

func TestNamesThatAreNotTokens(t *testing.T) {
	names := []string{
		"a.b", "*", ">", "a b", " a", "a ", "A", "é", "-a", "a-", strings.Repeat("a", 64),
	}
	for _, name := range names {
		_, err := event.Decode("flow.submit", minimal("ce-subject", name), nil)
		if got := summary(t, err); got != "bad-name /subject" {
			t.Errorf("%q in ce-subject: %s", name, got)
		}
		_, err = event.Decode("flow.submit", minimal("ce-subject", "", "ce-id", name), nil)
		if got := summary(t, err); got != "bad-name /id" {
			t.Errorf("%q in ce-id: %s", name, got)
		}
		e := event.New(contract.TypeFlowCleaned, "/t", name, &contract.FlowCleaned{}, time.Unix(1, 0))
		if msg, err := event.Encode(e); err == nil {
			t.Errorf("%q is published on %s", name, msg.Subject)
		}
		job := &contract.JobStarted{Job: name}
		e = event.New(contract.TypeJobStarted, "/t", "f", job, time.Unix(1, 0))
		if msg, err := event.Encode(e); err == nil {
			t.Errorf("job %q is published on %s", name, msg.Subject)
		}
	}
}

func TestSubjectsOfCommands(t *testing.T) {
	tests := []struct {
		name, typ, subject, data string
		want                     string // Event.Subject
		problems                 string
	}{
		{"id is the flow", "flow.submit", "", `not read here`, "one", ""},
		{"subject is the flow", "flow.submit", "f", `{}`, "f", ""},
		{"data names the flow", "flow.cancel", "", `{"flow":"g","reason":"r"}`, "g", ""},
		{"subject and data agree", "flow.cancel", "g", `{"flow":"g"}`, "g", ""},
		{"no data at all", "flow.cancel", "g", ``, "g", ""},
		{"wrong data", "flow.cancel", "g", `{"flow":7,"x":1}`, "g", "schema /flow; unknown-field /x"},
		{"repeated key", "flow.cancel", "g", `{"reason":"","reason":""}`, "g", "duplicate-key /reason"},
		{"data is not JSON", "flow.cancel", "g", `{`, "g", "not-json "},
		{"deep data", "flow.cancel", "g", strings.Repeat("[", 100) + strings.Repeat("]", 100), "g",
			"too-deep " + strings.Repeat("/0", 32)},
		{"document's name", "progdef.apply", "", `{"name":"p"}`, "p", ""},
		{"nameless document", "progdef.apply", "", `{}`, "one", ""},
		{"document with a bad name", "progdef.apply", "", `{"name":"A B"}`, "one", ""},
		{"document with a bad name under a good one", "progdef.apply", "p", `{"name":"A B"}`, "p", ""},
		{"removed by data", "progdef.remove", "", `{"name":"p"}`, "p", ""},
		{"removed by subject", "progdef.remove", "p", ``, "p", ""},
		{"removal of a bad name", "progdef.remove", "", `{"name":"A B"}`, "one", "bad-name /name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := minimal("ce-type", tt.typ, "ce-subject", tt.subject)
			e, err := event.Decode(tt.typ, header, []byte(tt.data))
			if err != nil || e.Subject != tt.want {
				t.Fatalf("about %q, want %q: %v", e.Subject, tt.want, err)
			}
			if string(e.Raw) != tt.data {
				t.Errorf("raw %q", e.Raw)
			}
			if got := summary(t, errOf(e.Problems)); got != tt.problems {
				t.Errorf("problems %q, want %q", got, tt.problems)
			}
			if (e.Data == nil) != (tt.problems != "") {
				t.Errorf("data %v", e.Data)
			}
			if c, ok := e.Data.(*contract.FlowCancel); ok && c.Flow != tt.want {
				t.Errorf("flow %q", c.Flow)
			}
		})
	}
}

func errOf(problems problem.List) error { return &event.Unreadable{Problems: problems} }

func TestUnreadableKeepsAttributes(t *testing.T) {
	torn := `{"specversion":"1.0","type":"flow.submit","id":"i","subject":"f","data":{"nodes":{`
	tests := []struct {
		name          string
		header        nats.Header
		body          string
		typ           contract.Type
		subjectReport string
	}{
		{"source missing", minimal("ce-source", ""), "", contract.TypeFlowSubmit, "f"},
		{"wrong type", minimal("ce-type", "flow.cancel"), "", "", "f"},
		{"bad subject", minimal("ce-subject", "*"), "", contract.TypeFlowSubmit, ""},
		{"torn", structuredHeader(), torn, contract.TypeFlowSubmit, "f"},
		{"truncated before the subject", structuredHeader(), torn[:50], contract.TypeFlowSubmit, ""},
	}
	for _, tt := range tests {
		e, err := event.Decode("flow.submit", tt.header, []byte(tt.body))
		if err == nil || e.Type != tt.typ || e.Subject != tt.subjectReport {
			t.Errorf("%s: %q %q %v", tt.name, e.Type, e.Subject, err)
		}
	}
}

func TestAttributes(t *testing.T) {
	header := minimal("ce-source", "/a%20b", "ce-time", "2026-01-02T03:04:05.6+02:00",
		"ce-traceparent", "no trace", "ce-datacontenttype", "application/x+json; charset=utf-8",
		"content-type", "text/plain", "ce-other", "1")
	e, err := event.Decode("flow.submit", header, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	want := time.Date(2026, 1, 2, 1, 4, 5, 6e8, time.UTC)
	if e.ID != "one" || e.Source != "/a%20b" || !e.Time.Equal(want) || !e.Trace.IsZero() {
		t.Errorf("%+v", e)
	}
	if e, err = event.Decode("flow.submit", minimal(), nil); err != nil || !e.Time.IsZero() {
		t.Errorf("time %v, %v", e.Time, err)
	}
}

func TestBase64(t *testing.T) {
	body := `{"data_base64":"eyJmbG93IjoiZyJ9","specversion":"1.0","id":"i","source":"/t",` +
		`"type":"flow.cancel","subject":null}`
	e, err := event.Decode("flow.cancel", nil, []byte(body))
	if err != nil || e.Subject != "g" || string(e.Raw) != `{"flow":"g"}` {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestEncodeRejects(t *testing.T) {
	good := event.New(contract.TypeFlowCancel, "/t", "f", &contract.FlowCancel{}, time.Unix(1, 0))
	if _, err := event.Encode(good); err != nil {
		t.Fatal(err)
	}
	raw := json.RawMessage("{")
	for name, spoil := range map[string]func(*contract.Event){
		"no type":         func(e *contract.Event) { e.Type = "flow.start" },
		"no data":         func(e *contract.Event) { e.Data = nil },
		"nil data":        func(e *contract.Event) { e.Data = (*contract.FlowCancel)(nil) },
		"no pointer":      func(e *contract.Event) { e.Data = contract.FlowCancel{} },
		"other data":      func(e *contract.Event) { e.Data = &contract.FlowCleaned{} },
		"other flow":      func(e *contract.Event) { e.Data = &contract.FlowCancel{Flow: "g"} },
		"no source":       func(e *contract.Event) { e.Source = "" },
		"bad source":      func(e *contract.Event) { e.Source = "%zz" },
		"no time":         func(e *contract.Event) { e.Time = time.Time{} },
		"year 10000":      func(e *contract.Event) { e.Time = time.Unix(1<<40, 0) },
		"no id":           func(e *contract.Event) { e.ID = "" },
		"long id":         func(e *contract.Event) { e.ID = strings.Repeat("x", 2000) },
		"no subject":      func(e *contract.Event) { e.Subject = "" },
		"document broken": func(e *contract.Event) { e.Type, e.Data = contract.TypeProgdefApply, &raw },
	} {
		e := good
		spoil(&e)
		if msg, err := event.Encode(e); err == nil {
			t.Errorf("%s: published %s", name, msg.Data)
		}
	}
}

func TestNew(t *testing.T) {
	now := time.Unix(5, 7)
	doc := json.RawMessage(`{"nodes":{}}`)
	for _, data := range []any{doc, []byte(doc), &doc} {
		e := event.New(contract.TypeFlowSubmit, "/t", "f", data, now)
		msg, err := event.Encode(e)
		if err != nil || !bytes.Contains(msg.Data, doc) ||
			!bytes.Contains(msg.Data, []byte(`"id":"flow.submit.f.5000000007"`)) {
			t.Errorf("%T: %v", data, err)
		}
	}
}

func TestEncodeWritesNoNull(t *testing.T) {
	data := &contract.FlowPlanned{
		Jobs:     []contract.Job{{}, {Inputs: map[string]contract.Address{"a": {}}}},
		Deadline: time.Unix(1, 0).UTC(),
	}
	for _, entry := range contract.Table {
		e := event.New(entry.Type, "/t", "f", entry.New(), time.Unix(1, 0))
		switch d := e.Data.(type) {
		case *contract.FlowPlanned:
			e.Data = data
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
		case *json.RawMessage:
			continue
		}
		msg, err := event.Encode(e)
		if err != nil || bytes.Contains(msg.Data, []byte("null")) {
			t.Errorf("%s: %s %v", entry.Type, msg.Data, err)
		}
	}
	if data.Edges != nil || data.Jobs[0].Inputs != nil {
		t.Error("Encode changed the payload")
	}
}
