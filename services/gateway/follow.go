package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
)

// A running flow is one whose inputs or outputs a request feeds or reads.
type running struct {
	client *client.Client
	id     string
	ends   client.Ends
	hold   *client.Hold
	events *client.Feed
}

// open finds the inputs and outputs of a flow, once it is planned. The caller must close it.
func open(ctx context.Context, c *client.Client, id string) (*running, error) {
	s, err := c.Flow(ctx, id)
	if err != nil {
		return nil, err
	}
	if s.Phase == contract.TypeFlowCleaned {
		return nil, client.ErrCleaned
	}
	f := &running{client: c, id: id, ends: client.Ends{Inputs: s.Inputs, Outputs: s.Outputs}}
	if f.hold, err = c.Hold(id); err == nil {
		err = f.follow(ctx)
	}
	if err == nil && s.Stream == "" && s.Verdict == "" {
		err = f.planned(ctx)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// submit submits the flow, and returns when it is planned.
func (f *running) submit(ctx context.Context, doc []byte) (err error) {
	if f.hold, err = f.client.Hold(f.id); err != nil {
		return err
	}
	if _, err = submit(ctx, f.client, f.id, doc, true); err != nil {
		return err
	}
	if err = f.follow(ctx); err != nil {
		return err
	}
	return f.planned(ctx)
}

func (f *running) follow(ctx context.Context) (err error) {
	f.events, err = f.client.Follow(ctx, client.Start{}, client.FlowSubjects(f.id)...)
	return err
}

// planned waits for the flow's plan, which names its inputs and outputs.
func (f *running) planned(ctx context.Context) error {
	ends, over, err := f.client.Planned(ctx, f.id, nil)
	if over != nil {
		return verdictError(*over)
	}
	f.ends = ends
	return err
}

// verdict waits for the flow's verdict.
func (f *running) verdict(ctx context.Context) (contract.Event, error) {
	if f.events.Stored == 0 { // its events may be deleted
		s, err := f.client.Flow(ctx, f.id)
		if err != nil {
			return contract.Event{}, err
		}
		if s.Verdict != "" {
			return contract.Event{Type: s.Verdict, Subject: f.id}, nil
		}
	}
	for {
		e, err := f.events.Next(ctx)
		if err != nil {
			return e, err
		}
		if e.EndsFlow() {
			return e, nil
		}
	}
}

// verdictError returns the error of a verdict, nil if the flow has completed.
func verdictError(e contract.Event) error {
	switch d := e.Data.(type) {
	case *contract.FlowRejected:
		return d.Problems
	case *contract.FlowPanic:
		return fail(statusFailed, fmt.Sprintf("flow %s panicked: %s: %s", e.Subject, cmp.Or(d.Cause.Job, "the flow"), d.Cause.Message))
	case *contract.FlowCancelled:
		return fail(statusFailed, "flow "+e.Subject+" was cancelled: "+d.Reason)
	}
	if e.Type == contract.TypeFlowCompleted {
		return nil
	}
	return fail(statusFailed, fmt.Sprintf("flow %s has ended: %s", e.Subject, e.Type))
}

// statusFailed is the status of an answer about a flow that has failed.
const statusFailed = http.StatusUnprocessableEntity

// abandonWait bounds the cancel of a flow whose client has gone.
const abandonWait = 5 * time.Second

// leave ends a request for the flow, which has failed with err or not, and returns the error to answer: the cause of the end of
// ctx, if it has ended. The flow is cancelled if its client has gone, or has sent what is wrong.
func (f *running) leave(ctx context.Context, err error) error {
	defer f.close()
	cause := context.Cause(ctx)
	if err == nil || cause == nil && !errors.Is(err, errGone) {
		return err
	}
	var reason string
	switch {
	case errors.Is(cause, errStopping), errors.Is(cause, client.ErrRefused):
		return cause // the client may come back, or the flow ends without its heartbeats
	case cause == nil, errors.Is(cause, context.Canceled):
		reason = errGone.Error()
	default:
		err, reason = cause, "input: "+cause.Error()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonWait)
	defer cancel()
	_, _ = f.client.Cancel(ctx, f.id, reason) // else its heartbeats end, which has the same effect later
	return err
}

func (f *running) close() {
	if f.hold != nil {
		f.hold.Close()
	}
	if f.events != nil {
		f.events.Close()
	}
}

// end returns the address of an input or an output that nobody else has, as far as the broker knows.
func (f *running) end(ctx context.Context, what, name string, of func(client.Ends) map[string]contract.Address) (contract.Address, error) {
	a, ok := of(f.ends)[name]
	if !ok {
		return a, fail(http.StatusNotFound, fmt.Sprintf("flow %s has no %s %q: it has %v", f.id, what, name, sorted(of(f.ends))))
	}
	free, err := f.client.Free(ctx, f.id, f.ends)
	if err != nil {
		return a, err
	}
	if _, ok := of(free)[name]; !ok {
		return a, f.heldElsewhere(what, name)
	}
	return a, nil
}

func (f *running) heldElsewhere(what, name string) error {
	return fail(http.StatusConflict, fmt.Sprintf("the %s %s of flow %s is, or was, held by another client: each can be held once", what, name, f.id))
}

func inputs(e client.Ends) map[string]contract.Address  { return e.Inputs }
func outputs(e client.Ends) map[string]contract.Address { return e.Outputs }

func sorted[V any](all map[string]V) []string { return slices.Sorted(maps.Keys(all)) }

var (
	// errGone is the error of an answer that its client does not take any more.
	errGone = errors.New("the HTTP client has gone")
	// errStopping is the cause of the end of requests when the gateway stops: their clients may come back elsewhere.
	errStopping = errors.New("the gateway is being stopped")
)
