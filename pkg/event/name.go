package event

import (
	"encoding/json"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// about returns the name that the event is about: its subject, else the name in its data, else its id if
// the sender may omit the name.
func (m message) about(entry contract.Entry) (string, problem.List) {
	subject := m.text("subject")
	if entry.Of == contract.OfMessage {
		return subject, nil
	}
	field, named := m.named(entry.Type)
	switch {
	case subject != "" && document.ValidName(named) && named != subject:
		return "", problem.List{disagreement(subject, named, field)}
	case subject != "":
		return subject, badName("/subject", subject)
	case document.ValidName(named):
		return named, nil
	case entry.Type == contract.TypeFlowCancel:
		return "", badName("/data"+field, named)
	case entry.Of == contract.OfFlow || entry.Of == contract.OfJob || entry.Command:
		return m.text("id"), badName("/id", m.text("id"))
	default:
		return "", badName("/subject", "")
	}
}

// named returns the name in the data of a command that has one, and the pointer to it.
func (m message) named(t contract.Type) (pointer, name string) {
	var doc struct{ Flow, Name any }
	switch t {
	case contract.TypeFlowCancel:
		_ = json.Unmarshal(m.data, &doc) // what cannot be read has no name
		name, _ = doc.Flow.(string)
		return "/flow", name
	case contract.TypeProgdefApply, contract.TypeProgdefRemove, contract.TypeWebhookApply, contract.TypeWebhookRemove,
		contract.TypeWebhookRotate, contract.TypeWebhookTest:
		_ = json.Unmarshal(m.data, &doc)
		name, _ = doc.Name.(string)
		return "/name", name
	default:
		return "", ""
	}
}

func disagreement(subject, named, field string) problem.Problem {
	return problem.Problem{
		Code:    problem.BadName,
		Pointer: "/data" + field,
		Message: "the event's subject is " + document.Quote(subject) + " but the name in its data is " +
			document.Quote(named),
		Hint: "use the same name in both, or omit one",
	}
}

// badName rejects text that cannot be a token of a NATS subject.
func badName(pointer, name string) problem.List {
	if document.ValidName(name) {
		return nil
	}
	p := problem.Problem{
		Code:    problem.BadName,
		Pointer: pointer,
		Message: document.Quote(name) + " is not a name",
		Hint:    "a name is 1 to 63 of a-z, 0-9, - and _, with a letter or digit at both ends",
	}
	if name == "" {
		p.Message = "the event has no subject"
		p.Hint = "set the CloudEvents attribute subject (the header ce-subject)"
	}
	return problem.List{p}
}

// badTokens rejects an event whose NATS subject would not consist of names.
func badTokens(e contract.Event) problem.List {
	for _, token := range e.Tokens() {
		if p := badName("/subject", token); p != nil {
			return p
		}
	}
	return nil
}
