package event

import (
	"bytes"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/trace"
)

// plain reads the messages that Encode writes for everything but commands, which are nearly all messages: an event in
// JSON with only known attributes that need no interpretation. It reports false for all other messages, valid or not.
// The CloudEvents SDK accepts everything that plain accepts, with the same meaning, at three times the cost.
func plain(entry contract.Entry, subject string, header nats.Header, body []byte) (contract.Event, bool) {
	if entry.Command || !plainHeader(header) {
		return contract.Event{}, false
	}
	var a attributes
	if !a.read(body) || !a.plain(entry) {
		return contract.Event{}, false
	}
	at, err := parseTime(string(a.time))
	if err != nil {
		return contract.Event{}, false
	}
	e := contract.Event{
		Type: entry.Type, ID: string(a.id), Source: string(a.source), Subject: string(a.subject),
		Time: at, Raw: a.data, Cause: cause(string(a.cause)),
	}
	if a.traceParent != nil {
		e.Trace = trace.Parse(string(a.traceParent), string(a.traceState))
	}
	e, problems := message{data: a.data}.payload(entry, e, subject)
	return e, len(problems) == 0
}

// plainHeader reports whether the header states that the body is the whole event, and nothing else.
func plainHeader(header nats.Header) bool {
	medias := 0
	for key, values := range header {
		switch {
		case len(key) >= len(headerPrefix) && strings.EqualFold(key[:len(headerPrefix)], headerPrefix):
			return false
		case !strings.EqualFold(key, headerMedia):
		case len(values) != 1 || values[0] != mediaStructured:
			return false
		default:
			medias++
		}
	}
	return medias == 1
}

// attributes are the members of an event as Encode writes it: texts without their quotes, and the data.
type attributes struct {
	specVersion, id, kind, source, subject, time, media, traceParent, traceState, cause, dataRef, data []byte
}

// read splits the JSON of an event in one pass. Only data may be something else than a text without escapes; its end is
// only certain once it is decoded.
func (a *attributes) read(body []byte) bool {
	rest, open := bytes.CutPrefix(afterSpace(body), []byte("{"))
	for open {
		var name, value []byte
		if name, rest, open = plainText(afterSpace(rest)); !open {
			return false
		}
		if rest, open = bytes.CutPrefix(afterSpace(rest), []byte(":")); !open {
			return false
		}
		at := a.field(string(name))
		if at == nil || *at != nil {
			return false
		}
		rest = afterSpace(rest)
		if at == &a.data {
			end := valueEnd(rest)
			value, rest = rest[:end:end], rest[end:]
		} else if value, rest, open = plainText(rest); !open {
			return false
		}
		*at = value
		rest, open = bytes.CutPrefix(afterSpace(rest), []byte(","))
	}
	return len(rest) > 0 && rest[0] == '}' && len(afterSpace(rest[1:])) == 0
}

// plainText cuts a JSON string of visible ASCII without escapes from the beginning of b.
func plainText(b []byte) (text, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	n := bytes.IndexByte(b[1:], '"')
	if n < 0 || !visible(b[1:n+1]) || bytes.IndexByte(b[1:n+1], '\\') >= 0 {
		return nil, nil, false
	}
	return b[1 : n+1], b[n+2:], true
}

func (a *attributes) field(name string) *[]byte {
	switch name {
	case "specversion":
		return &a.specVersion
	case "id":
		return &a.id
	case "type":
		return &a.kind
	case "source":
		return &a.source
	case "subject":
		return &a.subject
	case "time":
		return &a.time
	case "datacontenttype":
		return &a.media
	case traceParent:
		return &a.traceParent
	case traceState:
		return &a.traceState
	case causeAttribute:
		return &a.cause
	case dataRef: // the data is there, too
		return &a.dataRef
	case "data":
		return &a.data
	default:
		return nil
	}
}

func (a *attributes) plain(entry contract.Entry) bool {
	return string(a.specVersion) == specVersion && string(a.kind) == string(entry.Type) &&
		string(a.media) == mediaJSON && a.id != nil && plainPath(a.source) && bytes.HasSuffix(a.time, []byte("Z")) &&
		document.ValidName(string(a.subject)) && a.data != nil
}

// visible reports whether text is short, not empty and consists of visible ASCII.
func visible(text []byte) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return len(text) > 0 && len(text) <= AttributeLimit
}

// plainPath reports whether a source is an absolute path without anything that a URI can spell in two ways.
func plainPath(source []byte) bool {
	if len(source) < 2 || source[0] != '/' || source[1] == '/' {
		return false
	}
	for i := range len(source) {
		c := source[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("/-_.", c) < 0 {
			return false
		}
	}
	return true
}
