package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/typedoc"
)

// Validate validates a document as its submission would be validated, without running the flow. The
// problems are nil if the flow is valid.
func (c *Client) Validate(
	ctx context.Context, document []byte,
) (*contract.FlowValidated, problem.List, error) {
	var answer struct {
		Type contract.Type   `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := c.ask(ctx, contract.AskFlowValidate, document, &answer); err != nil {
		return nil, nil, err
	}
	switch answer.Type {
	case contract.TypeFlowValidated:
		var d contract.FlowValidated
		return &d, nil, json.Unmarshal(answer.Data, &d)
	case contract.TypeFlowRejected:
		var d contract.FlowRejected
		err := json.Unmarshal(answer.Data, &d)
		return nil, d.Problems, err
	}
	return nil, nil, fmt.Errorf("%s: unexpected answer of type %q", contract.AskFlowValidate, answer.Type)
}

// Catalog returns all progdefs, sorted by name.
func (c *Client) Catalog(ctx context.Context) ([]contract.Published, error) {
	var out []contract.Published
	err := c.ask(ctx, contract.AskCatalogList, nil, &out)
	return out, err
}

// Progdef returns one progdef, or ErrUnknownProgdef.
func (c *Client) Progdef(ctx context.Context, name string) (contract.Published, error) {
	all, err := c.Catalog(ctx)
	if err != nil {
		return contract.Published{}, err
	}
	for _, p := range all {
		if p.Document.Name == name {
			return p, nil
		}
	}
	return contract.Published{}, fmt.Errorf("%w: %q", ErrUnknownProgdef, name)
}

// Types returns a line for each documented type, sorted by name.
func (c *Client) Types(ctx context.Context) ([]contract.TypeLine, error) {
	var out []contract.TypeLine
	err := c.ask(ctx, contract.AskCatalogTypes, nil, &out)
	return out, err
}

// Type returns the documentation of a typename, for any arguments, or ErrUnknownType.
func (c *Client) Type(ctx context.Context, typename string) (typedoc.Document, error) {
	t, err := progdef.ParseTypename(typename)
	if err != nil {
		return typedoc.Document{}, fmt.Errorf("%w: %w", ErrUnknownType, err)
	}
	all, err := c.Types(ctx)
	if err != nil {
		return typedoc.Document{}, err
	}
	if !slices.ContainsFunc(all, func(l contract.TypeLine) bool { return l.Name == t.Name }) {
		return typedoc.Document{}, fmt.Errorf("%w: %q", ErrUnknownType, t.Name)
	}
	var out typedoc.Document
	err = c.ask(ctx, contract.AskCatalogTypes, []byte(t.Name), &out)
	return out, err
}

// Check returns what publishing types and progdefs one after another would give. Nothing is changed. Problems of the
// question, such as too many documents, are an error of type problem.List.
func (c *Client) Check(ctx context.Context, documents []contract.CheckDocument) ([]contract.CheckedDocument, error) {
	question, err := json.Marshal(contract.CatalogCheck{Documents: documents})
	if err != nil {
		return nil, err
	}
	var out contract.CatalogChecked
	if err := c.ask(ctx, contract.AskCatalogCheck, question, &out); err != nil {
		return nil, err
	}
	if len(out.Problems) > 0 {
		return nil, out.Problems
	}
	if len(out.Documents) != len(documents) {
		return nil, fmt.Errorf("ask %s: %d results for %d documents", contract.AskCatalogCheck, len(out.Documents), len(documents))
	}
	return out.Documents, nil
}

// Compatible returns the ports that could be connected to a port of a flow. The question is a flow.Query in JSON.
func (c *Client) Compatible(ctx context.Context, question []byte) (out contract.CatalogCompatible, err error) {
	err = c.ask(ctx, contract.AskCatalogCompatible, question, &out)
	return out, err
}

// ask sends a question and decodes its answer into out.
func (c *Client) ask(ctx context.Context, subject string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	ctx, done := c.denials.heed(ctx, contract.Sender{Name: c.user}.On(subject))
	defer done()
	m, err := c.request(ctx, subject, body)
	if err = denied(ctx, err); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = ErrNoAnswer
		}
		return fmt.Errorf("ask %s: %w", subject, explained(err))
	}
	c.noteTime(m)
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return fmt.Errorf("ask %s: %w", subject, &Refusal{code, m.Header.Get(micro.ErrorHeader)})
	}
	if err := json.Unmarshal(m.Data, out); err != nil {
		return fmt.Errorf("ask %s: decode the answer: %w", subject, err)
	}
	return nil
}

// request sends a question, and retries up to absentWait while no service answers it: the only replica may be restarting.
func (c *Client) request(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	until := time.Now().Add(absentWait)
	question := &nats.Msg{Subject: c.on(subject), Data: body}
	after := c.known.Load()
	if after > 0 && contract.AsOf(subject) {
		question.Header = nats.Header{contract.HeaderAfter: {strconv.FormatUint(after, 10)}}
	}
	for {
		m, err := c.link.RequestMsgWithContext(ctx, question)
		if err == nil && question.Header != nil {
			c.noteAnswer(m, after)
		}
		leaving := err == nil && m.Header.Get(micro.ErrorCodeHeader) == contract.CodeLeaving
		if !leaving && !errors.Is(err, nats.ErrNoResponders) || time.Now().After(until) {
			return m, err
		}
		select {
		case <-time.After(absentPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// codeNotFound is the code of a refusal because the object was not found.
const codeNotFound = "404"

// A Refusal is an error answer of a service, with the codes of docs/clients.md.
type Refusal struct{ Code, Message string }

func (r *Refusal) Error() string { return fmt.Sprintf("%s (%s)", r.Message, r.Code) }
