package validator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/typedoc"
)

// asks lists the requests that the validator answers.
func asks() map[string]service.Ask[*State] {
	all := map[string]service.Ask[*State]{
		contract.AskFlowValidate:      askValidate,
		contract.AskCatalogList:       askList,
		contract.AskCatalogGet:        askGet,
		contract.AskCatalogCheck:      askCheck,
		contract.AskCatalogCompatible: askCompatible,
		contract.AskCatalogTypes:      askTypes,
	}
	for subject, ask := range all {
		all[subject] = settled(ask)
	}
	return all
}

// settled delays an answer until the commands about progdefs before it are answered: who has received progdef.applied
// finds the progdef in the catalogue.
func settled(ask service.Ask[*State]) service.Ask[*State] {
	return func(s *State, raw []byte) (any, error) {
		if len(s.changes) == 0 {
			return ask(s, raw)
		}
		last := s.changes[len(s.changes)-1]
		ready := func(s *State) bool { return len(s.changes) == 0 || s.changes[0] > last }
		return service.After[*State]{Ready: ready, Ask: ask}, nil
	}
}

// askValidate answers a flow document with the event that submitting it would cause. Large documents take long to check,
// and events are folded meanwhile.
func askValidate(s *State, raw []byte) (any, error) {
	known, limits := s.lend(), s.limits.Flow
	return service.Later(func(context.Context) (any, error) {
		e := judged(known, limits, "would-be", "", raw)
		e.Source, e.Time = "/dagyo/"+Name, time.Now().UTC()
		msg, err := event.Encode(e)
		if err != nil {
			return nil, err
		}
		return json.RawMessage(msg.Data), nil
	}), nil
}

func askList(s *State, _ []byte) (any, error) {
	out := make([]contract.Published, 0, len(s.catalog))
	for _, name := range s.names() {
		out = append(out, s.published(name))
	}
	return out, nil
}

func askGet(s *State, name []byte) (any, error) {
	if _, ok := s.catalog[string(name)]; !ok {
		return nil, fmt.Errorf("progdef %s not found", document.Quote(string(name)))
	}
	return s.published(string(name)), nil
}

// askCheck answers what publishing documents one after another would give. Many documents take long to check, and events
// are folded meanwhile.
func askCheck(s *State, raw []byte) (any, error) {
	borrow := s.borrow()
	return service.Later(func(ctx context.Context) (any, error) {
		var q contract.CatalogCheck
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&q); err != nil {
			return refusedCheck(problem.SchemaMismatch, fmt.Sprintf("cannot read the request: %.200s", err)), nil
		}
		if n := len(q.Documents); n > contract.MaxChecked {
			return refusedCheck(problem.TooMany, fmt.Sprintf("%d documents; the limit is %d", n, contract.MaxChecked)), nil
		}
		t := trial{borrow(), contract.MaxChecked, 0}
		out := contract.CatalogChecked{Documents: []contract.CheckedDocument{}}
		for _, d := range q.Documents {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			out.Documents = append(out.Documents, t.check(d))
		}
		return out, nil
	}), nil
}

func refusedCheck(code problem.Code, message string) contract.CatalogChecked {
	return contract.CatalogChecked{Problems: problem.List{{
		Code: code, Message: message, Hint: `example: {"documents": [{"type": {…}}, {"progdef": {…}}]}`,
	}}}
}

// askCompatible answers which ports a port may be connected to.
func askCompatible(s *State, raw []byte) (any, error) {
	known, limits := s.lend(), s.limits.Flow
	return service.Later(func(context.Context) (any, error) {
		var q flow.Query
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&q); err != nil {
			return contract.CatalogCompatible{Problems: problem.List{{
				Code: problem.SchemaMismatch, Message: fmt.Sprintf("cannot read the request: %.200s", err),
				Hint: `example: {"progdef": "greet", "port": "name"}`,
			}}}, nil
		}
		answer, problems := known.Compatible(q, limits)
		if len(problems) > 0 {
			return contract.CatalogCompatible{Problems: problems}, nil
		}
		return contract.CatalogCompatible{Compatibility: &answer}, nil
	}), nil
}

// askTypes answers with one line for each type, or with the document of the requested type.
func askTypes(s *State, raw []byte) (any, error) {
	if name := strings.TrimSpace(string(raw)); name != "" {
		return s.typeOf(name)
	}
	out := []contract.TypeLine{}
	for _, name := range s.types.names() {
		d := s.types.docs[name]
		out = append(out, contract.TypeLine{
			Name: name, Typename: d.Typename(), Summary: d.Summary(), Builtin: progdef.IsBuiltin(name),
		})
	}
	return out, nil
}

// typeOf finds the document of a typename, regardless of its arguments.
func (s *State) typeOf(typename string) (typedoc.Document, error) {
	t, err := progdef.ParseTypename(typename)
	if err != nil {
		return typedoc.Document{}, fmt.Errorf("%s is not a typename: %w", document.Quote(typename), err)
	}
	d, ok := s.types.docs[t.Name]
	if !ok {
		message := "no documentation of type " + document.Quote(t.Name)
		if near := document.Suggest(t.Name, s.types.names()); near != "" {
			message += "; " + document.DidYouMean(near)
		}
		return typedoc.Document{}, fmt.Errorf("%s", message)
	}
	return d, nil
}
