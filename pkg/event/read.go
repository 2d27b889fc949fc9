package event

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

const (
	mediaStructured = "application/cloudevents+json"
	mediaJSON       = "application/json"
	headerPrefix    = "ce-"
	headerMedia     = "content-type"
)

// read splits a message of either mode. t is the type of the subject, for hints.
func read(t contract.Type, header nats.Header, body []byte) (message, problem.List) {
	attrs, media, problems := readHeaders(header)
	switch kind := mediaType(media); {
	case kind == mediaStructured || kind == "application/cloudevents":
		return readStructured(body)
	case strings.HasPrefix(kind, "application/cloudevents"):
		return message{}, problem.List{{
			Code:    problem.NotCloudEvent,
			Message: "the content type " + clip(kind) + " is not a format that Dagyo can read",
			Hint:    "send one event as " + mediaStructured,
		}}
	case len(attrs) > 0 || len(problems) > 0:
		if _, ok := attrs["datacontenttype"]; !ok && media != "" {
			attrs["datacontenttype"] = media
		}
		return message{attrs: attrs, data: document.TrimBOM(body)}, problems
	case media == "":
		if m, problems := readStructured(body); m.attrs["specversion"] != nil {
			return m, problems
		}
	}
	return message{}, problem.List{bare(t)}
}

// bare reports what is missing in a message that is not a CloudEvent in either mode.
func bare(t contract.Type) problem.Problem {
	return problem.Problem{
		Code:    problem.NotCloudEvent,
		Message: "the message is not a CloudEvent, neither in binary nor in structured mode",
		Hint: "publish a CloudEvent: add the headers ce-specversion: 1.0, ce-type: " + string(t) +
			", ce-source and ce-id, or the header content-type: " + mediaStructured +
			" if the body is the whole event",
	}
}

func mediaType(media string) string {
	kind, _, _ := strings.Cut(media, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// readHeaders returns the attributes of binary mode and the content type.
func readHeaders(header nats.Header) (attrs map[string]any, media string, problems problem.List) {
	attrs = make(map[string]any, len(header))
	for key, values := range header {
		if len(values) == 0 || len(attrs) > AttributesLimit {
			continue
		}
		switch name := strings.ToLower(key); {
		case name == headerMedia:
			media = values[0]
		case strings.HasPrefix(name, headerPrefix):
			name = name[len(headerPrefix):]
			if _, twice := attrs[name]; twice || len(values) > 1 {
				problems = append(problems, repeated(name))
			}
			attrs[name] = unescape(values[0])
		}
	}
	return attrs, media, problems
}

// unescape decodes the percent-encoding that CloudEvents bindings use in headers. Text that is not encoded
// is unchanged.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	if plain, err := url.PathUnescape(s); err == nil && utf8.ValidString(plain) {
		return plain
	}
	return s
}

func repeated(name string) problem.Problem {
	return problem.Problem{
		Code:    problem.DuplicateKey,
		Pointer: problem.Pointer(clip(name)),
		Message: "the event has the attribute " + clip(name) + " twice",
	}
}

// readStructured splits an event in JSON. An attribute that is null is absent.
func readStructured(body []byte) (message, problem.List) {
	body = document.TrimBOM(body)
	r := structured{m: message{attrs: make(map[string]any, 16)}, seen: make(map[string]bool, 16)}
	if err := members(body, r.member); err != nil {
		r.m.broken = true
		return r.m, append(r.problems, brokenEvent(body, err))
	}
	if r.encoded {
		var err error
		if r.m.data, err = unbase64(r.m.data); err != nil {
			r.problems = append(r.problems, badAttribute("data_base64", err.Error()))
		}
		r.m.data = document.TrimBOM(r.m.data)
	}
	return r.m, r.problems
}

// structured is the state of reading one event in JSON.
type structured struct {
	m message
	// seen holds the attributes read so far; data and data_base64 count as one.
	seen     map[string]bool
	encoded  bool
	problems problem.List
}

func (r *structured) member(name string, value json.RawMessage) error {
	what := strings.TrimSuffix(name, "_base64")
	if r.seen[what] {
		r.problems = append(r.problems, repeated(name))
	}
	r.seen[what] = true
	if what == "data" {
		r.m.data, r.encoded = value, name != what
		return nil
	}
	if len(r.seen)+len(r.problems) > AttributesLimit {
		return errors.New("the event has too many attributes")
	}
	if value[0] == '"' {
		r.m.attrs[name] = unquote(value)
		return nil
	}
	var plain any
	if err := json.Unmarshal(value, &plain); err != nil || plain == nil {
		return err
	}
	r.m.attrs[name] = plain
	return nil
}

func unbase64(value []byte) ([]byte, error) {
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, errors.New("it is not a string")
	}
	return base64.StdEncoding.DecodeString(text)
}

// brokenEvent explains why a body cannot be read as an event in structured mode.
func brokenEvent(body []byte, err error) problem.Problem {
	if _, ok := document.SyntaxErrorAt(body, err); !ok {
		return notJSON("", err)
	}
	return problem.Problem{
		Code: problem.NotJSON, Message: "the event is not JSON: " + document.WhyNotJSON(body),
		Hint: "send the event as one JSON object (" + mediaStructured + ")",
	}
}

func notJSON(pointer string, err error) problem.Problem {
	return problem.Problem{
		Code:    problem.NotJSON,
		Pointer: pointer,
		Message: clip("cannot read as JSON: " + err.Error()),
	}
}
