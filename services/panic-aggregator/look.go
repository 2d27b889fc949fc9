package aggregator

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
)

const (
	// lookWait bounds reading the edges of one flow.
	lookWait = 2 * time.Second
	// lookEnds bounds how many of a flow's own inputs and outputs are checked.
	lookEnds = 32
)

// look adds the progress of the edges to the status of a flow that is not cleaned up, as far as it can be read in time.
// After the verdict, that is what clients have read of its outputs.
func (w *wiring) look(ctx context.Context, s *contract.FlowStatus) {
	if s.Phase == contract.TypeFlowCleaned || s.Stream == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	credits, err := stream.Credits(ctx, w.link.JS, s.Stream, creditsOf(s)...)
	fill(s, credits)
	if err == nil && s.Verdict == "" {
		s.Waits = w.waitsForClients(ctx, s, credits)
	}
}

// creditsOf returns the subjects of the credits of the flow's edges.
func creditsOf(s *contract.FlowStatus) []string {
	shard := strings.TrimPrefix(s.Stream, contract.EdgeStreamPrefix)
	subjects := make([]string, len(s.Edges))
	for n := range subjects {
		subjects[n] = contract.CreditSubject(shard, s.Flow, n)
	}
	return subjects
}

// fill adds the counts of ended jobs to the edges, and the progress of the other readers.
func fill(s *contract.FlowStatus, credits map[string]wire.Credit) {
	byEdge := make(map[string]wire.Credit, len(credits))
	for subject, c := range credits {
		byEdge[subject[strings.LastIndexByte(subject, '.')+1:]] = c // the last token is the edge's number
	}
	for n := range s.Edges {
		e := &s.Edges[n]
		node, port, _ := strings.Cut(e.From, ".")
		if c := reported(s.Jobs[node].Outputs, port); c != nil {
			e.Sent = c
		}
		node, port, _ = strings.Cut(e.To, ".")
		if c := reported(s.Jobs[node].Inputs, port); c != nil {
			e.Received, e.ClosedEarly = c, slices.Contains(s.Jobs[node].ClosedEarly, port)
		}
		if c, ok := byEdge[strconv.Itoa(n)]; ok && e.Received == nil {
			e.Received = &contract.Count{Records: int64(c.Records), Bytes: int64(c.Octets)}
			e.ClosedEarly = c.Closed
		}
	}
}

// waitsForClients lists the flow's own inputs and outputs without a client.
func (w *wiring) waitsForClients(
	ctx context.Context, s *contract.FlowStatus, credits map[string]wire.Credit,
) (out []contract.ClientWait) {
	for _, name := range first(s.Inputs, lookEnds) {
		a := s.Inputs[name]
		if credits[a.Credit].Frame > 0 || credits[a.Credit].Closed {
			continue
		}
		if begun, err := stream.Begun(ctx, w.link.JS, a); err == nil && !begun {
			out = append(out, contract.ClientWait{Input: name})
		}
	}
	for _, name := range first(s.Outputs, lookEnds) {
		a := s.Outputs[name]
		c := credits[a.Credit]
		if c.Closed {
			continue
		}
		n, err := stream.Unread(ctx, w.link.JS, a, c.Frame)
		if attached := c.Attach > 0; err == nil && (n > 0 || !attached && c.Frame == 0) {
			out = append(out, contract.ClientWait{Output: name, Unread: n, Attached: attached})
		}
	}
	return out
}

// first returns the first n names.
func first(ends map[string]contract.Address, n int) []string {
	names := slices.Sorted(maps.Keys(ends))
	return names[:min(len(names), n)]
}
