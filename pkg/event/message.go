package event

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/dagyo/dagyo/pkg/problem"
)

// AttributeLimit limits each text attribute, in bytes, AttributesLimit the number of attributes.
const (
	AttributeLimit  = 1 << 10
	AttributesLimit = 64
)

const (
	specVersion = "1.0"
	// The names of CloudEvents' extension for distributed tracing.
	traceParent = "traceparent"
	traceState  = "tracestate"
	// causeAttribute is text, since CloudEvents' integers have 32 bits.
	causeAttribute = "cause"
)

// A message is a CloudEvent of either mode, split into parts but not yet checked. The SDK always sees a
// message in binary mode.
type message struct {
	// attrs holds strings, booleans and numbers by the attribute's name.
	attrs map[string]any
	data  []byte
	// broken is true if the JSON was truncated: attributes may be missing.
	broken bool
}

var (
	_ binding.MessageReader         = message{}
	_ binding.MessageMetadataReader = message{}
)

// text returns a text attribute, or "" if it is absent or not text.
func (m message) text(name string) string {
	s, _ := m.attrs[name].(string)
	return s
}

func (m message) ReadEncoding() binding.Encoding { return binding.EncodingBinary }

func (m message) ReadStructured(context.Context, binding.StructuredWriter) error {
	return binding.ErrNotStructured
}

// ReadBinary leaves out specversion: check compares it, and the SDK's builder begins with 1.0.
func (m message) ReadBinary(_ context.Context, w binding.BinaryWriter) error {
	var refused problem.List
	for name, value := range m.attrs {
		var err error
		switch a := spec.V1.Attribute(name); {
		case !attributeName(name):
			err = errors.New("names are lower-case letters and digits")
		case a == nil:
			err = w.SetExtension(name, value)
		case a.Kind() == spec.Time:
			if value, err = parseTime(value); err == nil {
				err = w.SetAttribute(a, value)
			}
		case a.Kind() != spec.SpecVersion:
			err = w.SetAttribute(a, value)
		}
		if err != nil {
			refused = append(refused, m.badValue(name, shortReason(name, err)))
		}
	}
	if len(refused) > 0 {
		return refused
	}
	return w.SetData(bytes.NewBuffer(m.data))
}

// attributeName reports whether CloudEvents allows the name. The SDK accepts "ID" for "id", which would be
// a second one.
func attributeName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

func (m message) GetAttribute(k spec.Kind) (spec.Attribute, any) {
	a := spec.V1.AttributeFromKind(k)
	if a == nil {
		return nil, nil
	}
	return a, m.attrs[a.Name()]
}

func (m message) GetExtension(name string) any { return m.attrs[name] }

// event returns the message as the SDK interprets it, and the problems of its attributes.
func (m message) event() (*cloudevents.Event, problem.List) {
	problems := m.oversized()
	if v := m.attrs["specversion"]; v != specVersion {
		problems = append(problems, m.badValue("specversion", "it must be the text 1.0"))
	}
	e, err := binding.ToEvent(context.Background(), m)
	if err == nil {
		err = e.Validate()
	}
	return e, append(problems, m.attributeProblems(err)...)
}

func (m message) oversized() problem.List {
	var problems problem.List
	for name, value := range m.attrs {
		if s, ok := value.(string); ok && len(s) > AttributeLimit {
			problems = append(problems, problem.Problem{
				Code:    problem.TooLarge,
				Pointer: problem.Pointer(clip(name)),
				Message: fmt.Sprintf("the attribute has %d bytes; the limit is %d",
					len(s), AttributeLimit),
			})
		}
	}
	return problems
}

// attributeProblems splits the errors of ReadBinary or of the SDK's validation.
func (m message) attributeProblems(err error) problem.List {
	var problems problem.List
	var invalid cloudevents.ValidationError
	switch {
	case err == nil, errors.As(err, &problems):
		return problems
	case !errors.As(err, &invalid):
		return problem.List{{Code: problem.NotCloudEvent, Message: clip(err.Error())}}
	}
	for name, why := range invalid {
		problems = append(problems, m.badValue(name, shortReason(name, why)))
	}
	return problems
}
