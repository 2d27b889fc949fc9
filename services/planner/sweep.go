package planner

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
)

// An inventory is what lies on the broker and carries a flow's or a revision's name.
type inventory struct {
	streams   []string          // flows that have a stream
	jobs      []string          // flows that have unclaimed jobs
	mailboxes map[string]string // consumer name by mailbox
}

// orphans returns what of the inventory belongs to no living flow or executor.
func (s State) orphans(have inventory) inventory {
	out := inventory{mailboxes: make(map[string]string)}
	used := make(map[string]bool)
	for _, r := range s.runs {
		for _, m := range r.mailboxes {
			used[m] = true
		}
	}
	for _, mailbox := range s.executors {
		used[mailbox] = true
	}
	for _, id := range have.streams {
		if s.runs[id] == nil {
			out.streams = append(out.streams, id)
		}
	}
	for _, id := range have.jobs {
		if s.runs[id] == nil {
			out.jobs = append(out.jobs, id)
		}
	}
	for mailbox, consumer := range have.mailboxes {
		if !used[mailbox] {
			out.mailboxes[mailbox] = consumer
		}
	}
	return out
}

// sweep looks for orphans and removes those that it has seen twice in a row: what is found once may
// belong to a flow whose events are still on their way here.
func (w *wiring) sweep(ctx context.Context, r *service.Runtime[State]) error {
	suspects := make(map[string]bool)
	service.Every(ctx, w.config.SweepEvery, func() {
		have, err := w.inventory(ctx)
		if err == nil && r.Read(func(s State) { have = s.orphans(have) }) {
			suspects, err = w.removeSuspects(ctx, have, suspects)
		}
		if err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Msg("sweep failed; the next one tries again")
		}
	})
	return nil
}

func (w *wiring) inventory(ctx context.Context) (inventory, error) {
	have := inventory{mailboxes: make(map[string]string)}
	names := w.link.JS.StreamNames(ctx, jetstream.WithStreamListSubject("stop.*"))
	for name := range names.Name() {
		if id, ok := strings.CutPrefix(name, contract.FlowStreamPrefix); ok {
			have.streams = append(have.streams, id)
		}
	}
	if err := names.Err(); err != nil {
		return have, fmt.Errorf("list flow streams: %w", err)
	}
	jobs, err := w.link.JS.Stream(ctx, contract.StreamJobs)
	if err != nil {
		return have, fmt.Errorf("look at %s: %w", contract.StreamJobs, err)
	}
	info, err := jobs.Info(ctx, jetstream.WithSubjectFilter("jobs.>"))
	if err != nil {
		return have, fmt.Errorf("list waiting jobs: %w", err)
	}
	for subject := range info.State.Subjects {
		if tokens := strings.Split(subject, "."); len(tokens) == 5 {
			have.jobs = append(have.jobs, tokens[3])
		}
	}
	consumers := jobs.ListConsumers(ctx)
	for c := range consumers.Info() {
		m := c.Config.Metadata
		have.mailboxes[contract.Mailbox(m["dagyo.progdef"], m["dagyo.revision"])] = c.Name
	}
	return have, consumers.Err()
}

// removeSuspects removes the orphans that are suspects already, and returns the new suspects.
func (w *wiring) removeSuspects(ctx context.Context, o inventory, suspects map[string]bool) (map[string]bool, error) {
	next := make(map[string]bool)
	twice := func(key string) bool {
		next[key] = !suspects[key]
		return suspects[key]
	}
	for _, id := range o.streams {
		if twice("stream " + id) {
			if err := w.release(ctx, id, &contract.FlowCleaned{Stream: contract.FlowStream(id)}, true); err != nil {
				return next, err
			}
		}
	}
	for _, id := range o.jobs {
		if twice("jobs " + id) {
			if err := w.purgeJobs(ctx, id); err != nil {
				return next, err
			}
		}
	}
	for mailbox, consumer := range o.mailboxes {
		if twice("mailbox " + mailbox) {
			if err := w.removeMailbox(ctx, mailbox, consumer); err != nil {
				return next, err
			}
		}
	}
	return next, nil
}

func (w *wiring) removeMailbox(ctx context.Context, mailbox, consumer string) error {
	w.mu.Lock()
	delete(w.mailboxes, mailbox)
	w.mu.Unlock()
	if err := w.link.JS.DeleteConsumer(ctx, contract.StreamJobs, consumer); err != nil {
		return fmt.Errorf("remove mailbox %s: %w", mailbox, err)
	}
	return nil
}
