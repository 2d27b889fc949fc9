package aggregator

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
)

// lookWait bounds reading the edges of one flow, and the credits of one round of checks.
const lookWait = 2 * time.Second

// look adds the progress of the edges to the status of a flow that is not cleaned up, as far as it can be read in time.
// After the verdict, that is what clients have read of its outputs. x is what is known of the edges.
func (w *wiring) look(ctx context.Context, s *contract.FlowStatus, x flowing) {
	shard := shardOf(s.Stream)
	if s.Phase == contract.TypeFlowCleaned || shard == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	x.flow, x.shard = s.Flow, shard
	if len(x.ends) != len(s.Edges) { // it has a verdict
		x.ends = endsOf(s)
		for _, a := range s.Outputs {
			x.room.Salt = a.Salt
		}
	}
	edges, err := w.addresses(x)
	if err != nil {
		return
	}
	credits, err := stream.Credits(ctx, w.link.JS, s.Stream, edges...)
	fill(s, credits)
	if err != nil || s.Verdict != "" {
		return
	}
	consumed := make([]uint64, len(s.Edges))
	for n := range consumed {
		consumed[n] = credits[contract.CreditSubject(shard, s.Flow, n)].Frame
	}
	backlogs, err := stream.Backlogs(ctx, w.link.JS, shard, s.Flow, edges, consumed)
	if err != nil {
		return
	}
	for n, b := range backlogs {
		s.Edges[n].Unread, s.Edges[n].Fill = b.Bytes, b.Fill(x.room.Window, x.room.Frames)
		s.Edges[n].Waits = waitingSide(s.Edges[n], b.Full(x.room.Window, x.room.Frames))
	}
	s.Waits = clientWaits(s, credits)
}

// endsOf returns what is known of the ends of the edges of a flow with a verdict: clients may still read its outputs.
func endsOf(s *contract.FlowStatus) []ends {
	out := make([]ends, len(s.Edges))
	for n, e := range s.Edges {
		if strings.HasPrefix(e.To, outputPrefix) {
			out[n].reader = cmp.Or(s.Owner, contract.Nobody)
		}
	}
	return out
}

// describe adds the state of the edges to the beginning of a stall.
func (w *wiring) describe(ctx context.Context, r *service.Runtime[*State], e contract.Event) contract.Event {
	d := *e.Data.(*contract.FlowStalled)
	if !d.Stalled {
		return e
	}
	var status contract.FlowStatus
	var x flowing
	r.Read(func(s *State) {
		status, _ = s.status(e.Subject)
		status.Edges = slices.Clone(status.Edges)
		s.with(e.Subject, func(r *run) { x = r.flowing() })
	})
	w.look(ctx, &status, x)
	describe(&d, &status)
	e.Data = &d
	return e
}

// watchTraffic checks what the readers of flows have read.
func (w *wiring) watchTraffic(ctx context.Context, r *service.Runtime[*State]) error {
	service.Every(ctx, trafficEvery, func() {
		if err := w.measure(ctx, r); err != nil && ctx.Err() == nil {
			r.Log().Debug().Err(err).Msg("cannot read the credits of flows")
		}
	})
	return nil
}

// measure reads the credits of the flows that are due, those in one shard at once.
func (w *wiring) measure(ctx context.Context, r *service.Runtime[*State]) (err error) {
	var due []flowing
	now := r.EstimatedTime()
	r.Read(func(s *State) { due = s.dueTraffic(now) })
	byShard := make(map[string][]flowing)
	for _, f := range due {
		byShard[f.shard] = append(byShard[f.shard], f)
	}
	for shard, flows := range byShard {
		all, failed := w.traffic(ctx, shard, flows)
		r.Fold(Measured(all, time.Time{}))
		err = errors.Join(err, failed)
	}
	return err
}

// traffic returns the numbers of records that the readers of some flows have read, also if they cannot be read.
func (w *wiring) traffic(ctx context.Context, shard string, flows []flowing) ([]Traffic, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	credits, err := w.credits(ctx, shard, flows)
	read := make(map[string]int64)
	for subject, c := range credits {
		read[contract.FlowOfEdge(subject)] += int64(c.Records)
	}
	out := make([]Traffic, len(flows))
	for i, f := range flows {
		if out[i] = (Traffic{f.flow, read[f.flow]}); err != nil {
			out[i].Records = unknownRecords
		}
	}
	return out, err
}

func (w *wiring) credits(ctx context.Context, shard string, flows []flowing) (map[string]wire.Credit, error) {
	var all []contract.Address
	for _, f := range flows {
		edges, err := w.addresses(f)
		if err != nil {
			return nil, err
		}
		all = append(all, edges...)
	}
	return stream.Credits(ctx, w.link.JS, contract.EdgeStream(shard), all...)
}

// addresses returns the addresses of a flow's edges, with the keys of sealed ones.
func (w *wiring) addresses(f flowing) ([]contract.Address, error) {
	out := make([]contract.Address, len(f.ends))
	for n, ends := range f.ends {
		a := contract.EdgeAddress(f.shard, f.flow, n, f.room.Window, f.room.Slots, "")
		a.Salt, a.Writer, a.Reader = f.room.Salt, &contract.End{Name: ends.writer}, &contract.End{Name: ends.reader}
		var err error
		if out[n], err = w.secret.Address(a); err != nil {
			return nil, err
		}
	}
	return out, nil
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

// waitingSide returns the side of an edge that waits for the other one. full is true if the window is.
func waitingSide(e contract.EdgeCount, full bool) contract.Side {
	switch {
	case e.ClosedEarly, e.Sent != nil && e.Received != nil && e.Received.Records >= e.Sent.Records:
		return "" // it is over
	case full && e.Sent == nil:
		return contract.SideWriter
	case e.Unread == 0 && e.Sent == nil:
		return contract.SideReader
	}
	return ""
}

// clientWaits lists the flow's own inputs and outputs that wait for a client.
func clientWaits(s *contract.FlowStatus, credits map[string]wire.Credit) (out []contract.ClientWait) {
	for _, e := range s.Edges {
		if name, is := strings.CutPrefix(e.From, inputPrefix); is {
			if c := credits[s.Inputs[name].Credit]; c.Frame == 0 && !c.Closed && e.Unread == 0 {
				out = append(out, contract.ClientWait{Input: name})
			}
		}
		if name, is := strings.CutPrefix(e.To, outputPrefix); is {
			c := credits[s.Outputs[name].Credit]
			if attached := c.Attach > 0; !c.Closed && (e.Unread > 0 || !attached && c.Frame == 0) {
				out = append(out, contract.ClientWait{Output: name, Unread: e.Unread, Attached: attached})
			}
		}
	}
	slices.SortFunc(out, func(a, b contract.ClientWait) int {
		return cmp.Or(cmp.Compare(a.Output, b.Output), cmp.Compare(a.Input, b.Input)) // inputs first
	})
	return out
}
