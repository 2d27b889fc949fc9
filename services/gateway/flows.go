package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A Submitted is the answer to a submission.
type Submitted struct {
	Flow string `json:"flow" doc:"the flow's id"`
	// State is "submitted" as long as no service has validated it.
	State   string   `json:"state" enum:"submitted,validated" doc:"submitted: it is stored; validated: it is valid, and will run"`
	Inputs  []string `json:"inputs,omitempty" doc:"inputs to feed"`
	Outputs []string `json:"outputs,omitempty" doc:"outputs to read"`
}

func (g *Gateway) registerFlows(api huma.API) {
	register(api, huma.Operation{
		OperationID: "submit-flow", Method: http.MethodPost, Path: "/v1/flows", Tags: []string{"flows"}, RequestBody: documentBody("the flow document"),
		Summary: "Submit a flow", DefaultStatus: http.StatusAccepted,
		Description: "The body is a flow document. With `Prefer: wait`, the answer comes after validation, with all problems if there are some.",
	}, submitFlow)
	huma.Register(api, huma.Operation{
		OperationID: "list-flows", Method: http.MethodGet, Path: "/v1/flows", Tags: []string{"flows"}, Summary: "List flows, the latest first",
	}, listFlows)
	huma.Register(api, huma.Operation{
		OperationID: "get-flow", Method: http.MethodGet, Path: "/v1/flows/{id}", Tags: []string{"flows"}, Summary: "Get the status of a flow",
	}, getFlow)
	huma.Register(api, huma.Operation{
		OperationID: "cancel-flow", Method: http.MethodPost, Path: "/v1/flows/{id}/cancel", Tags: []string{"flows"},
		Summary: "Cancel a flow", DefaultStatus: http.StatusAccepted,
	}, cancelFlow)
	register(api, huma.Operation{
		OperationID: "validate-flow", Method: http.MethodPost, Path: "/v1/validate", Tags: []string{"flows"}, RequestBody: documentBody("the flow document"),
		Summary: "Validate a flow document without running it",
	}, validateFlow)
}

// newID returns a new id for a flow.
func newID() string { return "flow-" + strings.ToLower(rand.Text()[:8]) }

// flowID returns the chosen id, or a new one.
func flowID(chosen string) (string, error) {
	if chosen == "" {
		return newID(), nil
	}
	if !document.ValidName(chosen) {
		return "", usage(errors.New("the id " + document.Quote(chosen) + " is not a name: it must match " + document.NamePattern))
	}
	return chosen, nil
}

type submission struct {
	ID     string `query:"id" doc:"the flow's id; default: a new one. Submitting the same document under the same id again changes nothing"`
	Prefer string `header:"Prefer" doc:"wait: answer after validation"`
	Document
}

type submitted struct {
	Location string `header:"Location"`
	Body     Submitted
}

func submitFlow(ctx context.Context, in *submission) (*submitted, error) {
	id, err := flowID(in.ID)
	if err != nil {
		return nil, answer(err)
	}
	s, err := submit(ctx, clientOf(ctx), id, in.content, prefersWait(in.Prefer))
	if err != nil {
		return nil, answer(err)
	}
	return &submitted{Location: "/v1/flows/" + id, Body: *s}, nil
}

func prefersWait(header string) bool {
	for p := range strings.SplitSeq(header, ",") {
		if name, _, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(name, "wait") {
			return true
		}
	}
	return false
}

// submit submits a document, and waits for its validation if wait is set.
func submit(ctx context.Context, c *client.Client, id string, doc []byte, wait bool) (*Submitted, error) {
	if !json.Valid(doc) {
		return nil, usage(errors.New("the document is not JSON"))
	}
	seq, err := c.Submit(ctx, id, doc)
	if err != nil {
		return nil, err
	}
	out := &Submitted{Flow: id, State: "submitted"}
	out.Inputs, out.Outputs = endsOf(doc)
	if wait {
		_, err = c.Judged(ctx, id, seq, document.Digest(doc))
		if err == nil {
			out.State = "validated"
		} else if errors.Is(err, client.ErrNoAnswer) {
			err = nil // it is stored, and will be validated
		}
	}
	return out, err
}

// endsOf returns the names of a document's own inputs and outputs, as far as it has some.
func endsOf(doc []byte) (inputs, outputs []string) {
	var ends struct {
		Inputs, Outputs map[string]json.RawMessage
	}
	_ = json.Unmarshal(doc, &ends)
	return sorted(ends.Inputs), sorted(ends.Outputs)
}

type listing struct {
	State   []string  `query:"state" doc:"states: event types of phases and verdicts, such as flow.completed, or their last word"`
	Live    bool      `query:"live" doc:"flows without a verdict only"`
	Search  string    `query:"search" doc:"text in the id, a progdef's name, a reason or a message"`
	Progdef string    `query:"progdef" doc:"flows with a job of this progdef"`
	User    string    `query:"user" doc:"flows that this user submitted"`
	Since   time.Time `query:"since" doc:"submitted at or after"`
	Until   time.Time `query:"until" doc:"submitted before"`
	Limit   int       `query:"limit" minimum:"0" maximum:"1000" doc:"flows in a page; 0 is the default"`
	After   string    `query:"after" doc:"next of the previous page"`
}

func listFlows(ctx context.Context, in *listing) (*struct{ Body contract.FlowPage }, error) {
	q := contract.FlowQuery{
		Live: in.Live, Text: in.Search, Progdef: in.Progdef, User: in.User,
		Since: in.Since, Until: in.Until, Limit: in.Limit, After: in.After,
	}
	for _, s := range in.State {
		if !strings.Contains(s, ".") {
			s = "flow." + s
		}
		q.States = append(q.States, contract.Type(s))
	}
	page, err := clientOf(ctx).FlowPage(ctx, q)
	return &struct{ Body contract.FlowPage }{page}, answer(err)
}

// OneFlow names a flow.
type OneFlow struct {
	ID string `path:"id" doc:"the flow's id"`
}

func getFlow(ctx context.Context, in *OneFlow) (*struct{ Body contract.FlowStatus }, error) {
	s, err := clientOf(ctx).Flow(ctx, in.ID)
	return &struct{ Body contract.FlowStatus }{s}, answer(err)
}

type cancellation struct {
	OneFlow
	Operator bool   `query:"operator" doc:"cancel the flow of another user"`
	Reason   string `query:"reason" maxLength:"1000" doc:"why, for its status"`
}

func cancelFlow(ctx context.Context, in *cancellation) (*struct{}, error) {
	c := clientOf(ctx)
	if _, err := c.Flow(ctx, in.ID); err != nil {
		return nil, answer(err)
	}
	do := c.Cancel
	if in.Operator {
		do = c.CancelAsOperator
	}
	_, err := do(ctx, in.ID, in.Reason)
	return nil, answer(err)
}

// A Validation is the result of a validation.
type Validation struct {
	Valid    bool         `json:"valid"`
	Problems problem.List `json:"problems,omitempty" doc:"what is wrong"`
	// Flow is the normal form of a valid flow, with all types.
	Flow any `json:"flow,omitempty" doc:"the flow in its normal form, with the types of all ports"`
}

func validateFlow(ctx context.Context, in *struct{ Document }) (*struct{ Body Validation }, error) {
	d, problems, err := clientOf(ctx).Validate(ctx, in.content)
	if err != nil {
		return nil, answer(err)
	}
	out := Validation{Valid: len(problems) == 0, Problems: problems}
	if d != nil {
		out.Flow = d.Flow
	}
	return &struct{ Body Validation }{out}, nil
}
