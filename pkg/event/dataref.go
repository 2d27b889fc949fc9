package event

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// An event that is too large for a message is sent by reference: it has the CloudEvents extension dataref
// and no data. The data is in JetStream's object store; package broker stores and reads it.

// dataRef is the attribute's name (CloudEvents' claim-check extension).
const dataRef = "dataref"

// refScheme is the scheme of the references that Dagyo makes and follows: nats-object://BUCKET/NAME.
const refScheme = "nats-object"

// refBodyLimit is the maximum size, in bytes, of a message body that may contain a reference.
const refBodyLimit = 128 << 10

// A Reference names an object.
type Reference struct{ Bucket, Object string }

// String is the reference as dataref carries it, a URI.
func (r Reference) String() string {
	return refScheme + "://" + r.Bucket + "/" + url.PathEscape(r.Object)
}

// Payload returns the data in a message that Encode has made. It is the last member of the event; no attribute before it
// can contain its name, since their quotes are escaped.
func Payload(m *nats.Msg) []byte {
	_, data, _ := bytes.Cut(m.Data, []byte(dataMember))
	return bytes.TrimSuffix(data, []byte("}"))
}

// dataMember is what the data of an event follows.
const dataMember = `,"data":`

// EncodeReference is Encode for an event whose data is stored elsewhere.
func EncodeReference(e contract.Event, to Reference) (*nats.Msg, error) {
	return encode(e, to.String())
}

// Referenced returns the reference of a message without data; ok is false for a message with data, and for one
// that is not a CloudEvent. t is the type of the message's subject. The error explains why a reference cannot be
// followed: services read data while they fold, so only events that may be too large for a message may refer to it.
func Referenced(t contract.Type, header nats.Header, body []byte) (to Reference, ok bool, err error) {
	if len(body) > refBodyLimit || !mentions(header, body) {
		return Reference{}, false, nil
	}
	m, _ := read("", header, body)
	text := m.text(dataRef)
	if text == "" || len(m.data) > 0 {
		return Reference{}, false, nil
	}
	if ReferenceLimit(t) == 0 {
		return Reference{}, true, &Unreadable{problem.List{{
			Code: problem.NotCloudEvent, Pointer: problem.Pointer(dataRef),
			Message: "the data of a " + string(t) + " must be in the event: only documents and the answers to them may use dataref",
			Hint:    "put the data into the event",
		}}}
	}
	to, err = parseReference(text)
	return to, true, err
}

// mentions reports whether there may be a reference: hardly any message has one.
func mentions(header nats.Header, body []byte) bool {
	if bytes.Contains(body, []byte(dataRef)) {
		return true
	}
	for key := range header {
		if strings.EqualFold(key, headerPrefix+dataRef) {
			return true
		}
	}
	return false
}

func parseReference(text string) (Reference, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != refScheme || u.Host == "" || len(u.Path) < 2 || u.RawQuery != "" {
		return Reference{}, &Unreadable{problem.List{{
			Code:    problem.NotCloudEvent,
			Pointer: problem.Pointer(dataRef),
			Message: "the data is at " + clip(text) + ", which Dagyo does not fetch",
			Hint:    "put the data into the event, or into the object store of this NATS: " + refScheme + "://BUCKET/NAME",
		}}}
	}
	return Reference{Bucket: u.Host, Object: u.Path[1:]}, nil
}

// WithData returns the body of a message with data, for a message that refers to the data.
func WithData(header nats.Header, body, data []byte) ([]byte, error) {
	if attrs, _, _ := readHeaders(header); len(attrs) > 0 {
		return data, nil // binary mode: the body is the data
	}
	open := bytes.TrimRight(body, " \t\r\n")
	if len(open) < 2 || open[len(open)-1] != '}' {
		return nil, fmt.Errorf("the event ends with %q, not with a brace", clip(string(open[max(0, len(open)-1):])))
	}
	whole := make([]byte, 0, len(open)+len(data)+8)
	whole = append(whole, open[:len(open)-1]...)
	whole = append(whole, dataMember...)
	whole = append(whole, document.TrimBOM(data)...)
	return append(whole, '}'), nil
}
