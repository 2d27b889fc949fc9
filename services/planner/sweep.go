package planner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/snapshot"
)

// An inventory is what lies on the broker and carries a flow's or a revision's name.
type inventory struct {
	streams   []string          // flows that have a stream
	jobs      []string          // flows that have unclaimed jobs
	mailboxes map[string]string // consumer name by mailbox
}

// orphans returns what of the inventory belongs to no living flow or executor.
func (s *State) orphans(have inventory) inventory {
	out := inventory{mailboxes: make(map[string]string)}
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
	used := s.usedMailboxes()
	for mailbox, consumer := range have.mailboxes {
		if !used[mailbox] {
			out.mailboxes[mailbox] = consumer
		}
	}
	return out
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

// sweep looks for orphans and removes them. What belongs to a flow is made after flow.validated is stored, so
// that a state which knows all that is stored behind the look knows of each flow that has something.
func (w *wiring) sweep(ctx context.Context, r *service.Runtime[*State]) error {
	idle := make(map[string]bool)
	service.Every(ctx, w.config.SweepEvery, func() {
		have, err := w.inventory(ctx)
		if err == nil {
			err = r.Sync(ctx)
		}
		if err == nil {
			r.Read(func(s *State) { have = s.orphans(have) })
			idle, err = w.remove(ctx, r, have, idle)
		}
		if err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Msg("sweep failed; the next one tries again")
		}
	})
	return nil
}

// trimEvery is the time between two looks at the size of EVENTS.
const trimEvery = 2 * time.Second

// trim keeps EVENTS within its bounds.
func (w *wiring) trim(ctx context.Context, r *service.Runtime[*State]) error {
	service.Every(ctx, trimEvery, func() {
		if err := snapshot.Trim(ctx, w.link, w.config.Broker); err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Msg("cannot cut EVENTS; trying again")
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

// remove removes the orphans. Of the mailboxes it removes those that were idle at the last sweep, too, since
// the next flow would make them again; it returns those that are idle now.
func (w *wiring) remove(
	ctx context.Context, r *service.Runtime[*State], o inventory, idle map[string]bool,
) (map[string]bool, error) {
	for _, id := range o.streams {
		if err := w.release(ctx, id, &contract.FlowCleaned{Stream: contract.FlowStream(id)}, true); err != nil {
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

// removeMailbox removes a mailbox unless it is used again. Nobody makes it meanwhile: a flow that is planned
// now waits.
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
		return fmt.Errorf("remove mailbox %s: %w", mailbox, err)
	}
	return nil
}
