package event_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

// An event by reference decodes like the same event with its data.
func TestReferenceAndBack(t *testing.T) {
	e := event.New(contract.TypeFlowSubmit, "/test", "f", []byte(`{"nodes":{"<>":{}}}`), time.Unix(1, 0))
	whole, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	data := event.Payload(whole)
	to := event.Reference{Bucket: "data", Object: "a b/c?d#é"}
	small, err := event.EncodeReference(e, to)
	if err != nil {
		t.Fatal(err)
	}
	got, ok, err := event.Referenced(e.Type, small.Header, small.Data)
	if !ok || err != nil || got != to {
		t.Fatalf("referenced %+v %t %v", got, ok, err)
	}
	body, err := event.WithData(small.Header, small.Data, data)
	if err != nil {
		t.Fatal(err)
	}
	want, err := event.Decode(whole.Subject, whole.Header, whole.Data)
	if err != nil {
		t.Fatal(err)
	}
	back, err := event.Decode(small.Subject, small.Header, body)
	if err != nil {
		t.Fatal(err)
	}
	if back.ID != want.ID || !bytes.Equal(*back.Data.(*contract.FlowSubmit), *want.Data.(*contract.FlowSubmit)) {
		t.Errorf("%+v, want %+v", back, want)
	}
	if _, ok, err := event.Referenced(e.Type, whole.Header, whole.Data); ok || err != nil {
		t.Errorf("an event with its data refers to something: %v", err)
	}
}

// An attribute that looks like the beginning of the data is none.
func TestPayloadIsTheData(t *testing.T) {
	for _, id := range []string{"1", `,"data":{}`, `"`, `\","data":`, `,`} {
		e := event.New(contract.TypeFlowCancel, "/test", "f", &contract.FlowCancel{Flow: "f", Reason: `","data":{}}`}, time.Unix(1, 0))
		e.ID = id
		m, err := event.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		var got contract.FlowCancel
		if err := json.Unmarshal(event.Payload(m), &got); err != nil || got != *e.Data.(*contract.FlowCancel) {
			t.Errorf("%q: %+v, %v", id, got, err)
		}
	}
}

func TestReferences(t *testing.T) {
	cases := map[string]struct {
		ref, data string
		ok        bool
		err       string
	}{
		"ours":              {ref: "nats-object://data/x", ok: true},
		"with data":         {ref: "nats-object://data/x", data: `{}`},
		"of the web":        {ref: "https://example.com/x", ok: true, err: "does not fetch"},
		"of a file":         {ref: "file:///etc/passwd", ok: true, err: "does not fetch"},
		"without a bucket":  {ref: "nats-object:///x", ok: true, err: "does not fetch"},
		"without an object": {ref: "nats-object://data/", ok: true, err: "does not fetch"},
		"no URI":            {ref: "\x7f://", ok: true, err: "does not fetch"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			attrs := map[string]any{"specversion": "1.0", "id": "1", "type": "flow.submit", "source": "/x", "dataref": c.ref}
			binary := nats.Header{}
			for k, v := range attrs {
				binary.Set("ce-"+k, strings.ReplaceAll(v.(string), "\x7f", "%7F"))
			}
			if c.data != "" {
				attrs["data"] = json.RawMessage(c.data)
			}
			body, err := json.Marshal(attrs)
			if err != nil {
				t.Fatal(err)
			}
			structured := nats.Header{"content-type": {"application/cloudevents+json"}}
			for _, m := range []nats.Msg{{Header: structured, Data: body}, {Header: binary, Data: []byte(c.data)}} {
				_, ok, err := event.Referenced(contract.TypeFlowSubmit, m.Header, m.Data)
				if ok != c.ok || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
					t.Errorf("referenced %t, %v", ok, err)
				}
			}
		})
	}
}

func FuzzReferenced(f *testing.F) {
	f.Add([]byte(`{"dataref":"nats-object://data/x"}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, body, data []byte) {
		if _, ok, err := event.Referenced(contract.TypeFlowSubmit, nil, body); ok && err == nil {
			if whole, err := event.WithData(nil, body, data); err == nil && !bytes.Contains(whole, data) {
				t.Error("the data was lost")
			}
		}
	})
}
