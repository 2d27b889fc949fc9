package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/trace"
)

// SizeLimit limits an event, in bytes. An event that does not fit into a message is sent by reference.
const SizeLimit = 64 << 20

// DocumentLimit limits a user's document that is sent by reference, CommandLimit a command that has no document, in
// bytes.
const (
	DocumentLimit = 16 << 20
	CommandLimit  = 256 << 10
)

// ReferenceLimit limits the data of an event that is sent by reference, in bytes; 0 if its data must be in the event.
func ReferenceLimit(t contract.Type) int {
	switch entry, _ := contract.Lookup(t); {
	case !entry.MayRefer():
		return 0
	case entry.Command:
		return DocumentLimit
	}
	return SizeLimit
}

// limitOf returns the limit on a message, in bytes, before anything of it is read.
func limitOf(entry contract.Entry) int {
	if entry.Command && !entry.MayRefer() {
		return CommandLimit
	}
	return SizeLimit
}

// Decode reads the event in a NATS message. It may be called concurrently, never panics, and retains data.
//
// Faults in the data of a user's command become the event's Problems, and its Data is nil. The documents of
// flow.submit and progdef.apply are returned unread, as *json.RawMessage, since packages flow and progdef
// check them. Any other fault is an *Unreadable; the event returned with it has the ID and Source as far as
// they could be read, cut to 200 bytes, and the Type and Subject if they were right.
//
// By, Mailbox and Operator are taken from the NATS subject, never from the event. Time is zero if the event has none;
// the caller sets Seq.
func Decode(subject string, header nats.Header, data []byte) (contract.Event, error) {
	sender, plainSubject := contract.SplitSender(subject)
	entry, ok := carried(plainSubject)
	if !ok {
		return contract.Event{}, &Unreadable{problem.List{{
			Code:    problem.UnknownType,
			Message: "no type of event uses the subject " + clip(subject),
		}}}
	}
	if limit := limitOf(entry); len(data) > limit {
		return contract.Event{}, &Unreadable{problem.List{oversize(len(data), limit)}}
	}
	if p := misplaced(entry, sender); p != nil {
		return contract.Event{}, &Unreadable{p}
	}
	e, ok := plain(entry, plainSubject, header, data)
	var err error
	if !ok {
		e, err = interpret(entry, plainSubject, header, data)
	}
	e.By, e.Mailbox, e.Operator = sender.Name, sender.Mailbox, sender.Operator
	return e, err
}

// interpret reads a message in any form that CloudEvents allow.
func interpret(
	entry contract.Entry, subject string, header nats.Header, data []byte,
) (contract.Event, error) {
	m, problems := read(entry.Type, header, data)
	if m.attrs == nil {
		return contract.Event{}, &Unreadable{problems}
	}
	if m.broken {
		return m.remains(entry, subject), &Unreadable{problems}
	}
	e, more := m.decode(entry, subject)
	if problems = append(problems, more...); len(problems) > 0 {
		problems = problems.Sorted()
		return e, &Unreadable{problems[:min(len(problems), problemsLimit)]}
	}
	return e, nil
}

// problemsLimit limits the problems of one message: the answer must fit into a message, too.
const problemsLimit = 32

// remains returns what can be read of an event whose JSON is truncated, so that its sender can still be
// answered.
func (m message) remains(entry contract.Entry, subject string) contract.Event {
	e := m.sent()
	if m.text("type") == string(entry.Type) {
		e.Type = entry.Type
	}
	name := m.text("subject")
	if document.ValidName(name) && (entry.Command || onSubject(subject, name)) {
		e.Subject = name
	}
	return e
}

// sent returns an event with what identifies it to its sender, valid or not.
func (m message) sent() contract.Event {
	return contract.Event{ID: clip(m.text("id")), Source: clip(m.text("source"))}
}

func oversize(n, limit int) problem.Problem {
	return problem.Problem{
		Code:    problem.TooLarge,
		Message: fmt.Sprintf("the message has %d bytes; the limit is %d", n, limit),
	}
}

// misplaced rejects a sender that is not a name, or that may not publish such events.
func misplaced(entry contract.Entry, s contract.Sender) problem.List {
	switch {
	case s.Name == "":
		return nil
	case !document.ValidName(s.Name):
		return problem.List{{
			Code: problem.BadName, Pointer: "/subject",
			Message: "the sender in the NATS subject is not a name: " + document.Quote(clip(s.Name)),
		}}
	case !entry.From(s):
		return problem.List{{
			Code: problem.UnknownType, Pointer: "/type",
			Message: "no " + string(entry.Type) + " is published on " + s.On(entry.Pattern()),
		}}
	}
	return nil
}

