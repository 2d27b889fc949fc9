package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	ce "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/records"
	"github.com/dagyo/dagyo/pkg/trace"
)

// commands are the events that users publish.
var commands = []contract.Type{
	contract.TypeFlowSubmit, contract.TypeFlowCancel, contract.TypeProgdefApply, contract.TypeProgdefRemove, contract.TypeTypeApply,
	contract.TypeWebhookApply, contract.TypeWebhookRemove, contract.TypeWebhookRotate, contract.TypeWebhookTest,
}

// followOperation is the operation that follows a flow.
const followOperation = "follow-flow"

// mostEvents bounds a batch.
const mostEvents = 100

func (g *Gateway) registerEvents(api huma.API) {
	register(api, huma.Operation{
		OperationID: "publish-events", Method: http.MethodPost, Path: "/v1/events", Tags: []string{"events"}, DefaultStatus: http.StatusAccepted,
		RequestBody: streamBody("application/cloudevents+json", "an event, or a batch of events"),
		Summary:     "Publish commands as CloudEvents",
		Description: "In binary, structured or batched mode: " + join(commands) + ". Each is stored once for an id.",
	}, publishEvents)
	huma.Register(api, huma.Operation{
		OperationID: followOperation, Method: http.MethodGet, Path: "/v1/flows/{id}/events", Tags: []string{"events"},
		Summary:     "Follow the events of a flow",
		Description: "Server-sent events, from the first stored one, or behind Last-Event-ID, up to the verdict. Without events that are left, the answer is 204. `id` is the number in EVENTS, `event` the type, `data` the event.",
	}, followFlow)
}

func join(types []contract.Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}

type rawRequest struct{ request *http.Request }

// Resolve implements huma.Resolver.
func (in *rawRequest) Resolve(ctx huma.Context) []error {
	r, w := humago.Unwrap(ctx)
	r.Body = http.MaxBytesReader(w, r.Body, documentLimit)
	in.request = r
	return nil
}

// Stored is where an event was stored.
type Stored struct {
	ID  string `json:"id"`
	Seq uint64 `json:"seq" doc:"the number in EVENTS"`
}

func publishEvents(ctx context.Context, in *rawRequest) (*struct{ Body []Stored }, error) {
	events, err := readEvents(in.request)
	if err != nil {
		return nil, answer(err)
	}
	out := make([]Stored, 0, len(events))
	for _, e := range events {
		seq, err := clientOf(ctx).Publish(ctx, e)
		if err != nil {
			x := explain(err)
			x.Detail = fmt.Sprintf("event %q: %s; %d events before it are stored", e.ID, x.Detail, len(out))
			return nil, x
		}
		out = append(out, Stored{e.ID, seq})
	}
	return &struct{ Body []Stored }{out}, nil
}

func readEvents(r *http.Request) ([]contract.Event, error) {
	var all []ce.Event
	if strings.HasPrefix(r.Header.Get("Content-Type"), ce.ApplicationCloudEventsBatchJSON) {
		batch, err := cehttp.NewEventsFromHTTPRequest(r)
		if err != nil {
			return nil, unreadable(err)
		}
		all = batch
	} else {
		one, err := cehttp.NewEventFromHTTPRequest(r)
		if err != nil {
			return nil, unreadable(fmt.Errorf("the request is no CloudEvent: %w", err))
		}
		all = []ce.Event{*one}
	}
	if len(all) > mostEvents {
		return nil, usage(fmt.Errorf("the batch has %d events; the limit is %d", len(all), mostEvents))
	}
	out := make([]contract.Event, len(all))
	for i, e := range all {
		if err := e.Validate(); err != nil {
			return nil, usage(fmt.Errorf("event %d: %w", i, err))
		}
		t := contract.Type(e.Type())
		if !slices.Contains(commands, t) {
			return nil, usage(fmt.Errorf("event %d has the type %q: it must be one of %s", i, e.Type(), join(commands)))
		}
		if !json.Valid(e.Data()) {
			return nil, usage(fmt.Errorf("event %d: its data is not JSON", i))
		}
		subject := e.Subject()
		if subject == "" && t == contract.TypeFlowSubmit {
			subject = e.ID()
		}
		if t != contract.TypeTypeApply && !document.ValidName(subject) {
			return nil, usage(fmt.Errorf("event %d: its subject %s is not a name: it must match %s", i, document.Quote(subject), document.NamePattern))
		}
		data := json.RawMessage(e.Data())
		out[i] = contract.Event{
			ID: e.ID(), Type: t, Source: e.Source(), Subject: subject, Time: time.Now().UTC(), Data: &data, Trace: traceIn(e),
		}
	}
	return out, nil
}

