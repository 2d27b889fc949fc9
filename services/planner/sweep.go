package planner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/snapshot"
)

// An inventory lists everything on the broker that belongs to a flow or a revision.
type inventory struct {
	edges     map[string][]string // flows with stored frames, by stream
	streams   []string            // of edges
	odd       []string            // streams with subjects on which no flow stores anything
	jobs      []string            // flows that have unclaimed jobs
	mailboxes map[string]string   // consumer name by mailbox
}

// orphans returns the part of the inventory that belongs to no live flow or executor.
func (s *State) orphans(have inventory) inventory {
	out := inventory{edges: make(map[string][]string), odd: have.odd, mailboxes: make(map[string]string)}
	for stream, flows := range have.edges {
		for _, id := range flows {
			if s.runs[id] == nil {
				out.edges[stream] = append(out.edges[stream], id)
			}
		}
	}
	used := s.usedStreams()
	for _, name := range have.streams {
		if !used[name] {
			out.streams = append(out.streams, name)
		}
	}
	for _, id := range have.jobs {
		if s.runs[id] == nil {
			out.jobs = append(out.jobs, id)
		}
	}
	mailboxes := s.usedMailboxes()
	for mailbox, consumer := range have.mailboxes {
		if !mailboxes[mailbox] {
			out.mailboxes[mailbox] = consumer
		}
	}
	return out
}

// usedStreams returns the streams for edges of new flows, and those of live flows.
func (s *State) usedStreams() map[string]bool {
	used := make(map[string]bool)
	for _, shard := range s.shards {
		used[contract.EdgeStream(shard)] = true
	}
	for _, r := range s.runs {
		used[r.Stream] = true
	}
	return used
}

func (s *State) usedMailboxes() map[string]bool {
	used := make(map[string]bool)
	for _, r := range s.runs {
		for _, m := range r.Mailboxes {
			used[m] = true
		}
	}
	for _, mailbox := range s.executors {
		used[mailbox] = true
	}
	return used
}

// sweep finds orphans and removes them. What belongs to a flow is created after flow.validated is stored, so a
// state that is synchronized after the inventory was taken knows every flow with something in it.
func (w *wiring) sweep(ctx context.Context, r *service.Runtime[*State]) error {
	idle := make(map[string]bool)
	service.Every(ctx, w.config.SweepEvery, func() {
		have, err := w.inventory(ctx)
		if err == nil {
			err = r.Sync(ctx)
		}
		if err == nil {
			var lost []string
			r.Read(func(s *State) { lost, have = s.lost(have), s.orphans(have) })
			idle, err = w.remove(ctx, r, have, idle)
			err = errors.Join(err, w.restore(ctx, lost))
		}
		if err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Msg("sweep failed; trying again at the next interval")
		}
	})
	return nil
}

// lost returns the mailboxes of live executors that are not on the broker: an operator may have deleted them.
func (s *State) lost(have inventory) (out []string) {
	for _, mailbox := range slices.Compact(slices.Sorted(maps.Values(s.executors))) {
		if _, ok := have.mailboxes[mailbox]; !ok {
			out = append(out, mailbox)
		}
	}
	return out
}

// restore creates mailboxes again. One that was created after the inventory was taken does not change.
func (w *wiring) restore(ctx context.Context, lost []string) error {
	for _, mailbox := range lost {
		w.mu.Lock()
		delete(w.mailboxes, mailbox)
		w.mu.Unlock()
		if err := w.ensureMailbox(ctx, mailbox); err != nil {
			return err
		}
	}
	return nil
}

// trimEvery is the interval between two checks of the size of EVENTS.
const trimEvery = 2 * time.Second

// trim keeps EVENTS within its limits.
func (w *wiring) trim(ctx context.Context, r *service.Runtime[*State]) error {
	service.Every(ctx, trimEvery, func() {
		if err := snapshot.Trim(ctx, w.link, w.config.Broker); err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Msg("cannot trim EVENTS; trying again")
		}
	})
	return nil
}

func (w *wiring) inventory(ctx context.Context) (inventory, error) {
	have := inventory{edges: make(map[string][]string), mailboxes: make(map[string]string)}
	if err := w.storedEdges(ctx, &have); err != nil {
		return have, fmt.Errorf("list stored edges: %w", err)
	}
	jobs, err := w.stream(ctx, contract.StreamJobs)
	if err != nil {
		return have, fmt.Errorf("read %s: %w", contract.StreamJobs, err)
	}
	info, err := jobs.Info(ctx, jetstream.WithSubjectFilter("jobs.>"))
	if err != nil {
		return have, fmt.Errorf("list waiting jobs: %w", err)
	}
	for subject := range info.State.Subjects {
		if id := contract.FlowOfJob(subject); document.ValidName(id) {
			have.jobs = append(have.jobs, id)
		} else if !slices.Contains(have.odd, contract.StreamJobs) {
			have.odd = append(have.odd, contract.StreamJobs)
		}
	}
	consumers := jobs.ListConsumers(ctx)
	for c := range consumers.Info() {
		m := c.Config.Metadata
		have.mailboxes[contract.Mailbox(m["dagyo.progdef"], m["dagyo.revision"])] = c.Name
	}
	return have, consumers.Err()
}

