package aggregator

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/pkg/service"
)

// asks lists the requests that the panic-aggregator answers.
func (w *wiring) asks() map[string]service.Ask[*State] {
	return map[string]service.Ask[*State]{
		contract.AskFlowGet:  w.askFlow,
		contract.AskFlowList: w.askFlows,
		// Ends of sealed edges ask it.
		contract.AskJobExecutor: askExecutor,
		contract.AskWebhookList: w.askHooks,
	}
}

// askFlow answers a flow id with the flow's status.
func (w *wiring) askFlow(s *State, id []byte) (any, error) {
	flow := string(id)
	if status, ok := s.status(flow); ok {
		status.Jobs, status.Edges = maps.Clone(status.Jobs), slices.Clone(status.Edges)
		var x flowing
		s.with(flow, func(r *run) { x = r.flowing() })
		return service.Later(func(ctx context.Context) (any, error) {
			w.look(ctx, &status, x)
			return w.fitting(status)
		}), nil
	}
	waiting, waits := s.submitted.of[flow]
	if !document.ValidName(flow) {
		return nil, unknownFlow(flow)
	}
	return service.Later(func(ctx context.Context) (any, error) {
		if err := w.loaded(ctx); err != nil {
			return nil, err
		}
		status, ok, err := w.index.Get(ctx, flow)
		switch {
		case err != nil:
			return nil, err
		case !ok && waits:
			return w.fitting(waiting.status(flow))
		case !ok:
			return nil, unknownFlow(flow)
		}
		return w.fitting(status)
	}), nil
}

// askExecutor answers the executor that has started a job of a flow that is not cleaned up.
func askExecutor(s *State, id []byte) (any, error) {
	flow, job, _ := strings.Cut(string(id), ".")
	return contract.JobExecutor{Executor: s.executorOf(flow, job)}, nil
}

// answerSlack is the size of a message in addition to the answer, in bytes.
const answerSlack = 4 << 10

// fitting returns the status for an answer: without the parts that would make it too large for a message, and with an
// object of jobs even if it is empty.
func (w *wiring) fitting(s contract.FlowStatus) (any, error) {
	if s.Jobs == nil {
		s.Jobs = map[string]contract.JobStatus{}
	}
	return history.Fit(s, int(w.link.MaxPayload())-answerSlack)
}

func unknownFlow(id string) error {
	return &service.AskError{Code: "404", Message: "flow not found: " + document.Quote(id)}
}

// askFlows answers a query with a page of flows.
func (w *wiring) askFlows(_ *State, body []byte) (any, error) {
	q, err := history.ParseQuery(body)
	if err != nil {
		return nil, err
	}
	return service.Later(func(ctx context.Context) (any, error) {
		if err := w.loaded(ctx); err != nil {
			return nil, err
		}
		page, err := w.index.Page(ctx, q, w.current, history.DefaultBudget())
		if err == nil {
			w.count(ctx, page.Flows)
		}
		return page, err
	}), nil
}

// pageCredits bounds the credits that are read for one page.
const pageCredits = 4 * trafficCredits

// count adds what was received to the lines of running flows, as far as it can be read in time.
func (w *wiring) count(ctx context.Context, lines []contract.FlowLine) {
	byShard, byFlow := make(map[string][]flowing), make(map[string]*contract.FlowLine)
	credits := 0
	w.runtime.Load().Read(func(s *State) {
		for i, l := range lines {
			r := s.runs[l.Flow]
			if l.Verdict != "" || r == nil || len(r.Edges) == 0 || shardOf(r.Stream) == "" || credits+len(r.Edges) > pageCredits {
				continue
			}
			credits += len(r.Edges)
			shard := shardOf(r.Stream)
			byShard[shard] = append(byShard[shard], r.flowing())
			byFlow[l.Flow] = &lines[i]
		}
	})
	for shard, flows := range byShard {
		all, err := w.traffic(ctx, shard, flows)
		if err != nil {
			continue
		}
		for _, t := range all {
			byFlow[t.Flow].Records = &t.Records
		}
	}
}

// current yields the flows that are not in history, with the state locked.
func (w *wiring) current(yield func(contract.FlowStatus) bool) {
	w.runtime.Load().Read(func(s *State) { s.current(yield) })
}

// loaded waits until the index contains all of history.
func (w *wiring) loaded(ctx context.Context) error {
	select {
	case <-w.index.Loaded():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