// traceIn returns the trace of an event, which prevails over that of the request.
func traceIn(e ce.Event) trace.Context {
	parent, _ := e.Extensions()["traceparent"].(string)
	state, _ := e.Extensions()["tracestate"].(string)
	return trace.Parse(parent, state)
}

// unreadable is the error of a request that cannot be read.
func unreadable(err error) error {
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		return large
	}
	return usage(err)
}

type following struct {
	OneFlow
	Last  string `header:"Last-Event-ID" doc:"the id of the last event that was received"`
	Until string `query:"until" enum:"verdict,cleaned" default:"verdict" doc:"the last event: the verdict, or that the flow is cleaned up"`
}

// aliveEvery is the time between two comments of a stream of events, so that proxies keep it open.
const aliveEvery = 15 * time.Second

func followFlow(ctx context.Context, in *following) (*huma.StreamResponse, error) {
	c := clientOf(ctx)
	status, err := c.Flow(ctx, in.ID)
	if err != nil {
		return nil, answer(err)
	}
	from := client.Start{}
	if in.Last != "" {
		seq, err := strconv.ParseUint(in.Last, 10, 64)
		if err != nil {
			return nil, answer(usage(fmt.Errorf("Last-Event-ID is %q: it must be the id of an event", in.Last)))
		}
		from.Seq = seq + 1
	}
	feed, err := c.Follow(ctx, from, client.FlowSubjects(in.ID)...)
	if err != nil {
		return nil, answer(err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer feed.Close()
		if over(status, in.Until) && feed.Stored == 0 {
			hctx.SetStatus(http.StatusNoContent) // so that a browser does not connect again
			return
		}
		out := goLive(hctx, eventStream)
		alive := time.NewTicker(aliveEvery)
		defer alive.Stop()
		for err := error(nil); err == nil; {
			select {
			case e := <-feed.Events():
				err = writeEvent(out, e)
				if e.Type == contract.TypeFlowCleaned || e.EndsFlow() && in.Until != untilCleaned {
					return
				}
			case <-alive.C:
				_, err = out.Write([]byte(": alive\n\n"))
				// It may have ended before the first look at its status, with no event left behind that of the client.
				if s, failed := c.Flow(ctx, in.ID); failed == nil && err == nil && over(s, in.Until) {
					return
				}
			case <-hctx.Context().Done():
				return
			}
		}
	}}, nil
}

// untilCleaned asks for the events behind the verdict.
const untilCleaned = "cleaned"

// over reports whether a flow has had the last event.
func over(s contract.FlowStatus, until string) bool {
	return s.Phase == contract.TypeFlowCleaned || s.Verdict != "" && until != untilCleaned
}

// An Event is an event of a flow.
type Event struct {
	Type    contract.Type   `json:"type"`
	Subject string          `json:"subject"`
	Source  string          `json:"source,omitempty"`
	By      string          `json:"by,omitempty"`
	Time    time.Time       `json:"time"`
	Seq     uint64          `json:"seq"`
	Data    json.RawMessage `json:"data,omitempty"`
}

func writeEvent(w io.Writer, e contract.Event) error {
	data, err := json.Marshal(e.Data)
	if err != nil {
		return err
	}
	line, err := records.EncodeJSON(Event{e.Type, e.Subject, e.Source, e.By, e.Time, e.Seq, data})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, line)
	return err
}

// recordLine is a record of one of several outputs, as a line of JSON.
func recordLine(name, typename string, record []byte) []byte {
	value := records.JSONLines.Append(nil, typename, record)
	line, _ := records.EncodeJSON(struct {
		Output string          `json:"output"`
		Record json.RawMessage `json:"record"`
	}{name, value})
	return append(line, '\n')
}

func writeJSON(w http.ResponseWriter, v any) {
	line, err := records.EncodeJSON(v)
	if err == nil {
		_, _ = w.Write(append(line, '\n'))
	}
}