// carried returns the entry of the events on a plain NATS subject.
func carried(subject string) (contract.Entry, bool) {
	entry, ok := contract.Lookup(contract.TypeOf(subject))
	return entry, ok && matches(entry.Pattern(), subject)
}

func matches(pattern, subject string) bool {
	for more := true; more; {
		var want, got string
		var left bool
		want, pattern, more = strings.Cut(pattern, ".")
		got, subject, left = strings.Cut(subject, ".")
		if left != more || want != got && (want != "*" || got == "") {
			return false
		}
	}
	return true
}

// decode makes a contract.Event of a message on a subject that carries entry.
func (m message) decode(entry contract.Entry, subject string) (contract.Event, problem.List) {
	ce, problems := m.event()
	e := m.sent()
	e.Raw = m.data
	if t := m.text("type"); t == string(entry.Type) {
		e.Type = entry.Type
	} else if t != "" {
		problems = append(problems, wrongType(entry.Type, subject, t))
	}
	name, more := m.about(entry)
	problems = append(problems, more...)
	if len(more) == 0 && (entry.Command || onSubject(subject, name)) {
		e.Subject = name
	}
	if problems = append(problems, m.jsonOnly()...); len(problems) > 0 {
		return e, problems
	}
	e.Subject, e.ID, e.Source, e.Time = name, ce.ID(), ce.Source(), ce.Time()
	e.Trace = trace.Parse(m.text(traceParent), m.text(traceState))
	e.Cause = cause(m.text(causeAttribute))
	return m.payload(entry, e, subject)
}

func wrongType(want contract.Type, subject, got string) problem.Problem {
	return problem.Problem{
		Code:    problem.UnknownType,
		Pointer: "/type",
		Message: fmt.Sprintf("the subject %s carries %s events, not %q", subject, want, clip(got)),
		Hint:    "set type to " + string(want) + ", or publish the event on the subject of its type",
	}
}

// onSubject reports whether name is one of the subject's tokens.
func onSubject(subject, name string) bool {
	return strings.Contains(subject+".", "."+name+".")
}

// jsonOnly rejects payloads with another content type than JSON.
func (m message) jsonOnly() problem.List {
	media := m.text("datacontenttype")
	kind := mediaType(media)
	if media == "" || kind == mediaJSON || strings.HasSuffix(kind, "+json") {
		return nil
	}
	return problem.List{{
		Code:    problem.NotJSON,
		Pointer: "/datacontenttype",
		Message: "the data is " + clip(kind) + "; Dagyo reads JSON only",
		Hint:    "send the data as " + mediaJSON,
	}}
}

// payload decodes the data and checks the NATS subject against the event.
func (m message) payload(
	entry contract.Entry, e contract.Event, subject string,
) (contract.Event, problem.List) {
	var err error
	switch into := entry.New().(type) {
	case *json.RawMessage:
		*into = m.data
		e.Data = into
	default:
		if entry.Command {
			return command(e, into), nil
		}
		if err = unmarshal(m.data, into); err == nil {
			e.Data = into
		}
	}
	if err != nil {
		return e, problem.List{notJSON("/data", err)}
	}
	if said := e.NATSSubject(); said != subject {
		return e, problem.List{{
			Code:    problem.BadName,
			Pointer: "/subject",
			Message: "the event belongs on " + clip(said) + " but was published on " + clip(subject),
		}}
	}
	return e, badTokens(e)
}

// command decodes and validates the data of a user's command.
func command(e contract.Event, into any) contract.Event {
	raw := e.Raw
	if len(raw) == 0 {
		raw = []byte("{}") // the event's subject may be sufficient
	}
	_, e.Problems = document.Check(string(e.Type), raw, document.DefaultLimits())
	if len(e.Problems) > 0 {
		return e
	}
	if err := json.Unmarshal(raw, into); err != nil {
		e.Problems = problem.List{notJSON("", err)}
		return e
	}
	switch c := into.(type) {
	case *contract.FlowCancel:
		c.Flow = e.Subject
	case *contract.ProgdefRemove:
		c.Name = e.Subject
	case *contract.WebhookRemove:
		c.Name = e.Subject
	case *contract.WebhookRotate:
		c.Name = e.Subject
	case *contract.WebhookTest:
		c.Name = e.Subject
	}
	e.Data = into
	return e
}

// unmarshal decodes data from Dagyo itself: one JSON object without unknown fields. Validating it against
// its schema would cost more than the rest of a step.
func unmarshal(data []byte, into any) error {
	if first := bytes.TrimLeft(data, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return errors.New("the data is not a JSON object")
	}
	return jsonv2.Unmarshal(data, into, jsonv2.RejectUnknownMembers(true), jsontext.AllowInvalidUTF8(true))
}

// cause parses the place of the command that an event answers. It ignores anything else.
func cause(text string) uint64 {
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return seq
}