// storedEdges lists the streams of edges, and the flows with something stored in them.
func (w *wiring) storedEdges(ctx context.Context, have *inventory) error {
	old := w.link.JS.StreamNames(ctx, jetstream.WithStreamListSubject("stop.*"))
	for name := range old.Name() {
		if id, ok := strings.CutPrefix(name, contract.OldFlowStreamPrefix); ok {
			have.edges[name] = []string{id}
		}
	}
	if err := old.Err(); err != nil {
		return err
	}
	shards, err := w.listShards(ctx)
	if err != nil {
		return err
	}
	for _, shard := range shards {
		name := shard.Config.Name
		have.streams = append(have.streams, name)
		flows, odd, err := w.flowsIn(ctx, name)
		if err != nil {
			return err
		}
		have.edges[name] = flows
		if odd {
			have.odd = append(have.odd, name)
		}
	}
	return nil
}

// flowsIn lists the flows with something stored in a shard, and reports whether it also has odd subjects.
func (w *wiring) flowsIn(ctx context.Context, name string) (ids []string, odd bool, err error) {
	s, err := w.stream(ctx, name)
	if err != nil {
		return nil, false, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("edges.>"))
	if err != nil {
		return nil, false, err
	}
	flows := make(map[string]bool)
	for subject := range info.State.Subjects {
		if id := contract.FlowOfEdge(subject); document.ValidName(id) {
			flows[id] = true
		} else {
			odd = true
		}
	}
	return slices.Collect(maps.Keys(flows)), odd, nil
}

// oddBatch is the number of messages of a stream with odd subjects that one sweep examines.
const oddBatch = 10_000

// deleteOdd deletes the messages on subjects that name no flow. Such a subject may contain a wildcard: NATS stores it,
// and a purge of it would delete everything that it matches. So each message is examined and deleted by its sequence.
func (w *wiring) deleteOdd(ctx context.Context, name string) error {
	s, err := w.stream(ctx, name)
	if err != nil {
		return err
	}
	for range oddBatch {
		m, err := s.GetMsg(ctx, w.oddFrom[name]+1, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			w.oddFrom[name] = 0
			return nil
		}
		if err != nil {
			return fmt.Errorf("find odd subjects in %s: %w", name, err)
		}
		w.oddFrom[name] = m.Sequence
		if document.ValidName(contract.FlowOfEdge(m.Subject)) || document.ValidName(contract.FlowOfJob(m.Subject)) {
			continue
		}
		if err := s.DeleteMsg(ctx, m.Sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("delete a message on %q: %w", m.Subject, err)
		}
	}
	return nil
}

// remove removes the orphans. It removes only mailboxes that were also idle at the last sweep, since the next
// flow would create them again; it returns the mailboxes that are idle now.
func (w *wiring) remove(
	ctx context.Context, r *service.Runtime[*State], o inventory, idle map[string]bool,
) (map[string]bool, error) {
	for stream, flows := range o.edges {
		for _, id := range flows {
			ending := ending{age: math.MaxInt64, mayRun: true}
			if err := w.release(ctx, id, &contract.FlowCleaned{Stream: stream}, ending); err != nil {
				return idle, err
			}
		}
	}
	for _, name := range o.odd {
		if err := w.deleteOdd(ctx, name); err != nil {
			return idle, err
		}
	}
	for _, name := range o.streams {
		if err := w.deleteStream(ctx, name); err != nil {
			return idle, err
		}
	}
	for _, id := range o.jobs {
		if err := w.purgeJobs(ctx, id); err != nil {
			return idle, err
		}
	}
	next := make(map[string]bool)
	for mailbox, consumer := range o.mailboxes {
		if !idle[mailbox] {
			next[mailbox] = true
		} else if err := w.removeMailbox(ctx, r, mailbox, consumer); err != nil {
			return next, err
		}
	}
	return next, nil
}

// removeMailbox deletes a mailbox unless it is used again. It cannot be created meanwhile: planning a flow
// waits for it.
func (w *wiring) removeMailbox(
	ctx context.Context, r *service.Runtime[*State], mailbox, consumer string,
) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := r.Sync(ctx); err != nil {
		return err
	}
	used := false
	r.Read(func(s *State) { used = s.usedMailboxes()[mailbox] })
	if used {
		return nil
	}
	delete(w.mailboxes, mailbox)
	err := w.link.JS.DeleteConsumer(ctx, contract.StreamJobs, consumer)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("delete mailbox %s: %w", mailbox, err)
	}
	return nil
}
