package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/trace"
)

// An envelope is the structured JSON form of a CloudEvent.
type envelope struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Type            string    `json:"type"`
	Source          string    `json:"source"`
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	TraceParent     string    `json:"traceparent,omitempty"`
	TraceState      string    `json:"tracestate,omitempty"`
	Cause           string    `json:"cause,omitempty"`
	DataRef         string    `json:"dataref,omitempty"`
	Data            any       `json:"data,omitempty"`
}

// Encode returns the message that publishes e: structured JSON on e.NATSSubject(), with the sender before it if e.By is
// set. The caller sets Source and Time, and the ID if several events share a NATS subject; an empty ID is replaced by
// that subject. The message has no
// Nats-Msg-Id: all publishers of EVENTS share one name space of these.
//
// Lists and objects that are nil in the payload are encoded as empty, never as null. A Trace that is not a
// W3C trace context is omitted. An error is a defect of the caller.
func Encode(e contract.Event) (*nats.Msg, error) { return encode(e, "") }

// encode encodes the data, or the reference to it if ref is set.
func encode(e contract.Event, ref string) (*nats.Msg, error) {
	if err := encodable(e); err != nil {
		return nil, fmt.Errorf("encode %s of %q: %w", e.Type, e.Subject, err)
	}
	out := envelope{
		SpecVersion: specVersion, ID: e.ID, Type: string(e.Type), Source: e.Source,
		Subject: e.Subject, Time: e.Time.UTC(), DataContentType: mediaJSON, DataRef: ref,
	}
	if ref == "" {
		out.Data = e.Data
	}
	if out.ID == "" {
		out.ID = e.NATSSubject()
	}
	if e.Cause > 0 {
		out.Cause = strconv.FormatUint(e.Cause, 10)
	}
	valid := trace.Parse(e.Trace.Parent, e.Trace.State)
	out.TraceParent, out.TraceState = valid.Parent, valid.State
	msg := nats.NewMsg(e.Sender().On(e.NATSSubject()))
	msg.Header.Set("content-type", mediaStructured)
	var err error
	if msg.Data, err = marshal(out); err != nil {
		return nil, fmt.Errorf("encode %s of %q: %w", e.Type, e.Subject, err)
	}
	return msg, nil
}

// marshal encodes lists and objects that are nil as empty, and does not escape < and >, so that people can read
// typenames. It omits what encoding/json omits as empty.
func marshal(v any) ([]byte, error) {
	return jsonv2.Marshal(v, jsonv2.Deterministic(true), jsonv1.OmitEmptyWithLegacySemantics(true), jsontext.AllowInvalidUTF8(true))
}

func encodable(e contract.Event) error {
	entry, ok := contract.Lookup(e.Type)
	if !ok {
		return errors.New("no such event")
	}
	if got, want := reflect.TypeOf(e.Data), reflect.TypeOf(entry.New()); got != want {
		return fmt.Errorf("the payload is a %v, not a %v", got, want)
	}
	if reflect.ValueOf(e.Data).IsNil() {
		return errors.New("the payload is nil")
	}
	if p := misplaced(entry, e.Sender()); p != nil {
		return p
	}
	if e.ID == "" && (entry.Command || entry.Of == contract.OfMessage) {
		return errors.New("it needs an ID, since several events share its NATS subject")
	}
	if err := nameable(entry, e); err != nil {
		return err
	}
	return attributable(e)
}

// nameable rejects an event whose subject, or the subject in its data, is not a name.
func nameable(entry contract.Entry, e contract.Event) error {
	if entry.Of != contract.OfMessage {
		if p := badName("/subject", e.Subject); p != nil {
			return p
		}
	}
	if p := badTokens(e); p != nil {
		return p
	}
	var said string
	switch d := e.Data.(type) {
	case *contract.FlowCancel:
		said = d.Flow
	case *contract.ProgdefRemove:
		said = d.Name
	case *contract.WebhookRemove:
		said = d.Name
	case *contract.WebhookRotate:
		said = d.Name
	case *contract.WebhookTest:
		said = d.Name
	}
	if said != "" && said != e.Subject {
		return fmt.Errorf("its data names %q", said)
	}
	return nil
}

// attributable rejects attributes that Decode would reject.
func attributable(e contract.Event) error {
	for _, s := range []string{e.ID, e.Source, e.Subject} {
		if len(s) > AttributeLimit {
			return fmt.Errorf("an attribute has %d bytes; the limit is %d", len(s), AttributeLimit)
		}
	}
	if u, err := url.Parse(e.Source); err != nil || u.String() == "" {
		return errors.New("the source is not a URI reference")
	}
	if strings.TrimSpace(e.ID) != e.ID {
		return errors.New("the ID begins or ends with white space")
	}
	if e.Time.IsZero() {
		return errors.New("the time is not set")
	}
	return nil
}

// New returns an event with what Encode needs. data is a pointer to the payload that contract.Table
// names, or for flow.submit and progdef.apply the document's JSON. The ID is made of type, subject and time.
func New(t contract.Type, source, subject string, data any, now time.Time) contract.Event {
	switch d := data.(type) {
	case []byte:
		raw := json.RawMessage(d)
		data = &raw
	case json.RawMessage:
		data = &d
	}
	return contract.Event{
		Type: t, Source: source, Subject: subject, Data: data, Time: now.UTC(),
		ID: string(t) + "." + subject + "." + strconv.FormatInt(now.UnixNano(), 10),
	}
}
